package tsdb

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/util/annotations"

	"github.com/nilometer/nilometer/model/tenant"
	"github.com/nilometer/nilometer/storage"
	"github.com/nilometer/nilometer/tsdb/head"
	"github.com/nilometer/nilometer/tsdb/mask"
	"github.com/nilometer/nilometer/tsdb/part"
	"github.com/nilometer/nilometer/tsdb/scan"
)

// errViewClosed is what a closed view answers.
var errViewClosed = errors.New("the view is closed")

// view is one consistent state of a tenant: a generation of blocks and the
// head beside it. It holds both until Close. While the head is being rebuilt
// the view is of the blocks alone, and who asks more of it waits.
type view struct {
	db *DB
	id tenant.ID

	mu     sync.Mutex // guards what follows
	closed bool
	blocks *blocks // nil when the tenant has nothing
	gen    *generation
	parts  []part.Part    // blocks in order of acceptance, then the head and late samples
	head   *head.Snapshot // nil until it is pinned
	pinned bool
	found  []*scan.Found // what estimates have found, for the selections that follow
}

// What a view keeps of estimates: a few of not too many series, 40 bytes for each
// block that has it.
const (
	foundMax       = 4
	foundSeriesMax = 100_000
)

var _ storage.View = (*view)(nil)

// take holds the newest generation of a tenant's blocks, if it has any.
func (v *view) take(b *blocks) {
	if b == nil {
		return
	}
	v.blocks, v.gen = b, b.acquire()
	v.parts = make([]part.Part, 0, len(v.gen.blocks)+1)
	var expired []mask.Rule
	if keep := v.db.retention.Load(); len(keep.Rules) > 0 {
		expired = keep.expired(v.db.now())
	}
	for i, x := range v.gen.blocks {
		v.parts = append(v.parts, v.gen.masks[i].part(x, expiredOf(expired, x.Meta())...))
	}
}

// pinHead completes the view by what the head has now. Spans that the
// generation has as blocks are left out. v.mu is held, or the view is new.
func (v *view) pinHead() {
	v.pinned = true
	if v.blocks == nil {
		return
	}
	// With another block range than the horizon was made with, the horizon lies
	// inside a span: the head has nothing before it there.
	from := floor(v.gen.horizon(), v.db.opts.BlockRange.Milliseconds())
	v.head = v.db.memory.head(v.id).Snapshot(from)
	v.parts = append(v.parts, visible(v.head))
	if l := v.head.Late(v.db.lateBounds(v.gen)); !l.Empty() {
		v.parts = append(v.parts, l)
	}
}

// floor rounds t down to a multiple of r.
func floor(t, r int64) int64 {
	if t%r < 0 {
		return t - t%r - r
	}
	return t - t%r
}

// ready returns the parts that answer a selection. It waits for the replay; a
// partial selection goes on without the head, and with a warning.
func (v *view) ready(ctx context.Context, s storage.Selection) ([]part.Part, annotations.Annotations, error) {
	v.mu.Lock()
	parts, pinned, closed := v.parts, v.pinned, v.closed
	v.mu.Unlock()
	switch {
	case closed:
		return nil, nil, errViewClosed
	case pinned:
		return parts, nil, ctx.Err()
	case s.Partial && !v.db.memory.isReplayed():
		return parts, annotations.New().Add(fmt.Errorf("samples of the last hours are missing: %w", storage.ErrReplaying)), ctx.Err()
	}
	if err := v.db.memory.wait(ctx); err != nil {
		return nil, nil, err
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.closed {
		return nil, nil, errViewClosed
	}
	if !v.pinned {
		if v.blocks == nil { // the log may have known the tenant
			b, err := v.db.tenantBlocks(v.id)
			if err != nil {
				return nil, nil, err
			}
			v.take(b)
		}
		v.pinHead()
	}
	return v.parts, nil, nil
}

// Select returns the columns of the series that match.
func (v *view) Select(ctx context.Context, s storage.Selection) (storage.Scan, error) {
	parts, warnings, err := v.ready(ctx, s)
	if err != nil {
		return nil, fmt.Errorf("select: %w", err)
	}
	found := v.takeFound(parts, s)
	if found == nil {
		if found, err = scan.Find(ctx, parts, s); err != nil {
			return nil, fmt.Errorf("select: %w", err)
		}
	}
	columns, err := found.Scan(ctx, s)
	if err != nil {
		return nil, fmt.Errorf("select: %w", err)
	}
	if len(warnings) > 0 {
		return &partialScan{Scan: columns, warnings: warnings}, nil
	}
	return columns, nil
}

// takeFound returns what an estimate of the same selection has found, nil when
// there was none.
func (v *view) takeFound(parts []part.Part, s storage.Selection) *scan.Found {
	v.mu.Lock()
	defer v.mu.Unlock()
	for i, f := range v.found {
		if f.Of(parts, s) {
			v.found = slices.Delete(v.found, i, i+1)
			return f
		}
	}
	return nil
}

// keepFound keeps what an estimate has found.
func (v *view) keepFound(f *scan.Found) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if !v.closed && len(v.found) < foundMax && f.Series() <= foundSeriesMax {
		v.found = append(v.found, f)
	}
}

// partialScan is a scan of what there was.
type partialScan struct {
	storage.Scan
	warnings annotations.Annotations
}

// Warnings returns the scan's and that it is partial.
func (s *partialScan) Warnings() annotations.Annotations {
	out := s.Scan.Warnings()
	return out.Merge(s.warnings)
}

// LabelNames returns the sorted names of the labels of the series that match.
func (v *view) LabelNames(ctx context.Context, s storage.Selection, limit int) ([]string, annotations.Annotations, error) {
	parts, partial, err := v.ready(ctx, s)
	if err != nil {
		return nil, nil, fmt.Errorf("label names: %w", err)
	}
	out, w, err := scan.LabelNames(ctx, parts, s, limit)
	return out, w.Merge(partial), err
}

// LabelValues is LabelNames for the values of one label.
func (v *view) LabelValues(ctx context.Context, name string, s storage.Selection, limit int) ([]string, annotations.Annotations, error) {
	parts, partial, err := v.ready(ctx, s)
	if err != nil {
		return nil, nil, fmt.Errorf("values of label %s: %w", name, err)
	}
	out, w, err := scan.LabelValues(ctx, parts, name, s, limit)
	return out, w.Merge(partial), err
}

// Series returns the label sets that match, in label order.
func (v *view) Series(ctx context.Context, s storage.Selection, limit int) ([]labels.Labels, annotations.Annotations, error) {
	parts, partial, err := v.ready(ctx, s)
	if err != nil {
		return nil, nil, fmt.Errorf("series: %w", err)
	}
	out, w, err := scan.Series(ctx, parts, s, limit)
	return out, w.Merge(partial), err
}

// Estimate says from the index alone what Select would touch.
func (v *view) Estimate(ctx context.Context, s storage.Selection) (storage.Estimate, error) {
	s.Partial = true // an estimate of what there is is an estimate
	parts, _, err := v.ready(ctx, s)
	if err != nil {
		return storage.Estimate{}, fmt.Errorf("estimate: %w", err)
	}
	found, err := scan.Find(ctx, parts, s)
	if err != nil {
		return storage.Estimate{}, err
	}
	defer v.keepFound(found)
	return found.Estimate(ctx)
}

// Exemplars returns the exemplars of the series that match. The head keeps the
// newest ones, and no block has any.
func (v *view) Exemplars(ctx context.Context, s storage.Selection) ([]storage.SeriesExemplars, error) {
	if _, _, err := v.ready(ctx, s); err != nil {
		return nil, fmt.Errorf("exemplars: %w", err)
	}
	return v.db.memory.head(v.id).Exemplars(s.MinTime, s.MaxTime, s.Matchers...), nil
}

// Metadata returns what is known about metric families.
func (v *view) Metadata(ctx context.Context, family string, limit int) ([]storage.Metadata, error) {
	if _, _, err := v.ready(ctx, storage.Selection{}); err != nil {
		return nil, fmt.Errorf("metadata: %w", err)
	}
	return v.db.memory.head(v.id).Metadata(family, limit), nil
}

// Close gives the state up.
func (v *view) Close() {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.closed {
		return
	}
	v.closed, v.found = true, nil
	if v.head != nil {
		v.head.Release()
	}
	if v.blocks != nil {
		if err := v.blocks.release(v.gen); err != nil {
			v.db.logger.Warn("closing a block failed", "tenant", string(v.id), "err", err)
		}
	}
	v.db.metrics.views.Dec()
}

package tsdb

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	format "github.com/nilometer/nilometer/format/manifest"
	"github.com/nilometer/nilometer/tsdb/block"
	"github.com/nilometer/nilometer/tsdb/head"
	"github.com/nilometer/nilometer/tsdb/pressure"
)

// quietness is what a cut remembers of a head to find out that nothing comes
// any more.
type quietness struct {
	newest int64
	since  time.Time
}

// Cut writes the complete spans of every head to blocks, and lets go what the
// head and the log no longer need.
//
// A span is complete when the head has a sample half a block range after its
// end: until then who lags behind the others finds it open. Where no sample
// has come for half a block range, the clock decides in its stead.
func (db *DB) Cut(ctx context.Context) error {
	if err := db.memory.wait(ctx); err != nil {
		return fmt.Errorf("cut: %w", err)
	}
	db.cutting.Lock()
	defer db.cutting.Unlock()
	var errs []error
	for _, b := range db.opened() {
		if err := db.cutTenant(ctx, b); err != nil {
			errs = append(errs, fmt.Errorf("cut the head of tenant %s: %w", b.id, err))
		}
		b.sweep()
	}
	errs = append(errs, db.boundLog(ctx), db.trimLog(ctx))
	return errors.Join(errs...)
}

func (db *DB) cutTenant(ctx context.Context, b *blocks) error {
	h := db.memory.head(b.id)
	for _, span := range h.Spans(db.completeBefore(b, h)) {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := db.cutSpan(ctx, b, h, span, untilEnd); err != nil {
			return err
		}
	}
	return db.spillDue(ctx, b, h)
}

// completeBefore is the time before which spans are complete.
func (db *DB) completeBefore(b *blocks, h *head.Head) int64 {
	newest, ok := h.Newest()
	if !ok {
		return math.MinInt64
	}
	half := db.opts.BlockRange / 2
	if db.pressure.Level() >= pressure.CutEarly {
		half = 0 // who lags behind finds the span cut
	}
	now := db.deps.Clock()
	if q := &b.quiet; q.since.IsZero() || q.newest != newest {
		*q = quietness{newest: newest, since: now}
	} else if now.Sub(q.since) >= half {
		newest = max(newest, now.UnixMilli())
	}
	return newest - half.Milliseconds()
}

// extent says up to where a span counts as cut.
type extent bool

const (
	// untilEnd: to the span's end. What comes before it from now on is refused.
	untilEnd extent = false
	// untilNewest: to the last sample that it has. What comes after it begins
	// the rest of the span.
	untilNewest extent = true
)

// cutSpan makes one span a block: the block, the manifest with the horizon, the
// generation, in this order (I1). The span is dropped by what adopt leaves for
// sweep.
func (db *DB) cutSpan(ctx context.Context, b *blocks, h *head.Head, span int64, to extent) error {
	b.cuts.Lock()
	defer b.cuts.Unlock()
	if err := b.resume(ctx); err != nil {
		return err
	}
	if span+db.opts.BlockRange.Milliseconds() <= b.newest.Load().horizon() {
		return nil // it is in a block, and not dropped yet
	}
	start := time.Now()
	// A block's place in the order of acceptance is the version that its source
	// was pinned at: what is deleted by a later one is in the block, and hidden.
	b.edits.Lock()
	source := h.Cut(span)
	l := db.takeLate(b, h)
	seq := b.manifest.Current().Number
	b.edits.Unlock()
	defer source.Release()
	horizon := h.Horizon()
	meta, err := db.writeSpan(ctx, b, source, l, span, seq)
	edit := format.Edit{}
	switch {
	case errors.Is(err, block.ErrEmpty) && to == untilNewest:
		return nil
	case errors.Is(err, block.ErrEmpty):
	case err != nil:
		return err
	default:
		edit.Added = []format.Block{meta}
		if to == untilNewest {
			horizon = meta.MaxTime + 1
		}
	}
	g := b.newest.Load()
	mark(&edit, g.current.State, horizon, l.marks(g.late()))
	committed, err := b.commit(ctx, edit)
	if !committed && len(edit.Added) > 0 {
		b.deleteFiles(ctx, meta.ID)
	}
	if err != nil {
		return err
	}
	db.metrics.cutSamples.Add(float64(meta.Stats.Samples))
	db.logger.Info("span cut", "tenant", string(b.id), "block", meta.ID.String(), "from", time.UnixMilli(span).UTC().String(),
		"series", meta.Stats.Series, "samples", meta.Stats.Samples, "bytes", meta.Stats.Bytes(), "duration_ms", time.Since(start).Milliseconds())
	return nil
}

// trimLog deletes the segments of the log whose samples are all in blocks. A
// head whose horizon is ahead of its manifest has a cut that failed: then the
// log is all there is of it, and stays.
func (db *DB) trimLog(ctx context.Context) error {
	current := db.memory.log.Segment()
	needed := current
	for _, id := range db.memory.heads.Tenants() {
		b, err := db.tenantBlocks(id)
		if err != nil {
			return err
		}
		h := db.memory.head(id)
		if b == nil || h.Horizon() > b.newest.Load().horizon() {
			return nil
		}
		needed = min(needed, h.NeededSegment(current))
	}
	if err := db.dropLog(ctx, needed, false); err != nil {
		return fmt.Errorf("delete segments of the log before %d: %w", needed, err)
	}
	return nil
}

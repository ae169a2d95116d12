package tsdb

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/nilometer/nilometer/blob"
	blobdir "github.com/nilometer/nilometer/blob/dir"
	"github.com/nilometer/nilometer/model/column"
	"github.com/nilometer/nilometer/model/tenant"
	"github.com/nilometer/nilometer/storage"
	"github.com/nilometer/nilometer/tsdb/block"
	"github.com/nilometer/nilometer/tsdb/manifest"
	"github.com/nilometer/nilometer/tsdb/part"
	"github.com/nilometer/nilometer/tsdb/planner"
	"github.com/nilometer/nilometer/vfs"
)

// Still is a data directory as it is at one moment, to be read as a whole: with
// what the log holds, or, beside a server, what is in blocks.
type Still struct {
	// HeldBy is why the log's samples are missing: another process has the
	// directory. nil: they are there.
	HeldBy error

	db     *DB
	bucket blob.Bucket
	views  map[tenant.ID]*view
	blocks map[tenant.ID][]part.Part
	close  []func() error
}

// OpenStill opens an existing data directory for reading. Where no server runs
// on it, the log is read, and the lock held until Close.
func OpenStill(ctx context.Context, d Deps) (*Still, error) {
	s := &Still{views: map[tenant.ID]*view{}, blocks: map[tenant.ID][]part.Part{}}
	db, err := OpenIdle(ctx, Options{Retention: -1}, d)
	switch {
	case errors.Is(err, vfs.ErrLocked):
		s.HeldBy = err
		err = s.openBlocks(ctx, d)
	case err == nil:
		s.db = db
		err = s.openViews(ctx)
	}
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

func (s *Still) openViews(ctx context.Context) error {
	s.close = append(s.close, s.db.Close)
	for _, b := range s.db.opened() {
		v, err := s.db.View(ctx, b.id)
		if err != nil {
			return err
		}
		s.close = append(s.close, func() error { v.Close(); return nil })
		s.views[b.id] = v.(*view)
	}
	return nil
}

// openBlocks opens the blocks of the newest version of each tenant, without a
// lock: a block that vanishes meanwhile makes it take a newer one.
func (s *Still) openBlocks(ctx context.Context, d Deps) error {
	fsys, err := existing(d)
	if err != nil {
		return err
	}
	if s.bucket = d.Bucket; s.bucket == nil {
		s.bucket = blobdir.Reader(fsys, storeName)
	}
	tenants, err := listTenants(ctx, s.bucket)
	if err != nil {
		return err
	}
	for _, id := range tenants {
		for round := range snapshotRoundsMax {
			if err = s.openTenant(ctx, id, round == snapshotRoundsMax-1); !errors.Is(err, blob.ErrNotFound) {
				break
			}
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// openTenant opens the blocks of a tenant. A block without an index was deleted
// meanwhile; it is damaged when the last try finds it so, too.
func (s *Still) openTenant(ctx context.Context, id tenant.ID, last bool) error {
	m, err := manifest.Open(ctx, s.bucket, id, shard)
	if err != nil {
		return err
	}
	metas := slices.Clone(m.Current().State.Blocks)
	slices.SortFunc(metas, planner.CompareAcceptance)
	var blocks []*block.Block
	for _, meta := range metas {
		b, err := block.OpenAs(ctx, s.bucket, id, meta, nil)
		var damage *part.DamageError
		if errors.As(err, &damage) && (last || !errors.Is(err, blob.ErrNotFound)) {
			b, err = block.SetAside(id, meta, damage), nil
		}
		if err != nil {
			return err
		}
		s.close = append(s.close, b.Release)
		blocks = append(blocks, b)
	}
	masks, err := masksOf(m.Current().State, blocks, nil)
	if err != nil {
		return err
	}
	s.blocks[id] = nil
	for i, b := range blocks {
		s.blocks[id] = append(s.blocks[id], masks[i].part(b))
	}
	return nil
}

// Close gives the directory up.
func (s *Still) Close() error {
	var errs []error
	for _, do := range slices.Backward(s.close) {
		errs = append(errs, do())
	}
	s.close = nil
	return errors.Join(errs...)
}

// Tenants returns the tenants, sorted.
func (s *Still) Tenants() []tenant.ID {
	var out []tenant.ID
	for id := range s.views {
		out = append(out, id)
	}
	for id := range s.blocks {
		out = append(out, id)
	}
	slices.Sort(out)
	return out
}

// parts returns what a tenant has, in order of acceptance.
func (s *Still) parts(ctx context.Context, id tenant.ID) ([]part.Part, error) {
	if v := s.views[id]; v != nil {
		parts, _, err := v.ready(ctx, storage.Selection{})
		return parts, err
	}
	return s.blocks[id], nil
}

// EachSeries calls fn for every series that matches, in label order, with its
// samples in the selection's range in order of time, stale markers among them;
// series without a sample there are left out. samples is valid during the
// call. What cannot be read is left out and told to warn.
func (s *Still) EachSeries(ctx context.Context, id tenant.ID, sel storage.Selection, warn func(error),
	fn func(lset labels.Labels, samples []column.Sample) error,
) error {
	parts, err := s.parts(ctx, id)
	if err != nil {
		return fmt.Errorf("read tenant %s: %w", id, err)
	}
	w, err := newWalk(ctx, parts, sel.Matchers, warn)
	if err != nil {
		return fmt.Errorf("read tenant %s: %w", id, err)
	}
	var members []member
	for {
		lset, found, ok := w.next(members[:0])
		if !ok {
			return nil
		}
		if err := ctx.Err(); err != nil {
			return context.Cause(ctx)
		}
		members = found
		samples := w.read(lset, members, sel.MinTime, sel.MaxTime)
		if len(samples) == 0 {
			continue
		}
		if err := fn(lset, samples); err != nil {
			return err
		}
	}
}

package tsdb

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/oklog/ulid/v2"

	"github.com/nilometer/nilometer/blob"
	format "github.com/nilometer/nilometer/format/manifest"
	"github.com/nilometer/nilometer/model/tenant"
	"github.com/nilometer/nilometer/tsdb/block"
	"github.com/nilometer/nilometer/tsdb/compact"
	"github.com/nilometer/nilometer/tsdb/head"
	"github.com/nilometer/nilometer/tsdb/manifest"
	"github.com/nilometer/nilometer/tsdb/mask"
	"github.com/nilometer/nilometer/tsdb/part"
	"github.com/nilometer/nilometer/tsdb/planner"
)

// shard is the only one on one node.
const shard = 0

// blocks is the side of one tenant that lies in the bucket: its manifest and
// its open blocks.
type blocks struct {
	*lineage
	id       tenant.ID
	bucket   blob.Bucket
	cache    *block.Cache
	logger   *slog.Logger
	manifest *manifest.Store

	memoryOf
	// queued are the jobs of the compaction under way that have not ended.
	queued atomic.Int64
	// quiet is used by Cut alone.
	quiet quietness

	// cuts and compactions are held by who writes blocks, from the choice of its
	// sources to the version that names the result. They do not wait for one
	// another: what a cut makes was accepted after every block that is there when
	// a compaction is planned. Readers never take them.
	cuts, compactions sync.Mutex
	// edits is held by who commits versions or adopts them, for that moment
	// alone, and by a deletion: it waits for no work. It comes after the others.
	edits sync.Mutex
	// uncertain are deletions whose commit has lost its answer. edits guards it.
	uncertain []*head.Deletion
}

// memoryOf is the side of a tenant that is in memory: what new versions of its
// manifest are told to.
type memoryOf struct {
	// head returns the tenant's head.
	head func() *head.Head
	// lateBlocksMax bounds the blocks of late samples that wait for compaction.
	lateBlocksMax int
	// hasRoom refuses jobs that the disk has no room for.
	hasRoom func(planner.Job) error
}

// openBlocks opens the newest manifest version of a tenant and its blocks.
// Files of blocks that it does not name, left by a crash, are deleted.
func openBlocks(ctx context.Context, bucket blob.Bucket, cache *block.Cache, logger *slog.Logger, id tenant.ID, mem memoryOf) (*blocks, error) {
	store, err := manifest.Open(ctx, bucket, id, shard)
	if err != nil {
		return nil, fmt.Errorf("%w: restore that object from a backup", err)
	}
	b := &blocks{lineage: newLineage(), id: id, bucket: bucket, cache: cache, logger: logger, manifest: store, memoryOf: mem}
	if err := b.adoptLocked(ctx, store.Current()); err != nil {
		return nil, fmt.Errorf("%w: look at it with nilometer tsdb verify, and restore the block's files from a backup", err)
	}
	if _, err := compact.Clean(ctx, bucket, id, store.Current()); err != nil {
		return nil, errors.Join(fmt.Errorf("delete unfinished blocks of tenant %s: %w", id, err), b.close())
	}
	return b, nil
}

// adoptLocked makes a manifest version what new views see: blocks that are new in it
// are opened. Files of those that are gone, and what the head has before a new
// horizon, go once no view can name them. The caller holds edits, or is alone.
func (b *blocks) adoptLocked(ctx context.Context, c manifest.Current) error {
	had := map[ulid.ULID]*block.Block{}
	old := b.newest.Load()
	if old != nil {
		for _, x := range old.blocks {
			had[x.Meta().ID] = x
		}
	}
	metas := slices.Clone(c.State.Blocks)
	slices.SortFunc(metas, planner.CompareAcceptance)
	next := make([]*block.Block, 0, len(metas))
	for _, m := range metas {
		x := had[m.ID]
		if x != nil {
			x.Retain()
		} else {
			var err error
			if x, err = b.open(ctx, m); err != nil {
				return errors.Join(err, releaseAll(next))
			}
		}
		delete(had, m.ID)
		next = append(next, x)
	}
	masks, err := masksOf(c.State, next, old)
	if err != nil {
		return errors.Join(err, releaseAll(next))
	}
	var after []func()
	if end := (&generation{current: c}).horizon(); old != nil && end > old.horizon() {
		after = append(after, func() { b.head().Drop(end) })
	}
	for id := range had {
		after = append(after, func() { b.deleteFiles(ctx, id) })
	}
	after = append(after, b.lateAdopted(old, c)...)
	b.settleLocked(c.State)
	if err := b.swap(c, next, masks, after...); err != nil {
		return err
	}
	if old != nil {
		b.noteChanges(old.current.State, c.State)
	}
	return nil
}

// noteChanges tells the head which samples a version shows no more, or again:
// those of new deletions, and of blocks that went without another in their place.
func (b *blocks) noteChanges(old, now format.State) {
	known := map[uint64]bool{}
	for _, t := range old.Tombstones {
		known[t.Seq] = true
	}
	for _, t := range now.Tombstones {
		if !known[t.Seq] {
			b.head().NoteChange(t.MinTime, t.MaxTime)
		}
	}
	had, have := map[ulid.ULID]bool{}, map[ulid.ULID]bool{}
	for _, m := range old.Blocks {
		had[m.ID] = true
	}
	from, to := int64(math.MaxInt64), int64(math.MinInt64) // of what is new
	for _, m := range now.Blocks {
		if have[m.ID] = true; !had[m.ID] {
			from, to = min(from, m.MinTime), max(to, m.MaxTime)
		}
	}
	for _, m := range old.Blocks {
		if !have[m.ID] && (m.MaxTime < from || m.MinTime > to) {
			b.head().NoteChange(m.MinTime, m.MaxTime)
		}
	}
}

// open opens a block that the manifest names. One whose index is damaged is set
// aside: all others are served, and queries over its range say what they lack.
func (b *blocks) open(ctx context.Context, m block.Meta) (*block.Block, error) {
	x, err := block.OpenAs(ctx, b.bucket, b.id, m, b.cache)
	var damage *part.DamageError
	if !errors.As(err, &damage) {
		return x, err
	}
	b.logger.Error("a block is damaged and set aside: queries over its range lack its samples; look at it with nilometer tsdb verify, and restore its files from a backup",
		"tenant", string(b.id), "block", m.ID.String(), "file", damage.File, "min_time", m.MinTime, "max_time", m.MaxTime, "samples", m.Stats.Samples, "err", err)
	return block.SetAside(b.id, m, damage), nil
}

func releaseAll(bs []*block.Block) error {
	var errs []error
	for _, b := range bs {
		errs = append(errs, b.Release())
	}
	return errors.Join(errs...)
}

// deleteFiles deletes the files of a block that no view can name. What cannot
// be deleted now is deleted as an orphan at the next start.
func (b *blocks) deleteFiles(ctx context.Context, id ulid.ULID) {
	_ = manifest.DeleteBlock(context.WithoutCancel(ctx), b.bucket, b.id, id)
}

// resume adopts what the manifest has after a commit of unknown outcome.
func (b *blocks) resume(ctx context.Context) error {
	b.edits.Lock()
	defer b.edits.Unlock()
	return b.resumeLocked(ctx)
}

func (b *blocks) resumeLocked(ctx context.Context) error {
	c, err := b.manifest.Refresh(ctx)
	if err != nil {
		return err
	}
	if c.Number == b.newest.Load().current.Number {
		return nil
	}
	return b.adoptLocked(ctx, c)
}

// sweep does what no view stands in the way of any more.
func (b *blocks) sweep() {
	for _, do := range b.due() {
		do()
	}
}

// close gives the newest generation up; views that are left keep theirs.
func (b *blocks) close() error { return b.release(b.newest.Load()) }

// roundsMax bounds the plans of one compaction: each plan is shorter than the
// one before (planner.I2).
const roundsMax = 64

// compact runs the planner's jobs until there is none. A job that fails leaves
// its blocks as they are and does not stop the others; its error is returned
// at the end.
func (b *blocks) compact(ctx context.Context, nowMs int64, o planner.Options, keep *Retention, pause func(context.Context) error, done func(planner.Job, compact.Result, error)) error {
	b.compactions.Lock()
	defer b.compactions.Unlock()
	if err := b.resume(ctx); err != nil {
		return err
	}
	defer b.queued.Store(0)
	for range roundsMax {
		var errs []error
		progress := false
		o.Hidden = b.newest.Load().hidden(ctx)
		o.SetAside = b.newest.Load().setAside()
		expired := keep.expired(nowMs)
		o.Expired = b.newest.Load().expiredShare(ctx, expired, nowMs)
		jobs := planner.Plan(b.newest.Load().current.State, nowMs, o)
		for i, job := range jobs {
			b.queued.Store(int64(len(jobs) - i))
			if err := ctx.Err(); err != nil {
				return err
			}
			r, err := compact.Result{}, b.hasRoom(job)
			if err == nil {
				r, err = b.runJob(ctx, job, o, expired, nowMs, pause)
			}
			done(job, r, err)
			if err != nil {
				errs = append(errs, err)
				continue
			}
			progress = true
		}
		if !progress {
			return errors.Join(errs...)
		}
	}
	return nil
}

func (b *blocks) runJob(ctx context.Context, job planner.Job, o planner.Options, expired []mask.Rule, nowMs int64, pause func(context.Context) error) (compact.Result, error) {
	d := compact.Deps{Bucket: b.bucket, Tenant: b.id, Manifest: b.manifest, NewID: ulid.Make, Expired: expired, NowMs: nowMs, Pause: pause}
	r, err := compact.Run(ctx, d, blockOptions(o, true), job)
	if err != nil {
		if errors.Is(err, manifest.ErrUncertain) {
			err = errors.Join(err, b.resume(ctx))
		}
		return r, err
	}
	// A deletion may have committed a version since the job's.
	return r, b.resume(context.WithoutCancel(ctx))
}

// blockOptions are those of a new block.
func blockOptions(o planner.Options, compacted bool) block.Options {
	return block.Options{RowMs: o.BlockRangeMs, Compress: compacted, CompressMost: o.Final}
}

// commit puts an edit as the next version and adopts it. committed is false
// when the edit is in no version and never will be: only then may files that it
// names be deleted. What is committed is adopted whether or not ctx has ended
// meanwhile.
func (b *blocks) commit(ctx context.Context, edit format.Edit) (committed bool, err error) {
	b.edits.Lock()
	defer b.edits.Unlock()
	c, err := b.manifest.Commit(ctx, func(manifest.Current) (format.Edit, error) { return edit, nil })
	if err != nil {
		return errors.Is(err, manifest.ErrUncertain), err
	}
	return true, b.adoptLocked(context.WithoutCancel(ctx), c)
}

// listTenants returns the tenants that have a manifest in the bucket.
func listTenants(ctx context.Context, bucket blob.Bucket) ([]tenant.ID, error) {
	const prefix = "manifest/"
	errNext := errors.New("the first object of a tenant is enough")
	var out []tenant.ID
	after := ""
	for {
		var id tenant.ID
		err := bucket.List(ctx, prefix, after, func(i blob.Info) error {
			name, _, ok := strings.Cut(strings.TrimPrefix(i.Name, prefix), "/")
			if !ok || tenant.ID(name).Validate() != nil {
				return fmt.Errorf("%s is no name of a manifest version: move the object away", i.Name)
			}
			id = tenant.ID(name)
			return errNext
		})
		if err == nil {
			return out, nil
		}
		if !errors.Is(err, errNext) {
			return nil, fmt.Errorf("list the tenants: %w", err)
		}
		out = append(out, id)
		after = prefix + string(id) + "/\xff" // after every version of this tenant
	}
}

// Package compact executes the jobs of tsdb/planner: it merges blocks into
// one, series by series, and swaps them in the manifest by one version.
//
// It promises that the result has exactly the samples of its sources, less
// what tombstones hide: of different values for one timestamp the one that was
// accepted first (N1). A crash, an error or a cancelled context leaves the
// manifest as it was, and at most an orphan block.
//
// Callers delete the sources' files when no view can name them, and run jobs
// that share blocks one after the other.
//
// Invariants:
//
//   - I1: a damaged source fails the job: compaction never makes a loss final.
//   - I2: memory is one writer (block.Writer) and, for each source, a small
//     cache: it does not grow with the samples.
package compact

import (
	"context"
	"errors"
	"fmt"

	"github.com/oklog/ulid/v2"

	"github.com/nilometer/nilometer/blob"
	format "github.com/nilometer/nilometer/format/manifest"
	"github.com/nilometer/nilometer/model/tenant"
	"github.com/nilometer/nilometer/tsdb/block"
	"github.com/nilometer/nilometer/tsdb/manifest"
	"github.com/nilometer/nilometer/tsdb/mask"
	"github.com/nilometer/nilometer/tsdb/part"
	"github.com/nilometer/nilometer/tsdb/planner"
)

// Deps are what a job works with.
type Deps struct {
	Bucket   blob.Bucket
	Tenant   tenant.ID
	Manifest *manifest.Store
	// NewID returns the id of a new block, never the same twice.
	NewID func() ulid.ULID
	// Expired are what rules of the retention hide at NowMs, of blocks that are
	// not exempt: the result is without it.
	Expired []mask.Rule
	NowMs   int64
	// Pause, unless nil, is called every now and then while a job runs: it may
	// wait.
	Pause func(context.Context) error
}

// Result says what a job did.
type Result struct {
	// Block is the new block; without an id when nothing was left to write.
	Block format.Block
	// Removed are the blocks that are no longer live.
	Removed []ulid.ULID
	// Current is the manifest with the job's version.
	Current manifest.Current
	Stats   Stats
}

// Stats counts what a merge saw.
type Stats struct {
	Series    uint64 // of the result
	Conflicts uint64 // timestamps with different values
	Copied    uint64 // chunks taken over as they were
	Encoded   uint64 // chunks made
	Deleted   uint64 // samples that tombstones hid
}

// sourceCacheBytes bounds what a source keeps decoded while it is merged: it
// is read once, in order.
const sourceCacheBytes = 8 << 20

// Run executes one job and commits it. The options are those of the new
// block.
func Run(ctx context.Context, d Deps, o block.Options, job planner.Job) (Result, error) {
	if job.Kind == planner.Drop {
		return commit(ctx, d, job, nil, Stats{})
	}
	sources := make([]part.Part, 0, len(job.Blocks))
	for _, b := range job.Blocks {
		src, err := block.OpenAs(ctx, d.Bucket, d.Tenant, b, block.NewCache(sourceCacheBytes))
		if err != nil {
			return Result{}, fmt.Errorf("compact (%s): %w", job.Kind, err)
		}
		defer func() { _ = src.Release() }() // it was only read
		sources = append(sources, src)
	}
	w, err := block.NewWriter(d.Bucket, d.Tenant, d.NewID(), o)
	if err != nil {
		return Result{}, fmt.Errorf("compact (%s): %w", job.Kind, err)
	}
	stats, meta, err := write(ctx, d, w, job, sources)
	if errors.Is(err, block.ErrEmpty) {
		return commit(ctx, d, job, nil, stats)
	}
	if err != nil {
		w.Abort(context.WithoutCancel(ctx))
		return Result{}, fmt.Errorf("compact (%s): %w", job.Kind, err)
	}
	r, err := commit(ctx, d, job, &meta, stats)
	if err != nil && !errors.Is(err, manifest.ErrUncertain) {
		w.Abort(context.WithoutCancel(ctx))
	}
	return r, err
}

func write(ctx context.Context, d Deps, w *block.Writer, job planner.Job, sources []part.Part) (Stats, format.Block, error) {
	tombstones, err := compile(job.Tombstones)
	if err != nil {
		return Stats{}, format.Block{}, err
	}
	in := make([]Source, len(sources))
	for i, src := range sources {
		in[i] = Source{Part: src, tombstones: tombstones.of(job.Blocks[i])}
		if !job.Blocks[i].Exempt {
			for _, r := range d.Expired {
				in[i].tombstones = append(in[i].tombstones, tombstone{rule: r})
			}
		}
	}
	stats, err := Merge(ctx, w, in, d.Pause)
	if err != nil {
		return stats, format.Block{}, err
	}
	m := metaOf(job)
	if len(d.Expired) > 0 {
		m.ExpiredAt = d.NowMs
	}
	meta, err := w.Finish(ctx, m)
	stats.Series = meta.Stats.Series
	return stats, meta, err
}

// metaOf is what the result inherits from its sources.
func metaOf(job planner.Job) format.Block {
	m := format.Block{
		ResolutionMs: job.Blocks[0].ResolutionMs,
		LowestSeq:    job.Blocks[0].LowestSeq,
		ExpiredAt:    job.Blocks[0].ExpiredAt,
	}
	for _, b := range job.Blocks {
		m.Level = max(m.Level, b.Level)
		m.Sources = append(m.Sources, b.Sources...)
		m.LowestSeq, m.HighestSeq = min(m.LowestSeq, b.LowestSeq), max(m.HighestSeq, b.HighestSeq)
		m.TombstonesApplied = max(m.TombstonesApplied, b.TombstonesApplied)
		m.Exempt = m.Exempt || b.Exempt
		m.ExpiredAt = min(m.ExpiredAt, b.ExpiredAt)
	}
	if job.Kind != planner.Rewrite {
		m.Level++
	}
	// What was pending for one source is among the job's tombstones, and was
	// applied to it alone: what another source accepted later is not hidden.
	m.TombstonesApplied = max(m.TombstonesApplied, job.TombstoneSeq)
	return m
}

// commit swaps the sources for the result in one version.
func commit(ctx context.Context, d Deps, job planner.Job, result *format.Block, stats Stats) (Result, error) {
	edit := format.Edit{Removed: job.IDs()}
	if result != nil {
		edit.Added = []format.Block{*result}
	}
	current, err := d.Manifest.Commit(ctx, func(manifest.Current) (format.Edit, error) { return edit, nil })
	if err != nil {
		return Result{}, fmt.Errorf("compact (%s): commit: %w", job.Kind, err)
	}
	r := Result{Removed: edit.Removed, Current: current, Stats: stats}
	if result != nil {
		r.Block = *result
	}
	return r, nil
}

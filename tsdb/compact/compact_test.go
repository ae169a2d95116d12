package compact_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/oklog/ulid/v2"
	"github.com/prometheus/prometheus/model/labels"

	"github.com/nilometer/nilometer/blob"
	"github.com/nilometer/nilometer/blob/mem"
	format "github.com/nilometer/nilometer/format/manifest"
	"github.com/nilometer/nilometer/model/column"
	"github.com/nilometer/nilometer/model/tenant"
	"github.com/nilometer/nilometer/tsdb/block"
	"github.com/nilometer/nilometer/tsdb/compact"
	"github.com/nilometer/nilometer/tsdb/manifest"
	"github.com/nilometer/nilometer/tsdb/part"
	"github.com/nilometer/nilometer/tsdb/part/parttest"
	"github.com/nilometer/nilometer/tsdb/planner"
)

const hour = int64(3_600_000)

// fixture is a bucket with a manifest, and the model: what was accepted first
// for each series and timestamp.
type fixture struct {
	t      *testing.T
	bucket blob.Bucket
	deps   compact.Deps
	next   uint16
	model  map[string]map[int64]column.Sample
	labels map[string]labels.Labels
}

func newFixture(t *testing.T, bucket blob.Bucket) *fixture {
	m, err := manifest.Open(t.Context(), bucket, tenant.Default, 0)
	if err != nil {
		t.Fatal(err)
	}
	f := &fixture{t: t, bucket: bucket, model: map[string]map[int64]column.Sample{}, labels: map[string]labels.Labels{}}
	f.deps = compact.Deps{Bucket: bucket, Tenant: tenant.Default, Manifest: m, NewID: f.id}
	return f
}

func (f *fixture) id() ulid.ULID {
	f.next++
	return ulid.ULID{14: byte(f.next >> 8), 15: byte(f.next)}
}

// add writes a part as a live block and notes its samples in the model.
func (f *fixture) add(src part.Part) format.Block {
	f.t.Helper()
	id := f.id()
	seq := uint64(f.next) * 100
	meta, err := block.Write(f.t.Context(), f.bucket, tenant.Default, id, block.Options{}, format.Block{LowestSeq: seq, HighestSeq: seq + 99}, src)
	if err != nil {
		f.t.Fatal(err)
	}
	_, err = f.deps.Manifest.Commit(f.t.Context(), func(manifest.Current) (format.Edit, error) {
		return format.Edit{Added: []format.Block{meta}}, nil
	})
	if err != nil {
		f.t.Fatal(err)
	}
	series, err := parttest.Read(f.t.Context(), src)
	if err != nil {
		f.t.Fatal(err)
	}
	for _, s := range series {
		key := s.Labels.String()
		f.labels[key] = s.Labels
		if f.model[key] == nil {
			f.model[key] = map[int64]column.Sample{}
		}
		for _, smp := range s.Samples {
			if _, ok := f.model[key][smp.T]; !ok {
				f.model[key][smp.T] = smp
			}
		}
	}
	return meta
}

// want is the model as series.
func (f *fixture) want() []parttest.Series {
	var out []parttest.Series
	for key, samples := range f.model {
		s := parttest.Series{Labels: f.labels[key]}
		for _, smp := range samples {
			s.Samples = append(s.Samples, smp)
		}
		slices.SortFunc(s.Samples, func(a, b column.Sample) int { return int(a.T - b.T) })
		if len(s.Samples) > 0 {
			out = append(out, s)
		}
	}
	slices.SortFunc(out, func(a, b parttest.Series) int { return labels.Compare(a.Labels, b.Labels) })
	return out
}

// run executes one job over all live blocks.
func (f *fixture) run(kind planner.Kind, o block.Options, tombstones ...format.Tombstone) compact.Result {
	f.t.Helper()
	blocks := slices.Clone(f.deps.Manifest.Current().State.Blocks)
	slices.SortFunc(blocks, planner.CompareAcceptance)
	job := planner.Job{Kind: kind, Blocks: blocks, Tombstones: tombstones}
	for _, ts := range tombstones {
		job.TombstoneSeq = max(job.TombstoneSeq, ts.Seq)
	}
	r, err := compact.Run(f.t.Context(), f.deps, o, job)
	if err != nil {
		f.t.Fatal(err)
	}
	return r
}

// check compares the only live block with the model.
func (f *fixture) check() *block.Block {
	f.t.Helper()
	live := f.deps.Manifest.Current().State.Blocks
	if len(live) != 1 {
		f.t.Fatalf("%d live blocks", len(live))
	}
	b, err := block.Open(f.t.Context(), f.bucket, tenant.Default, live[0].ID, nil)
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() { _ = b.Release() })
	got, err := parttest.Read(f.t.Context(), b)
	if err != nil {
		f.t.Fatal(err)
	}
	if diff := parttest.Diff(got, f.want()); diff != "" {
		f.t.Fatal(diff)
	}
	return b
}

func TestMergeIsTheUnion(t *testing.T) {
	for seed := range uint64(16) {
		t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) {
			f := newFixture(t, mem.New())
			rng := rand.New(rand.NewPCG(seed, 7))
			interval := 1000 * (1 + rng.Int64N(60))
			span := int64(1+rng.IntN(700)) * interval
			overlapping := seed%2 == 1
			for i := range int64(2 + rng.IntN(4)) {
				start := 1000 * hour
				if overlapping {
					start += rng.Int64N(3 * span)
				} else {
					start += i * (span + interval)
				}
				f.add(parttest.Random(rng, "source", parttest.RandomOptions{
					Targets: 1 + rng.IntN(4), Metrics: 1 + rng.IntN(12), Start: start, Interval: interval,
					Positions: max(1, int(span/interval)), Gaps: seed%3 != 0,
				}))
			}
			f.run(planner.Level, block.Options{Compress: true})
			f.check()
		})
	}
}

// TestFullTilesAreCopied: blocks of full tiles are merged without decoding a
// chunk, and the columns of one target become one.
func TestFullTilesAreCopied(t *testing.T) {
	f := newFixture(t, mem.New())
	for i := range int64(6) {
		p := parttest.New("source")
		for target := range 3 {
			id := p.Regular(2*hour*i+int64(target)*100, 15_000, column.TilePositions)
			for metric := range 5 {
				lset := labels.FromStrings("__name__", fmt.Sprint("m", metric), "instance", fmt.Sprint("i", target), "job", "j")
				samples := make([]column.Sample, column.TilePositions)
				for k := range samples {
					samples[k] = column.Sample{T: 2*hour*i + int64(target)*100 + int64(k)*15_000, V: float64(metric * k)}
				}
				p.Samples(lset, id, samples...)
			}
		}
		f.add(p)
	}
	r := f.run(planner.Level, block.Options{})
	if r.Stats.Copied != 6*15 || r.Stats.Encoded != 0 {
		t.Errorf("%+v: want 90 chunks copied", r.Stats)
	}
	if r.Block.Stats.Columns != 3 {
		t.Errorf("%d columns, want 3", r.Block.Stats.Columns)
	}
	if r.Block.Level != 2 || len(r.Block.Sources) != 6 {
		t.Errorf("level %d, %d sources: want 2 and 6", r.Block.Level, len(r.Block.Sources))
	}
	f.check()
}

// TestSmallTilesAreFilled: two hours at 60 s are a quarter of a tile.
func TestSmallTilesAreFilled(t *testing.T) {
	f := newFixture(t, mem.New())
	lset := labels.FromStrings("__name__", "up", "instance", "a", "job", "j")
	for i := range int64(8) {
		p := parttest.New("source")
		id := p.Regular(2*hour*i, 60_000, 120)
		var samples []column.Sample
		for k := range int64(120) {
			samples = append(samples, column.Sample{T: 2*hour*i + k*60_000, V: float64(i + k%7)})
		}
		p.Samples(lset, id, samples...)
		f.add(p)
	}
	r := f.run(planner.Level, block.Options{})
	if r.Block.Stats.Chunks != 2 || r.Block.Stats.Columns != 1 {
		t.Errorf("%+v: want 2 chunks on 1 column", r.Block.Stats)
	}
	f.check()
}

// TestFirstAcceptedWins holds N1 where blocks overlap.
func TestFirstAcceptedWins(t *testing.T) {
	f := newFixture(t, mem.New())
	lset := labels.FromStrings("__name__", "up")
	for i := range 3 {
		p := parttest.New("source")
		id := p.Regular(int64(i)*1000, 1000, 10)
		var samples []column.Sample
		for k := range 10 {
			samples = append(samples, column.Sample{T: int64(i+k) * 1000, V: float64(i)})
		}
		p.Samples(lset, id, samples...)
		f.add(p)
	}
	r := f.run(planner.Overlap, block.Options{})
	if r.Stats.Conflicts != 18 {
		t.Errorf("%d conflicts, want 18", r.Stats.Conflicts)
	}
	f.check()
}

func TestTombstonesAreApplied(t *testing.T) {
	f := newFixture(t, mem.New())
	rng := rand.New(rand.NewPCG(1, 2))
	f.add(parttest.Random(rng, "source", parttest.RandomOptions{Targets: 2, Metrics: 4, Start: 0, Interval: 1000, Positions: 1200, Gaps: true}))
	ts := format.Tombstone{Seq: 1000, MinTime: 100_000, MaxTime: 700_000, Matchers: []format.Matcher{{Name: "__name__", Op: "=~", Value: "metric_[01]"}}}
	deleted := uint64(0)
	for key, samples := range f.model {
		name := f.labels[key].Get("__name__")
		for at := range samples {
			if (name == "metric_0" || name == "metric_1") && at >= ts.MinTime && at <= ts.MaxTime {
				delete(samples, at)
				deleted++
			}
		}
	}
	r := f.run(planner.Rewrite, block.Options{}, ts)
	if r.Stats.Deleted != deleted || r.Block.TombstonesApplied != 1000 || r.Block.Level != 1 {
		t.Errorf("%+v, %+v: want %d deleted", r.Stats, r.Block, deleted)
	}
	f.check()

	everything := format.Tombstone{Seq: 2000, MinTime: 0, MaxTime: hour, Matchers: []format.Matcher{{Name: "job", Op: "=", Value: "node"}}}
	if r := f.run(planner.Rewrite, block.Options{}, everything); r.Block.ID != (ulid.ULID{}) || len(r.Current.State.Blocks) != 0 {
		t.Errorf("%+v: want no block", r)
	}
}

// TestTombstonesSpareLaterData: a deletion hides what one source accepted
// before it, and nothing of a source that was accepted after it.
func TestTombstonesSpareLaterData(t *testing.T) {
	f := newFixture(t, mem.New())
	lset := labels.FromStrings("__name__", "up")
	part := func(from int64) *parttest.Part {
		p := parttest.New("source")
		id := p.Regular(from, 1000, 5)
		var samples []column.Sample
		for k := range int64(5) {
			samples = append(samples, column.Sample{T: from + k*1000, V: float64(from)})
		}
		p.Samples(lset, id, samples...)
		return p
	}
	f.add(part(0)) // accepted before 200
	clear(f.model[lset.String()])
	f.add(part(500)) // accepted from 200 on
	ts := format.Tombstone{Seq: 200, MinTime: 0, MaxTime: hour, Matchers: []format.Matcher{{Name: "__name__", Op: "=", Value: "up"}}}
	_, err := f.deps.Manifest.Commit(t.Context(), func(manifest.Current) (format.Edit, error) {
		return format.Edit{Tombstones: []format.Tombstone{ts}}, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	f.runAll(hour)
	f.check()
}

func TestDrop(t *testing.T) {
	f := newFixture(t, mem.New())
	f.add(parttest.Random(rand.New(rand.NewPCG(1, 2)), "source", parttest.RandomOptions{Targets: 1, Metrics: 1, Interval: 1000, Positions: 10}))
	if r := f.run(planner.Drop, block.Options{}); len(r.Removed) != 1 || len(r.Current.State.Blocks) != 0 {
		t.Errorf("%+v: want no block", r)
	}
}

func TestCancelledJobLeavesTheManifest(t *testing.T) {
	f := newFixture(t, mem.New())
	f.add(parttest.Random(rand.New(rand.NewPCG(1, 2)), "source", parttest.RandomOptions{Targets: 1, Metrics: 1, Interval: 1000, Positions: 10}))
	before := f.deps.Manifest.Current()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := compact.Run(ctx, f.deps, block.Options{}, planner.Job{Kind: planner.Rewrite, Blocks: before.State.Blocks})
	if !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v", err)
	}
	if f.deps.Manifest.Current().Number != before.Number {
		t.Error("the manifest has a new version")
	}
	f.check()
}

// TestDamagedSourceFailsTheJob, and nothing changes.
func TestDamagedSourceFailsTheJob(t *testing.T) {
	f := newFixture(t, mem.New())
	b := f.add(parttest.Random(rand.New(rand.NewPCG(1, 2)), "source", parttest.RandomOptions{Targets: 2, Metrics: 9, Interval: 1000, Positions: 400}))
	name := block.Prefix(tenant.Default, b.ID) + "chunks/000001"
	data, err := f.bucket.Get(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	data = bytes.Clone(data)
	data[len(data)/2] ^= 1
	if err := f.bucket.Delete(t.Context(), name); err != nil {
		t.Fatal(err)
	}
	if err := f.bucket.PutIfAbsent(t.Context(), name, bytes.NewReader(data), int64(len(data))); err != nil {
		t.Fatal(err)
	}
	before := f.deps.Manifest.Current()
	_, err = compact.Run(t.Context(), f.deps, block.Options{}, planner.Job{Kind: planner.Rewrite, Blocks: before.State.Blocks})
	var damage *part.DamageError
	if !errors.As(err, &damage) || damage.File != name {
		t.Errorf("got %v", err)
	}
	orphans, err := manifest.Orphans(t.Context(), f.bucket, tenant.Default, f.deps.Manifest.Current().State, 10)
	if err != nil || len(orphans) != 0 || f.deps.Manifest.Current().Number != before.Number {
		t.Errorf("orphans %v, %v", orphans, err)
	}
}

// TestConflictingJobs: of two jobs over one block the second is refused, and
// leaves no files.
func TestConflictingJobs(t *testing.T) {
	f := newFixture(t, mem.New())
	b := f.add(parttest.Random(rand.New(rand.NewPCG(1, 2)), "source", parttest.RandomOptions{Targets: 1, Metrics: 1, Interval: 1000, Positions: 10}))
	job := planner.Job{Kind: planner.Rewrite, Blocks: []format.Block{b}}
	f.run(planner.Rewrite, block.Options{})
	_, err := compact.Run(t.Context(), f.deps, block.Options{}, job)
	var conflict *format.ConflictError
	if !errors.As(err, &conflict) {
		t.Fatalf("got %v", err)
	}
	orphans, err := manifest.Orphans(t.Context(), f.bucket, tenant.Default, f.deps.Manifest.Current().State, 10)
	if err != nil || len(orphans) != 1 || orphans[0] != b.ID {
		t.Errorf("orphans %v, %v: want the source alone", orphans, err)
	}
}

// runAll runs what the planner has until there is nothing, deletes what is no
// longer live, and returns the number of jobs.
func (f *fixture) runAll(now int64) (jobs int) {
	f.t.Helper()
	for {
		plan := planner.Plan(f.deps.Manifest.Current().State, now, planner.Options{})
		if len(plan) == 0 {
			break
		}
		if _, err := compact.Run(f.t.Context(), f.deps, block.Options{}, plan[0]); err != nil {
			f.t.Fatal(err)
		}
		jobs++
	}
	if _, err := compact.Clean(f.t.Context(), f.bucket, tenant.Default, f.deps.Manifest.Current()); err != nil {
		f.t.Fatal(err)
	}
	return jobs
}

func TestAllJobsThatAreDue(t *testing.T) {
	f := newFixture(t, mem.New())
	rng := rand.New(rand.NewPCG(3, 2))
	for i := range int64(30) {
		f.add(parttest.Random(rng, "source", parttest.RandomOptions{
			Targets: 2, Metrics: 5, Start: (500 + 2*i) * hour, Interval: 60_000, Positions: 119,
		}))
	}
	jobs := f.runAll(1000 * hour)
	live := f.deps.Manifest.Current().State.Blocks
	if len(live) > 4 || jobs < 10 {
		t.Errorf("%d blocks after %d jobs", len(live), jobs)
	}
	orphans, err := manifest.Orphans(t.Context(), f.bucket, tenant.Default, f.deps.Manifest.Current().State, 10)
	if err != nil || len(orphans) != 0 {
		t.Errorf("orphans %v, %v", orphans, err)
	}
	f.run(planner.Level, block.Options{})
	f.check()
}

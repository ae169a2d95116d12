package tsdb_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/nilometer/nilometer/model/column"
	"github.com/nilometer/nilometer/model/tenant"
	"github.com/nilometer/nilometer/storage"
	"github.com/nilometer/nilometer/storage/storagetest"
	"github.com/nilometer/nilometer/tsdb"
	"github.com/nilometer/nilometer/vfs"
	"github.com/nilometer/nilometer/vfs/mem"
)

// lateWriter writes the same to a database and to the model.
type lateWriter struct {
	t      *testing.T
	db     *running
	model  *storagetest.Memory
	groups map[string][]storage.Group // of the database, of the model
}

func newLateWriter(t *testing.T, fs vfs.FS, o tsdb.Options) *lateWriter {
	w := &lateWriter{t: t, db: mustStart(t, fs, o, tsdb.Deps{}), model: storagetest.NewMemory(storagetest.MemoryOptions{LateWindow: 1000 * time.Hour})}
	w.attach()
	return w
}

func (w *lateWriter) attach() {
	w.groups = map[string][]storage.Group{}
	for name, kind := range map[string]storage.GroupKind{"scrape": storage.Closed, "push": storage.Open} {
		w.groups[name] = []storage.Group{open(w.db, kind, name), open(w.model, kind, name)}
	}
}

// write returns what became of a batch in the database; what it refused as
// overloaded the model does not get.
func (w *lateWriter) write(group string, at int64, names []string, values []column.Sample) storage.Result {
	w.t.Helper()
	var first storage.Result
	var slots []storage.Resolution // of the database
	for i, g := range w.groups[group] {
		lsets := make([]labels.Labels, len(names))
		for k, name := range names {
			lsets[k] = storagetest.Named(name)
		}
		out := make([]storage.Resolution, len(names))
		version, err := g.Resolve(w.t.Context(), lsets, out)
		if err != nil {
			w.t.Fatal(err)
		}
		if i == 0 {
			slots = out
		}
		b := batchOf(at, version, out, values, func(k int) bool { return i == 0 || !refusedNow(first, slots[k].Slot) })
		res, err := g.Append(w.t.Context(), b, storage.Synced)
		if err != nil {
			w.t.Fatal(err)
		}
		if i == 0 {
			first = res
		}
	}
	return first
}

// batchOf is the batch of the values that take tells of.
func batchOf(at int64, version uint64, slots []storage.Resolution, values []column.Sample, take func(k int) bool) *storage.Batch {
	b := &storage.Batch{Time: at, Version: version}
	for k, x := range values {
		switch slot := slots[k].Slot; {
		case !take(k):
		case x.H.IsZero():
			b.Slots, b.Values, b.Starts = append(b.Slots, slot), append(b.Values, x.V), append(b.Starts, x.Start)
		default:
			b.Histograms = append(b.Histograms, storage.HistogramSample{Slot: slot, Histogram: x.H, Start: x.Start})
		}
	}
	return b
}

func refusedNow(r storage.Result, slot storage.Slot) bool {
	return slices.ContainsFunc(r.Rejected, func(x storage.Rejection) bool { return x.Slot == slot && x.Reason == storage.ReasonOverloaded })
}

// plain are floats without start timestamps.
func plain(values ...float64) (out []column.Sample) {
	for _, v := range values {
		out = append(out, column.Sample{V: v})
	}
	return out
}

// compare fails unless the database has what the model has.
func (w *lateWriter) compare(when string) {
	w.t.Helper()
	if d := storagetest.Diff(mustRead(w.t, w.model), mustRead(w.t, w.db)); d != "" {
		w.t.Fatalf("%s: %s", when, d)
	}
}

func (w *lateWriter) restart() {
	w.t.Helper()
	if err := w.db.stop(); err != nil {
		w.t.Fatal(err)
	}
	w.db = mustStart(w.t, w.db.fs, w.db.opts, tsdb.Deps{})
	w.attach()
}

func backfill(blockRange time.Duration) tsdb.Options {
	o := quiet(blockRange)
	o.Backfill, o.LateBytes = true, 16<<10
	return o
}

// TestLateInAnyOrder: whatever cuts, spills, compactions and restarts come
// between, the samples are the same, bit for bit.
func TestLateInAnyOrder(t *testing.T) {
	seeds := uint64(6)
	if testing.Short() {
		seeds = 2
	}
	for seed := range seeds {
		rng := rand.New(rand.NewPCG(seed, 9))
		w := newLateWriter(t, mem.New(), backfill(10*time.Minute))
		now := int64(0)
		for step := range 120 {
			switch k := rng.IntN(12); {
			case k < 5: // scrapes, which now and then miss a series
				for range 1 + rng.IntN(20) {
					now += 15
					names, values := drawn(rng, 12, 0.9)
					w.write("scrape", at(now), names, values)
				}
			case k < 9: // late ones: on the scrapes' times, beside them, before everything
				for range 1 + rng.IntN(10) {
					late := 15 * (rng.Int64N(now/15+1) - rng.Int64N(2)*rng.Int64N(200))
					if rng.IntN(4) == 0 {
						late += rng.Int64N(15)
					}
					names, values := drawn(rng, 20, 0.4)
					w.write("push", at(late), names, values)
				}
			case k < 10:
				if err := w.db.Cut(context.Background()); err != nil {
					t.Fatal(err)
				}
			case k < 11:
				if err := w.db.Compact(context.Background()); err != nil {
					t.Fatal(err)
				}
			default:
				w.restart()
			}
			if step%10 == 9 {
				w.compare(fmt.Sprintf("seed %d, step %d", seed, step))
			}
		}
		w.restart()
		w.compare(fmt.Sprintf("seed %d, after the last restart", seed))
	}
}

// drawn are values of some of the series: of floats, and of histograms of three
// types, some with start timestamps.
func drawn(rng *rand.Rand, series int, p float64) (names []string, values []column.Sample) {
	for i := range series {
		if rng.Float64() >= p {
			continue
		}
		x := column.Sample{V: float64(rng.IntN(1000)) / 4}
		if i%3 == 0 && rng.IntN(4) > 0 {
			kinds := []func(int64) storage.Histogram{storagetest.IntHistogram, storagetest.FloatHistogram, storagetest.CustomHistogram}
			x = column.Sample{H: kinds[rng.IntN(len(kinds))](rng.Int64N(50))}
		}
		if i%4 == 0 {
			x.Start = at(-1 - rng.Int64N(3))
		}
		names, values = append(names, fmt.Sprint("s", i)), append(values, x)
	}
	return names, values
}

// TestLateBlocksAreBounded: over the bound late samples are refused until
// compaction has merged what overlaps.
func TestLateBlocksAreBounded(t *testing.T) {
	o := backfill(10 * time.Minute)
	o.LateBlocksMax = 2
	w := newLateWriter(t, mem.New(), o)
	for i := range int64(200) {
		w.write("scrape", at(15*i), []string{"s0"}, plain(float64(i)))
	}
	if err := w.db.Cut(t.Context()); err != nil {
		t.Fatal(err)
	}
	refused := 0
	for round := 0; refused == 0; round++ {
		if round > 100 {
			t.Fatal("late samples are never refused")
		}
		for i := range int64(4) {
			names, values := make([]string, 50), make([]column.Sample, 50)
			for k := range names {
				names[k] = fmt.Sprint("s", k)
			}
			refused += len(w.write("push", at(600*i+int64(round)), names, values).Rejected)
		}
		if err := w.db.Cut(t.Context()); err != nil { // spills
			t.Fatal(err)
		}
	}
	w.compare("when late samples are refused")
	if err := w.db.Compact(t.Context()); err != nil {
		t.Fatal(err)
	}
	for i := range int64(4) {
		if res := w.write("push", at(600*i+599), []string{"s1"}, plain(1)); len(res.Rejected) > 0 {
			t.Errorf("after the compaction: %+v", res)
		}
	}
	w.compare("after the compaction")
}

// TestLateWindows: a database that says so takes late scrapes, or no late
// pushes.
func TestLateWindows(t *testing.T) {
	for name, c := range map[string]struct {
		scrapes, pushes time.Duration
		want            [2]bool // a scrape, a push, ten minutes late
	}{
		"defaults":       {0, 0, [2]bool{false, true}},
		"both":           {time.Hour, time.Hour, [2]bool{true, true}},
		"shorter":        {time.Minute, time.Minute, [2]bool{false, false}},
		"none":           {0, -1, [2]bool{false, false}},
		"scrapes, alone": {time.Hour, -1, [2]bool{true, false}},
	} {
		t.Run(name, func(t *testing.T) {
			o := quiet(2 * time.Hour)
			o.LateScrapes, o.LatePushes = c.scrapes, c.pushes
			db := mustStart(t, mem.New(), o, tsdb.Deps{})
			for i, kind := range []storage.GroupKind{storage.Closed, storage.Open} {
				g := open(db, kind, fmt.Sprint(kind))
				names := []string{fmt.Sprint("s", i)}
				for _, seconds := range []int64{1200, 600} {
					_, err := appendBatch(g, names, storage.Batch{Time: at(seconds)}, map[string]float64{names[0]: 1}, storage.Synced)
					if taken := err == nil; seconds == 600 && taken != c.want[i] {
						t.Errorf("kind %d, late: %v", kind, err)
					}
				}
			}
		})
	}
}

// TestLateWindowAfterStart: the window ends at the tenant's newest sample also
// where the log has nothing of the tenant any more, because all was sealed.
func TestLateWindowAfterStart(t *testing.T) {
	o := quiet(2 * time.Hour)
	o.LatePushes, o.SegmentBytes = 10*time.Minute, 1<<10
	db := mustStart(t, mem.New(), o, tsdb.Deps{Clock: func() time.Time { return time.UnixMilli(at(1300)) }})
	names := []string{"s"}
	g := open(db, storage.Open, "push")
	for i := range int64(100) {
		if _, err := appendBatch(g, names, storage.Batch{Time: at(12 * i)}, map[string]float64{"s": float64(i * i)}, storage.Synced); err != nil {
			t.Fatal(err)
		}
	}
	other, err := db.OpenGroup(t.Context(), "other", storagetest.Spec(storage.Closed, "scrape"))
	if err != nil {
		t.Fatal(err)
	}
	for i := range int64(1000) { // so many segments that all before them is sealed
		if _, err := appendBatch(other, names, storage.Batch{Time: at(i)}, map[string]float64{"s": float64(i%7) / 3}, storage.Synced); err != nil {
			t.Fatal(err)
		}
		if i%100 == 99 {
			if err := db.Cut(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	}
	g = open(reopened(t, db), storage.Open, "push")
	for seconds, want := range map[int64]bool{300: false, 900: true} {
		_, err := appendBatch(g, names, storage.Batch{Time: at(seconds) + 1}, map[string]float64{"s": 1}, storage.Synced)
		if taken := err == nil; taken != want {
			t.Errorf("a sample at %d s: %v", seconds, err)
		}
	}
}

// TestLateHistogramsDeletedAndCrashed: a deletion hides late histograms like
// floats, and what was synced is there after a crash.
func TestLateHistogramsDeletedAndCrashed(t *testing.T) {
	fs := mem.New()
	db := mustStart(t, fs, backfill(10*time.Minute), tsdb.Deps{})
	g := open(db, storage.Open, "push")
	want := []storagetest.Series{{Labels: storagetest.Named("h")}}
	put := func(db *running, g storage.Group, x column.Sample) {
		t.Helper()
		out := make([]storage.Resolution, 1)
		version, err := g.Resolve(t.Context(), []labels.Labels{storagetest.Named("h")}, out)
		if err != nil {
			t.Fatal(err)
		}
		res, err := g.Append(t.Context(), batchOf(x.T, version, out, []column.Sample{x}, func(int) bool { return true }), storage.Synced)
		if err != nil || res.Appended != 1 {
			t.Fatalf("%+v: %+v, %v", x, res, err)
		}
	}
	for i := range int64(40) {
		x := column.Sample{T: at(30 * (i*7%40 + 1)), H: storagetest.IntHistogram(i), Start: at(-5)}
		put(db, g, x)
		if x.T < at(300) || x.T > at(600) {
			want[0].Samples = append(want[0].Samples, x)
		}
	}
	slices.SortFunc(want[0].Samples, func(a, b column.Sample) int { return int(a.T - b.T) })
	if err := db.Delete(t.Context(), tenant.Default, at(300), at(600), nameIs("h")); err != nil {
		t.Fatal(err)
	}
	wantSeries(t, "deleted", db, want)
	crashed := mustStart(t, fs.Crash(1), db.opts, tsdb.Deps{})
	wantSeries(t, "after a crash", crashed, want)
	if err := crashed.Cut(t.Context()); err != nil {
		t.Fatal(err)
	}
	wantSeries(t, "after a cut", crashed, want)
	if err := crashed.CleanTombstones(t.Context()); err != nil {
		t.Fatal(err)
	}
	again := column.Sample{T: at(450), H: storagetest.CustomHistogram(3), Start: at(400)}
	put(crashed, open(crashed, storage.Open, "push"), again)
	i, _ := slices.BinarySearchFunc(want[0].Samples, again.T, func(x column.Sample, t int64) int { return int(x.T - t) })
	want[0].Samples = slices.Insert(want[0].Samples, i, again)
	wantSeries(t, "with a histogram in the gap", crashed, want)
	wantSeries(t, "at the end", reopened(t, crashed), want)
}

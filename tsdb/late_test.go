package tsdb_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"

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
func (w *lateWriter) write(group string, at int64, names []string, values []float64) storage.Result {
	w.t.Helper()
	var first storage.Result
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
		b := &storage.Batch{Time: at, Version: version}
		for k, r := range out {
			if i == 0 || !refusedNow(first, k) {
				b.Slots, b.Values = append(b.Slots, r.Slot), append(b.Values, values[k])
			}
		}
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

func refusedNow(r storage.Result, index int) bool {
	for _, x := range r.Rejected {
		if x.Index == index && x.Reason == storage.ReasonOverloaded {
			return true
		}
	}
	return false
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
	for seed := range uint64(6) {
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

// drawn are values of some of the series.
func drawn(rng *rand.Rand, series int, p float64) (names []string, values []float64) {
	for i := range series {
		if rng.Float64() < p {
			names, values = append(names, fmt.Sprint("s", i)), append(values, float64(rng.IntN(1000))/4)
		}
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
		w.write("scrape", at(15*i), []string{"s0"}, []float64{float64(i)})
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
			names, values := make([]string, 50), make([]float64, 50)
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
		if res := w.write("push", at(600*i+599), []string{"s1"}, []float64{1}); len(res.Rejected) > 0 {
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

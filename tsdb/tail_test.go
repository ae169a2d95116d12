package tsdb_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/nilometer/nilometer/model/column"
	"github.com/nilometer/nilometer/model/tenant"
	"github.com/nilometer/nilometer/storage"
	"github.com/nilometer/nilometer/storage/storagetest"
	"github.com/nilometer/nilometer/tsdb"
	"github.com/nilometer/nilometer/tsdb/wal"
	"github.com/nilometer/nilometer/vfs/mem"
)

// collected is what came out of a Tailer: by series and time.
type collected struct {
	mu     sync.Mutex // guards what follows
	all    map[string]map[int64]column.Sample
	lsets  map[string]labels.Labels
	again  int
	cursor storage.Cursor
	wrong  error
}

func newCollected() *collected {
	return &collected{all: map[string]map[int64]column.Sample{}, lsets: map[string]labels.Labels{}}
}

func (c *collected) add(b storage.TailBatch, at storage.Cursor) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cursor = at
	for i, lset := range b.Labels {
		key := lset.String()
		if c.all[key] == nil {
			c.all[key], c.lsets[key] = map[int64]column.Sample{}, lset.Copy()
		}
		x := b.Sample(i)
		was, known := c.all[key][b.Time]
		c.all[key][b.Time] = x
		if !known {
			continue
		}
		c.again++
		if math.Float64bits(was.V) != math.Float64bits(x.V) || !was.H.Equal(x.H) || was.Start != x.Start {
			c.wrong = fmt.Errorf("%s at %d: %v came after %v", key, b.Time, x, was)
		}
	}
}

func (c *collected) series() []storagetest.Series {
	c.mu.Lock()
	defer c.mu.Unlock()
	var out []storagetest.Series
	for key, samples := range c.all {
		s := storagetest.Series{Labels: c.lsets[key]}
		for _, t := range slices.Sorted(maps.Keys(samples)) {
			s.Samples = append(s.Samples, samples[t])
		}
		out = append(out, s)
	}
	slices.SortFunc(out, func(a, b storagetest.Series) int { return labels.Compare(a.Labels, b.Labels) })
	return out
}

// collect reads a Tailer until the returned function is called.
func (c *collected) collect(t *testing.T, tail storage.Tailer) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			b, at, err := tail.Next(ctx)
			if err != nil && ctx.Err() != nil {
				return
			}
			if err != nil {
				t.Errorf("tail: %v", err)
				return
			}
			c.add(b, at)
		}
	}()
	stop = sync.OnceFunc(func() {
		cancel()
		<-done
		if err := tail.Close(); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(stop)
	return stop
}

// expect waits until all that a database has came.
func (c *collected) expect(t *testing.T, db *running) {
	t.Helper()
	want, err := storagetest.ReadAll(t.Context(), db, tenant.Default)
	if err != nil {
		t.Fatal(err)
	}
	diff := ""
	for range 1000 {
		if diff = storagetest.Diff(want, c.series()); diff == "" {
			break
		}
		time.Sleep(5 * time.Millisecond)
	}
	if diff != "" {
		t.Fatalf("what came is not what is stored: %s", diff)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.wrong != nil {
		t.Fatal(c.wrong)
	}
}

// tailed writes random samples: closed groups that carry values on, two of which
// bring the same series, and an open one with histograms, start timestamps and
// late samples.
type tailed struct {
	t    *testing.T
	db   *running
	rng  *rand.Rand
	time int64
}

func (w *tailed) names(group int) []string {
	return map[int][]string{0: {"a", "b", "c", "shared"}, 1: {"shared", "d", "e"}, 2: {"f", "g", "h"}}[group]
}

func (w *tailed) step() {
	w.t.Helper()
	w.time += int64(1 + w.rng.IntN(9))
	group := w.rng.IntN(3)
	spec := storagetest.Spec(storage.Closed, fmt.Sprint("scrape", group))
	if group == 2 {
		spec = storagetest.Spec(storage.Open, "push")
	}
	g, err := w.db.OpenGroup(w.t.Context(), tenant.Default, spec)
	if err != nil {
		w.t.Fatal(err)
	}
	defer g.Close()
	for range 1 + w.rng.IntN(4) {
		w.time += 5
		b := storage.Batch{Time: at(w.time), BodyStale: group < 2 && w.rng.IntN(12) == 0}
		if group == 2 && w.rng.IntN(4) == 0 {
			b.Time -= 1000 * int64(w.rng.IntN(100))
		}
		w.append(g, group, b)
	}
}

func (w *tailed) append(g storage.Group, group int, b storage.Batch) {
	w.t.Helper()
	var lsets []labels.Labels
	for _, name := range w.names(group) {
		if w.rng.IntN(3) > 0 {
			lsets = append(lsets, storagetest.Named(name))
		}
	}
	out := make([]storage.Resolution, len(lsets))
	var err error
	if b.Version, err = g.Resolve(w.t.Context(), lsets, out); err != nil {
		w.t.Fatal(err)
	}
	for _, r := range out {
		v := float64(w.rng.IntN(5))
		switch w.rng.IntN(8) {
		case 0:
			v = column.StaleNaN()
		case 1:
			h := storage.HistogramSample{Slot: r.Slot, Histogram: storagetest.IntHistogram(w.rng.Int64N(9))}
			if group == 2 {
				h.Start = b.Time - 5000
			}
			b.Histograms = append(b.Histograms, h)
			continue
		}
		b.Slots, b.Values = append(b.Slots, r.Slot), append(b.Values, v)
	}
	if _, err := g.Append(w.t.Context(), &b, storage.Synced); err != nil {
		w.t.Fatal(err)
	}
}

func tailOptions(seed uint64) tsdb.Options {
	o := quiet([]time.Duration{time.Minute, 10 * time.Minute, 2 * time.Hour}[seed%3])
	o.SegmentBytes = []int64{1 << 10, 4 << 10, 0}[seed/3%3]
	o.LatePushes = 2 * time.Hour
	return o
}

// TestTail follows random histories with cuts, compactions, seals and restarts
// by a durable cursor: everything comes exactly once. What a Tailer of the zero
// cursor reads at the end is everything, too.
func TestTail(t *testing.T) {
	for seed := range uint64(9) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			rng := rand.New(rand.NewPCG(seed, 3))
			db := mustStart(t, mem.New(), tailOptions(seed), tsdb.Deps{})
			hold := mustHold(t, db, 1<<40)
			c := newCollected()
			stop := c.collect(t, mustTail(t, hold))
			w := &tailed{t: t, db: db, rng: rng}
			for range 60 {
				w.step()
				switch rng.IntN(12) {
				case 0:
					disturb(t, db, rng.IntN(2))
				case 1:
					if err := db.Seal(t.Context()); err != nil {
						t.Fatal(err)
					}
				case 2:
					stop()
					if err := hold.Save(c.cursor); err != nil {
						t.Fatal(err)
					}
					if rng.IntN(2) == 0 {
						if err := db.stop(); err != nil {
							t.Fatal(err)
						}
						db = mustStart(t, db.fs, db.opts, tsdb.Deps{})
						w.db = db
					}
					hold = mustHold(t, db, 1<<40)
					stop = c.collect(t, mustTail(t, hold))
				}
			}
			c.expect(t, db)
			stop()
			if c.again > 0 {
				t.Errorf("%d samples came again", c.again)
			}
			all := newCollected()
			tail, err := db.Tail(t.Context(), tenant.Default, storage.Cursor{})
			if err != nil {
				t.Fatal(err)
			}
			stop = all.collect(t, tail)
			all.expect(t, db)
			w.step()
			all.expect(t, db)
			stop()
		})
	}
}

// TestTailWithoutBudget lets the log go before a cursor has read it: what was in
// it is read of what is stored.
func TestTailWithoutBudget(t *testing.T) {
	for seed := range uint64(6) {
		rng := rand.New(rand.NewPCG(seed, 5))
		o := tailOptions(3*(seed%2) + seed%3)
		db := mustStart(t, mem.New(), o, tsdb.Deps{})
		hold := mustHold(t, db, 0)
		c := newCollected()
		w := &tailed{t: t, db: db, rng: rng}
		for range 4 {
			stop := c.collect(t, mustTail(t, hold))
			for range 10 {
				w.step()
			}
			stop()
			if err := hold.Save(c.cursor); err != nil {
				t.Fatal(err)
			}
			for range 30 {
				w.step()
				if rng.IntN(5) == 0 {
					disturb(t, db, 0)
				}
			}
			if err := db.stop(); err != nil {
				t.Fatal(err)
			}
			db = mustStart(t, db.fs, db.opts, tsdb.Deps{})
			w.db, hold = db, mustHold(t, db, 0)
		}
		stop := c.collect(t, mustTail(t, hold))
		c.expect(t, db)
		stop()
	}
}

// TestTailGoesBack goes on from a cursor that was saved some time before the end:
// what came after it comes again.
func TestTailGoesBack(t *testing.T) {
	for seed := range uint64(6) {
		db := mustStart(t, mem.New(), tailOptions(seed), tsdb.Deps{})
		hold := mustHold(t, db, 1<<40)
		w := &tailed{t: t, db: db, rng: rand.New(rand.NewPCG(seed, 7))}
		c := newCollected()
		for _, save := range []bool{true, false} {
			stop := c.collect(t, mustTail(t, hold))
			for range 20 {
				w.step()
			}
			c.expect(t, db)
			stop()
			if save {
				if err := hold.Save(c.cursor); err != nil {
					t.Fatal(err)
				}
			}
		}
		disturb(t, db, 0)
		if err := db.stop(); err != nil {
			t.Fatal(err)
		}
		db = mustStart(t, db.fs, db.opts, tsdb.Deps{})
		w.db = db
		stop := c.collect(t, mustTail(t, mustHold(t, db, 1<<40)))
		w.step()
		c.expect(t, db)
		stop()
		if c.again == 0 {
			t.Error("nothing came again")
		}
	}
}

func mustHold(t *testing.T, db *running, budget uint64) *tsdb.Hold {
	t.Helper()
	h, err := db.Hold(t.Context(), tenant.Default, "reader", budget)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func mustTail(t *testing.T, h *tsdb.Hold) storage.Tailer {
	t.Helper()
	tail, err := h.Tail(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return tail
}

func TestHolds(t *testing.T) {
	db := mustStart(t, mem.New(), quiet(time.Minute), tsdb.Deps{})
	for _, name := range []string{"", "../x", ".hidden", "a b", "x.new", strings.Repeat("x", 101)} {
		if _, err := db.Hold(t.Context(), tenant.Default, name, 0); err == nil {
			t.Errorf("a cursor named %q was made", name)
		}
	}
	h := mustHold(t, db, 7)
	want := storage.Cursor{Segment: 1, Offset: 16, From: 5, Until: 6}
	if err := h.Save(want); err != nil {
		t.Fatal(err)
	}
	if _, err := db.Hold(t.Context(), "other", "reader", 7); err == nil {
		t.Error("a cursor of another tenant was handed out")
	}
	if err := db.stop(); err != nil {
		t.Fatal(err)
	}
	db = mustStart(t, db.fs, db.opts, tsdb.Deps{})
	if all := db.Holds(); len(all) != 1 || all[0].Name() != "reader" || all[0].Tenant() != tenant.Default || all[0].Cursor() != want {
		t.Errorf("cursors after a restart: %+v", all)
	}
	if err := db.Holds()[0].Delete(); err != nil {
		t.Fatal(err)
	}
	if err := db.stop(); err != nil {
		t.Fatal(err)
	}
	db = mustStart(t, db.fs, db.opts, tsdb.Deps{})
	if all := db.Holds(); len(all) != 0 {
		t.Errorf("a deleted cursor is there again: %+v", all)
	}
	if _, err := db.Tail(t.Context(), tenant.Default, storage.Cursor{Segment: 1, Offset: 16}); !errors.Is(err, wal.ErrGone) && err != nil {
		t.Errorf("a cursor in a deleted segment: %v", err)
	}
}

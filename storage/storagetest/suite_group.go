package storagetest

import (
	"context"
	"errors"
	"slices"
	"sync"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"

	"github.com/nilometer/nilometer/model/column"
	"github.com/nilometer/nilometer/model/series"
	"github.com/nilometer/nilometer/model/tenant"
	"github.com/nilometer/nilometer/storage"
)

func closedCases() []testCase {
	stale := column.StaleNaN()
	return []testCase{
		{"who is not mentioned continues", func(e *env) {
			w := e.open(storage.Closed, "scrape")
			w.write(e.at(0), value{"a", 1}, value{"b", 10})
			if res := w.write(e.at(15), value{"a", 2}); res.Appended != 2 {
				e.Errorf("appended %d samples, want the one mentioned and the one continued", res.Appended)
			}
			w.write(e.at(30))
			e.want(
				named("a", Sample{T: e.at(0), V: 1}, Sample{T: e.at(15), V: 2}, Sample{T: e.at(30), V: 2}),
				named("b", Sample{T: e.at(0), V: 10}, Sample{T: e.at(15), V: 10}, Sample{T: e.at(30), V: 10}),
			)
		}},
		{"a stale marker ends a member until it is mentioned again", func(e *env) {
			w := e.open(storage.Closed, "scrape")
			w.write(e.at(0), value{"a", 1}, value{"b", 10})
			if res := w.write(e.at(15), value{"a", stale}); res.Appended != 2 {
				e.Errorf("appended %d samples, want the marker and the one continued", res.Appended)
			}
			w.write(e.at(30))
			w.write(e.at(45), value{"a", 1})
			w.write(e.at(60))
			e.want(
				named("a", Sample{T: e.at(0), V: 1}, Sample{T: e.at(15), V: stale}, Sample{T: e.at(45), V: 1}, Sample{T: e.at(60), V: 1}),
				named("b", Sample{T: e.at(0), V: 10}, Sample{T: e.at(15), V: 10}, Sample{T: e.at(30), V: 10},
					Sample{T: e.at(45), V: 10}, Sample{T: e.at(60), V: 10}),
			)
		}},
		{"a stale body ends everyone who is not mentioned", func(e *env) {
			w := e.open(storage.Closed, "scrape")
			w.write(e.at(0), value{"a", 1}, value{"b", 10}, value{"up", 1})
			b := w.batch(e.at(15), value{"up", 0})
			b.BodyStale = true
			if res := w.append(b); res.Appended != 3 || len(res.Rejected) > 0 {
				e.Errorf("the result is %+v, want 3 samples appended", res)
			}
			b = w.batch(e.at(30), value{"up", 0})
			b.BodyStale = true
			if res := w.append(b); res.Appended != 1 || len(res.Rejected) > 0 {
				e.Errorf("the result is %+v, want 1 sample appended: who is stale does not become stale again", res)
			}
			w.write(e.at(45), value{"up", 1}, value{"b", 10})
			e.want(
				named("a", Sample{T: e.at(0), V: 1}, Sample{T: e.at(15), V: stale}),
				named("b", Sample{T: e.at(0), V: 10}, Sample{T: e.at(15), V: stale}, Sample{T: e.at(45), V: 10}),
				named("up", Sample{T: e.at(0), V: 1}, Sample{T: e.at(15), V: 0}, Sample{T: e.at(30), V: 0}, Sample{T: e.at(45), V: 1}),
			)
		}},
		{"a member that was resolved and never written is no series", func(e *env) {
			w := e.open(storage.Closed, "scrape")
			w.resolve("never")
			w.write(e.at(0), value{"a", 1})
			w.write(e.at(15))
			e.want(named("a", Sample{T: e.at(0), V: 1}, Sample{T: e.at(15), V: 1}))
		}},
		{"a repeat of a position is success and appends nothing", func(e *env) {
			w := e.open(storage.Closed, "scrape")
			w.write(e.at(0), value{"a", 1}, value{"b", 2})
			if res := w.write(e.at(0), value{"a", 1}); res.Appended != 0 {
				e.Errorf("a repeat appended %d samples", res.Appended)
			}
			e.want(named("a", Sample{T: e.at(0), V: 1}), named("b", Sample{T: e.at(0), V: 2}))
		}},
		{"another value at a position is a conflict, and the rest is stored", func(e *env) {
			w := e.open(storage.Closed, "scrape")
			w.write(e.at(0), value{"a", 1})
			e.rejection(w.append(w.batch(e.at(0), value{"a", 2}, value{"b", 3})), 0, storage.ReasonConflict)
			e.want(named("a", Sample{T: e.at(0), V: 1}), named("b", Sample{T: e.at(0), V: 3}))
		}},
		{"a new writer ends the handle of the old one", func(e *env) {
			old := e.open(storage.Closed, "scrape")
			old.write(e.at(0), value{"a", 1}, value{"b", 2})
			b := old.batch(e.at(15), value{"a", 2})
			w := e.open(storage.Closed, "scrape")
			if _, err := old.g.Append(e.ctx, b, storage.Synced); !errors.Is(err, storage.ErrGroupClosed) {
				e.Errorf("the old handle's append ends with %v, want ErrGroupClosed", err)
			}
			if _, err := old.g.Resolve(e.ctx, nil, nil); !errors.Is(err, storage.ErrGroupClosed) {
				e.Errorf("the old handle's resolve ends with %v, want ErrGroupClosed", err)
			}
			// The new writer never heard of b: nothing continues for it.
			w.write(e.at(30), value{"a", 3})
			w.write(e.at(45))
			e.want(
				named("a", Sample{T: e.at(0), V: 1}, Sample{T: e.at(30), V: 3}, Sample{T: e.at(45), V: 3}),
				named("b", Sample{T: e.at(0), V: 2}),
			)
		}},
		{"a closed handle refuses", func(e *env) {
			w := e.open(storage.Closed, "scrape")
			w.write(e.at(0), value{"a", 1})
			b := w.batch(e.at(15), value{"a", 2})
			if err := w.g.Close(); err != nil {
				e.Fatal(err)
			}
			if _, err := w.g.Append(e.ctx, b, storage.Synced); !errors.Is(err, storage.ErrGroupClosed) {
				e.Errorf("append ends with %v, want ErrGroupClosed", err)
			}
			e.want(named("a", Sample{T: e.at(0), V: 1}))
		}},
		{"many positions, more than a tile", func(e *env) {
			w := e.open(storage.Closed, "scrape")
			var a, b Series
			for i := range int64(column.TilePositions + 150) {
				t := e.at(5 * i)
				values := []value{{"a", float64(i)}}
				if i%100 == 0 {
					values = append(values, value{"b", float64(i)})
				}
				w.write(t, values...)
				a.Samples = append(a.Samples, Sample{T: t, V: float64(i)})
				b.Samples = append(b.Samples, Sample{T: t, V: float64(i / 100 * 100)})
			}
			e.want(named("a", a.Samples...), named("b", b.Samples...))
		}},
	}
}

func openCases() []testCase {
	return []testCase{
		{"who is not mentioned is absent", func(e *env) {
			w := e.open(storage.Open, "push")
			w.write(e.at(0), value{"a", 1}, value{"b", 10})
			if res := w.write(e.at(15), value{"a", 2}); res.Appended != 1 {
				e.Errorf("appended %d samples, want the one mentioned", res.Appended)
			}
			w.write(e.at(30), value{"b", 11})
			e.want(
				named("a", Sample{T: e.at(0), V: 1}, Sample{T: e.at(15), V: 2}),
				named("b", Sample{T: e.at(0), V: 10}, Sample{T: e.at(30), V: 11}),
			)
		}},
		{"a series behind its group is in order for itself", func(e *env) {
			w := e.open(storage.Open, "push")
			var a, b []Sample
			for i := range int64(40) {
				w.write(e.at(i), value{"a", float64(i)})
				a = append(a, Sample{T: e.at(i), V: float64(i)})
			}
			for i := range int64(40) {
				w.write(e.at(i), value{"b", float64(-i)})
				b = append(b, Sample{T: e.at(i), V: float64(-i)})
			}
			e.want(named("a", a...), named("b", b...))
		}},
		{"series with times of their own", func(e *env) {
			w := e.open(storage.Open, "push")
			want := map[string][]Sample{}
			for i := range int64(60) {
				for k, name := range []string{"a", "b", "c"} {
					t := e.at(10*i) + int64(k)*(i%7)*100 + int64(k)
					w.write(t, value{name, float64(i)})
					want[name] = append(want[name], Sample{T: t, V: float64(i)})
				}
			}
			e.want(named("a", want["a"]...), named("b", want["b"]...), named("c", want["c"]...))
		}},
		{"a stale marker is a sample", func(e *env) {
			w := e.open(storage.Open, "push")
			w.write(e.at(0), value{"a", 1})
			w.write(e.at(15), value{"a", column.StaleNaN()})
			w.write(e.at(30), value{"a", 1})
			e.want(named("a", Sample{T: e.at(0), V: 1}, Sample{T: e.at(15), V: column.StaleNaN()}, Sample{T: e.at(30), V: 1}))
		}},
		{"two handles are one group", func(e *env) {
			v, w := e.open(storage.Open, "push"), e.open(storage.Open, "push")
			v.write(e.at(0), value{"a", 1})
			w.write(e.at(15), value{"a", 2}, value{"b", 2})
			v.write(e.at(30), value{"a", 3}, value{"b", 3})
			if err := v.g.Close(); err != nil {
				e.Fatal(err)
			}
			w.write(e.at(45), value{"a", 4})
			e.want(
				named("a", Sample{T: e.at(0), V: 1}, Sample{T: e.at(15), V: 2}, Sample{T: e.at(30), V: 3}, Sample{T: e.at(45), V: 4}),
				named("b", Sample{T: e.at(15), V: 2}, Sample{T: e.at(30), V: 3}),
			)
		}},
		{"a sample behind its series is stored in its place or refused", func(e *env) {
			w := e.open(storage.Open, "push")
			w.write(e.at(0), value{"a", 1})
			w.write(e.at(60), value{"a", 2})
			want := []Sample{{T: e.at(0), V: 1}, {T: e.at(60), V: 2}}
			res := w.append(w.batch(e.at(30), value{"a", 3}))
			if len(res.Rejected) == 0 {
				want = slices.Insert(want, 1, Sample{T: e.at(30), V: 3})
			} else {
				e.rejection(res, 0, storage.ReasonOutOfOrder)
			}
			e.want(named("a", want...))
		}},
		{"an old sample sent again changes nothing", func(e *env) {
			w := e.open(storage.Open, "push")
			w.write(e.at(0), value{"a", 1})
			w.write(e.at(60), value{"a", 2})
			for _, v := range []float64{1, 7} {
				res := w.append(w.batch(e.at(0), value{"a", v}))
				if len(res.Rejected) > 0 {
					e.rejection(res, 0, storage.ReasonOutOfOrder, storage.ReasonConflict)
				}
			}
			e.want(named("a", Sample{T: e.at(0), V: 1}, Sample{T: e.at(60), V: 2}))
		}},
	}
}

// asked is an Admitter that remembers what it was asked, and refuses the
// series named "refused".
type asked struct {
	mu   sync.Mutex // guards what follows
	seen []string
	keys []series.Key
}

func (a *asked) Admit(_ tenant.ID, key series.Key, lset labels.Labels) storage.Reason {
	a.mu.Lock()
	defer a.mu.Unlock()
	name := lset.Get(model.MetricNameLabel)
	a.seen = append(a.seen, string([]byte(name)))
	a.keys = append(a.keys, key)
	if name == "refused" {
		return storage.ReasonSeriesLimit
	}
	return storage.ReasonNone
}

// take returns what was asked since the last call, sorted.
func (a *asked) take() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	seen := a.seen
	a.seen = nil
	slices.Sort(seen)
	return seen
}

func membershipCases() []testCase {
	return []testCase{
		{"the admitter is asked for unknown label sets alone", func(e *env) {
			w := e.open(storage.Closed, "scrape")
			w.write(e.at(0), value{"a", 1}, value{"b", 1})
			if got := e.asked.take(); !slices.Equal(got, []string{"a", "b"}) {
				e.Errorf("it was asked for %q", got)
			}
			for _, key := range e.asked.keys {
				if key != Spec(storage.Closed, "").Key {
					e.Errorf("it was asked with the key %d", key)
				}
			}
			w.resolve("a", "b")
			e.open(storage.Open, "push").resolve("a", "b")
			if got := e.asked.take(); len(got) > 0 {
				e.Errorf("it was asked for %q, which exist", got)
			}
		}},
		{"what the admitter refuses has no slot, and the others have", func(e *env) {
			w := e.open(storage.Open, "push")
			out := make([]storage.Resolution, 3)
			version, err := w.g.Resolve(e.ctx, []labels.Labels{Named("a"), Named("refused"), Named("b")}, out)
			if err != nil {
				e.Fatal(err)
			}
			if out[1] != (storage.Resolution{Slot: storage.NoSlot, Reason: storage.ReasonSeriesLimit}) {
				e.Errorf("the refused one has %+v", out[1])
			}
			res := w.append(&storage.Batch{Time: e.at(0), Version: version, Slots: []storage.Slot{out[0].Slot, out[1].Slot, out[2].Slot}, Values: []float64{1, 2, 3}})
			e.rejection(res, 1, storage.ReasonUnknownSlot)
			e.want(named("a", Sample{T: e.at(0), V: 1}), named("b", Sample{T: e.at(0), V: 3}))
		}},
		{"label sets that are not canonical are invalid", func(e *env) {
			unsorted, double := labels.NewScratchBuilder(2), labels.NewScratchBuilder(2)
			unsorted.Add("b", "1")
			unsorted.Add("a", "1")
			double.Add("a", "1")
			double.Add("a", "2")
			lsets := []labels.Labels{labels.EmptyLabels(), unsorted.Labels(), double.Labels(), labels.FromStrings("__name__", "\xff")}
			out := make([]storage.Resolution, len(lsets))
			if _, err := e.open(storage.Open, "push").g.Resolve(e.ctx, lsets, out); err != nil {
				e.Fatal(err)
			}
			for i, r := range out {
				if r != (storage.Resolution{Slot: storage.NoSlot, Reason: storage.ReasonInvalidLabels}) {
					e.Errorf("%s has %+v", lsets[i], r)
				}
			}
		}},
		{"the memory of label sets is the caller's", func(e *env) {
			w := e.open(storage.Open, "push")
			b := labels.NewScratchBuilder(3)
			var lset labels.Labels
			var slots []storage.Slot
			var version uint64
			for _, name := range []string{"a", "b"} {
				b.Reset()
				Named(name).Range(func(l labels.Label) { b.Add(l.Name, l.Value) })
				b.Overwrite(&lset)
				out := make([]storage.Resolution, 1)
				var err error
				if version, err = w.g.Resolve(e.ctx, []labels.Labels{lset}, out); err != nil {
					e.Fatal(err)
				}
				slots = append(slots, out[0].Slot)
			}
			w.append(&storage.Batch{Time: e.at(0), Version: version, Slots: slots, Values: []float64{1, 2}})
			e.want(named("a", Sample{T: e.at(0), V: 1}), named("b", Sample{T: e.at(0), V: 2}))
		}},
		{"another version is refused", func(e *env) {
			w := e.open(storage.Closed, "scrape")
			b := w.batch(e.at(0), value{"a", 1})
			b.Version += 1000
			if _, err := w.g.Prepare(e.ctx, b); !errors.Is(err, storage.ErrVersion) {
				e.Errorf("prepare ends with %v, want ErrVersion", err)
			}
			e.want()
		}},
		{"an abort forgets who was resolved for it", func(e *env) {
			w := e.open(storage.Closed, "scrape")
			w.write(e.at(0), value{"a", 1})
			p, err := w.g.Prepare(e.ctx, w.batch(e.at(15), value{"a", 2}, value{"new", 3}))
			if err != nil {
				e.Fatal(err)
			}
			forgotten := w.slots["new"]
			p.Abort()
			p.Abort()
			e.want(named("a", Sample{T: e.at(0), V: 1}))
			delete(w.slots, "new")
			w.write(e.at(30), value{"a", 4}, value{"other", 5})
			// The slot of "new" may be gone or used again, but it never writes.
			b := &storage.Batch{Time: e.at(45), Version: w.version, Slots: []storage.Slot{forgotten}, Values: []float64{6}}
			if forgotten != w.slots["other"] && forgotten != w.slots["a"] {
				if res, err := w.g.Append(e.ctx, b, storage.Synced); err == nil {
					e.rejection(res, 0, storage.ReasonUnknownSlot)
				} else if !errors.Is(err, storage.ErrVersion) {
					e.Errorf("append to a forgotten slot ends with %v", err)
				}
			}
			v, err := e.store.View(e.ctx, tenant.Default)
			if err != nil {
				e.Fatal(err)
			}
			defer v.Close()
			names, _, err := v.LabelValues(e.ctx, model.MetricNameLabel, everything(), 0)
			if err != nil || !slices.Equal(names, []string{"a", "other"}) {
				e.Errorf("the names are %q, error %v", names, err)
			}
		}},
		{"a slot that no one has is rejected, and the rest is stored", func(e *env) {
			w := e.open(storage.Open, "push")
			b := w.batch(e.at(0), value{"a", 1}, value{"b", 2})
			b.Slots = slices.Insert(b.Slots, 1, 4_000_000)
			b.Values = slices.Insert(b.Values, 1, 9)
			res := w.append(b)
			e.rejection(res, 1, storage.ReasonUnknownSlot)
			if res.Appended != 2 {
				e.Errorf("appended %d samples, want 2", res.Appended)
			}
			e.want(named("a", Sample{T: e.at(0), V: 1}), named("b", Sample{T: e.at(0), V: 2}))
		}},
		{"one label set is one series, whichever group writes it", func(e *env) {
			a, b := e.open(storage.Open, "push"), e.open(storage.Open, "another")
			c := e.open(storage.Closed, "scrape")
			a.write(e.at(0), value{"a", 1})
			b.write(e.at(15), value{"a", 2})
			c.write(e.at(30), value{"a", 3})
			a.write(e.at(45), value{"a", 4})
			e.want(named("a", Sample{T: e.at(0), V: 1}, Sample{T: e.at(15), V: 2}, Sample{T: e.at(30), V: 3}, Sample{T: e.at(45), V: 4}))
			e.rejection(b.append(b.batch(e.at(45), value{"a", 5})), 0, storage.ReasonConflict)
			if res := b.write(e.at(45), value{"a", 4}); res.Appended != 0 {
				e.Errorf("a repeat by another group appended %d samples", res.Appended)
			}
			if n, err := countSeries(e.ctx, e.store); err != nil || n != 1 {
				e.Errorf("there are %d series, error %v", n, err)
			}
		}},
	}
}

func countSeries(ctx context.Context, s storage.Store) (int, error) {
	v, err := s.View(ctx, tenant.Default)
	if err != nil {
		return 0, err
	}
	defer v.Close()
	lsets, _, err := v.Series(ctx, everything(), 0)
	return len(lsets), err
}

// everything selects all series at all times.
func everything() storage.Selection { return storage.Selection{MinTime: -1 << 62, MaxTime: 1 << 62} }

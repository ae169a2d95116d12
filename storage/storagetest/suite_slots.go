package storagetest

import (
	"errors"
	"slices"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"

	"github.com/nilometer/nilometer/model/column"
	"github.com/nilometer/nilometer/model/tenant"
	"github.com/nilometer/nilometer/storage"
)

// slotCases are about slots, versions, and batches that cannot be.
func slotCases() []testCase {
	return []testCase{
		{"slots are dense, and a label set has one", func(e *env) {
			w := e.open(storage.Open, "push")
			var lsets []labels.Labels
			for range 2 {
				for k := range 50 {
					lsets = append(lsets, Named(string(rune('A'+k))))
				}
			}
			out := make([]storage.Resolution, len(lsets))
			version, err := w.g.Resolve(e.ctx, lsets, out)
			if err != nil {
				e.Fatal(err)
			}
			again := make([]storage.Resolution, len(lsets))
			second, err := w.g.Resolve(e.ctx, lsets, again)
			if err != nil || second != version || !slices.Equal(out, again) {
				e.Errorf("once more: version %d, not %d, slots %v, not %v (%v)", second, version, again, out, err)
			}
			seen := map[storage.Slot]int{}
			for i, r := range out {
				if r.Reason != storage.ReasonNone || r.Slot >= 50 {
					e.Errorf("label set %d of 50 has %+v", i, r)
				}
				seen[r.Slot]++
			}
			if len(seen) != 50 {
				e.Errorf("50 label sets have %d slots", len(seen))
			}
		}},
		{"whoever was resolved and forgotten is asked for again", func(e *env) {
			w := e.open(storage.Closed, "scrape")
			w.write(e.at(0), value{"a", 1})
			w.resolve("b")
			e.asked.take()
			if err := w.g.Close(); err != nil {
				e.Fatal(err)
			}
			w = e.open(storage.Closed, "scrape")
			w.resolve("a", "b")
			if got := e.asked.take(); !slices.Equal(got, []string{"b"}) {
				e.Errorf("the admitter was asked for %q, want b alone", got)
			}
			e.want(named("a", Sample{T: e.at(0), V: 1}))
		}},
		{"a label set with an empty value is invalid", func(e *env) {
			b := labels.NewScratchBuilder(2)
			b.Add(model.MetricNameLabel, "a")
			b.Add("job", "")
			out := make([]storage.Resolution, 1)
			if _, err := e.open(storage.Open, "push").g.Resolve(e.ctx, []labels.Labels{b.Labels()}, out); err != nil {
				e.Fatal(err)
			}
			if out[0] != (storage.Resolution{Slot: storage.NoSlot, Reason: storage.ReasonInvalidLabels}) {
				e.Errorf("it has %+v", out[0])
			}
		}},
		{"a batch that cannot be is refused whole", func(e *env) {
			w := e.open(storage.Open, "push")
			uneven := w.batch(e.at(0), value{"a", 1}, value{"b", 2})
			uneven.Values = uneven.Values[:1]
			starts := w.batch(e.at(0), value{"a", 1}, value{"b", 2})
			starts.Starts = []int64{1}
			body := w.batch(e.at(0), value{"a", 1})
			body.BodyStale = true
			for name, b := range map[string]*storage.Batch{"fewer values than slots": uneven, "fewer start timestamps": starts, "a stale body of an open group": body} {
				if p, err := w.g.Prepare(e.ctx, b); err == nil {
					p.Abort()
					e.Errorf("%s: it was prepared", name)
				}
			}
			e.want()
		}},
		{"a handle that was closed refuses, and the group's others go on", func(e *env) {
			v, w := e.open(storage.Open, "push"), e.open(storage.Open, "push")
			b := v.batch(e.at(0), value{"a", 1})
			for range 2 {
				if err := v.g.Close(); err != nil {
					e.Fatal(err)
				}
			}
			if _, err := v.g.Append(e.ctx, b, storage.Synced); !errors.Is(err, storage.ErrGroupClosed) {
				e.Errorf("append ends with %v, want ErrGroupClosed", err)
			}
			if _, err := v.g.Resolve(e.ctx, []labels.Labels{Named("a")}, make([]storage.Resolution, 1)); !errors.Is(err, storage.ErrGroupClosed) {
				e.Errorf("resolve ends with %v, want ErrGroupClosed", err)
			}
			w.write(e.at(15), value{"a", 2})
			e.want(named("a", Sample{T: e.at(15), V: 2}))
		}},
		{"groups of other names and kinds are others", func(e *env) {
			a, b := e.open(storage.Closed, "one"), e.open(storage.Closed, "two")
			c := e.open(storage.Open, "one")
			a.write(e.at(0), value{"a", 1})
			b.write(e.at(0), value{"b", 2})
			c.write(e.at(0), value{"c", 3})
			a.write(e.at(15))
			e.want(named("a", Sample{T: e.at(0), V: 1}, Sample{T: e.at(15), V: 1}), named("b", Sample{T: e.at(0), V: 2}), named("c", Sample{T: e.at(0), V: 3}))
		}},
		{"a kind of group that does not exist is refused", func(e *env) {
			for _, kind := range []storage.GroupKind{0, 3, 200} {
				if g, err := e.store.OpenGroup(e.ctx, tenant.Default, Spec(kind, "x")); err == nil {
					g.Close()
					e.Errorf("a group of kind %d was opened", kind)
				}
			}
		}},
	}
}

// orderCases are about what is applied before what, and whole or not at all.
func orderCases() []testCase {
	stale := column.StaleNaN()
	return []testCase{
		{"batches of a commit are applied in the order given", func(e *env) {
			w := e.open(storage.Open, "push")
			w.resolve("a")
			first, err := w.g.Prepare(e.ctx, w.batch(e.at(0), value{"a", 1}))
			if err != nil {
				e.Fatal(err)
			}
			second, err := w.g.Prepare(e.ctx, w.batch(e.at(0), value{"a", 2}))
			if err != nil {
				e.Fatal(err)
			}
			if err := e.store.Commit(e.ctx, storage.Synced, second, first); err != nil {
				e.Fatal(err)
			}
			e.rejection(first.Result(), 0, storage.ReasonConflict)
			e.want(named("a", Sample{T: e.at(0), V: 2}))
		}},
		{"one batch that cannot be committed keeps all from being applied", func(e *env) {
			old, w := e.open(storage.Closed, "scrape"), e.open(storage.Open, "push")
			good, err := w.g.Prepare(e.ctx, w.batch(e.at(0), value{"b", 1}))
			if err != nil {
				e.Fatal(err)
			}
			bad, err := old.g.Prepare(e.ctx, old.batch(e.at(0), value{"a", 1}))
			if err != nil {
				e.Fatal(err)
			}
			e.open(storage.Closed, "scrape")
			if err := e.store.Commit(e.ctx, storage.Synced, good, bad); !errors.Is(err, storage.ErrGroupClosed) {
				e.Errorf("the commit ends with %v, want ErrGroupClosed", err)
			}
			e.want()
		}},
		{"a batch without entries is a position of a closed group and nothing of an open one", func(e *env) {
			c, o := e.open(storage.Closed, "scrape"), e.open(storage.Open, "push")
			for i := range int64(2) {
				if res := c.write(e.at(i)); res.Appended != 0 {
					e.Errorf("a closed group without members appended %d samples", res.Appended)
				}
			}
			o.write(e.at(0), value{"b", 1})
			c.write(e.at(15), value{"a", 1})
			if res := o.write(e.at(30)); res.Appended != 0 {
				e.Errorf("an open group appended %d samples", res.Appended)
			}
			if res := c.write(e.at(30)); res.Appended != 1 {
				e.Errorf("a closed group appended %d samples, want 1", res.Appended)
			}
			e.want(named("a", Sample{T: e.at(15), V: 1}, Sample{T: e.at(30), V: 1}), named("b", Sample{T: e.at(0), V: 1}))
		}},
		{"a series may begin with a stale marker, and have several", func(e *env) {
			for _, kind := range []storage.GroupKind{storage.Closed, storage.Open} {
				w := e.open(kind, "writer")
				name := []string{"", "closed", "open"}[kind]
				w.write(e.at(0), value{name, stale})
				w.write(e.at(15), value{name, stale})
				w.write(e.at(30), value{name, 1})
			}
			samples := []Sample{{T: e.at(0), V: stale}, {T: e.at(15), V: stale}, {T: e.at(30), V: 1}}
			e.want(named("closed", samples...), named("open", samples...))
		}},
		{"a marker and a value at one time are a conflict", func(e *env) {
			w := e.open(storage.Open, "push")
			w.write(e.at(0), value{"a", stale}, value{"b", 1})
			res := w.append(w.batch(e.at(0), value{"a", 1}, value{"b", stale}))
			if len(res.Rejected) != 2 || res.Rejected[0].Reason != storage.ReasonConflict || res.Rejected[1].Reason != storage.ReasonConflict {
				e.Errorf("rejected %+v, want two conflicts", res.Rejected)
			}
			if res := w.write(e.at(0), value{"a", stale}); res.Appended != 0 {
				e.Errorf("a marker once more appended %d samples", res.Appended)
			}
			e.want(named("a", Sample{T: e.at(0), V: stale}), named("b", Sample{T: e.at(0), V: 1}))
		}},
		{"a newcomer behind a closed group's last position is stored, and implies nothing", func(e *env) {
			w := e.open(storage.Closed, "scrape")
			w.write(e.at(0), value{"a", 1})
			w.write(e.at(30), value{"a", 2})
			if res := w.write(e.at(15), value{"b", 7}); res.Appended != 1 {
				e.Errorf("appended %d samples, want 1", res.Appended)
			}
			w.write(e.at(45), value{"a", 3}, value{"b", 8})
			e.want(
				named("a", Sample{T: e.at(0), V: 1}, Sample{T: e.at(30), V: 2}, Sample{T: e.at(45), V: 3}),
				named("b", Sample{T: e.at(15), V: 7}, Sample{T: e.at(45), V: 8}),
			)
		}},
		{"a member goes on for the closed group that wrote it last, and no other", func(e *env) {
			a, b := e.open(storage.Closed, "one"), e.open(storage.Closed, "two")
			a.write(e.at(0), value{"x", 1}, value{"a", 1})
			b.write(e.at(10), value{"x", 2})
			a.write(e.at(20))
			b.write(e.at(30))
			o := e.open(storage.Open, "push")
			o.write(e.at(35), value{"x", 3})
			b.write(e.at(40))
			e.want(
				named("a", Sample{T: e.at(0), V: 1}, Sample{T: e.at(20), V: 1}),
				named("x", Sample{T: e.at(0), V: 1}, Sample{T: e.at(10), V: 2}, Sample{T: e.at(30), V: 2}, Sample{T: e.at(35), V: 3}),
			)
		}},
		{"who is ended by a stale body goes on when it is mentioned again", func(e *env) {
			w := e.open(storage.Closed, "scrape")
			w.write(e.at(0), value{"a", 1})
			b := w.batch(e.at(15))
			b.BodyStale = true
			w.append(b)
			w.write(e.at(30))
			w.write(e.at(45), value{"a", 1})
			w.write(e.at(60))
			e.want(named("a", Sample{T: e.at(0), V: 1}, Sample{T: e.at(15), V: stale}, Sample{T: e.at(45), V: 1}, Sample{T: e.at(60), V: 1}))
		}},
		{"twenty samples of a series, and series after series", func(e *env) {
			w := e.open(storage.Open, "push")
			w.resolve("a", "b", "c")
			var want []Series
			for _, name := range []string{"a", "b", "c"} {
				s := named(name)
				var ps []storage.Prepared
				for i := range int64(20) {
					p, err := w.g.Prepare(e.ctx, w.batch(e.at(15*i), value{name, float64(i)}))
					if err != nil {
						e.Fatal(err)
					}
					ps = append(ps, p)
					s.Samples = append(s.Samples, Sample{T: e.at(15 * i), V: float64(i)})
				}
				if err := e.store.Commit(e.ctx, storage.Synced, ps...); err != nil {
					e.Fatal(err)
				}
				want = append(want, s)
			}
			e.disturb() // not before: what is cut is closed to samples that are late
			e.want(want...)
		}},
	}
}

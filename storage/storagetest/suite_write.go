package storagetest

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/exemplar"
	"github.com/prometheus/prometheus/model/labels"

	"github.com/nilometer/nilometer/model/column"
	"github.com/nilometer/nilometer/model/tenant"
	"github.com/nilometer/nilometer/storage"
)

func commitCases() []testCase {
	return []testCase{
		{"several groups in one commit", func(e *env) {
			v, w := e.open(storage.Closed, "one"), e.open(storage.Open, "two")
			v.write(e.at(0), value{"a", 1}, value{"b", 1})
			p, err := v.g.Prepare(e.ctx, v.batch(e.at(15), value{"a", 2}))
			if err != nil {
				e.Fatal(err)
			}
			q, err := w.g.Prepare(e.ctx, w.batch(e.at(15), value{"c", 3}, value{"d", 4}))
			if err != nil {
				e.Fatal(err)
			}
			if err := e.store.Commit(e.ctx, storage.Synced, p, q); err != nil {
				e.Fatal(err)
			}
			for _, p := range []storage.Prepared{p, q} {
				if res := p.Result(); res.Appended != 2 || len(res.Rejected) > 0 {
					e.Errorf("the result is %+v, want 2 samples appended", res)
				}
				p.Abort() // does nothing any more
			}
			e.want(
				named("a", Sample{T: e.at(0), V: 1}, Sample{T: e.at(15), V: 2}),
				named("b", Sample{T: e.at(0), V: 1}, Sample{T: e.at(15), V: 1}),
				named("c", Sample{T: e.at(15), V: 3}), named("d", Sample{T: e.at(15), V: 4}),
			)
		}},
		{"several positions of one group in one commit", func(e *env) {
			w := e.open(storage.Open, "push")
			w.resolve("a", "b")
			var ps []storage.Prepared
			for i := range int64(3) {
				p, err := w.g.Prepare(e.ctx, w.batch(e.at(i), value{"a", float64(i)}, value{"b", 7}))
				if err != nil {
					e.Fatal(err)
				}
				ps = append(ps, p)
			}
			if err := e.store.Commit(e.ctx, storage.Synced, ps...); err != nil {
				e.Fatal(err)
			}
			e.want(
				named("a", Sample{T: e.at(0), V: 0}, Sample{T: e.at(1), V: 1}, Sample{T: e.at(2), V: 2}),
				named("b", Sample{T: e.at(0), V: 7}, Sample{T: e.at(1), V: 7}, Sample{T: e.at(2), V: 7}),
			)
		}},
		{"a commit of nothing succeeds", func(e *env) {
			if err := e.store.Commit(e.ctx, storage.Synced); err != nil {
				e.Error(err)
			}
		}},
		{"an aborted batch leaves no trace", func(e *env) {
			w := e.open(storage.Closed, "scrape")
			w.write(e.at(0), value{"a", 1})
			p, err := w.g.Prepare(e.ctx, w.batch(e.at(15), value{"a", 2}))
			if err != nil {
				e.Fatal(err)
			}
			p.Abort()
			w.write(e.at(30))
			e.want(named("a", Sample{T: e.at(0), V: 1}, Sample{T: e.at(30), V: 1}))
		}},
		{"what was logged is visible", func(e *env) {
			w := e.open(storage.Closed, "scrape")
			if _, err := w.g.Append(e.ctx, w.batch(e.at(0), value{"a", 1}), storage.Logged); err != nil {
				e.Fatal(err)
			}
			e.want(named("a", Sample{T: e.at(0), V: 1}))
		}},
		{"a cancelled commit is all or nothing", func(e *env) {
			w := e.open(storage.Open, "push")
			b := w.batch(e.at(0), value{"a", 1})
			ctx, cancel := context.WithCancel(e.ctx)
			cancel()
			_, err := w.g.Append(ctx, b, storage.Synced)
			switch {
			case err == nil:
				e.want(named("a", Sample{T: e.at(0), V: 1}))
			case errors.Is(err, storage.ErrUncertain):
				w.write(e.at(0), value{"a", 1})
				e.want(named("a", Sample{T: e.at(0), V: 1}))
			default:
				e.want()
			}
		}},
		{"tenants see their own", func(e *env) {
			one := Series{Labels: Named("a"), Samples: []Sample{{T: e.at(0), V: 1}}}
			two := Series{Labels: Named("a"), Samples: []Sample{{T: e.at(0), V: 2}}}
			for id, s := range map[tenant.ID]Series{tenant.Default: one, "other": two} {
				if err := Load(e.ctx, e.store, id, s); err != nil {
					e.Fatal(err)
				}
			}
			e.want(one)
			got, err := ReadAll(e.ctx, e.store, "other")
			if err != nil {
				e.Fatal(err)
			}
			if d := Diff([]Series{two}, got); d != "" {
				e.Error(d)
			}
		}},
		{"a tenant that cannot be is refused", func(e *env) {
			if _, err := e.store.OpenGroup(e.ctx, "..", Spec(storage.Open, "push")); !errors.Is(err, tenant.ErrInvalid) {
				e.Errorf("open group ends with %v", err)
			}
			if _, err := e.store.View(e.ctx, "a/b"); !errors.Is(err, tenant.ErrInvalid) {
				e.Errorf("view ends with %v", err)
			}
		}},
		{"a tenant that has nothing has an empty view", func(e *env) {
			got, err := ReadAll(e.ctx, e.store, "nobody")
			if err != nil || len(got) > 0 {
				e.Errorf("read %d series, error %v", len(got), err)
			}
		}},
	}
}

// curious are values whose bits are easily lost.
func curious() []float64 {
	return []float64{
		0, math.Copysign(0, -1), 1, -1, 0.1, 1e-320, math.SmallestNonzeroFloat64, math.MaxFloat64, -math.MaxFloat64,
		math.Inf(1), math.Inf(-1), math.NaN(), math.Float64frombits(0x7ff8000000000001), math.Float64frombits(0xfff8000000000000),
		math.Float64frombits(0x7ff0000000000001), math.Float64frombits(0x7ff0000000000003), 1 << 53, 1<<53 + 2, 123456.789, 1.7e18, -1.7e18,
	}
}

func valueCases() []testCase {
	roundTrip := func(kind storage.GroupKind) func(e *env) {
		return func(e *env) {
			w := e.open(kind, "writer")
			var want []Series
			for k, v := range curious() {
				want = append(want, named(fmt.Sprintf("constant_%02d", k)))
				_ = v
			}
			want = append(want, named("mixed"))
			for i := range int64(2 * len(curious())) {
				var values []value
				for k, v := range append(curious(), curious()[i%int64(len(curious()))]) {
					values = append(values, value{want[k].Labels.Get(model.MetricNameLabel), v})
					want[k].Samples = append(want[k].Samples, Sample{T: e.at(15 * i), V: v})
				}
				w.write(e.at(15*i), values...)
			}
			e.want(want...)
		}
	}
	return []testCase{
		{"bits survive in a closed group", roundTrip(storage.Closed)},
		{"bits survive in an open group", roundTrip(storage.Open)},
		{"values of the same bits and -0 are told apart", func(e *env) {
			w := e.open(storage.Closed, "scrape")
			w.write(e.at(0), value{"a", 0})
			e.rejection(w.append(w.batch(e.at(0), value{"a", math.Copysign(0, -1)})), 0, storage.ReasonConflict)
			w.write(e.at(15), value{"a", math.Copysign(0, -1)})
			e.want(named("a", Sample{T: e.at(0), V: 0}, Sample{T: e.at(15), V: math.Copysign(0, -1)}))
		}},
	}
}

func optionalCases() []testCase {
	return []testCase{
		{"start timestamps are kept, or not at all", func(e *env) {
			w := e.open(storage.Open, "push")
			for i := range int64(4) {
				b := w.batch(e.at(15*i), value{"a", float64(i)}, value{"b", float64(i)})
				b.Starts = []int64{e.at(-100), 0}
				if i == 3 {
					b.Values[1] = column.StaleNaN()
					b.Starts[0] = e.at(30)
				}
				if res := w.append(b); len(res.Rejected) > 0 {
					e.Fatalf("rejected %+v", res.Rejected)
				}
			}
			want := func(s, last int64) []Series {
				return []Series{
					named("a", Sample{T: e.at(0), V: 0, Start: s}, Sample{T: e.at(15), V: 1, Start: s}, Sample{T: e.at(30), V: 2, Start: s}, Sample{T: e.at(45), V: 3, Start: last}),
					named("b", Sample{T: e.at(0), V: 0}, Sample{T: e.at(15), V: 1}, Sample{T: e.at(30), V: 2}, Sample{T: e.at(45), V: column.StaleNaN()}),
				}
			}
			got, err := ReadAll(e.ctx, e.store, tenant.Default)
			if err != nil {
				e.Fatal(err)
			}
			if d := Diff(want(e.at(-100), e.at(30)), got); d != "" && Diff(want(0, 0), got) != "" {
				e.Error(d)
			}
		}},
		{"exemplars are kept or refused", func(e *env) {
			w := e.open(storage.Closed, "scrape")
			b := w.batch(e.at(0), value{"a", 1})
			x := exemplar.Exemplar{Labels: labels.FromStrings("trace_id", "1"), Value: 1, Ts: e.at(0), HasTs: true}
			b.Exemplars = []storage.ExemplarSample{{Slot: w.slots["a"], Exemplar: x}}
			res := w.append(b)
			v, err := e.store.View(e.ctx, tenant.Default)
			if err != nil {
				e.Fatal(err)
			}
			defer v.Close()
			got, err := v.Exemplars(e.ctx, everything())
			if len(res.Rejected) > 0 {
				e.rejection(res, 1, storage.ReasonUnsupported)
				if !errors.Is(err, storage.ErrUnsupported) && (err != nil || len(got) > 0) {
					e.Errorf("exemplars are %v, error %v", got, err)
				}
				return
			}
			if err != nil || len(got) != 1 || len(got[0].Exemplars) != 1 || !got[0].Exemplars[0].Equals(x) {
				e.Errorf("exemplars are %v, error %v", got, err)
			}
		}},
		{"metadata is kept or refused", func(e *env) {
			w := e.open(storage.Closed, "scrape")
			b := w.batch(e.at(0), value{"a", 1})
			md := storage.Metadata{Family: "a", Type: model.MetricTypeGauge, Unit: "seconds", Help: "how long"}
			b.Metadata = []storage.Metadata{md, {Family: "b"}}
			w.append(b)
			v, err := e.store.View(e.ctx, tenant.Default)
			if err != nil {
				e.Fatal(err)
			}
			defer v.Close()
			got, err := v.Metadata(e.ctx, "a", 0)
			if errors.Is(err, storage.ErrUnsupported) {
				return
			}
			if err != nil || len(got) != 1 || got[0] != md {
				e.Errorf("metadata of a is %+v, error %v", got, err)
			}
			for limit, n := range map[int]int{0: 2, 1: 1} {
				if got, err := v.Metadata(e.ctx, "", limit); err != nil || len(got) != n {
					e.Errorf("all metadata with limit %d is %+v, error %v", limit, got, err)
				}
			}
		}},
		{"a tail hands out what was accepted", func(e *env) {
			w := e.open(storage.Closed, "scrape")
			w.write(e.at(0), value{"a", 1}, value{"b", 2})
			w.write(e.at(15), value{"a", 3})
			tail, err := e.store.Tail(e.ctx, tenant.Default, storage.Cursor{})
			if errors.Is(err, storage.ErrUnsupported) {
				return
			}
			if err != nil {
				e.Fatal(err)
			}
			defer tail.Close()
			want := map[int64]map[string]float64{e.at(0): {"a": 1, "b": 2}, e.at(15): {"a": 3, "b": 2}}
			at := e.expectTail(tail, want)
			w.write(e.at(30), value{"a", 4})
			want[e.at(30)] = map[string]float64{"a": 4, "b": 2}
			later := map[int64]map[string]float64{e.at(30): want[e.at(30)]}
			e.expectTail(tail, later)
			resumed, err := e.store.Tail(e.ctx, tenant.Default, at)
			if err != nil {
				e.Fatal(err)
			}
			defer resumed.Close()
			for have := false; !have; { // what came before the cursor may come again
				b, _, err := resumed.Next(e.ctx)
				if err != nil {
					e.Fatal(err)
				}
				e.checkTail(b, want)
				have = b.Time == e.at(30)
			}
		}},
	}
}

// expectTail reads until all samples came, each once, and returns the cursor
// after them.
func (e *env) expectTail(tail storage.Tailer, want map[int64]map[string]float64) (at storage.Cursor) {
	e.Helper()
	left := 0
	for _, samples := range want {
		left += len(samples)
	}
	for left > 0 {
		b, c, err := tail.Next(e.ctx)
		if err != nil {
			e.Fatal(err)
		}
		e.checkTail(b, want)
		left -= len(b.Labels)
		at = c
	}
	if left < 0 {
		e.Errorf("%d samples came again", -left)
	}
	return at
}

func (e *env) checkTail(b storage.TailBatch, want map[int64]map[string]float64) {
	e.Helper()
	for i, lset := range b.Labels {
		if v, ok := want[b.Time][lset.Get(model.MetricNameLabel)]; !ok || v != b.Values[i] {
			e.Fatalf("the tail has %s %v at %d", lset, b.Values[i], b.Time)
		}
	}
}

func concurrencyCases() []testCase {
	return []testCase{
		{"what was acknowledged is in every later view", func(e *env) {
			const writers, positions = 4, 40
			var wg sync.WaitGroup
			for k := range writers {
				wg.Go(func() {
					for i := range int64(positions) {
						if err := e.push(k, i); err != nil {
							e.Error(err)
							return
						}
					}
				})
			}
			wg.Wait()
			var want []Series
			for k := range writers {
				s := named(fmt.Sprint("w", k))
				for i := range int64(positions) {
					s.Samples = append(s.Samples, Sample{T: e.at(i), V: float64(i)})
				}
				want = append(want, s)
			}
			e.want(want...)
		}},
	}
}

// push writes one sample of a writer's own series to the group that all
// share, and checks that a view taken then has all of the series up to it.
func (e *env) push(writer int, i int64) error {
	g, err := e.store.OpenGroup(e.ctx, tenant.Default, Spec(storage.Open, "push"))
	if err != nil {
		return err
	}
	defer g.Close()
	name := fmt.Sprint("w", writer)
	for {
		out := make([]storage.Resolution, 1)
		version, err := g.Resolve(e.ctx, []labels.Labels{Named(name)}, out)
		if err != nil {
			return err
		}
		b := &storage.Batch{Time: e.at(i), Version: version, Slots: []storage.Slot{out[0].Slot}, Values: []float64{float64(i)}}
		res, err := g.Append(e.ctx, b, storage.Synced)
		if errors.Is(err, storage.ErrVersion) || len(res.Rejected) > 0 && res.Rejected[0].Reason == storage.ReasonUnknownSlot {
			continue // another writer's Close has forgotten the new member
		}
		if err != nil || len(res.Rejected) > 0 {
			return fmt.Errorf("append: %+v, %w", res, err)
		}
		break
	}
	got, err := ReadAll(e.ctx, e.store, tenant.Default, labels.MustNewMatcher(labels.MatchEqual, model.MetricNameLabel, name))
	if err != nil {
		return err
	}
	if len(got) != 1 || len(got[0].Samples) != int(i)+1 {
		return fmt.Errorf("after sample %d of %s a view has %+v", i, name, got)
	}
	return nil
}

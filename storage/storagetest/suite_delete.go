package storagetest

import (
	"context"
	"errors"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"

	"github.com/nilometer/nilometer/model/tenant"
	"github.com/nilometer/nilometer/storage"
)

// delete deletes from a store, and reports false where that is not supported.
func (e *env) delete(id tenant.ID, from, to int64, ms ...*labels.Matcher) bool {
	e.Helper()
	err := e.store.Delete(e.ctx, id, from, to, ms...)
	if err != nil && !errors.Is(err, storage.ErrUnsupported) {
		e.Fatal(err)
	}
	e.disturb()
	return err == nil
}

func isNamed(name string) *labels.Matcher {
	return labels.MustNewMatcher(labels.MatchEqual, model.MetricNameLabel, name)
}

// steps are samples 15 s apart with the values 1, 2, 3 and so on.
func (e *env) steps(from, to int64) (out []Sample) {
	for i := from; i < to; i++ {
		out = append(out, Sample{T: e.at(15 * i), V: float64(i + 1)})
	}
	return out
}

// writeSteps writes steps of series, one batch a step.
func (w *writer) writeSteps(from, to int64, names ...string) {
	w.Helper()
	for i := from; i < to; i++ {
		var values []value
		for _, name := range names {
			values = append(values, value{name, float64(i + 1)})
		}
		w.write(w.at(15*i), values...)
	}
}

func deleteCases() []testCase {
	return []testCase{
		{"both ends of the range are deleted, and nothing beside", func(e *env) {
			w := e.open(storage.Open, "push")
			w.writeSteps(0, 10, "a", "b")
			if !e.delete(tenant.Default, e.at(30), e.at(60), isNamed("a")) {
				return
			}
			e.want(named("a", append(e.steps(0, 2), e.steps(5, 10)...)...), named("b", e.steps(0, 10)...))
		}},
		{"a series that has nothing left is found by nobody", func(e *env) {
			w := e.open(storage.Closed, "scrape")
			w.writeSteps(0, 4, "a", "b")
			if !e.delete(tenant.Default, e.at(-1000), e.at(1000), isNamed("a")) {
				return
			}
			e.want(named("b", e.steps(0, 4)...))
		}},
		{"without a matcher everything goes", func(e *env) {
			w := e.open(storage.Open, "push")
			w.writeSteps(0, 4, "a", "b")
			if !e.delete(tenant.Default, e.at(15), e.at(15)) {
				return
			}
			left := append(e.steps(0, 1), e.steps(2, 4)...)
			e.want(named("a", left...), named("b", left...))
		}},
		{"every matcher must match", func(e *env) {
			all := e.shop()
			ms := []*labels.Matcher{isNamed("http_requests"), labels.MustNewMatcher(labels.MatchRegexp, "code", "2..|404"), labels.MustNewMatcher(labels.MatchEqual, "path", "")}
			if !e.delete(tenant.Default, e.at(-10), e.at(9000), ms...) {
				return
			}
			var want []Series
			for _, s := range all {
				if !Matches(s.Labels, ms...) {
					want = append(want, s)
				}
			}
			e.want(want...)
		}},
		{"what nobody has is deleted with success", func(e *env) {
			w := e.open(storage.Open, "push")
			w.writeSteps(0, 2, "a")
			if e.delete(tenant.Default, e.at(0), e.at(1000), isNamed("nothing")) && e.delete("nobody", e.at(0), e.at(1000)) && e.delete(tenant.Default, e.at(2000), e.at(3000), isNamed("a")) {
				e.want(named("a", e.steps(0, 2)...))
			}
		}},
		{"another tenant keeps its own", func(e *env) {
			s := Series{Labels: Named("a"), Samples: e.steps(0, 3)}
			for _, id := range []tenant.ID{tenant.Default, "other"} {
				if err := Load(e.ctx, e.store, id, s); err != nil {
					e.Fatal(err)
				}
			}
			if !e.delete("other", e.at(0), e.at(1000)) {
				return
			}
			e.want(s)
			if got, err := ReadAll(e.ctx, e.store, "other"); err != nil || len(got) > 0 {
				e.Errorf("the tenant has %d series, error %v", len(got), err)
			}
		}},
		{"a view that was taken before has what it had", func(e *env) {
			w := e.open(storage.Open, "push")
			w.writeSteps(0, 4, "a")
			v := e.view()
			if !e.delete(tenant.Default, e.at(0), e.at(1000)) {
				return
			}
			got, err := Read(e.ctx, v, everything())
			if err != nil {
				e.Fatal(err)
			}
			if d := Diff([]Series{named("a", e.steps(0, 4)...)}, got); d != "" {
				e.Error(d)
			}
			e.want()
		}},
		{"what is written after a deletion is there, also in its range", func(e *env) {
			w := e.open(storage.Closed, "scrape")
			w.writeSteps(0, 4, "a", "b")
			if !e.delete(tenant.Default, e.at(0), e.at(1000), isNamed("a")) {
				return
			}
			// The closed group goes on with the value that it had.
			w.write(e.at(60), value{"b", 5})
			w.write(e.at(75), value{"a", 6}, value{"b", 6})
			e.want(
				named("a", Sample{T: e.at(60), V: 4}, Sample{T: e.at(75), V: 6}),
				named("b", e.steps(0, 6)...),
			)
		}},
		{"a sample that is sent once more after its deletion is refused, or there", func(e *env) {
			w := e.open(storage.Open, "push")
			w.writeSteps(0, 4, "a")
			if !e.delete(tenant.Default, e.at(0), e.at(1000)) {
				return
			}
			var want []Sample
			for i := range int64(4) {
				x := Sample{T: e.at(15 * i), V: float64(i + 1 + i%2)} // the same value, and another one
				if res := w.append(w.batch(x.T, value{"a", x.V})); len(res.Rejected) == 0 {
					want = append(want, x)
				}
			}
			if len(want) == 0 {
				e.want()
			} else {
				e.want(named("a", want...))
			}
		}},
		{"deletions add up, and survive a restart", func(e *env) {
			w := e.open(storage.Open, "push")
			w.writeSteps(0, 12, "a", "b")
			for _, r := range [][2]int64{{15, 30}, {90, 105}, {20, 50}} {
				if !e.delete(tenant.Default, e.at(r[0]), e.at(r[1]), isNamed("a")) {
					return
				}
			}
			w.writeSteps(12, 14, "a", "b")
			if err := w.g.Close(); err != nil {
				e.Fatal(err)
			}
			if e.h.Reopen != nil {
				e.store = e.h.Reopen(e.T, e.store)
			}
			a := append(e.steps(0, 1), e.steps(4, 6)...)
			e.want(named("a", append(a, e.steps(8, 14)...)...), named("b", e.steps(0, 14)...))
		}},
		{"a deletion whose context has ended is made or not", func(e *env) {
			w := e.open(storage.Open, "push")
			w.writeSteps(0, 4, "a")
			ctx, cancel := context.WithCancel(e.ctx)
			cancel()
			if err := e.store.Delete(ctx, tenant.Default, e.at(0), e.at(1000)); err == nil {
				e.want()
			} else if !errors.Is(err, storage.ErrUncertain) {
				e.want(named("a", e.steps(0, 4)...))
			}
		}},
	}
}

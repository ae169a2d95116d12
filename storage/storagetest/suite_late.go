package storagetest

import (
	"fmt"
	"slices"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/nilometer/nilometer/model/column"
	"github.com/nilometer/nilometer/model/tenant"
	"github.com/nilometer/nilometer/storage"
)

// lateCases are for engines with a window for late samples
// (Harness.LateWindow).
func lateCases() []testCase {
	return []testCase{
		{"a late sample is there at once, and in no view of before", func(e *env) {
			w := e.open(storage.Open, "push")
			w.write(e.at(0), value{"a", 1}, value{"b", 1})
			w.write(e.at(60), value{"a", 2}, value{"b", 2})
			before, err := e.store.View(e.ctx, tenant.Default)
			if err != nil {
				e.Fatal(err)
			}
			defer before.Close()
			if res := w.write(e.at(30), value{"a", 3}); res.Appended != 1 {
				e.Errorf("appended %d samples, want the late one", res.Appended)
			}
			e.want(
				named("a", Sample{T: e.at(0), V: 1}, Sample{T: e.at(30), V: 3}, Sample{T: e.at(60), V: 2}),
				named("b", Sample{T: e.at(0), V: 1}, Sample{T: e.at(60), V: 2}),
			)
			got, err := Read(e.ctx, before, everything())
			if err != nil {
				e.Fatal(err)
			}
			if n := len(got[0].Samples); n != 2 {
				e.Errorf("a view of before shows %d samples, want 2", n)
			}
		}},
		{"a late sample sent again changes nothing", func(e *env) {
			w := e.open(storage.Open, "push")
			w.write(e.at(60), value{"a", 2})
			w.write(e.at(30), value{"a", 3})
			for _, v := range []float64{3, 4} {
				res := w.append(w.batch(e.at(30), value{"a", v}))
				if len(res.Rejected) > 0 {
					e.rejection(res, 0, storage.ReasonConflict)
				}
			}
			e.want(named("a", Sample{T: e.at(30), V: 3}, Sample{T: e.at(60), V: 2}))
		}},
		{"a sample in order that was there as a late one changes nothing", func(e *env) {
			w, other := e.open(storage.Open, "push"), e.open(storage.Open, "other")
			w.write(e.at(60), value{"a", 2})
			w.write(e.at(30), value{"a", 3})
			res := other.append(other.batch(e.at(30), value{"a", 4}, value{"b", 5}))
			if len(res.Rejected) > 0 {
				e.rejection(res, 0, storage.ReasonConflict)
			}
			e.want(
				named("a", Sample{T: e.at(30), V: 3}, Sample{T: e.at(60), V: 2}),
				named("b", Sample{T: e.at(30), V: 5}),
			)
		}},
		{"scrapes bring nothing late", func(e *env) {
			w := e.open(storage.Closed, "scrape")
			w.write(e.at(0), value{"a", 1})
			w.write(e.at(60), value{"a", 2})
			e.rejection(w.append(w.batch(e.at(30), value{"a", 3})), 0, storage.ReasonOutOfOrder, storage.ReasonTooOld)
			spec := Spec(storage.Open, "timestamps")
			spec.Scraped = true
			s := e.openSpec(spec)
			e.rejection(s.append(s.batch(e.at(45), value{"a", 3})), 0, storage.ReasonOutOfOrder, storage.ReasonTooOld)
			e.want(named("a", Sample{T: e.at(0), V: 1}, Sample{T: e.at(60), V: 2}))
		}},
		{"a sample outside of the window is refused", func(e *env) {
			w := e.open(storage.Open, "push")
			last := e.at(60) + e.h.LateWindow.Milliseconds()
			w.write(last, value{"a", 1})
			w.write(e.at(60), value{"a", 2})
			e.rejection(w.append(w.batch(e.at(59), value{"a", 3})), 0, storage.ReasonOutOfOrder, storage.ReasonTooOld)
			e.want(named("a", Sample{T: e.at(60), V: 2}, Sample{T: last, V: 1}))
		}},
		{"the first sample of a series may be older than all others", func(e *env) {
			w := e.open(storage.Open, "push")
			w.write(e.at(7000), value{"a", 1})
			w.write(e.at(10), value{"new", 2})
			w.write(e.at(5), value{"new", 3})
			w.write(e.at(7100), value{"new", 4})
			e.want(named("a", Sample{T: e.at(7000), V: 1}), named("new", Sample{T: e.at(5), V: 3}, Sample{T: e.at(10), V: 2}, Sample{T: e.at(7100), V: 4}))
			names := func(s storage.Selection) []string {
				v, err := e.store.View(e.ctx, tenant.Default)
				if err != nil {
					e.Fatal(err)
				}
				defer v.Close()
				out, _, err := v.LabelValues(e.ctx, "__name__", s, 0)
				if err != nil {
					e.Fatal(err)
				}
				return out
			}
			s := everything()
			s.Matchers = []*labels.Matcher{labels.MustNewMatcher(labels.MatchRegexp, "__name__", "n.*")}
			if got := names(s); !slices.Equal(got, []string{"new"}) {
				e.Errorf("the names are %q", got)
			}
		}},
		{"a late stale marker ends its series there", func(e *env) {
			w := e.open(storage.Open, "push")
			w.write(e.at(0), value{"a", 1})
			w.write(e.at(60), value{"a", 2})
			w.write(e.at(15), value{"a", column.StaleNaN()})
			e.want(named("a", Sample{T: e.at(0), V: 1}, Sample{T: e.at(15), V: column.StaleNaN()}, Sample{T: e.at(60), V: 2}))
		}},
		{"a scraped series goes on after a late sample of somebody else", func(e *env) {
			w, push := e.open(storage.Closed, "scrape"), e.open(storage.Open, "push")
			w.write(e.at(0), value{"a", 1}, value{"b", 1})
			w.write(e.at(15), value{"a", 2})
			push.write(e.at(5), value{"a", 9})
			w.write(e.at(30), value{"b", 3})
			e.want(
				named("a", Sample{T: e.at(0), V: 1}, Sample{T: e.at(5), V: 9}, Sample{T: e.at(15), V: 2}, Sample{T: e.at(30), V: 2}),
				named("b", Sample{T: e.at(0), V: 1}, Sample{T: e.at(15), V: 1}, Sample{T: e.at(30), V: 3}),
			)
		}},
		{"a late histogram is like a late float", func(e *env) {
			if e.h.NoHistograms {
				return
			}
			w := e.open(storage.Open, "push")
			w.write(e.at(7000), value{"a", 1})
			late := []Sample{
				{T: e.at(10), H: IntHistogram(1), Start: e.at(2)}, {T: e.at(20), V: 2, Start: e.at(1)}, {T: e.at(30), H: FloatHistogram(3)},
				{T: e.at(40), V: column.StaleNaN()}, {T: e.at(50), H: CustomHistogram(4), Start: e.at(2)}, {T: e.at(60), H: IntHistogram(5)},
			}
			of := func(x Sample) *storage.Batch {
				return w.points(x.T, point{value: value{"a", x.V}, h: x.H, start: x.Start})
			}
			for i := range late {
				x := late[i*5%len(late)] // some order
				if res := w.append(of(x)); res.Appended != 1 {
					e.Errorf("%+v: %+v", x, res)
				}
			}
			want := named("a", append(slices.Clone(late), Sample{T: e.at(7000), V: 1})...)
			e.want(want)
			for _, x := range late {
				x.Start = 0 // no part of the value: the first one stays
				if res := w.append(of(x)); len(res.Rejected) > 0 {
					e.rejection(res, 0, storage.ReasonConflict)
				}
				x.V, x.H = 77, storage.Histogram{}
				if res := w.append(of(x)); len(res.Rejected) > 0 {
					e.rejection(res, 0, storage.ReasonConflict)
				}
				x.V, x.H = 0, IntHistogram(77)
				if res := w.append(of(x)); len(res.Rejected) > 0 {
					e.rejection(res, 0, storage.ReasonConflict)
				}
			}
			e.want(want)
			if err := w.g.Close(); err != nil {
				e.Fatal(err)
			}
			if e.h.Reopen != nil {
				e.store = e.h.Reopen(e.T, e.store)
			}
			e.want(want)
		}},
		{"late samples are there after a restart", func(e *env) {
			w := e.open(storage.Open, "push")
			var want []Series
			for k := range 5 {
				want = append(want, named(fmt.Sprint("s", k)))
			}
			for i := range int64(90) {
				at := e.at(40 * (i * 37 % 90)) // every order
				var values []value
				for k := range want {
					v := float64(i*7 + int64(k))
					values = append(values, value{fmt.Sprint("s", k), v})
					want[k].Samples = append(want[k].Samples, Sample{T: at, V: v})
				}
				w.write(at, values...)
			}
			for k := range want {
				slices.SortFunc(want[k].Samples, func(a, b Sample) int { return int(a.T - b.T) })
			}
			e.want(want...)
			if err := w.g.Close(); err != nil {
				e.Fatal(err)
			}
			if e.h.Reopen != nil {
				e.store = e.h.Reopen(e.T, e.store)
			}
			e.want(want...)
		}},
	}
}

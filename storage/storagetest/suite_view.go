package storagetest

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/util/annotations"

	"github.com/nilometer/nilometer/model/tenant"
	"github.com/nilometer/nilometer/storage"
)

// viewCases are about what a view holds on to, and how it ends.
func viewCases() []testCase {
	return []testCase{
		{"a scan goes on while the data moves", func(e *env) {
			all := e.shop()
			v := e.view()
			scan, err := v.Select(e.ctx, everything())
			if err != nil {
				e.Fatal(err)
			}
			defer scan.Close()
			w := e.open(storage.Open, "push")
			for i := range int64(5) {
				w.write(e.at(4000+10*i), value{"new", float64(i)})
			}
			got, err := ReadScan(e.ctx, scan, everything())
			if err != nil {
				e.Fatal(err)
			}
			if d := Diff(all, got); d != "" {
				e.Error(d)
			}
		}},
		{"chunks are valid until the view is closed", func(e *env) {
			all := e.shop()
			v := e.view()
			scan, err := v.Select(e.ctx, everything())
			if err != nil {
				e.Fatal(err)
			}
			var kept []storage.ColumnBatch // of batches that are reused: only chunk bytes stay
			var b storage.ColumnBatch
			for {
				ok, err := scan.Next(e.ctx, &b)
				if err != nil {
					e.Fatal(err)
				}
				if !ok {
					break
				}
				c := storage.ColumnBatch{Times: slices.Clone(b.Times), Tiles: slices.Clone(b.Tiles), Ranks: slices.Clone(b.Ranks), Chunks: slices.Clone(b.Chunks)}
				for i := range c.Chunks {
					c.Chunks[i].Runs, c.Chunks[i].Values = slices.Clone(c.Chunks[i].Runs), slices.Clone(c.Chunks[i].Values)
				}
				kept = append(kept, c)
			}
			if ok, err := scan.Next(e.ctx, &b); ok || err != nil {
				e.Errorf("after the end: %v, error %v", ok, err)
			}
			e.disturb()
			got, seen := make([]Series, scan.Series()), make([]bool, scan.Series())
			for i := range kept {
				if err := readBatch(&kept[i], everything(), got, seen); err != nil {
					e.Fatal(err)
				}
			}
			for i := range got {
				got[i].Labels = clone(scan.Labels(uint32(i)))
			}
			scan.Close()
			if d := Diff(all, got); d != "" {
				e.Error(d)
			}
		}},
		{"a view takes several selections at once", func(e *env) {
			all := e.shop()
			v := e.view()
			var wg sync.WaitGroup
			for name, ms := range selections() {
				wg.Go(func() {
					got, err := Read(e.ctx, v, storage.Selection{Matchers: ms, MinTime: e.at(-10), MaxTime: e.at(9000)})
					if err != nil {
						e.Errorf("%s: %s", name, err)
					} else if d := Diff(matchingOf(all, ms), got); d != "" {
						e.Errorf("%s: %s", name, d)
					}
				})
			}
			wg.Wait()
		}},
		{"a closed view refuses", func(e *env) {
			e.shop()
			v := e.view()
			v.Close()
			if scan, err := v.Select(e.ctx, everything()); err == nil {
				scan.Close()
				e.Error("it selects")
			}
			if _, _, err := v.Series(e.ctx, everything(), 0); err == nil {
				e.Error("it has series")
			}
		}},
		{"labels in a part of the time are those of who may have samples there", func(e *env) {
			all := e.shop()
			v := e.view()
			for _, c := range [][2]int64{{-10, 30}, {10, 100}, {1000, 9000}, {3600, 3600}, {5000, 9000}} {
				sel := storage.Selection{MinTime: e.at(c[0]), MaxTime: e.at(c[1])}
				var must []Series
				for _, s := range all {
					if len(between(s.Samples, sel.MinTime, sel.MaxTime)) > 0 {
						must = append(must, s)
					}
				}
				e.checkWithin(v, fmt.Sprintf("from %d s to %d s", c[0], c[1]), sel, must, all)
			}
		}},
		{"a limit's warning is ErrTruncated", func(e *env) {
			e.shop()
			v := e.view()
			for limit := 1; limit <= 9; limit++ {
				lsets, w, err := v.Series(e.ctx, everything(), limit)
				if err != nil || len(lsets) != min(limit, 8) || truncated(w) != (limit < 8) {
					e.Errorf("series with limit %d: %d, warnings %v, error %v", limit, len(lsets), w, err)
				}
				names, w, err := v.LabelNames(e.ctx, everything(), limit)
				if err != nil || len(names) != min(limit, 6) || truncated(w) != (limit < 6) {
					e.Errorf("names with limit %d: %q, warnings %v, error %v", limit, names, w, err)
				}
				values, w, err := v.LabelValues(e.ctx, "code", everything(), limit)
				if err != nil || len(values) != min(limit, 3) || truncated(w) != (limit < 3) {
					e.Errorf("values with limit %d: %q, warnings %v, error %v", limit, values, w, err)
				}
			}
		}},
		{"a label that no one has has no values", func(e *env) {
			e.shop()
			for _, name := range []string{"nothing", ""} {
				if values, w, err := e.view().LabelValues(e.ctx, name, everything(), 0); err != nil || len(values) > 0 || len(w) > 0 {
					e.Errorf("%q has the values %q, warnings %v, error %v", name, values, w, err)
				}
			}
		}},
		{"the ends of time may be asked for", func(e *env) {
			all := e.shop()
			for _, sel := range []storage.Selection{
				{MinTime: math.MinInt64, MaxTime: math.MaxInt64}, {MinTime: 0, MaxTime: math.MaxInt64}, {MinTime: math.MinInt64, MaxTime: e.at(9000)},
			} {
				got, err := Read(e.ctx, e.view(), sel)
				if err != nil {
					e.Fatal(err)
				}
				if d := Diff(all, got); d != "" {
					e.Errorf("from %d to %d: %s", sel.MinTime, sel.MaxTime, d)
				}
			}
		}},
	}
}

func truncated(w annotations.Annotations) bool {
	return slices.ContainsFunc(w.AsErrors(), func(err error) bool { return errors.Is(err, storage.ErrTruncated) })
}

// checkWithin compares the label API with the series that must be found, and
// those that may be.
func (e *env) checkWithin(v storage.View, name string, sel storage.Selection, must, may []Series) {
	e.Helper()
	within := func(what string, got []string, pick func(labels.Labels) []string) {
		if !slices.IsSorted(got) {
			e.Errorf("%s: %s %q are not sorted", name, what, got)
		}
		for _, s := range must {
			for _, x := range pick(s.Labels) {
				if !slices.Contains(got, x) {
					e.Errorf("%s: %s %q are without %q", name, what, got, x)
				}
			}
		}
		for _, x := range got {
			if !slices.ContainsFunc(may, func(s Series) bool { return slices.Contains(pick(s.Labels), x) }) {
				e.Errorf("%s: %s %q have %q, which is nobody's", name, what, got, x)
			}
		}
	}
	lsets, _, err := v.Series(e.ctx, sel, 0)
	if err != nil {
		e.Errorf("%s: %s", name, err)
	}
	if !slices.IsSortedFunc(lsets, labels.Compare) {
		e.Errorf("%s: series %v are not in label order", name, lsets)
	}
	for _, s := range must {
		if !slices.ContainsFunc(lsets, func(l labels.Labels) bool { return labels.Equal(l, s.Labels) }) {
			e.Errorf("%s: series %v are without %s", name, lsets, s.Labels)
		}
	}
	names, _, err := v.LabelNames(e.ctx, sel, 0)
	if err != nil {
		e.Errorf("%s: %s", name, err)
	}
	within("names", names, func(l labels.Labels) (out []string) {
		l.Range(func(x labels.Label) { out = append(out, x.Name) })
		return out
	})
	values, _, err := v.LabelValues(e.ctx, model.MetricNameLabel, sel, 0)
	if err != nil {
		e.Errorf("%s: %s", name, err)
	}
	within("values", values, func(l labels.Labels) []string {
		if x := l.Get(model.MetricNameLabel); x != "" {
			return []string{x}
		}
		return nil
	})
}

// endCases are about contexts that have ended and stores that were closed.
func endCases() []testCase {
	return []testCase{
		{"with a context that has ended everything answers or fails with its error", func(e *env) {
			e.shop()
			w := e.open(storage.Open, "push")
			b := w.batch(e.at(10_000), value{"a", 1})
			v := e.view()
			scan, err := v.Select(e.ctx, everything())
			if err != nil {
				e.Fatal(err)
			}
			defer scan.Close()
			ctx, cancel := context.WithCancel(e.ctx)
			cancel()
			calls := map[string]func() error{
				"open group": func() error {
					g, err := e.store.OpenGroup(ctx, tenant.Default, Spec(storage.Open, "another"))
					if err == nil {
						err = g.Close()
					}
					return err
				},
				"resolve": func() error {
					_, err := w.g.Resolve(ctx, []labels.Labels{Named("b")}, make([]storage.Resolution, 1))
					return err
				},
				"prepare": func() error {
					p, err := w.g.Prepare(ctx, b)
					if err == nil {
						p.Abort()
					}
					return err
				},
				"view": func() error {
					v, err := e.store.View(ctx, tenant.Default)
					if err == nil {
						v.Close()
					}
					return err
				},
				"select": func() error {
					s, err := v.Select(ctx, everything())
					if err == nil {
						s.Close()
					}
					return err
				},
				"next":         func() error { _, err := scan.Next(ctx, &storage.ColumnBatch{}); return err },
				"series":       func() error { _, _, err := v.Series(ctx, everything(), 0); return err },
				"label names":  func() error { _, _, err := v.LabelNames(ctx, everything(), 0); return err },
				"label values": func() error { _, _, err := v.LabelValues(ctx, "job", everything(), 0); return err },
				"estimate":     func() error { _, err := v.Estimate(ctx, everything()); return err },
			}
			for name, call := range calls {
				if err := call(); err != nil && !errors.Is(err, context.Canceled) {
					e.Errorf("%s ends with %v", name, err)
				}
			}
		}},
		{"a store that was closed says so", func(e *env) {
			w := e.open(storage.Open, "push")
			b := w.batch(e.at(0), value{"a", 1})
			w.append(b)
			if e.h.Reopen == nil {
				return
			}
			old := e.store
			if err := w.g.Close(); err != nil {
				e.Fatal(err)
			}
			g, err := old.OpenGroup(e.ctx, tenant.Default, Spec(storage.Open, "push"))
			if err != nil {
				e.Fatal(err)
			}
			e.store = e.h.Reopen(e.T, old)
			if _, err := old.OpenGroup(e.ctx, tenant.Default, Spec(storage.Open, "push")); !errors.Is(err, storage.ErrClosed) {
				e.Errorf("open group ends with %v, want ErrClosed", err)
			}
			if _, err := old.View(e.ctx, tenant.Default); !errors.Is(err, storage.ErrClosed) {
				e.Errorf("view ends with %v, want ErrClosed", err)
			}
			b.Time = e.at(15)
			if _, err := g.Append(e.ctx, b, storage.Logged); !errors.Is(err, storage.ErrClosed) && !errors.Is(err, storage.ErrGroupClosed) {
				e.Errorf("append ends with %v, want ErrClosed", err)
			}
			e.want(named("a", Sample{T: e.at(0), V: 1}))
		}},
		{"what was written before a restart goes on after it", func(e *env) {
			w := e.open(storage.Closed, "scrape")
			w.write(e.at(0), value{"a", 1}, value{"b", 2})
			if err := w.g.Close(); err != nil {
				e.Fatal(err)
			}
			if e.h.Reopen != nil {
				e.store = e.h.Reopen(e.T, e.store)
			}
			w = e.open(storage.Closed, "scrape")
			e.rejection(w.append(w.batch(e.at(0), value{"a", 7})), 0, storage.ReasonConflict, storage.ReasonTooOld, storage.ReasonOutOfOrder)
			// A new writer implies nothing of the one before.
			w.write(e.at(15), value{"a", 1})
			w.write(e.at(30))
			e.want(named("a", Sample{T: e.at(0), V: 1}, Sample{T: e.at(15), V: 1}, Sample{T: e.at(30), V: 1}), named("b", Sample{T: e.at(0), V: 2}))
		}},
	}
}

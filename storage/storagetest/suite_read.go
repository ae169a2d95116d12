package storagetest

import (
	"fmt"
	"slices"
	"sync"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/nilometer/nilometer/model/tenant"
	"github.com/nilometer/nilometer/storage"
)

// shop is a small data set with gaps in its labels.
func (e *env) shop() []Series {
	sample := func(v float64) []Sample { return []Sample{{T: e.at(0), V: v}, {T: e.at(60), V: v + 1}} }
	all := []Series{
		{labels.FromStrings("__name__", "http_requests", "code", "200", "instance", "a", "job", "web"), sample(1)},
		{labels.FromStrings("__name__", "http_requests", "code", "500", "instance", "a", "job", "web"), sample(2)},
		{labels.FromStrings("__name__", "http_requests", "code", "200", "instance", "b", "job", "web"), sample(3)},
		{labels.FromStrings("__name__", "http_requests", "code", "404", "instance", "b", "job", "api", "path", "/"), sample(4)},
		{labels.FromStrings("__name__", "up", "instance", "a", "job", "web"), sample(5)},
		{labels.FromStrings("__name__", "up", "instance", "b", "job", "api"), sample(6)},
		{labels.FromStrings("cluster", "x"), sample(7)},
		{labels.FromStrings("__name__", "late", "instance", "c"), []Sample{{T: e.at(3600), V: 1}}},
	}
	slices.SortFunc(all, func(a, b Series) int { return labels.Compare(a.Labels, b.Labels) })
	if err := Load(e.ctx, e.store, tenant.Default, all...); err != nil {
		e.Fatal(err)
	}
	e.disturb()
	return all
}

func (e *env) view() storage.View {
	e.Helper()
	v, err := e.store.View(e.ctx, tenant.Default)
	if err != nil {
		e.Fatal(err)
	}
	e.Cleanup(v.Close)
	return v
}

// selections are matchers of every kind, label present or not.
func selections() map[string][]*labels.Matcher {
	m := func(t labels.MatchType, name, value string) *labels.Matcher {
		return labels.MustNewMatcher(t, name, value)
	}
	return map[string][]*labels.Matcher{
		"all":                              nil,
		"equal":                            {m(labels.MatchEqual, "__name__", "up")},
		"equal to nothing there":           {m(labels.MatchEqual, "__name__", "nothing")},
		"a label that no one has":          {m(labels.MatchEqual, "zone", "1")},
		"equal to empty":                   {m(labels.MatchEqual, "path", "")},
		"equal to empty, no one has it":    {m(labels.MatchEqual, "zone", "")},
		"not equal":                        {m(labels.MatchNotEqual, "code", "200")},
		"not equal to empty":               {m(labels.MatchNotEqual, "code", "")},
		"not equal, no one has it":         {m(labels.MatchNotEqual, "zone", "1")},
		"regexp":                           {m(labels.MatchRegexp, "code", "2..|404")},
		"regexp that matches empty":        {m(labels.MatchRegexp, "code", "(2..)?")},
		"regexp that matches all":          {m(labels.MatchRegexp, "code", ".*")},
		"regexp that matches some value":   {m(labels.MatchRegexp, "code", ".+")},
		"regexp of a prefix":               {m(labels.MatchRegexp, "__name__", "http.*")},
		"regexp, no one has it":            {m(labels.MatchRegexp, "zone", ".+")},
		"not regexp":                       {m(labels.MatchNotRegexp, "code", "2..")},
		"not regexp that matches empty":    {m(labels.MatchNotRegexp, "code", "(2..)?")},
		"not regexp that matches all":      {m(labels.MatchNotRegexp, "code", ".*")},
		"two":                              {m(labels.MatchEqual, "job", "web"), m(labels.MatchNotEqual, "code", "500")},
		"two of one label":                 {m(labels.MatchRegexp, "code", ".+"), m(labels.MatchNotRegexp, "code", "5..")},
		"only negative ones":               {m(labels.MatchNotEqual, "job", "web"), m(labels.MatchNotEqual, "job", "api")},
		"contradiction":                    {m(labels.MatchEqual, "job", "web"), m(labels.MatchEqual, "job", "api")},
		"one that matches empty and one":   {m(labels.MatchEqual, "path", ""), m(labels.MatchEqual, "__name__", "http_requests")},
		"a value that has regexp's letter": {m(labels.MatchEqual, "path", "/")},
	}
}

func matchingOf(all []Series, ms []*labels.Matcher) []Series {
	var out []Series
	for _, s := range all {
		if Matches(s.Labels, ms...) {
			out = append(out, s)
		}
	}
	return out
}

func readCases() []testCase {
	return []testCase{
		{"matchers", func(e *env) {
			all := e.shop()
			v := e.view()
			for name, ms := range selections() {
				got, err := Read(e.ctx, v, storage.Selection{Matchers: ms, MinTime: e.at(-10), MaxTime: e.at(9000)})
				if err != nil {
					e.Errorf("%s: %s", name, err)
				}
				if d := Diff(matchingOf(all, ms), got); d != "" {
					e.Errorf("%s: %s", name, d)
				}
			}
		}},
		{"both ends of a range are included", func(e *env) {
			w := e.open(storage.Closed, "scrape")
			for i := range int64(5) {
				w.write(e.at(10*i), value{"a", float64(i)})
			}
			v := e.view()
			for _, c := range []struct{ from, to, first, last int64 }{
				{0, 40, 0, 4}, {10, 30, 1, 3}, {11, 29, 2, 2}, {20, 20, 2, 2}, {-100, 0, 0, 0}, {40, 100, 4, 4},
			} {
				got, err := Read(e.ctx, v, storage.Selection{MinTime: e.at(c.from), MaxTime: e.at(c.to)})
				if err != nil {
					e.Fatal(err)
				}
				var want []Sample
				for i := c.first; i <= c.last; i++ {
					want = append(want, Sample{T: e.at(10 * i), V: float64(i)})
				}
				if d := Diff([]Series{named("a", want...)}, got); d != "" {
					e.Errorf("from %d s to %d s: %s", c.from, c.to, d)
				}
			}
			for _, c := range [][2]int64{{-100, -1}, {41, 100}, {11, 19}, {30, 10}} {
				got, err := Read(e.ctx, v, storage.Selection{MinTime: e.at(c[0]), MaxTime: e.at(c[1])})
				if err != nil || len(got) > 0 {
					e.Errorf("from %d s to %d s: %d series, error %v", c[0], c[1], len(got), err)
				}
			}
		}},
		{"a view stays as it was", func(e *env) {
			w := e.open(storage.Closed, "scrape")
			w.write(e.at(0), value{"a", 1}, value{"b", 1})
			old := e.view()
			w.write(e.at(15), value{"a", 2}, value{"c", 3})
			got, err := Read(e.ctx, old, everything())
			if err != nil {
				e.Fatal(err)
			}
			if d := Diff([]Series{named("a", Sample{T: e.at(0), V: 1}), named("b", Sample{T: e.at(0), V: 1})}, got); d != "" {
				e.Error(d)
			}
			old.Close()
			old.Close()
			e.want(
				named("a", Sample{T: e.at(0), V: 1}, Sample{T: e.at(15), V: 2}),
				named("b", Sample{T: e.at(0), V: 1}, Sample{T: e.at(15), V: 1}),
				named("c", Sample{T: e.at(15), V: 3}),
			)
		}},
		{"labels of a rank", func(e *env) {
			e.shop()
			scan, err := e.view().Select(e.ctx, everything())
			if err != nil {
				e.Fatal(err)
			}
			defer scan.Close()
			if scan.Series() == 0 {
				e.Fatal("the scan has no series")
			}
			for rank := range uint32(scan.Series()) {
				lset := scan.Labels(rank)
				for _, name := range []string{"__name__", "code", "cluster", "nothing"} {
					if got := scan.LabelValue(rank, name); got != lset.Get(name) {
						e.Errorf("label %s of %s is %q", name, lset, got)
					}
				}
			}
		}},
		{"several goroutines share a scan", func(e *env) {
			var all []Series
			for i := range 60 {
				all = append(all, Series{labels.FromStrings("__name__", "m", "instance", fmt.Sprintf("%02d", i)), []Sample{{T: e.at(0), V: float64(i)}}})
			}
			if err := Load(e.ctx, e.store, tenant.Default, all...); err != nil {
				e.Fatal(err)
			}
			e.disturb()
			e.readInParallel(all)
		}},
		{"label names, values and series", func(e *env) {
			all := e.shop()
			v := e.view()
			for name, ms := range selections() {
				e.checkLabels(v, name, storage.Selection{Matchers: ms, MinTime: e.at(-10), MaxTime: e.at(9000)}, matchingOf(all, ms))
			}
		}},
		{"a limit cuts and warns", func(e *env) {
			e.shop()
			v := e.view()
			names, w, err := v.LabelNames(e.ctx, everything(), 2)
			if err != nil || len(names) != 2 || len(w) == 0 {
				e.Errorf("names %q, warnings %v, error %v", names, w, err)
			}
			values, w, err := v.LabelValues(e.ctx, "code", everything(), 2)
			if err != nil || len(values) != 2 || len(w) == 0 {
				e.Errorf("values %q, warnings %v, error %v", values, w, err)
			}
			lsets, w, err := v.Series(e.ctx, everything(), 2)
			if err != nil || len(lsets) != 2 || len(w) == 0 {
				e.Errorf("series %v, warnings %v, error %v", lsets, w, err)
			}
			if _, w, err := v.LabelValues(e.ctx, "code", everything(), 3); err != nil || len(w) > 0 {
				e.Errorf("a limit that is just enough: warnings %v, error %v", w, err)
			}
		}},
		{"an estimate covers the series that there are", func(e *env) {
			all := e.shop()
			v := e.view()
			for name, ms := range selections() {
				est, err := v.Estimate(e.ctx, storage.Selection{Matchers: ms, MinTime: e.at(-10), MaxTime: e.at(9000)})
				if err != nil {
					e.Fatal(err)
				}
				samples := 0
				found := matchingOf(all, ms)
				for _, s := range found {
					samples += len(s.Samples)
				}
				if est.Series < int64(len(found)) || samples > 0 && est.Samples <= 0 {
					e.Errorf("%s: the estimate is %+v for %d series with %d samples", name, est, len(found), samples)
				}
			}
		}},
	}
}

// checkLabels compares the label API with the series that match.
func (e *env) checkLabels(v storage.View, name string, sel storage.Selection, found []Series) {
	e.Helper()
	var names, codes []string
	var lsets []labels.Labels
	for _, s := range found {
		lsets = append(lsets, s.Labels)
		s.Labels.Range(func(l labels.Label) {
			names = append(names, l.Name)
			if l.Name == "code" {
				codes = append(codes, l.Value)
			}
		})
	}
	slices.Sort(names)
	slices.Sort(codes)
	names, codes = slices.Compact(names), slices.Compact(codes)
	if got, w, err := v.LabelNames(e.ctx, sel, 0); err != nil || !slices.Equal(got, names) || len(w) > 0 {
		e.Errorf("%s: names %q, want %q; warnings %v, error %v", name, got, names, w, err)
	}
	if got, w, err := v.LabelValues(e.ctx, "code", sel, 0); err != nil || !slices.Equal(got, codes) || len(w) > 0 {
		e.Errorf("%s: values %q, want %q; warnings %v, error %v", name, got, codes, w, err)
	}
	if got, w, err := v.Series(e.ctx, sel, 0); err != nil || !slices.EqualFunc(got, lsets, labels.Equal) || len(w) > 0 {
		e.Errorf("%s: series %v, want %v; warnings %v, error %v", name, got, lsets, w, err)
	}
}

// readInParallel takes the batches of one scan from four goroutines.
func (e *env) readInParallel(want []Series) {
	e.Helper()
	sel := everything()
	scan, err := e.view().Select(e.ctx, sel)
	if err != nil {
		e.Fatal(err)
	}
	defer scan.Close()
	got := make([]Series, scan.Series())
	seen := make([]bool, len(got))
	var mu sync.Mutex
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			var b storage.ColumnBatch
			for {
				ok, err := scan.Next(e.ctx, &b)
				if err == nil && ok {
					mu.Lock()
					err = readBatch(&b, sel, got, seen)
					mu.Unlock()
				}
				if err != nil {
					e.Error(err)
				}
				if err != nil || !ok {
					return
				}
			}
		})
	}
	wg.Wait()
	for i := range got {
		got[i].Labels = scan.Labels(uint32(i))
	}
	if d := Diff(want, got); d != "" {
		e.Error(d)
	}
}

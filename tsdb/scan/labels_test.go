package scan_test

import (
	"context"
	"slices"
	"testing"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/nilometer/nilometer/storage"
	"github.com/nilometer/nilometer/tsdb/part"
	"github.com/nilometer/nilometer/tsdb/part/parttest"
	"github.com/nilometer/nilometer/tsdb/scan"
)

func twoParts() []part.Part {
	p, q := parttest.New("p"), parttest.New("q")
	c, d := p.Regular(0, 10, 5), q.Regular(1000, 10, 5)
	p.Samples(labels.FromStrings("__name__", "a", "x", "1"), c, every(0, 10, 5, 1)...)
	p.Samples(labels.FromStrings("__name__", "b", "y", "2"), c, every(0, 10, 5, 1)...)
	q.Samples(labels.FromStrings("__name__", "a", "x", "1"), d, every(1000, 10, 5, 1)...)
	q.Samples(labels.FromStrings("__name__", "a", "z", "3"), d, every(1000, 10, 5, 1)...)
	return []part.Part{p, q}
}

func TestLabels(t *testing.T) {
	named := labels.MustNewMatcher(labels.MatchEqual, "__name__", "a")
	cases := []struct {
		name          string
		sel           storage.Selection
		limit         int
		names, values []string // values of __name__
		series        []string
		estimate      storage.Estimate
		warned        bool
	}{
		{
			"everything", storage.Selection{MaxTime: 5000}, 0,
			[]string{"__name__", "x", "y", "z"},
			[]string{"a", "b"},
			[]string{`{__name__="a", x="1"}`, `{__name__="a", z="3"}`, `{__name__="b", y="2"}`},
			storage.Estimate{Series: 3, Samples: 20, Bytes: 40}, false,
		},
		{
			"a matcher", storage.Selection{MaxTime: 5000, Matchers: []*labels.Matcher{named}}, 0,
			[]string{"__name__", "x", "z"},
			[]string{"a"},
			[]string{`{__name__="a", x="1"}`, `{__name__="a", z="3"}`},
			storage.Estimate{Series: 2, Samples: 15, Bytes: 30}, false,
		},
		{
			"a range", storage.Selection{MinTime: 500, MaxTime: 5000}, 0,
			[]string{"__name__", "x", "z"},
			[]string{"a"},
			[]string{`{__name__="a", x="1"}`, `{__name__="a", z="3"}`},
			storage.Estimate{Series: 2, Samples: 10, Bytes: 20}, false,
		},
		{
			"a limit", storage.Selection{MaxTime: 5000}, 1,
			[]string{"__name__"},
			[]string{"a"},
			[]string{`{__name__="a", x="1"}`},
			storage.Estimate{Series: 3, Samples: 20, Bytes: 40}, true,
		},
		{
			"a range without samples", storage.Selection{MinTime: 100, MaxTime: 200}, 0,
			nil, nil, nil, storage.Estimate{}, false,
		},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			ctx := context.Background()
			names, w, err := scan.LabelNames(ctx, twoParts(), c.sel, c.limit)
			if err != nil || !slices.Equal(names, c.names) || (len(w) > 0) != c.warned {
				t.Errorf("names %q, warnings %v, error %v; want %q", names, w, err, c.names)
			}
			values, w, err := scan.LabelValues(ctx, twoParts(), "__name__", c.sel, c.limit)
			if err != nil || !slices.Equal(values, c.values) || (len(w) > 0) != c.warned {
				t.Errorf("values %q, warnings %v, error %v; want %q", values, w, err, c.values)
			}
			lsets, w, err := scan.Series(ctx, twoParts(), c.sel, c.limit)
			var series []string
			for _, l := range lsets {
				series = append(series, l.String())
			}
			if err != nil || !slices.Equal(series, c.series) || (len(w) > 0) != c.warned {
				t.Errorf("series %q, warnings %v, error %v; want %q", series, w, err, c.series)
			}
			f, err := scan.Find(ctx, twoParts(), c.sel)
			if err != nil {
				t.Fatal(err)
			}
			e, err := f.Estimate(ctx)
			if err != nil || e != c.estimate {
				t.Errorf("estimate %+v, error %v; want %+v", e, err, c.estimate)
			}
		})
	}
}

package promql_test

import (
	"context"
	"testing"
	"time"

	"github.com/nilometer/nilometer/model/tenant"
	"github.com/nilometer/nilometer/promql"
	"github.com/nilometer/nilometer/storage"
)

// TestRowsBelowAggregations: a query of which an aggregation leaves little is
// evaluated piece by piece where its rows would be many at one time, and is not
// refused for what it would have taken at once. What it answers is the same.
func TestRowsBelowAggregations(t *testing.T) {
	y := newYardstick(t, 10, 10, 960)
	q := y.query()
	q.Expr, q.Step = `quantile by (job) (0.9, rate(x_total[5m]))`, 15*time.Second
	ask := func(o promql.Options) (*promql.Result, error) {
		o.CacheMaxBytes = -1
		return newEngine(t, o).Range(context.Background(), estimatingReader{yardReader{y: y}}, tenant.Default, q)
	}
	want, err := ask(promql.Options{SplitInterval: -1})
	if err != nil {
		t.Fatal(err)
	}
	got, err := ask(promql.Options{HeldPoints: 1})
	if err != nil {
		t.Fatal(err)
	}
	if d := exactlyDifferent(got, want); d != "" {
		t.Error(d)
	}
	if a, b := got.Stats.MemoryPeakBytes, want.Stats.MemoryPeakBytes; a*3 > b {
		t.Errorf("%d bytes in pieces, %d at once", a, b)
	}
	const limit = 40_000 // points, of 96,000
	if _, err := ask(promql.Options{SplitInterval: -1, SamplesMax: limit}); err == nil {
		t.Error("what is over the limit at once is not refused")
	}
	if _, err := ask(promql.Options{HeldPoints: 1, SamplesMax: limit}); err != nil {
		t.Error(err)
	}
	q.Expr = `rate(x_total[5m])` // all of it is the answer
	if _, err := ask(promql.Options{HeldPoints: 1, SamplesMax: limit}); err == nil {
		t.Error("an answer over the limit is not refused")
	}
}

// estimatingReader knows what a selection has.
type estimatingReader struct{ yardReader }

func (r estimatingReader) View(context.Context, tenant.ID) (storage.View, error) {
	return estimatingView{yardView{y: r.y}}, nil
}

type estimatingView struct{ yardView }

func (v estimatingView) Estimate(_ context.Context, sel storage.Selection) (storage.Estimate, error) {
	n := int64(len(v.y.labels))
	return storage.Estimate{Series: n, Samples: n * (sel.MaxTime - sel.MinTime) / 15_000}, nil
}

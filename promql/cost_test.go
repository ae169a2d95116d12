package promql_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/nilometer/nilometer/model/tenant"
	"github.com/nilometer/nilometer/promql"
	"github.com/nilometer/nilometer/promql/plan"
	"github.com/nilometer/nilometer/storage"
	"github.com/nilometer/nilometer/storage/storagetest"
)

// unread is a reader whose views estimate, and fail the test when they are read.
type unread struct {
	storage.Reader
	t        *testing.T
	estimate storage.Estimate
}

func (r unread) View(context.Context, tenant.ID) (storage.View, error) { return unreadView{r: r}, nil }

type unreadView struct {
	storage.View
	r unread
}

func (v unreadView) Estimate(context.Context, storage.Selection) (storage.Estimate, error) {
	return v.r.estimate, nil
}

func (v unreadView) Select(context.Context, storage.Selection) (storage.Scan, error) {
	v.r.t.Error("the query was begun")
	return nil, errors.New("begun")
}

func (unreadView) Close() {}

// TestEstimateRefuses: what is expected to go over a limit reads nothing.
func TestEstimateRefuses(t *testing.T) {
	start := time.UnixMilli(dataStart)
	day := func(expr string, step time.Duration) promql.Query {
		return promql.Query{Expr: expr, Start: start, End: start.Add(24 * time.Hour), Step: step}
	}
	for _, c := range []struct {
		name     string
		q        promql.Query
		estimate storage.Estimate
		options  promql.Options
		want     string
	}{
		{"samples to read", day(`sum(rate(x[5m]))`, time.Minute), storage.Estimate{Series: 10, Samples: 5000}, promql.Options{ReadSamplesMax: 2000}, "2000 samples to read: it is expected to need about 5000"},
		{"rows", day(`rate(x[5m])`, time.Minute), storage.Estimate{Series: 1000, Samples: 5_760_000}, promql.Options{SamplesMax: 700_000}, "samples in memory: it is expected to need about 1441000"},
		{"selections together", day(`sum(x) / sum(y)`, time.Minute), storage.Estimate{Series: 10, Samples: 3000}, promql.Options{ReadSamplesMax: 2000}, "about 6000"},
		{"subquery", promql.Query{Expr: `max_over_time(x[30d:1s])`, Time: start}, storage.Estimate{Series: 1000, Samples: 172_800_000}, promql.Options{StepsMax: 10_000_000}, "samples in memory"},
	} {
		t.Run(c.name, func(t *testing.T) {
			e := newEngine(t, whole(c.options))
			r := unread{t: t, estimate: c.estimate}
			ask := e.Range
			if c.q.Step == 0 {
				ask = e.Instant
			}
			_, err := ask(t.Context(), r, tenant.Default, c.q)
			var limit *promql.LimitError
			if !errors.As(err, &limit) || !limit.Estimate || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("error %v, want %q", err, c.want)
			}
			x, err := e.Plan(t.Context(), r, tenant.Default, c.q)
			if err != nil || x.Refusal != limit.Error() {
				t.Errorf("explained as %+v, %v", x, err)
			}
		})
	}
}

// TestEstimateIsDoubted: an estimate that is at most twice the limit refuses
// nothing.
func TestEstimateIsDoubted(t *testing.T) {
	ours := memory(t, generate(1, 2, 100), storagetest.MemoryOptions{})
	start := time.UnixMilli(dataStart)
	q := promql.Query{Expr: `sum(depth)`, Start: start, End: start.Add(2 * time.Hour), Step: time.Minute}
	res, err := newEngine(t, promql.Options{ReadSamplesMax: 150}).Range(t.Context(), ours, tenant.Default, q)
	if err != nil {
		t.Fatal(err)
	}
	res.Close()
}

// TestTrace: every operator that was evaluated on its own says what it did.
func TestTrace(t *testing.T) {
	ours := memory(t, generate(1, 3, 100), storagetest.MemoryOptions{})
	q := promql.Query{Expr: `sum by (job) (rate(requests_total[5m])) / on (job) count by (job) (up)`, Time: time.UnixMilli(dataStart + 1_200_000), Trace: true}
	e := newEngine(t, promql.Options{})
	res, err := e.Instant(t.Context(), ours, tenant.Default, q)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Close()
	top := res.Trace
	if top.Operator != "Binary" || len(top.Inputs) != 2 || top.Trace == nil || top.Trace.Evaluations != 1 || top.Trace.Series != 1 || top.Trace.SamplesRead != res.Stats.SamplesRead {
		t.Errorf("the trace is\n%s", top.Text())
	}
	left := top.Inputs[0]
	if left.Operator != "Aggregate" || left.Trace == nil || left.Trace.Points != 2 || left.Trace.SeriesSelected == 0 || left.Trace.Seconds > top.Trace.Seconds {
		t.Errorf("the trace is\n%s", top.Text())
	}
	estimates := 0
	var visit func(*plan.Tree)
	visit = func(n *plan.Tree) {
		if n.Estimate != nil && n.Estimate.Series > 0 {
			estimates++
		}
		for _, in := range n.Inputs {
			visit(in)
		}
	}
	visit(top)
	if estimates != 2 {
		t.Errorf("%d selections have an estimate:\n%s", estimates, top.Text())
	}
	q.Trace = false
	plain, err := e.Instant(t.Context(), ours, tenant.Default, q)
	if err != nil || plain.Trace != nil {
		t.Errorf("trace %v, %v", plain.Trace, err)
	}
	plain.Close()
}

package exec

import (
	"context"
	"time"

	"github.com/nilometer/nilometer/promql/function"
	"github.com/nilometer/nilometer/promql/plan"
)

// Traces are what the operators of a plan did. One goroutine uses them: that of
// the run.
type Traces map[plan.Node]*plan.Trace

// traced evaluates n and notes what that took.
func (r *Run) traced(ctx context.Context, n plan.Node, g function.Grid) (Matrix, error) {
	before, began := r.Stats(), time.Now()
	m, err := r.evalNode(ctx, n, g)
	after := r.Stats()
	t := r.q.Traces[n]
	if t == nil {
		t = &plan.Trace{}
		r.q.Traces[n] = t
	}
	t.Seconds += time.Since(began).Seconds()
	t.Evaluations++
	t.Series += int64(len(m.Rows))
	for i := range m.Rows {
		t.Points += int64(m.Rows[i].Present.Count(len(m.Rows[i].V)))
	}
	t.SeriesSelected += after.SeriesSelected - before.SeriesSelected
	t.SamplesRead += after.SamplesRead - before.SamplesRead
	t.PeakBytes = r.q.Budget.PeakBytes()
	return m, err
}

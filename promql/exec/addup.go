package exec

import (
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/util/annotations"

	"github.com/nilometer/nilometer/promql/function"
	"github.com/nilometer/nilometer/promql/plan"
)

func anyHistograms(rows []Row, members []int32) bool {
	for _, i := range members {
		if rows[i].H != nil {
			return true
		}
	}
	return false
}

// total is the sum or mean of one group at one step. Floats and histograms
// have none together.
type total struct {
	floats function.Mean
	sum    float64
	carry  float64
	hists  function.HistogramSum
	// hasFloats and hasHistograms are what came; broken: layouts do not go
	// together, whatever follows.
	hasFloats, hasHistograms, broken bool
	name                             string // of the series that broke it
}

func (t *total) addFloat(v float64, mean bool) {
	switch {
	case mean:
		t.floats.Add(v)
	case !t.hasFloats:
		t.sum = v
	default:
		t.sum, t.carry = function.Add(v, t.sum, t.carry)
	}
	t.hasFloats = true
}

// addHistogram reports whether the sum goes on.
func (t *total) addHistogram(h *histogram.FloatHistogram, mean bool) bool {
	first := !t.hasHistograms && !t.hasFloats
	t.hasHistograms = true
	switch {
	case !first && t.hists.Empty():
		return true // floats came first: there is no sum any more
	case mean:
		return t.hists.AddToMean(h)
	}
	return t.hists.Add(h)
}

// addUp computes sum or avg of a group with histograms in it, with upstream's
// annotations.
func (r *Run) addUp(n *plan.Aggregate, g function.Grid, in []Row, members []int32) groupRow {
	mean := n.Op == parser.AVG
	totals := make([]*total, g.Steps)
	for _, i := range members {
		row := &in[i]
		for j, v := range row.V {
			if !row.Present.Has(j) {
				continue
			}
			t := totals[row.First+j]
			if t == nil {
				t = &total{}
				totals[row.First+j] = t
			}
			h := row.histogram(j)
			switch {
			case t.broken:
			case h == nil:
				t.addFloat(v, mean)
			case !t.addHistogram(h, mean):
				t.broken = true
				t.name = row.Labels.Get(model.MetricNameLabel)
			}
		}
	}
	out := groupRow{v: make([]float64, g.Steps), h: make([]*histogram.FloatHistogram, g.Steps), present: newBits(g.Steps)}
	for step, t := range totals {
		if t != nil && r.endTotal(n, t, &out, step) {
			out.present.set(step)
		}
	}
	return out
}

// endTotal puts a total into its place and reports whether there is one.
func (r *Run) endTotal(n *plan.Aggregate, t *total, out *groupRow, step int) bool {
	pos := n.Input.Pos()
	if t.hists.Remarks&function.ReconciledSum != 0 {
		r.annotate(annotations.NewMismatchedCustomBucketsHistogramsInfo(pos, annotations.HistogramAgg))
	}
	if t.broken && t.hists.Remarks&function.MixedSchemas != 0 {
		r.annotate(annotations.NewMixedExponentialCustomHistogramsWarning(t.name, pos))
	}
	switch {
	case t.hasFloats && t.hasHistograms:
		r.annotate(annotations.NewMixedFloatsHistogramsAggWarning(pos))
		return false
	case t.broken:
		return false
	case t.hasHistograms && n.Op == parser.AVG:
		out.h[step] = t.hists.Mean().Compact(0)
	case t.hasHistograms:
		out.h[step] = t.hists.Sum().Compact(0)
	case n.Op == parser.AVG:
		out.v[step] = t.floats.Value()
	default:
		out.v[step] = function.Total(t.sum, t.carry)
	}
	if t.hists.Collided() {
		r.annotate(annotations.NewHistogramCounterResetCollisionWarning(pos, annotations.HistogramAgg))
	}
	return true
}

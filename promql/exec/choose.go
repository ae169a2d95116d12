package exec

import (
	"container/heap"
	"context"
	"math"
	"sort"

	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/promql/parser/posrange"
	"github.com/prometheus/prometheus/util/annotations"

	"github.com/nilometer/nilometer/promql/function"
	"github.com/nilometer/nilometer/promql/plan"
)

// Bounds of what a scalar can be as a number of series.
const (
	kMin = -9223372036854775808
	kMax = 9223372036854774784
)

// choose evaluates the aggregations that return some of their input: topk,
// bottomk, limitk, limit_ratio. It takes in over.
func (r *Run) choose(ctx context.Context, n *plan.Aggregate, g function.Grid, in Matrix, params []float64, groupOf []int32, groups int) (Matrix, error) {
	none, err := r.checkChoice(n, params)
	if err != nil || none {
		r.release(in)
		return Matrix{Grid: g}, err
	}
	if n.Op == parser.TOPK || n.Op == parser.BOTTOMK {
		r.ignoreHistograms(n, &in, params, n.Pos())
	}
	c := &chooser{op: n.Op, rows: in.Rows, groupOf: groupOf, groups: make([][]Row, groups)}
	if g.Steps == 1 {
		out := Matrix{Grid: g, held: in.held, heldBytes: in.heldBytes}
		for _, chosen := range c.step(0, params[0]) {
			out.Rows = append(out.Rows, chosen...)
		}
		for i := range out.Rows {
			out.Rows[i].First, out.Rows[i].Present = 0, nil
		}
		return out, nil
	}
	keep := make([]Bits, len(in.Rows))
	for step := range g.Steps {
		if err := r.core.pause(ctx); err != nil {
			return Matrix{}, err
		}
		for _, chosen := range c.step(step, params[step]) {
			for _, row := range chosen {
				i := row.First // the candidate's index, see candidates
				if keep[i] == nil {
					keep[i] = newBits(len(in.Rows[i].V))
				}
				keep[i].set(step - in.Rows[i].First)
			}
		}
	}
	kept := in.Rows[:0]
	for i, row := range in.Rows {
		if keep[i] != nil {
			row.Present = keep[i]
			kept = append(kept, row)
		}
	}
	in.Rows = kept
	return in, nil
}

// ignoreHistograms removes the histograms from the input of an aggregation of
// floats, with upstream's info at pos if there is one at a step at which the
// aggregation looks at its input: with params (nil for none) of at least 1.
// Rows may end up without any value, but keep their places.
func (r *Run) ignoreHistograms(n *plan.Aggregate, in *Matrix, params []float64, pos posrange.PositionRange) {
	ignored := false
	for i := range in.Rows {
		row := &in.Rows[i]
		for j, h := range row.H {
			if h == nil || !row.Present.Has(j) {
				continue
			}
			ignored = ignored || params == nil || params[row.First+j] >= 1
			if row.Present == nil {
				row.Present = newBits(len(row.V))
				row.Present.setAll(len(row.V))
			}
			row.Present.clearBit(j)
		}
		row.H = nil
	}
	if ignored {
		r.annotate(annotations.NewHistogramIgnoredInAggregationInfo(n.Op.String(), pos))
	}
}

// checkChoice looks at the parameters of all steps. none: nothing is chosen.
func (r *Run) checkChoice(n *plan.Aggregate, params []float64) (none bool, err error) {
	lo, hi, nan := extent(params)
	if n.Op == parser.LIMIT_RATIO {
		switch {
		case hi == 0 && lo == 0:
			return true, nil
		case nan:
			return false, plan.Errorf("Ratio value is NaN")
		}
		if hi > 1 {
			r.annotate(annotations.NewInvalidRatioWarning(hi, 1, n.Param.Pos()))
		}
		if lo < -1 {
			r.annotate(annotations.NewInvalidRatioWarning(lo, -1, n.Param.Pos()))
		}
		return false, nil
	}
	switch {
	case hi < 1:
		return true, nil
	case nan:
		return false, plan.Errorf("Parameter value is NaN")
	case lo <= kMin:
		return false, plan.Errorf("Scalar value %v underflows int64", lo)
	case hi >= kMax:
		return false, plan.Errorf("Scalar value %v overflows int64", hi)
	}
	return false, nil
}

// chooser chooses step by step. Its candidates are rows of one value whose
// First is the index of the input row.
type chooser struct {
	op      parser.ItemType
	rows    []Row
	groupOf []int32
	groups  [][]Row
	values  []float64
}

// step returns the candidates chosen at a step, by group, in upstream's order.
func (c *chooser) step(step int, param float64) [][]Row {
	for i := range c.groups {
		c.groups[i] = c.groups[i][:0]
	}
	k := 0
	if c.op != parser.LIMIT_RATIO {
		if k = int(min(int64(param), int64(len(c.rows)))); k < 1 {
			return nil
		}
	}
	// Candidates keep pointers to their value while the step lasts.
	c.values = append(c.values[:0], make([]float64, len(c.rows))...)
	for i := range c.rows {
		v, ok := c.rows[i].At(step)
		if !ok {
			continue
		}
		c.values[i] = v
		cand := Row{Labels: c.rows[i].Labels, DropName: c.rows[i].DropName, rank: c.rows[i].rank, First: i, V: c.values[i : i+1 : i+1]}
		if h := c.rows[i].Histogram(step); h != nil {
			cand.H = []*histogram.FloatHistogram{h}
		}
		group := &c.groups[c.groupOf[i]]
		switch c.op {
		case parser.TOPK:
			if worst, full := *group, len(*group) == k; !full {
				pushRow((*ascendingHeap)(group), cand)
			} else if t := worst[0].V[0]; t < v || (math.IsNaN(t) && !math.IsNaN(v)) {
				worst[0] = cand
				heap.Fix((*ascendingHeap)(group), 0)
			}
		case parser.BOTTOMK:
			if worst, full := *group, len(*group) == k; !full {
				pushRow((*descendingHeap)(group), cand)
			} else if t := worst[0].V[0]; t > v || (math.IsNaN(t) && !math.IsNaN(v)) {
				worst[0] = cand
				heap.Fix((*descendingHeap)(group), 0)
			}
		case parser.LIMITK:
			if len(*group) < k {
				pushRow((*ascendingHeap)(group), cand)
			}
		case parser.LIMIT_RATIO:
			if inRatio(param, cand) {
				pushRow((*ascendingHeap)(group), cand)
			}
		}
	}
	for _, group := range c.groups {
		switch {
		case len(group) < 2:
		case c.op == parser.TOPK:
			sort.Sort(sort.Reverse(ascending(group)))
		case c.op == parser.BOTTOMK:
			sort.Sort(sort.Reverse(descending(group)))
		}
	}
	return c.groups
}

// inRatio: labels hash to a number between 0 and 1; a positive ratio takes
// those below it, a negative one the complement.
func inRatio(ratio float64, row Row) bool {
	ratio = math.Max(-1, math.Min(1, ratio))
	if ratio == 0 {
		return false
	}
	at := float64(row.Labels.Hash()) / float64(math.MaxUint64)
	if ratio > 0 {
		return at < ratio
	}
	return at >= 1+ratio
}

type ascendingHeap ascending

func (h ascendingHeap) Len() int           { return len(h) }
func (h ascendingHeap) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h ascendingHeap) Less(i, j int) bool { return ascending(h).Less(i, j) }
func (h *ascendingHeap) Push(x any)        { *h = append(*h, *x.(*Row)) }
func (h *ascendingHeap) Pop() any          { panic("never popped") }

type descendingHeap descending

func (h descendingHeap) Len() int           { return len(h) }
func (h descendingHeap) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h descendingHeap) Less(i, j int) bool { return descending(h).Less(i, j) }
func (h *descendingHeap) Push(x any)        { *h = append(*h, *x.(*Row)) }
func (h *descendingHeap) Pop() any          { panic("never popped") }

func pushRow(h heap.Interface, row Row) { heap.Push(h, &row) }

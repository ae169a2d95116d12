package exec

import (
	"context"
	"errors"
	"math"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/util/annotations"

	"github.com/nilometer/nilometer/promql/function"
	"github.com/nilometer/nilometer/promql/plan"
)

func (r *Run) aggregate(ctx context.Context, n *plan.Aggregate, g function.Grid) (Matrix, error) {
	if n.Fused && !chooses(n.Op) {
		m, err := r.aggregateFused(ctx, n, g)
		if !errors.Is(err, errOverflow) && !errors.Is(err, errHistograms) {
			return m, err
		}
	}
	if n.Op == parser.COUNT_VALUES {
		return r.countValues(ctx, n, g)
	}
	var params []float64
	if n.Param != nil {
		var err error
		if params, err = r.scalar(ctx, n.Param, g); err != nil {
			return Matrix{}, err
		}
	}
	if n.Fused && chooses(n.Op) {
		m, err := r.chooseFused(ctx, n, g, params)
		if !errors.Is(err, errLabelsNeeded) {
			return m, err
		}
	}
	in, err := r.eval(ctx, n.Input, g)
	if err != nil {
		return Matrix{}, err
	}
	gr := newGrouping(n.Grouping, n.Without)
	groupOf := make([]int32, len(in.Rows))
	for i := range in.Rows {
		groupOf[i] = gr.group(in.Rows[i].Labels)
	}
	switch n.Op {
	case parser.TOPK, parser.BOTTOMK, parser.LIMITK, parser.LIMIT_RATIO:
		return r.choose(ctx, n, g, in, params, groupOf, len(gr.labels))
	}
	defer r.release(in)
	if n.Op == parser.QUANTILE {
		r.checkQuantileParam(n, params)
	}
	switch n.Op {
	case parser.MIN, parser.MAX, parser.STDDEV, parser.STDVAR, parser.QUANTILE:
		r.ignoreHistograms(n, &in, nil, n.Input.Pos())
	}
	rows, err := r.aggregateRows(ctx, n, g, in.Rows, params, groupOf, len(gr.labels))
	if err != nil {
		return Matrix{}, err
	}
	return r.hold(groupRows(g, rows, gr, in.Rows, groupOf), "the aggregation "+n.Op.String())
}

// groupRows labels the rows of groups, and leaves empty ones out.
func groupRows(g function.Grid, cells []groupRow, gr *grouping, in []Row, groupOf []int32) Matrix {
	drop := make([]bool, len(gr.labels))
	for i := range in {
		drop[groupOf[i]] = drop[groupOf[i]] || in[i].DropName
	}
	m := Matrix{Grid: g}
	for i, c := range cells {
		if row, ok := newMixedRow(gr.labels[i], c.v, c.h, c.present); ok && c.v != nil {
			row.DropName = drop[i]
			m.Rows = append(m.Rows, row)
		}
	}
	return m
}

// groupRow is the result of one group over all steps.
type groupRow struct {
	v       []float64
	present Bits
	h       []*histogram.FloatHistogram // nil, or parallel to v
}

// aggregateRows aggregates rows in order.
func (r *Run) aggregateRows(ctx context.Context, n *plan.Aggregate, g function.Grid, in []Row, params []float64, groupOf []int32, groups int) ([]groupRow, error) {
	out := make([]groupRow, groups)
	byGroup := make([][]int32, groups)
	for i := range in {
		byGroup[groupOf[i]] = append(byGroup[groupOf[i]], int32(i))
	}
	for gi := range out {
		if err := r.core.pause(ctx); err != nil {
			return nil, err
		}
		switch n.Op {
		case parser.SUM, parser.AVG:
			if anyHistograms(in, byGroup[gi]) {
				out[gi] = r.addUp(n, g, in, byGroup[gi])
				continue
			}
		}
		var acc accumulator
		switch n.Op {
		case parser.SUM, parser.COUNT, parser.MIN, parser.MAX, parser.GROUP:
			acc = newCells(n.Op, g.Steps, make([]float64, cellValues(n.Op)*g.Steps))
		case parser.AVG:
			acc = &means{m: make([]function.Mean, g.Steps)}
		case parser.STDDEV, parser.STDVAR:
			acc = &deviations{d: make([]deviation, g.Steps), root: n.Op == parser.STDDEV}
		case parser.QUANTILE:
			acc = newQuantiles(g.Steps, in, byGroup[gi], params)
		default:
			return nil, &plan.NotSupportedError{What: "the aggregation " + n.Op.String()}
		}
		present := newBits(g.Steps)
		for _, i := range byGroup[gi] {
			row := &in[i]
			for j, v := range row.V {
				if row.Present.Has(j) {
					present.set(row.First + j)
					acc.add(row.First+j, v)
				}
			}
		}
		v := make([]float64, g.Steps)
		for i := range v {
			if present.Has(i) {
				v[i] = acc.value(i)
			}
		}
		out[gi] = groupRow{v: v, present: present}
	}
	return out, nil
}

// accumulator aggregates the values of one group, step by step.
type accumulator interface {
	add(step int, v float64)
	// value is only asked for steps that have a value.
	value(step int) float64
}

type means struct{ m []function.Mean }

func (a *means) add(step int, v float64) { a.m[step].Add(v) }
func (a *means) value(step int) float64  { return a.m[step].Value() }

// deviation is Welford's running variance.
type deviation struct{ count, mean, sum float64 }

type deviations struct {
	d    []deviation
	root bool
}

func (a *deviations) add(step int, v float64) {
	d := &a.d[step]
	d.count++
	if d.count == 1 {
		d.mean = v
		if math.IsNaN(v) || math.IsInf(v, 0) {
			d.sum = math.NaN()
		}
		return
	}
	delta := v - d.mean
	d.mean += delta / d.count
	d.sum += float64(delta * (v - d.mean))
}

func (a *deviations) value(step int) float64 {
	v := a.d[step].sum / a.d[step].count
	if a.root {
		return math.Sqrt(v)
	}
	return v
}

type quantiles struct {
	v [][]float64
	q []float64
}

// newQuantiles makes room for the values of some rows, at every step for as many
// as there can be, in one piece.
func newQuantiles(steps int, in []Row, members []int32, q []float64) *quantiles {
	more := make([]int, steps+1) // rows that begin at a step, less those that end
	points := 0
	for _, i := range members {
		more[in[i].First]++
		more[in[i].First+len(in[i].V)]--
		points += len(in[i].V)
	}
	a := &quantiles{v: make([][]float64, steps), q: q}
	room := make([]float64, points)
	n := 0
	for step := range a.v {
		n += more[step]
		a.v[step], room = room[:0:n], room[n:]
	}
	return a
}

func (a *quantiles) add(step int, v float64) { a.v[step] = append(a.v[step], v) }
func (a *quantiles) value(step int) float64  { return function.Quantile(a.q[step], a.v[step]) }

// checkQuantileParam adds upstream's warnings: one for the smallest and one for
// the largest q that is outside 0 to 1.
func (r *Run) checkQuantileParam(n *plan.Aggregate, params []float64) {
	lo, hi, nan := extent(params)
	warn := func(q float64) { r.annotate(annotations.NewInvalidQuantileWarning(q, n.Param.Pos())) }
	if nan {
		warn(math.NaN())
	}
	if hi > 1 {
		warn(hi)
	}
	if lo < 0 {
		warn(lo)
	}
}

// extent returns the least and the greatest parameter (NaN if there is one),
// and whether one is NaN.
func extent(params []float64) (lo, hi float64, nan bool) {
	lo, hi = math.MaxFloat64, -math.MaxFloat64
	for _, p := range params {
		lo, hi = math.Min(lo, p), math.Max(hi, p)
		nan = nan || math.IsNaN(p)
	}
	return lo, hi, nan
}

// grouping finds the group of a label set. Groups are numbered in the order of
// their first series.
type grouping struct {
	names   []string // sorted
	without bool
	buf     []byte
	index   map[string]int32
	labels  []labels.Labels
}

func newGrouping(names []string, without bool) *grouping {
	gr := &grouping{names: names, without: without, index: map[string]int32{}}
	if without {
		// A metric's name is never part of such a group.
		gr.names = appendSorted(names, model.MetricNameLabel)
	}
	return gr
}

func (gr *grouping) group(lset labels.Labels) int32 {
	if gr.without {
		gr.buf = lset.BytesWithoutLabels(gr.buf, gr.names...)
	} else {
		gr.buf = lset.BytesWithLabels(gr.buf, gr.names...)
	}
	at, ok := gr.index[string(gr.buf)]
	if !ok {
		b := labels.NewBuilder(lset)
		if gr.without {
			b.Del(gr.names...)
		} else {
			b.Keep(gr.names...)
		}
		at = gr.add(string(gr.buf), b.Labels())
	}
	return at
}

func (gr *grouping) add(key string, lset labels.Labels) int32 {
	at := int32(len(gr.labels))
	gr.index[key] = at
	gr.labels = append(gr.labels, lset)
	return at
}

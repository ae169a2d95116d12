package exec

import (
	"context"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/histogram"

	"github.com/nilometer/nilometer/model/column"
	"github.com/nilometer/nilometer/promql/function"
	"github.com/nilometer/nilometer/promql/plan"
)

// EvalSubquery answers an instant query for a subquery: its rows are on a grid
// of their own.
func (r *Run) EvalSubquery(ctx context.Context, n *plan.Subquery, g function.Grid) (Matrix, error) {
	m, err := r.subquery(ctx, n, g)
	if err != nil {
		return Matrix{}, err
	}
	return r.finish(m)
}

// subquery evaluates a subquery that is asked at the times of g.
func (r *Run) subquery(ctx context.Context, n *plan.Subquery, g function.Grid) (Matrix, error) {
	inner := function.NewGrid(n.GridStart(g.Start), n.Reference(g.At(g.Steps-1)), n.Step)
	if inner.Steps > r.q.StepsMax {
		return Matrix{}, &plan.LimitError{
			Limit: "steps", Max: int64(r.q.StepsMax), Seen: int64(inner.Steps), Where: "a subquery",
			Remedy: "make its range shorter or its step longer",
		}
	}
	return r.eval(ctx, n.Input, inner)
}

// rangeOverSubquery applies a range function to the rows of a subquery.
func (r *Run) rangeOverSubquery(ctx context.Context, n *plan.Call, w *plan.Window, g function.Grid) (Matrix, error) {
	in, err := r.subquery(ctx, w.Subquery, g)
	if err != nil {
		return Matrix{}, err
	}
	defer r.release(in)
	src, err := r.rangeSource(ctx, n, g)
	if err != nil {
		return Matrix{}, err
	}
	rw := newRowWindows(src, g, in.Grid)
	m := Matrix{Grid: g}
	for i := range in.Rows {
		if err := r.core.pause(ctx); err != nil {
			return Matrix{}, err
		}
		row := &in.Rows[i]
		out, ok, err := rw.result(ctx, r, row)
		if err != nil {
			return Matrix{}, err
		}
		if !ok {
			continue
		}
		out.DropName = row.DropName
		if out.hasFloats() {
			r.notice(src, row.Labels.Get(model.MetricNameLabel), row.Labels.Get(typeLabel))
		}
		if !src.fn.KeepsName {
			r.loseName(&out)
		}
		m.Rows = append(m.Rows, out)
	}
	if err := r.checkParams(src, g); err != nil {
		return Matrix{}, err
	}
	if !r.q.DelayedNames && n.Func.Name != "absent_over_time" {
		if err := checkDistinct(m.Rows); err != nil {
			return Matrix{}, err
		}
	}
	return r.hold(m, src.where)
}

// rowWindows applies a kernel to rows instead of columns. Rows that are present
// throughout share their windows.
type rowWindows struct {
	src    *rowSource
	grid   function.Grid
	times  []int64 // of the rows' grid
	whole  function.Windows
	own    function.Windows
	bits   Bits
	t      []int64
	v, out []float64
	sc     function.Scratch
	mixed  *spans // for rows with histograms
}

// result is the function's row for a row.
func (rw *rowWindows) result(ctx context.Context, r *Run, row *Row) (out Row, ok bool, err error) {
	if row.H == nil {
		v, present, ok, err := rw.apply(ctx, &r.core, row)
		if !ok || err != nil {
			return Row{}, false, err
		}
		out, ok = newRow(row.Labels, v, present)
		return out, ok, nil
	}
	if rw.mixed == nil {
		rw.mixed = newSpans(rw.src, rw.grid)
		rw.mixed.touched = rw.src.touched
	}
	s := rw.mixed
	s.reset()
	for i, v := range row.V {
		if !row.Present.Has(i) {
			continue
		}
		t := rw.times[row.First+i]
		if h := unknownReset(row.histogram(i)); h != nil {
			s.hists = append(s.hists, function.HistogramPoint{T: t, H: h})
		} else if !column.IsStale(v) {
			s.floats = append(s.floats, function.FloatPoint{T: t, V: v})
		}
	}
	some := s.apply()
	r.remark(s.noted, row.Labels.Get(model.MetricNameLabel), rw.src.pos, rw.src.firstPos)
	if !some {
		return Row{}, false, nil
	}
	out, ok = newMixedRow(row.Labels, s.out, s.h, s.present)
	return out, ok, nil
}

// unknownReset is h without a hint about the sample before it, which in a
// subquery is another one, or the same again.
func unknownReset(h *histogram.FloatHistogram) *histogram.FloatHistogram {
	if h == nil || h.CounterResetHint != histogram.CounterReset && h.CounterResetHint != histogram.NotCounterReset {
		return h
	}
	out := *h
	out.CounterResetHint = histogram.UnknownCounterReset
	return &out
}

func newRowWindows(src *rowSource, g, inner function.Grid) *rowWindows {
	rw := &rowWindows{src: src, grid: g, bits: newBits(g.Steps), out: make([]float64, g.Steps)}
	for i := range inner.Steps {
		rw.times = append(rw.times, inner.At(i))
	}
	for _, w := range []*function.Windows{&rw.whole, &rw.own} {
		w.Grid, w.RangeMs = g, src.rangeMs
		w.Reference = func(step int) int64 { return src.when.Reference(g.At(step)) }
	}
	rw.prepare(&rw.whole, rw.times)
	return rw
}

func (rw *rowWindows) prepare(w *function.Windows, t []int64) {
	w.Locate(t)
	if rw.src.fn.Prepare != nil {
		rw.src.fn.Prepare(w)
	}
}

// apply returns the function's values for a row, valid until the next call.
func (rw *rowWindows) apply(ctx context.Context, c *core, row *Row) ([]float64, Bits, bool, error) {
	rw.t, rw.v = rw.t[:0], rw.v[:0]
	for i, v := range row.V {
		if row.Present.Has(i) && !column.IsStale(v) {
			rw.t = append(rw.t, rw.times[row.First+i])
			rw.v = append(rw.v, v)
		}
	}
	win := &rw.whole
	if len(rw.t) < len(rw.times) {
		win = &rw.own
		rw.prepare(win, rw.t)
	}
	if rw.src.touched != nil {
		for i, lo := range win.Lo {
			if lo < win.Hi[i] {
				rw.src.touched.set(i)
			}
		}
	}
	present, ok := presence(win, rw.src.fn.SamplesMin, rw.bits, false)
	if !ok {
		return nil, nil, false, nil
	}
	s := function.Samples{T: rw.t, V: rw.v}
	if rw.src.fn.Resets {
		s.Resets = appendResets(nil, rw.v, 1)
	}
	err := c.paced(ctx, &rw.src.fn, rw.out, &s, win, rw.src.params, &rw.sc, 0, rw.grid.Steps)
	return rw.out, present, true, err
}

package exec

import (
	"context"
	"slices"
	"strings"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser/posrange"
	"github.com/prometheus/prometheus/util/annotations"

	"github.com/nilometer/nilometer/promql/function"
	"github.com/nilometer/nilometer/promql/plan"
	"github.com/nilometer/nilometer/storage"
)

// collector is the rowSink that keeps every row.
type collector struct {
	run   *Run
	grid  function.Grid
	where string
	only  *filter // if not nil, rows of which it leaves nothing are left out
	rows  []Row   // by rank
	held  []int64
}

func (c *collector) begin(s storage.Scan) (int, error) {
	if err := c.run.q.Budget.takeBytes(int64(s.Series())*rowBytes, c.where); err != nil {
		return 0, err
	}
	c.rows = make([]Row, s.Series())
	c.held = make([]int64, s.Series())
	return 0, nil
}

func (c *collector) piece() int { return c.grid.Steps }

func (c *collector) take(_ int, rank uint32, _ int, v []float64, present Bits) error {
	if c.only != nil && !c.only.some(v, present) {
		return nil
	}
	first, end := present.span(len(v))
	if err := c.run.q.Budget.takePoints(int64(end-first), c.where); err != nil {
		return err
	}
	c.held[rank] = int64(end - first)
	c.rows[rank], _ = newRow(labels.EmptyLabels(), v, present)
	return nil
}

func (c *collector) takeMixed(_ int, rank uint32, v []float64, h []*histogram.FloatHistogram, present Bits) error {
	first, end := present.span(len(v))
	points := int64(end-first) + histogramPoints(h)
	if err := c.run.q.Budget.takePoints(points, c.where); err != nil {
		return err
	}
	c.held[rank] = points
	c.rows[rank], _ = newMixedRow(labels.EmptyLabels(), v, h, present)
	return nil
}

// collect runs a source into a matrix whose rows are in label order.
func (r *Run) collect(ctx context.Context, src *rowSource, g function.Grid, loseName bool) (Matrix, error) {
	return r.do(ctx, r.collection(src, g, loseName), g)
}

// collection is the work of collect.
func (r *Run) collection(src *rowSource, g function.Grid, loseName bool) *job {
	c := &collector{run: r, grid: g, where: src.where, only: src.only}
	m := Matrix{Grid: g}
	end := func(s storage.Scan) error {
		for rank := range c.rows {
			row := c.rows[rank]
			if len(row.V) == 0 {
				continue
			}
			row.Labels = s.Labels(uint32(rank))
			if err := r.holdBytes(&m, row.ownBytes(), src.where); err != nil {
				return err
			}
			if row.hasFloats() {
				r.notice(src, row.Labels.Get(model.MetricNameLabel), row.Labels.Get(typeLabel))
			}
			if loseName {
				r.loseName(&row)
			}
			m.Rows = append(m.Rows, row)
			m.held += c.held[rank]
		}
		r.q.Budget.giveBytes(int64(s.Series()) * rowBytes)
		return nil
	}
	result := func() (Matrix, error) {
		if err := r.checkParams(src, g); err != nil {
			return Matrix{}, err
		}
		if loseName && !r.q.DelayedNames {
			if err := checkDistinct(m.Rows); err != nil {
				return m, err
			}
		}
		return m, nil
	}
	return &job{src: src, sink: c, end: end, result: result, drop: c.drop}
}

// drop gives up what was collected.
func (c *collector) drop() {
	for rank := range c.held {
		c.run.q.Budget.givePoints(c.held[rank])
	}
	c.run.q.Budget.giveBytes(int64(len(c.rows)) * rowBytes)
	c.rows, c.held = nil, nil
}

// typeLabel is where the feature of type and unit labels has a metric's type.
const typeLabel = "__type__"

// notice adds what upstream remarks about a series with floats as a result.
func (r *Run) notice(src *rowSource, name, kind string) {
	if !src.fn.Counter || name == "" {
		return
	}
	if r.q.TypeAndUnitLabels {
		if kind != string(model.MetricTypeCounter) && kind != string(model.MetricTypeHistogram) {
			r.annotate(annotations.NewPossibleNonCounterLabelInfo(name, kind, src.pos))
		}
		return
	}
	for _, suffix := range []string{"_total", "_sum", "_count", "_bucket"} {
		if strings.HasSuffix(name, suffix) {
			return
		}
	}
	r.annotate(annotations.NewPossibleNonCounterInfo(name, src.pos))
}

// instant evaluates an instant selector.
func (r *Run) instant(ctx context.Context, n *plan.Instant, g function.Grid) (Matrix, error) {
	return r.collect(ctx, r.instantSource(n), g, false)
}

// instantSource is a selector as a source.
func (r *Run) instantSource(n *plan.Instant) *rowSource {
	if !n.Smoothed {
		return r.lookbackSource(n)
	}
	return &rowSource{
		scan: n.Scan, when: n.When, rangeMs: n.Lookback, ahead: n.Lookback, smoothed: true, general: true, pos: n.Pos(),
		fn:    function.RangeFunc{SamplesMin: 1, KeepsName: true, Kinds: true, Span: function.Smooth},
		where: "a smoothed selector",
	}
}

// lookbackSource is a selector as a source: the last sample of a window that
// is as long as the lookback.
func (r *Run) lookbackSource(n *plan.Instant) *rowSource {
	return &rowSource{
		scan: n.Scan, when: n.When, rangeMs: n.Lookback, staleEnds: true, only: newFilter(n.Only), pos: n.Pos(),
		fn:    function.RangeFunc{SamplesMin: 1, KeepsName: true, Kernel: function.Last, Span: function.LastOfSpan},
		where: "an instant selector",
	}
}

// rangeSource is a range function over a selector as a source. Its scalar
// arguments are evaluated here.
func (r *Run) rangeSource(ctx context.Context, n *plan.Call, g function.Grid) (*rowSource, error) {
	w := n.Args[n.Window].(*plan.Window)
	fn, ok := function.Range(n.Func.Name)
	if !ok {
		return nil, &plan.NotSupportedError{What: "the function " + n.Func.Name}
	}
	src := &rowSource{
		scan: w.Scan, when: w.When, rangeMs: w.RangeMs, fn: fn,
		pos: w.Pos(), where: "the function " + n.Func.Name,
	}
	src.anchored, src.smoothed, src.behind, src.ahead = w.Anchored, w.Smoothed, w.Behind(), w.Ahead()
	src.general = w.Anchored || w.Smoothed
	src.starts = r.q.StartTimestamps && usesStarts(n.Func.Name)
	src.firstPos = n.Args[0].Pos()
	if w.Subquery != nil {
		// Upstream's annotations on functions of subqueries have no place.
		src.pos = posrange.PositionRange{}
		if n.Window == 0 {
			src.firstPos = src.pos
		}
	}
	for i, a := range n.Args {
		if i == n.Window {
			continue
		}
		v, err := r.scalar(ctx, a, g)
		if err != nil {
			return nil, err
		}
		src.params = append(src.params, v)
	}
	// Upstream evaluates the other arguments first: their errors come first.
	if err := checkModifier(w, n.Func.Name); err != nil {
		return nil, err
	}
	if fn.Check != nil || n.Func.Name == "quantile_over_time" {
		src.touched, src.paramPos = newBits(g.Steps), n.Args[0].Pos()
		src.floatsTouch = fn.Check == nil
	}
	return src, nil
}

// usesStarts: the function finds resets by start timestamps, too.
func usesStarts(name string) bool {
	switch name {
	case "rate", "irate", "increase", "resets":
		return true
	}
	return false
}

// checkModifier refuses the functions that an anchored or smoothed range, which
// has samples outside of the window, would mislead.
func checkModifier(w *plan.Window, name string) error {
	modifier, good := "smoothed", []string{"delta", "increase", "rate"}
	switch {
	case w.Anchored:
		modifier, good = "anchored", []string{"changes", "delta", "increase", "rate", "resets"}
	case !w.Smoothed:
		return nil
	}
	if slices.Contains(good, name) {
		return nil
	}
	return plan.Errorf("%s modifier can only be used with: %s - not with %s", modifier, strings.Join(good, ", "), name)
}

// checkParams looks at the parameters of the steps that had a sample, as
// upstream does only then.
func (r *Run) checkParams(src *rowSource, g function.Grid) error {
	if src.touched == nil {
		return nil
	}
	for i := range g.Steps {
		if !src.touched.Has(i) {
			continue
		}
		if src.fn.Check != nil {
			if err := src.fn.Check(src.params, i); err != nil {
				return plan.Errorf("%s", err)
			}
			continue
		}
		if q := src.params[0][i]; !(q >= 0 && q <= 1) {
			r.annotate(annotations.NewInvalidQuantileWarning(q, src.paramPos))
		}
	}
	return nil
}

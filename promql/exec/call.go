package exec

import (
	"context"
	"math"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"

	"github.com/nilometer/nilometer/promql/function"
	"github.com/nilometer/nilometer/promql/plan"
)

// call evaluates a function. Functions of a range come first, then those with
// a shape of their own, and last the ones that map value to value.
func (r *Run) call(ctx context.Context, n *plan.Call, g function.Grid) (Matrix, error) {
	if n.Window >= 0 {
		return r.rangeCall(ctx, n, g)
	}
	switch n.Func.Name {
	case "histogram_avg", "histogram_count", "histogram_sum", "histogram_stddev", "histogram_stdvar":
		return r.ofHistograms(ctx, n, g)
	case "time", "pi", "min_of", "max_of", "scalar":
		return r.scalarCall(ctx, n, g)
	case "vector":
		m, err := r.eval(ctx, n.Args[0], g)
		return m, err
	case "timestamp":
		return r.timestamp(ctx, n, g)
	case "start_timestamp":
		return r.startTimestamp(ctx, n, g)
	case "absent":
		return r.absent(ctx, n, g)
	case "sort", "sort_desc", "sort_by_label", "sort_by_label_desc":
		return r.sort(ctx, n, g)
	case "label_replace":
		return r.labelReplace(ctx, n, g)
	case "label_join":
		return r.labelJoin(ctx, n, g)
	case "histogram_quantile", "histogram_quantiles", "histogram_fraction":
		return r.histogram(ctx, n, g)
	case "clamp", "clamp_min", "clamp_max", "round":
		return r.bounded(ctx, n, g)
	}
	return r.mapValues(ctx, n, g)
}

func (r *Run) rangeCall(ctx context.Context, n *plan.Call, g function.Grid) (Matrix, error) {
	w := n.Args[n.Window].(*plan.Window)
	var m Matrix
	var err error
	if w.Subquery != nil {
		m, err = r.rangeOverSubquery(ctx, n, w, g)
	} else {
		var src *rowSource
		if src, err = r.rangeSource(ctx, n, g); err != nil {
			return Matrix{}, err
		}
		m, err = r.collect(ctx, src, g, !src.fn.KeepsName && n.Func.Name != "absent_over_time")
	}
	if err != nil {
		return Matrix{}, err
	}
	if n.Func.Name == "absent_over_time" {
		defer r.release(m)
		return r.absence(n, g, m)
	}
	return m, nil
}

// absent is 1 at the steps at which its argument has no series.
func (r *Run) absent(ctx context.Context, n *plan.Call, g function.Grid) (Matrix, error) {
	m, err := r.eval(ctx, n.Args[0], g)
	if err != nil {
		return Matrix{}, err
	}
	defer r.release(m)
	return r.absence(n, g, m)
}

func (r *Run) absence(n *plan.Call, g function.Grid, m Matrix) (Matrix, error) {
	some := newBits(g.Steps)
	for i := range m.Rows {
		for j := range m.Rows[i].V {
			if m.Rows[i].Present.Has(j) {
				some.set(m.Rows[i].First + j)
			}
		}
	}
	none, v := newBits(g.Steps), make([]float64, g.Steps)
	for i := range v {
		v[i] = 1
		if !some.Has(i) {
			none.set(i)
		}
	}
	out := Matrix{Grid: g}
	if row, ok := newRow(absentLabels(n.Args[0]), v, none); ok {
		row.DropName = n.Func.Name == "absent_over_time"
		out.Rows = []Row{row}
	}
	return r.hold(out, "the function "+n.Func.Name)
}

// absentLabels are the labels that a selector asks for by equality, once.
func absentLabels(n plan.Node) labels.Labels {
	var ms []*labels.Matcher
	switch n := n.(type) {
	case *plan.StepInvariant:
		// A wrapped selector is none to upstream.
	case *plan.Instant:
		ms = n.Scan.Matchers
	case *plan.Window:
		if n.Scan != nil {
			ms = n.Scan.Matchers
		}
	}
	b := labels.NewBuilder(labels.EmptyLabels())
	seen := make(map[string]bool, len(ms))
	for _, m := range ms {
		switch {
		case m.Name == model.MetricNameLabel:
		case m.Type == labels.MatchEqual && !seen[m.Name]:
			b.Set(m.Name, m.Value)
			seen[m.Name] = true
		default:
			b.Del(m.Name)
		}
	}
	return b.Labels()
}

// scalarCall evaluates the functions that return a scalar.
func (r *Run) scalarCall(ctx context.Context, n *plan.Call, g function.Grid) (Matrix, error) {
	v := make([]float64, g.Steps)
	switch n.Func.Name {
	case "time":
		for i := range v {
			v[i] = float64(g.At(i)) / 1000
		}
	case "pi":
		for i := range v {
			v[i] = math.Pi
		}
	case "min_of", "max_of":
		a, err := r.scalar(ctx, n.Args[0], g)
		if err != nil {
			return Matrix{}, err
		}
		b, err := r.scalar(ctx, n.Args[1], g)
		if err != nil {
			return Matrix{}, err
		}
		for i := range v {
			if n.Func.Name == "min_of" {
				v[i] = math.Min(a[i], b[i])
			} else {
				v[i] = math.Max(a[i], b[i])
			}
		}
	case "scalar":
		m, err := r.eval(ctx, n.Args[0], g)
		if err != nil {
			return Matrix{}, err
		}
		defer r.release(m)
		onlyValue(v, m)
	}
	return r.hold(Matrix{Grid: g, Rows: []Row{constantRow(v)}}, "the function "+n.Func.Name)
}

// onlyValue sets v to the value at each step at which m has exactly one, else
// to NaN.
func onlyValue(v []float64, m Matrix) {
	count := make([]int32, len(v))
	for i := range m.Rows {
		row := &m.Rows[i]
		for j, x := range row.V {
			if row.Present.Has(j) && row.histogram(j) == nil {
				v[row.First+j] = x
				count[row.First+j]++
			}
		}
	}
	for i, n := range count {
		if n != 1 {
			v[i] = math.NaN()
		}
	}
}

// timestamp is the time of the sample that a selector takes, and the time of
// the evaluation of anything else.
func (r *Run) timestamp(ctx context.Context, n *plan.Call, g function.Grid) (Matrix, error) {
	sel, ok := n.Args[0].(*plan.Instant)
	if !ok {
		m, err := r.eval(ctx, n.Args[0], g)
		if err != nil {
			return Matrix{}, err
		}
		for i := range m.Rows {
			m.Rows[i].H = nil
		}
		return r.mapMatrix(m, func(_ float64, step int) float64 { return float64(g.At(step)) / 1000 })
	}
	src := r.lookbackSource(sel)
	src.fn.TimesOnly, src.fn.Kernel = true, function.TimeOfLast
	return r.unnamed(r.collect(ctx, src, g, false))
}

// startTimestamp is when the sample that a selector takes says that its count
// began; of anything else, and where start timestamps do not count, nothing is
// known.
func (r *Run) startTimestamp(ctx context.Context, n *plan.Call, g function.Grid) (Matrix, error) {
	sel, ok := n.Args[0].(*plan.Instant)
	if !ok {
		m, err := r.eval(ctx, n.Args[0], g)
		r.release(m)
		return Matrix{Grid: g}, err
	}
	src := r.lookbackSource(sel)
	src.fn.Span, src.starts, src.general = function.StartOfLast, true, true
	m, err := r.unnamed(r.collect(ctx, src, g, false))
	if err == nil && !r.q.StartTimestamps {
		r.release(m)
		m = Matrix{Grid: g}
	}
	return m, err
}

// unnamed takes the names from rows that a source has just made.
func (r *Run) unnamed(m Matrix, err error) (Matrix, error) {
	if err != nil {
		return Matrix{}, err
	}
	for i := range m.Rows {
		r.loseName(&m.Rows[i])
	}
	m.Rows, err = mergeRows(m.Rows)
	return m, err
}

// ofHistograms evaluates the functions of one histogram; floats have no
// result.
func (r *Run) ofHistograms(ctx context.Context, n *plan.Call, g function.Grid) (Matrix, error) {
	m, err := r.eval(ctx, n.Args[0], g)
	if err != nil {
		return Matrix{}, err
	}
	keep(&m, func(row *Row, _, i, _ int) bool { return row.histogram(i) != nil })
	f := function.OfHistogram(n.Func.Name)
	for i := range m.Rows {
		row := &m.Rows[i]
		r.loseName(row)
		for j, h := range row.H {
			if h != nil {
				row.V[j] = f(h)
			}
		}
		row.H = nil
	}
	m.Rows, err = mergeRows(m.Rows)
	return m, err
}

// dropHistograms removes the values that are histograms.
func dropHistograms(m *Matrix) {
	for i := range m.Rows {
		if m.Rows[i].H != nil {
			keep(m, func(row *Row, _, i, _ int) bool { return row.histogram(i) == nil })
			break
		}
	}
	for i := range m.Rows {
		m.Rows[i].H = nil
	}
}

// mapRows applies f to every float of a vector, which loses its name.
func (r *Run) mapRows(ctx context.Context, in plan.Node, g function.Grid, f func(v float64, step int) float64) (Matrix, error) {
	m, err := r.eval(ctx, in, g)
	if err != nil {
		return Matrix{}, err
	}
	dropHistograms(&m)
	return r.mapMatrix(m, f)
}

func (r *Run) mapMatrix(m Matrix, f func(v float64, step int) float64) (Matrix, error) {
	for i := range m.Rows {
		row := &m.Rows[i]
		r.loseName(row)
		for j, v := range row.V {
			row.V[j] = f(v, row.First+j)
		}
	}
	var err error
	m.Rows, err = mergeRows(m.Rows)
	return m, err
}

// mapValues evaluates the functions of one number.
func (r *Run) mapValues(ctx context.Context, n *plan.Call, g function.Grid) (Matrix, error) {
	name := n.Func.Name
	if calendar := function.Calendar(name); calendar != nil && len(n.Args) == 0 {
		v := make([]float64, g.Steps)
		for i := range v {
			v[i] = calendar(g.At(i) / 1000)
		}
		return r.hold(Matrix{Grid: g, Rows: []Row{constantRow(v)}}, "the function "+name)
	}
	f := function.Unary(name)
	if f == nil {
		return Matrix{}, &plan.NotSupportedError{What: "the function " + name}
	}
	return r.mapRows(ctx, n.Args[0], g, func(v float64, _ int) float64 { return f(v) })
}

// bounded evaluates the functions of a vector and scalars.
func (r *Run) bounded(ctx context.Context, n *plan.Call, g function.Grid) (Matrix, error) {
	m, err := r.eval(ctx, n.Args[0], g)
	if err != nil {
		return Matrix{}, err
	}
	dropHistograms(&m)
	var params [][]float64
	for _, a := range n.Args[1:] {
		v, err := r.scalar(ctx, a, g)
		if err != nil {
			return Matrix{}, err
		}
		params = append(params, v)
	}
	if n.Func.Name == "round" {
		return r.mapMatrix(m, func(v float64, step int) float64 {
			nearest := 1.0
			if len(params) > 0 {
				nearest = params[0][step]
			}
			return function.Round(v, 1/nearest)
		})
	}
	lowest := func(int) float64 { return math.Inf(-1) }
	highest := func(int) float64 { return math.Inf(+1) }
	param := func(i int) func(int) float64 { return func(step int) float64 { return params[i][step] } }
	switch n.Func.Name {
	case "clamp":
		lowest, highest = param(0), param(1)
	case "clamp_min":
		lowest = param(0)
	case "clamp_max":
		highest = param(0)
	}
	// A range upside down has no values.
	keep(&m, func(_ *Row, _, _, step int) bool { return !(highest(step) < lowest(step)) })
	return r.mapMatrix(m, func(v float64, step int) float64 {
		return math.Max(lowest(step), math.Min(highest(step), v))
	})
}

// keep removes the values for which f is false, and then empty rows.
func keep(m *Matrix, f func(row *Row, index, i, step int) bool) {
	kept := m.Rows[:0]
	for index, row := range m.Rows {
		n := 0
		for i := range row.V {
			if !row.Present.Has(i) {
				continue
			}
			if f(&row, index, i, row.First+i) {
				n++
				continue
			}
			if row.Present == nil {
				row.Present = newBits(len(row.V))
				row.Present.setAll(len(row.V))
			}
			row.Present.clearBit(i)
			if row.H != nil {
				row.H[i] = nil
			}
		}
		if n > 0 {
			kept = append(kept, row)
		}
	}
	m.Rows = kept
}

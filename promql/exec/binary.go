package exec

import (
	"context"

	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/util/annotations"

	"github.com/nilometer/nilometer/promql/function"
	"github.com/nilometer/nilometer/promql/plan"
)

func (r *Run) binary(ctx context.Context, n *plan.Binary, g function.Grid) (Matrix, error) {
	left, right := n.Left.Type() == parser.ValueTypeScalar, n.Right.Type() == parser.ValueTypeScalar
	if left && right {
		return r.scalars(ctx, n, g)
	}
	l, err := r.eval(ctx, n.Left, g)
	if err != nil {
		return Matrix{}, err
	}
	rt, err := r.eval(ctx, n.Right, g)
	if err != nil {
		return Matrix{}, err
	}
	switch {
	case left:
		defer r.release(l)
		return r.withScalar(n, rt, l.Rows[0].V, true)
	case right:
		defer r.release(rt)
		return r.withScalar(n, l, rt.Rows[0].V, false)
	}
	if !n.Op.IsSetOperator() {
		return r.match(ctx, n, g, l, rt)
	}
	defer r.release(l)
	defer r.release(rt)
	return r.setOperation(n, g, l, rt)
}

func (r *Run) scalars(ctx context.Context, n *plan.Binary, g function.Grid) (Matrix, error) {
	l, err := r.scalar(ctx, n.Left, g)
	if err != nil {
		return Matrix{}, err
	}
	rt, err := r.scalar(ctx, n.Right, g)
	if err != nil {
		return Matrix{}, err
	}
	v := make([]float64, g.Steps)
	for i := range v {
		var ok bool
		if v[i], ok = function.Scalar(n.Op, l[i], rt[i]); !ok {
			return Matrix{}, plan.Errorf("operator %q not allowed for Scalar operations", n.Op)
		}
	}
	return r.hold(Matrix{Grid: g, Rows: []Row{constantRow(v)}}, "a scalar operation")
}

// trims reports whether op is one of the operators that cut histograms.
func trims(op parser.ItemType) bool { return op == parser.TRIM_UPPER || op == parser.TRIM_LOWER }

// clash adds upstream's annotation for two elements that do not go together.
// left and right: the element is a histogram.
func (r *Run) clash(n *plan.Binary, c function.Clash, left, right bool) {
	kind := func(histogram bool) string {
		if histogram {
			return "histogram"
		}
		return "float"
	}
	op := annotations.HistogramAdd
	if n.Op == parser.SUB {
		op = annotations.HistogramSub
	}
	switch c {
	case function.ClashKinds:
		r.annotate(annotations.NewIncompatibleTypesInBinOpInfo(kind(left), parser.ItemTypeStr[n.Op], kind(right), n.Pos()))
	case function.ClashSchemas:
		r.annotate(annotations.NewIncompatibleBucketLayoutInBinOpWarning(parser.ItemTypeStr[n.Op], n.Pos()))
	case function.ClashResets:
		r.annotate(annotations.NewHistogramCounterResetCollisionWarning(n.Pos(), op))
	case function.ClashBounds:
		r.annotate(annotations.NewMismatchedCustomBucketsHistogramsInfo(n.Pos(), op))
	}
}

// floatsOnly is upstream's remark on an operator that floats do not have.
func (r *Run) floatsOnly(n *plan.Binary) { r.clash(n, function.ClashKinds, false, false) }

// histogramsWithScalar combines the histograms of a vector with a scalar: they
// become the results, or go. Floats stay as they are.
func (r *Run) histogramsWithScalar(n *plan.Binary, m *Matrix, s []float64, swapped bool) {
	clashed := false
	for i := range m.Rows {
		if m.Rows[i].H == nil {
			continue
		}
		keep(m, func(row *Row, _, i, step int) bool {
			h := row.histogram(i)
			if h == nil {
				return true
			}
			out, kept, clash := (*histogram.FloatHistogram)(nil), false, function.NoClash
			if swapped {
				out, kept, clash = function.Histograms(n.Op, s[step], 0, nil, h)
			} else {
				out, kept, clash = function.Histograms(n.Op, 0, s[step], h, nil)
			}
			row.H[i] = out
			clashed = clashed || clash == function.ClashKinds
			return kept
		})
		break
	}
	if clashed {
		r.clash(n, function.ClashKinds, !swapped, swapped)
	}
}

// withScalar combines a vector with a scalar; the vector's rows become the
// result's. swapped: the scalar is on the left.
func (r *Run) withScalar(n *plan.Binary, m Matrix, s []float64, swapped bool) (Matrix, error) {
	r.histogramsWithScalar(n, &m, s, swapped)
	if trims(n.Op) {
		keep(&m, func(row *Row, _, i, _ int) bool { return row.histogram(i) != nil || r.refuseFloat(n) })
		return m, nil
	}
	arithmetic, compare := function.Arithmetic(n.Op), function.Comparison(n.Op)
	if compare != nil && !n.ReturnBool {
		keep(&m, func(row *Row, _, i, step int) bool {
			if swapped {
				return compare(s[step], row.V[i])
			}
			return compare(row.V[i], s[step])
		})
		return m, nil
	}
	f := arithmetic
	if compare != nil {
		f = func(a, b float64) float64 { return number(compare(a, b)) }
	}
	for i := range m.Rows {
		row := &m.Rows[i]
		r.loseName(row)
		for j, v := range row.V {
			if swapped {
				row.V[j] = f(s[row.First+j], v)
			} else {
				row.V[j] = f(v, s[row.First+j])
			}
		}
	}
	var err error
	m.Rows, err = mergeRows(m.Rows)
	return m, err
}

// refuseFloat notes that a float has no result, and returns false.
func (r *Run) refuseFloat(n *plan.Binary) bool {
	r.floatsOnly(n)
	return false
}

func number(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

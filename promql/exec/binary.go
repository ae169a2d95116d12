package exec

import (
	"context"

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
	defer r.release(l)
	defer r.release(rt)
	if n.Op.IsSetOperator() {
		return r.setOperation(n, g, l, rt)
	}
	return r.match(ctx, n, g, l, rt)
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

// floatsOnly is upstream's remark on an operator that floats do not have.
func (r *Run) floatsOnly(n *plan.Binary) {
	r.annotate(annotations.NewIncompatibleTypesInBinOpInfo("float", parser.ItemTypeStr[n.Op], "float", n.Pos()))
}

// withScalar combines a vector with a scalar; the vector's rows become the
// result's. swapped: the scalar is on the left.
func (r *Run) withScalar(n *plan.Binary, m Matrix, s []float64, swapped bool) (Matrix, error) {
	if trims(n.Op) {
		if len(m.Rows) > 0 {
			r.floatsOnly(n)
		}
		r.release(m)
		return Matrix{Grid: m.Grid}, nil
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

func number(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

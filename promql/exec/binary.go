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
	switch {
	case left && right:
		return r.scalars(ctx, n, g)
	case left:
		return r.withScalar(ctx, n, g, n.Right, n.Left, true)
	case right:
		return r.withScalar(ctx, n, g, n.Left, n.Right, false)
	}
	l, err := r.eval(ctx, n.Left, g)
	if err != nil {
		return Matrix{}, err
	}
	defer r.release(l)
	rt, err := r.eval(ctx, n.Right, g)
	if err != nil {
		return Matrix{}, err
	}
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

// withScalar combines a vector with a scalar. swapped: the scalar is on the
// left.
func (r *Run) withScalar(ctx context.Context, n *plan.Binary, g function.Grid, vector, scalar plan.Node, swapped bool) (Matrix, error) {
	s, err := r.scalar(ctx, scalar, g)
	if err != nil {
		return Matrix{}, err
	}
	m, err := r.eval(ctx, vector, g)
	if err != nil {
		return Matrix{}, err
	}
	if trims(n.Op) {
		if len(m.Rows) > 0 {
			r.floatsOnly(n)
		}
		r.release(m)
		return Matrix{Grid: g}, nil
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
	m.Rows, err = mergeRows(m.Rows)
	return m, err
}

func number(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

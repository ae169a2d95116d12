package exec

import (
	"github.com/prometheus/prometheus/promql/parser"

	"github.com/nilometer/nilometer/promql/function"
	"github.com/nilometer/nilometer/promql/plan"
)

// setOperation evaluates and, or, unless. Its rows are rows of l and rt.
func (r *Run) setOperation(n *plan.Binary, g function.Grid, l, rt Matrix) (Matrix, error) {
	sigs := newSignatures(n.Matching)
	leftSig, rightSig := sigs.of(l.Rows), sigs.of(rt.Rows)
	out := Matrix{Grid: g}
	switch n.Op {
	case parser.LAND:
		there := presentBySignature(rt.Rows, rightSig, len(sigs.index), g.Steps)
		out.Rows = l.Rows
		keep(&out, func(_ *Row, row, _, step int) bool {
			return there[leftSig[row]] != nil && there[leftSig[row]].Has(step)
		})
	case parser.LUNLESS:
		there := presentBySignature(rt.Rows, rightSig, len(sigs.index), g.Steps)
		out.Rows = l.Rows
		keep(&out, func(_ *Row, row, _, step int) bool {
			return there[leftSig[row]] == nil || !there[leftSig[row]].Has(step)
		})
	case parser.LOR:
		there := presentBySignature(l.Rows, leftSig, len(sigs.index), g.Steps)
		out.Rows = rt.Rows
		keep(&out, func(_ *Row, row, _, step int) bool {
			return there[rightSig[row]] == nil || !there[rightSig[row]].Has(step)
		})
		var err error
		if out.Rows, err = mergeRows(append(l.Rows, out.Rows...)); err != nil {
			return Matrix{}, err
		}
	}
	return r.hold(out, "the operator "+n.Op.String())
}

// presentBySignature returns for each signature the steps at which a row has
// it; nil for those of no row.
func presentBySignature(rows []Row, sig []int32, n, steps int) []Bits {
	out := make([]Bits, n)
	for i := range rows {
		row := &rows[i]
		b := out[sig[i]]
		if b == nil {
			b = newBits(steps)
			out[sig[i]] = b
		}
		for j := range row.V {
			if row.Present.Has(j) {
				b.set(row.First + j)
			}
		}
	}
	return out
}

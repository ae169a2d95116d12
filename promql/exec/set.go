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
		var earliest map[uint64]bool
		if r.q.DelayedNames {
			earliest = firstNames(l.Rows, out.Rows)
		}
		var err error
		if out.Rows, err = mergeRows(append(l.Rows, out.Rows...)); err != nil {
			return Matrix{}, err
		}
		for i := range out.Rows {
			if drop, ok := earliest[out.Rows[i].Labels.Hash()]; ok {
				out.Rows[i].DropName = drop
			}
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

// firstNames tells of the labels that both sides have whether the row that has
// the first value is to lose its name: that decides for the series, as it does
// in upstream's engine, which goes step by step.
func firstNames(left, right []Row) map[uint64]bool {
	var out map[uint64]bool
	differ := map[uint64]*Row{}
	for i := range left {
		differ[left[i].Labels.Hash()] = &left[i]
	}
	for i := range right {
		r := &right[i]
		h := r.Labels.Hash()
		l := differ[h]
		if l == nil || l.DropName == r.DropName || r.firstStep() > l.firstStep() {
			continue
		}
		if out == nil {
			out = map[uint64]bool{}
		}
		out[h] = r.DropName
	}
	return out
}

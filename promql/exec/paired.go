package exec

import (
	"cmp"
	"context"
	"slices"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"

	"github.com/nilometer/nilometer/promql/function"
)

// pair is two rows that match, and the steps [first, end) that both span.
type pair struct {
	many, one  *Row
	first, end int
	lset       labels.Labels
	// present are the steps, from first on, at which both have values; nil: all.
	present Bits
	begin   int // the first of them
}

// pairs returns which rows match, in the order in which the results begin. ok is
// false where what matches depends on the step, or a step could fail: then the
// operator has to go step by step.
func (m *matcher) pairs() (out []pair, ok bool) {
	if m.fillOne != nil || m.fillMany != nil || trims(m.n.Op) || hasMixedRows(m.many) || hasMixedRows(m.one) {
		return nil, false
	}
	for i := range m.oneAt {
		m.oneAt[i] = -1
	}
	for i, sig := range m.oneSig {
		if m.oneAt[sig] >= 0 {
			return nil, false
		}
		m.oneAt[sig] = int32(i)
	}
	seen := make(map[uint64]struct{}, len(m.many))
	for i, sig := range m.manySig {
		at := m.oneAt[sig]
		if at < 0 {
			continue
		}
		if m.n.Matching.Card == parser.CardOneToOne {
			if m.matched[sig] {
				clear(m.matched)
				return nil, false
			}
			m.matched[sig] = true
		}
		p := pair{many: &m.many[i], one: &m.one[at]}
		if !p.meet() {
			continue
		}
		p.lset = m.resultLabels(int32(i), at)
		h := p.lset.Hash()
		if _, ok := seen[h]; ok {
			clear(m.matched)
			return nil, false
		}
		seen[h] = struct{}{}
		out = append(out, p)
	}
	slices.SortStableFunc(out, func(a, b pair) int { return cmp.Compare(a.begin, b.begin) })
	return out, true
}

func hasMixedRows(rows []Row) bool {
	return slices.ContainsFunc(rows, func(r Row) bool { return r.H != nil })
}

// meet finds the steps at which both rows have values, and tells whether there
// are any.
func (p *pair) meet() bool {
	a, b := p.many, p.one
	p.first, p.end = max(a.First, b.First), min(a.First+len(a.V), b.First+len(b.V))
	n := p.end - p.first
	if n <= 0 {
		return false
	}
	p.begin = p.first
	if a.Present == nil && b.Present == nil {
		return true
	}
	p.present = newBits(n)
	p.present.setAll(n)
	for i := range p.present {
		p.present[i] &= a.Present.word(p.first-a.First+i*64) & b.Present.word(p.first-b.First+i*64)
	}
	first, end := p.present.span(n)
	p.begin += first
	return first < end
}

// word returns the 64 bits from bit at on.
func (b Bits) word(at int) uint64 {
	if b == nil {
		return ^uint64(0)
	}
	i, shift := at>>6, at&63
	w := b[i] >> shift
	if shift > 0 && i+1 < len(b) {
		w |= b[i+1] << (64 - shift)
	}
	return w
}

// paired evaluates pairs in the memory of the rows of many, of which each is in
// one pair.
func (m *matcher) paired(ctx context.Context, pairs []pair) ([]Row, error) {
	out := make([]Row, 0, len(pairs))
	for i := range pairs {
		if err := m.run.core.pause(ctx); err != nil {
			return nil, err
		}
		p := &pairs[i]
		from := p.first - p.many.First
		row := Row{Labels: p.lset, DropName: m.n.ReturnBool, First: p.first, V: p.many.V[from : from+p.end-p.first : from+p.end-p.first], Present: p.present}
		if m.apply2(&row, p.one.V[p.first-p.one.First:p.end-p.one.First]) {
			out = append(out, row)
		}
	}
	return out, nil
}

// apply2 applies the operator to the values of a row, which are those of the many
// side, and of the one side at the same steps. It returns false if none is left.
func (m *matcher) apply2(row *Row, one []float64) bool {
	l, r := row.V, one
	if m.swapped {
		l, r = r, l
	}
	switch {
	case m.compare == nil:
		function.ArithmeticEach(m.n.Op, row.V, l, r)
		return true
	case m.n.ReturnBool:
		for i := range row.V {
			row.V[i] = number(m.compare(l[i], r[i]))
		}
		return true
	}
	if row.Present == nil {
		row.Present = newBits(len(l))
		row.Present.setAll(len(l))
	}
	for i := range l {
		if !m.compare(l[i], r[i]) {
			row.Present.clearBit(i)
		}
	}
	if m.swapped {
		copy(row.V, l)
	}
	first, end := row.Present.span(len(row.V))
	if first == end {
		return false
	}
	if end-first < len(row.V) { // what is not there takes no memory
		kept, _ := newRow(row.Labels, row.V, row.Present)
		kept.First += row.First
		kept.DropName = row.DropName
		*row = kept
	}
	return true
}

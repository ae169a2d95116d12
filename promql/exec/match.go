package exec

import (
	"context"
	"slices"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/schema"

	"github.com/nilometer/nilometer/promql/function"
	"github.com/nilometer/nilometer/promql/plan"
)

// signatures numbers what two sides are matched by.
type signatures struct {
	names []string // sorted
	on    bool
	buf   []byte
	index map[string]int32
}

func newSignatures(m *parser.VectorMatching) *signatures {
	s := &signatures{on: m.On, index: map[string]int32{}}
	if s.on {
		s.names = slices.Sorted(slices.Values(m.MatchingLabels))
	} else {
		s.names = appendSorted(m.MatchingLabels, model.MetricNameLabel)
	}
	return s
}

// of returns the signature of each row.
func (s *signatures) of(rows []Row) []int32 {
	out := make([]int32, len(rows))
	for i := range rows {
		if s.on {
			s.buf = rows[i].Labels.BytesWithLabels(s.buf, s.names...)
		} else {
			s.buf = rows[i].Labels.BytesWithoutLabels(s.buf, s.names...)
		}
		sig, ok := s.index[string(s.buf)]
		if !ok {
			sig = int32(len(s.index))
			s.index[string(s.buf)] = sig
		}
		out[i] = sig
	}
	return out
}

// matcher joins two vectors step by step. many is the side of which several
// rows may match one row of the other, one. (With one-to-many they are swapped;
// operands keep their places.)
type matcher struct {
	run                 *Run
	n                   *plan.Binary
	grid                function.Grid
	many, one           []Row
	manySig, oneSig     []int32
	swapped             bool
	arithmetic          func(a, b float64) float64
	compare             func(a, b float64) bool
	fillOne, fillMany   *float64
	oneAt               []int32            // by signature, the row of one at this step, or -1
	matched             []bool             // by signature
	last                function.Clash     // of this step: upstream reports one a step
	lastLeft, lastRight bool               // which of its elements are histograms
	inserted            []insertion        // by row of the result
	labelsOf            map[[2]int32]int32 // pair of rows -> index of rows
	lastPair            []lastPair         // by row of many: its last pair
	rows                []Row
	byHash              map[uint64]int32
	lastStep            []int // by row: the last step with a value
	held                int64 // points of histograms counted for rows
}

// insertion is when a row of the result was last computed, and for which
// signature.
type insertion struct{ step, sig int32 }

// lastPair remembers what a row was paired with: nearly always the same row at
// every step.
type lastPair struct{ one, at int32 }

// match evaluates an arithmetic or comparison operator of two vectors, which it
// gives up: the result may be in the memory of their rows.
func (r *Run) match(ctx context.Context, n *plan.Binary, g function.Grid, l, rt Matrix) (Matrix, error) {
	sigs := newSignatures(n.Matching)
	m := &matcher{
		run: r, n: n, grid: g, many: l.Rows, one: rt.Rows,
		manySig: sigs.of(l.Rows), oneSig: sigs.of(rt.Rows),
		swapped:    n.Matching.Card == parser.CardOneToMany,
		arithmetic: function.Arithmetic(n.Op), compare: function.Comparison(n.Op),
		fillOne: n.Matching.FillValues.RHS, fillMany: n.Matching.FillValues.LHS,
		labelsOf: map[[2]int32]int32{}, byHash: map[uint64]int32{},
	}
	if m.swapped {
		m.many, m.one = m.one, m.many
		m.manySig, m.oneSig = m.oneSig, m.manySig
	}
	m.oneAt = make([]int32, len(sigs.index))
	m.matched = make([]bool, len(sigs.index))
	out, err := m.matrix(ctx)
	r.release(l)
	r.release(rt)
	if err != nil {
		return Matrix{}, err
	}
	return r.hold(out, "the operator "+n.Op.String())
}

// matrix is the operator's result, which is not counted yet.
func (m *matcher) matrix(ctx context.Context) (Matrix, error) {
	if pairs, ok := m.pairs(); ok {
		rows, err := m.paired(ctx, pairs)
		return Matrix{Grid: m.grid, Rows: rows}, err
	}
	m.lastPair = make([]lastPair, len(m.many))
	for i := range m.lastPair {
		m.lastPair[i].at = -1
	}
	r := m.run
	for step := range m.grid.Steps {
		if err := r.core.pause(ctx); err != nil {
			return Matrix{}, err
		}
		m.last = function.NoClash
		if err := m.step(step); err != nil {
			return Matrix{}, err
		}
		r.clash(m.n, m.last, m.lastLeft, m.lastRight)
	}
	out := Matrix{Grid: m.grid}
	for _, row := range m.rows {
		if kept, ok := newMixedRow(row.Labels, row.V, row.H, row.Present); ok {
			kept.DropName = row.DropName
			out.Rows = append(out.Rows, kept)
		}
	}
	r.q.Budget.givePoints(int64(len(m.rows))*int64(m.grid.Steps) + m.held)
	return out, nil
}

func (m *matcher) step(step int) error {
	for i := range m.oneAt {
		m.oneAt[i] = -1
	}
	clear(m.matched)
	manyLeft, oneLeft := anyAt(m.many, step), anyAt(m.one, step)
	if (!manyLeft && !oneLeft) || (!(manyLeft && oneLeft) && m.fillOne == nil && m.fillMany == nil) {
		return nil // nothing matches, not even wrongly
	}
	for i := range m.one {
		if _, ok := m.one[i].At(step); !ok {
			continue
		}
		sig := m.oneSig[i]
		if before := m.oneAt[sig]; before >= 0 {
			return m.errDuplicate(&m.one[before], &m.one[i])
		}
		m.oneAt[sig] = int32(i)
	}
	for i := range m.many {
		v, ok := m.many[i].At(step)
		if !ok {
			continue
		}
		sig := m.manySig[i]
		other, at := element{}, m.oneAt[sig]
		switch {
		case at >= 0:
			other = elementAt(&m.one[at], step)
		case m.fillOne != nil:
			other.v = *m.fillOne
		default:
			continue
		}
		if err := m.combine(step, int32(i), at, element{v: v, h: m.many[i].Histogram(step)}, other, sig); err != nil {
			return err
		}
	}
	if m.fillMany == nil {
		return nil
	}
	for i := range m.one {
		v, ok := m.one[i].At(step)
		if !ok || m.matched[m.oneSig[i]] {
			continue
		}
		if err := m.combine(step, -1, int32(i), element{v: *m.fillMany}, element{v: v, h: m.one[i].Histogram(step)}, m.oneSig[i]); err != nil {
			return err
		}
	}
	return nil
}

// element is a value of a vector: a histogram if h is set.
type element struct {
	v float64
	h *histogram.FloatHistogram
}

// elementAt is the value of a row at a step at which it has one.
func elementAt(row *Row, step int) element {
	v, _ := row.At(step)
	return element{v: v, h: row.Histogram(step)}
}

// apply computes the operator for two elements in the places of the operands.
// ok is false where they have no result, not even a false comparison.
func (m *matcher) apply(l, r element) (out element, kept, ok bool) {
	if l.h != nil || r.h != nil {
		h, kept, clash := function.Histograms(m.n.Op, l.v, r.v, l.h, r.h)
		if clash != function.NoClash {
			m.last, m.lastLeft, m.lastRight = clash, l.h != nil, r.h != nil
		}
		if m.n.ReturnBool {
			return element{v: number(kept)}, true, clash == function.NoClash
		}
		return element{h: h}, kept, h != nil
	}
	if trims(m.n.Op) {
		m.last, m.lastLeft, m.lastRight = function.ClashKinds, false, false
		return element{}, false, false
	}
	if m.compare == nil {
		return element{v: m.arithmetic(l.v, r.v)}, true, true
	}
	kept = m.compare(l.v, r.v)
	if m.n.ReturnBool {
		return element{v: number(kept)}, true, true
	}
	return l, kept, true
}

func anyAt(rows []Row, step int) bool {
	for i := range rows {
		if _, ok := rows[i].At(step); ok {
			return true
		}
	}
	return false
}

// errDuplicate reports two rows with one signature on the one side.
func (m *matcher) errDuplicate(a, b *Row) error {
	side := "right"
	if m.swapped {
		side = "left"
	}
	group := b.Labels.MatchLabels(m.n.Matching.On, m.n.Matching.MatchingLabels...)
	first, second := b.Labels.String(), a.Labels.String()
	if first > second {
		first, second = second, first
	}
	return plan.Errorf("found duplicate series for the match group %s on the %s hand-side of the operation: [%s, %s]"+
		";many-to-many matching not allowed: matching labels must be unique on one side", group, side, first, second)
}

// combine adds the result of a pair of rows. A row of -1 is a fill value.
func (m *matcher) combine(step int, many, one int32, v, other element, sig int32) error {
	if m.swapped {
		v, other = other, v
	}
	value, kept, ok := m.apply(v, other)
	if !ok {
		return nil
	}
	at, err := m.row(many, one)
	if err != nil {
		return err
	}
	if m.n.Matching.Card == parser.CardOneToOne {
		if m.matched[sig] {
			return plan.Errorf("multiple matches for labels: many-to-one matching must be explicit (group_left/group_right)")
		}
	} else {
		if m.inserted[at] == (insertion{step: int32(step), sig: sig}) {
			return plan.Errorf("multiple matches for labels: grouping labels must ensure unique matches")
		}
		m.inserted[at] = insertion{step: int32(step), sig: sig}
	}
	m.matched[sig] = true
	if !kept {
		return nil
	}
	if m.lastStep[at] == step {
		return errSameLabels()
	}
	m.lastStep[at] = step
	m.rows[at].V[step] = value.v
	if value.h != nil {
		if err := m.run.q.Budget.takePoints(histogramPoints([]*histogram.FloatHistogram{value.h}), "the operator "+m.n.Op.String()); err != nil {
			return err
		}
		m.held += histogramPoints([]*histogram.FloatHistogram{value.h})
		m.rows[at].setHistogram(step, value.h)
	}
	m.rows[at].Present.set(step)
	return nil
}

// row returns the index of the result's row of a pair.
func (m *matcher) row(many, one int32) (at int32, err error) {
	if many >= 0 {
		last := &m.lastPair[many]
		if last.at >= 0 && last.one == one {
			return last.at, nil
		}
		defer func() { *last = lastPair{one: one, at: at} }()
	}
	pair := [2]int32{many, one}
	if at, ok := m.labelsOf[pair]; ok {
		return at, nil
	}
	lset := m.resultLabels(many, one)
	h := lset.Hash()
	var ok bool
	if at, ok = m.byHash[h]; !ok {
		if err := m.run.q.Budget.takePoints(int64(m.grid.Steps), "the operator "+m.n.Op.String()); err != nil {
			return 0, err
		}
		at = int32(len(m.rows))
		m.rows = append(m.rows, Row{
			Labels: lset, DropName: m.n.ReturnBool, V: make([]float64, m.grid.Steps), Present: newBits(m.grid.Steps),
		})
		m.lastStep = append(m.lastStep, -1)
		m.inserted = append(m.inserted, insertion{step: -1})
		m.byHash[h] = at
	}
	m.labelsOf[pair] = at
	return at, nil
}

func (m *matcher) resultLabels(many, one int32) labels.Labels {
	matching := m.n.Matching
	side := func(rows []Row, i int32, other []Row, j int32) labels.Labels {
		if i >= 0 {
			return rows[i].Labels
		}
		return other[j].Labels.MatchLabels(matching.On, matching.MatchingLabels...)
	}
	left, right := side(m.many, many, m.one, one), side(m.one, one, m.many, many)
	b := labels.NewBuilder(left)
	if m.arithmetic != nil || (m.n.ReturnBool && !m.run.q.DelayedNames) {
		schema.Metadata{}.SetToLabels(b)
	}
	if matching.Card == parser.CardOneToOne {
		if matching.On {
			b.Keep(matching.MatchingLabels...)
		} else {
			b.Del(matching.MatchingLabels...)
		}
	}
	for _, name := range matching.Include {
		b.Set(name, right.Get(name)) // an empty value removes the label
	}
	return b.Labels()
}

package plan

import (
	"slices"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/schema"
)

// propagate gives the matchers on labels that two sides are matched by to the
// selectors of the other side: a series whose label does not match has no
// partner there.
//
// A side is narrowed only where nobody can tell. Prometheus fails when two
// series of the one side of a match have the same labels to match by, though
// none on the other side does, as soon as there is any series on the other side.
// So the rule needs to know that there are no two (uniquely), whichever side it
// narrows: narrowing the one side would hide the two, narrowing the other side
// could leave it without series. Set operators never fail. What is between the
// match and a selector must not drop or change the label, nor fail or remark on
// a series that is removed (selectors).
func propagate(n Node, p Params) Node {
	if fewer(n, propagatedNodesMax) {
		propagator{counterRemarks: p.CounterRemarks}.visit(n)
	}
	return n
}

// propagatedNodesMax bounds the plans that are looked at: what is known of a
// part is found again at every level above it, for every matcher.
const propagatedNodesMax = 128

type propagator struct {
	counterRemarks bool
}

// visit handles what is below n first: what is propagated there reaches further.
func (p propagator) visit(n Node) {
	for _, in := range n.Inputs() {
		p.visit(in)
	}
	b, ok := n.(*Binary)
	if !ok || !joins(b) || b.Op == parser.LOR {
		return
	}
	if !b.Op.IsSetOperator() && !uniquely(oneSide(b), b.Matching) {
		return
	}
	p.pass(b, b.Left, b.Right)
	if b.Op != parser.LUNLESS {
		p.pass(b, b.Right, b.Left) // of unless what the right side has not stays
	}
}

// pass gives what is known of from to to.
func (p propagator) pass(b *Binary, from, to Node) {
	for _, m := range known(from) {
		if !matchedBy(b.Matching, m.Name) {
			continue
		}
		if scans, ok := p.selectors(to, m.Name); ok {
			for _, s := range scans {
				s.narrow(m)
			}
		}
	}
}

// narrow adds a matcher, unless it says nothing, or those that are there say the
// same or more.
func (s *Scan) narrow(m *labels.Matcher) {
	if m.Type == labels.MatchRegexp && m.Value == ".*" {
		return
	}
	for _, have := range s.Matchers {
		if have.Name != m.Name {
			continue
		}
		if have.Type == m.Type && have.Value == m.Value || have.Type == labels.MatchEqual && m.Matches(have.Value) {
			return
		}
	}
	// Where the parser puts it, so that parts that have become the same are found.
	at := len(s.Matchers)
	if at > 0 && s.Matchers[at-1].Name == model.MetricNameLabel {
		at--
	}
	s.Matchers = slices.Insert(slices.Clone(s.Matchers), at, m)
}

// joins: two vectors are matched, and what has no partner has no result. (With
// fill values it has one.)
func joins(b *Binary) bool {
	m := b.Matching
	return m != nil && m.FillValues.LHS == nil && m.FillValues.RHS == nil && !trims(b.Op) &&
		b.Left.Type() == parser.ValueTypeVector && b.Right.Type() == parser.ValueTypeVector
}

func trims(op parser.ItemType) bool { return op == parser.TRIM_UPPER || op == parser.TRIM_LOWER }

// oneSide is the side of an arithmetic operator or comparison of which each
// series has labels of its own to match by; manySide is the other one.
func oneSide(b *Binary) Node {
	if b.Matching.Card == parser.CardOneToMany {
		return b.Left
	}
	return b.Right
}

func manySide(b *Binary) Node {
	if b.Matching.Card == parser.CardOneToMany {
		return b.Right
	}
	return b.Left
}

// matchedBy: two series match only if they agree on the label. What describes
// the metric is not propagated: operators drop it.
func matchedBy(m *parser.VectorMatching, label string) bool {
	return !schema.IsMetadataLabel(label) && slices.Contains(m.MatchingLabels, label) == m.On
}

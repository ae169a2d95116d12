package plan

import (
	"fmt"

	"github.com/prometheus/prometheus/promql/parser"
)

// Shared is a part that stands in several places of a plan: what one place has
// computed serves the others. Each has its own copy of the part, which knows
// its own place in the text.
type Shared struct {
	base
	Input Node
	Group *Sharing
}

// Sharing is what the places of a part have in common.
type Sharing struct {
	Uses int // places
}

// Type returns that of the input.
func (n *Shared) Type() parser.ValueType { return n.Input.Type() }

// Inputs returns what is shared.
func (n *Shared) Inputs() []Node { return []Node{n.Input} }

func (n *Shared) describe() string { return fmt.Sprintf("Shared in %d places", n.Group.Uses) }

// share finds parts of a plan that are the same but for their place in the
// text, the largest first. Selectors by themselves are left alone, and so is
// what flows into an aggregation: there are no rows that could be shared.
func share(n Node, _ Params) Node {
	if !fewer(n, sharedNodesMax) {
		return n
	}
	s := sharer{places: map[string]int{}, groups: map[string]*Sharing{}}
	s.count(n)
	return unshare(s.replace(n))
}

// sharedNodesMax bounds the plans that are looked at: comparing parts takes the
// square of their number.
const sharedNodesMax = 256

// fewer reports whether a plan has fewer than most nodes.
func fewer(n Node, most int) bool {
	left := most
	var visit func(Node)
	visit = func(n Node) {
		if left--; left > 0 {
			for _, in := range n.Inputs() {
				visit(in)
			}
		}
	}
	visit(n)
	return left > 0
}

// unshare removes what stands in one place only, the others being inside of
// larger parts.
func unshare(n Node) Node {
	if s, ok := n.(*Shared); ok && s.Group.Uses < 2 {
		return unshare(s.Input)
	}
	replaceInputs(n, unshare)
	return n
}

type sharer struct {
	places map[string]int
	groups map[string]*Sharing
}

// key is equal for parts that compute the same; "" for what is not shared.
func (s *sharer) key(n Node) string {
	switch n := n.(type) {
	case *Aggregate:
	case *Call:
		if n.Type() != parser.ValueTypeVector {
			return ""
		}
	case *Binary:
		if n.Type() != parser.ValueTypeVector || n.Matching != nil && (n.Matching.FillValues.LHS != nil || n.Matching.FillValues.RHS != nil) {
			return ""
		}
	default:
		return ""
	}
	if hasFill(n) {
		return "" // fill values are not in the description
	}
	return Explain(n)
}

func hasFill(n Node) bool {
	if b, ok := n.(*Binary); ok && b.Matching != nil && (b.Matching.FillValues.LHS != nil || b.Matching.FillValues.RHS != nil) {
		return true
	}
	for _, in := range n.Inputs() {
		if hasFill(in) {
			return true
		}
	}
	return false
}

// inner are the inputs of n in whose place something else may stand.
func inner(n Node) []Node {
	if a, ok := n.(*Aggregate); ok && a.Fused {
		if a.Param != nil {
			return []Node{a.Param}
		}
		return nil
	}
	return n.Inputs()
}

func (s *sharer) count(n Node) {
	if key := s.key(n); key != "" {
		if s.places[key]++; s.places[key] > 1 {
			return // its parts are shared with it
		}
	}
	for _, in := range inner(n) {
		s.count(in)
	}
}

func (s *sharer) replace(n Node) Node {
	key := s.key(n)
	if key != "" && s.places[key] > 1 {
		if s.groups[key] == nil {
			s.groups[key] = &Sharing{}
		}
		s.groups[key].Uses++
		return &Shared{base: base{Range: n.Pos()}, Input: n, Group: s.groups[key]}
	}
	if a, ok := n.(*Aggregate); ok && a.Fused {
		return n
	}
	replaceInputs(n, s.replace)
	return n
}

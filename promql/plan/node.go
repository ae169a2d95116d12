package plan

import (
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/promql/parser/posrange"
)

// Node is one operator of a plan.
type Node interface {
	// Type is the PromQL type of what the node computes.
	Type() parser.ValueType
	// Pos is the node's place in the query's text.
	Pos() posrange.PositionRange
	// Inputs are the nodes that the node reads, in order.
	Inputs() []Node
	// describe is the node's line in Explain, without its inputs.
	describe() string
}

// base is what every node has.
type base struct {
	Range posrange.PositionRange
}

// Pos returns the node's place in the query's text.
func (b base) Pos() posrange.PositionRange { return b.Range }

// Const is a number at every step.
type Const struct {
	base
	Value float64
}

// Text is a string literal.
type Text struct {
	base
	Value string
}

// Scan selects series from storage over a range of times.
type Scan struct {
	Matchers []*labels.Matcher
	// MinTime and MaxTime (ms, both included) bound the samples that any step
	// can need. The rule "times" sets them.
	MinTime, MaxTime int64
	// StatsOnly: of histograms only count and sum are looked at. The rule
	// "stats" sets it.
	StatsOnly bool
	// NameFixed: the matchers allow one metric name only, in Name.
	NameFixed bool
	Name      string
	// Merged, if not nil, is a selection that has this one's series and times and
	// serves others, too; Rest are the matchers that it does not have. The rule
	// "merge" sets them.
	Merged *Merged
	Rest   []*labels.Matcher
}

// When says relative to what a selector or subquery looks back.
type When struct {
	// Offset (ms) is subtracted from the evaluation time, or from At.
	Offset int64
	// At (ms) replaces the evaluation time when Fixed.
	At    int64
	Fixed bool
}

// Reference is the time that a selector evaluated at ts looks back from.
func (w When) Reference(ts int64) int64 {
	if w.Fixed {
		ts = w.At
	}
	return ts - w.Offset
}

// Instant takes from each series the last sample within the lookback delta.
// A smoothed one takes what lies on the line between the samples before and
// after, each within the lookback delta.
type Instant struct {
	base
	When
	Scan     *Scan
	Lookback int64
	Smoothed bool
	// Only, if not nil, is the comparison that comes next, without its input: series
	// of which it leaves nothing may be left out. The rule "fuse" sets it.
	Only *Comparison
}

// Window is a range: the samples of each series in (reference-Range,
// reference]. It stands below a Call of a range function, or at the top.
// Exactly one of Scan and Subquery is set.
type Window struct {
	base
	When
	RangeMs  int64
	Scan     *Scan
	Subquery *Subquery
	// Anchored and Smoothed are the modifiers, for which samples up to Lookback
	// (ms) before the window, and after a smoothed one, are needed too.
	Anchored, Smoothed bool
	Lookback           int64
}

// Behind is how far (ms) the samples reach beyond the window's start.
func (n *Window) Behind() int64 {
	if n.Anchored || n.Smoothed {
		return n.Lookback
	}
	return 0
}

// Ahead is how far (ms) the samples reach beyond the window's end.
func (n *Window) Ahead() int64 {
	if n.Smoothed {
		return n.Lookback
	}
	return 0
}

// Subquery evaluates Input on a grid of its own.
type Subquery struct {
	base
	When
	RangeMs int64
	Step    int64
	Input   Node
}

// Call applies a function. A range function has exactly one Window among its
// arguments, at index Window (-1: none).
type Call struct {
	base
	Func   *parser.Function
	Args   []Node
	Window int
}

// Aggregate is an aggregation over Input; Param is nil for most.
type Aggregate struct {
	base
	Op       parser.ItemType
	Input    Node
	Param    Node
	Grouping []string // sorted
	Without  bool
	// Fused: the rows of Input flow straight into the accumulators, those below a
	// comparison with a number through it. The rule "fuse" sets it.
	Fused bool
}

// Binary is a binary operation.
type Binary struct {
	base
	Op          parser.ItemType
	Left, Right Node
	Matching    *parser.VectorMatching // of two vectors, else nil
	ReturnBool  bool
}

// Unary is a sign. A plus changes nothing, but its operand is not a selector
// any more to the functions that treat selectors in their own way.
type Unary struct {
	base
	Minus bool
	Input Node
}

// StepInvariant evaluates Input once, at the first step, and repeats the
// result at every step.
type StepInvariant struct {
	base
	Input Node
}

// Type returns scalar.
func (*Const) Type() parser.ValueType { return parser.ValueTypeScalar }

// Type returns string.
func (*Text) Type() parser.ValueType { return parser.ValueTypeString }

// Type returns vector.
func (*Instant) Type() parser.ValueType { return parser.ValueTypeVector }

// Type returns matrix.
func (*Window) Type() parser.ValueType { return parser.ValueTypeMatrix }

// Type returns matrix.
func (*Subquery) Type() parser.ValueType { return parser.ValueTypeMatrix }

// Type returns the function's.
func (n *Call) Type() parser.ValueType { return n.Func.ReturnType }

// Type returns vector.
func (*Aggregate) Type() parser.ValueType { return parser.ValueTypeVector }

// Type returns scalar for two scalars, else vector.
func (n *Binary) Type() parser.ValueType {
	if n.Left.Type() == parser.ValueTypeScalar && n.Right.Type() == parser.ValueTypeScalar {
		return parser.ValueTypeScalar
	}
	return parser.ValueTypeVector
}

// Type returns that of the input.
func (n *Unary) Type() parser.ValueType { return n.Input.Type() }

// Type returns that of the input.
func (n *StepInvariant) Type() parser.ValueType { return n.Input.Type() }

// Inputs returns none.
func (*Const) Inputs() []Node { return nil }

// Inputs returns none.
func (*Text) Inputs() []Node { return nil }

// Inputs returns none: the scan is part of the node.
func (*Instant) Inputs() []Node { return nil }

// Inputs returns the subquery, if it reads one.
func (n *Window) Inputs() []Node {
	if n.Subquery == nil {
		return nil
	}
	return []Node{n.Subquery}
}

// Inputs returns what is evaluated on the subquery's grid.
func (n *Subquery) Inputs() []Node { return []Node{n.Input} }

// Inputs returns the arguments.
func (n *Call) Inputs() []Node { return n.Args }

// Inputs returns the input and the parameter, if there is one.
func (n *Aggregate) Inputs() []Node {
	if n.Param == nil {
		return []Node{n.Input}
	}
	return []Node{n.Input, n.Param}
}

// Inputs returns both sides.
func (n *Binary) Inputs() []Node { return []Node{n.Left, n.Right} }

// Inputs returns the operand.
func (n *Unary) Inputs() []Node { return []Node{n.Input} }

// Inputs returns what is evaluated once.
func (n *StepInvariant) Inputs() []Node { return []Node{n.Input} }

// replaceInputs puts f(input) in the place of every input of n.
func replaceInputs(n Node, f func(Node) Node) {
	switch n := n.(type) {
	case *Window:
		if n.Subquery != nil {
			// A subquery is changed in place: its type is part of the window's.
			replaceInputs(n.Subquery, f)
		}
	case *Subquery:
		n.Input = f(n.Input)
	case *Call:
		for i := range n.Args {
			n.Args[i] = f(n.Args[i])
		}
	case *Aggregate:
		n.Input = f(n.Input)
		if n.Param != nil {
			n.Param = f(n.Param)
		}
	case *Binary:
		n.Left, n.Right = f(n.Left), f(n.Right)
	case *Unary:
		n.Input = f(n.Input)
	case *StepInvariant:
		n.Input = f(n.Input)
	case *Info:
		n.Input = f(n.Input)
	case *Shared:
		n.Input = f(n.Input)
	}
}

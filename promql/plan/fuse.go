package plan

import (
	"fmt"

	"github.com/prometheus/prometheus/promql/parser"

	"github.com/nilometer/nilometer/promql/function"
)

// fuse marks aggregations whose input's rows can flow into accumulators one
// by one, so that the input never exists at once, and selectors that stand in a
// comparison with a number, so that nobody asks for the labels of what does not stay:
// an alert's expression leaves nothing nearly always.
func fuse(n Node, p Params) Node {
	replaceInputs(n, func(in Node) Node { return fuse(in, p) })
	if a, ok := n.(*Aggregate); ok {
		a.Fused = accumulates(a.Op) && flows(a.Input)
		if c := Compared(a.Input); c != nil && !chooses(a.Op) {
			a.Fused = accumulates(a.Op) && flows(c.Input)
			if in, ok := c.Input.(*Instant); ok && a.Fused {
				in.Only = nil // its rows flow through the comparison
			}
		}
	}
	if c := Compared(n); c != nil {
		if in, ok := c.Input.(*Instant); ok && !in.Smoothed {
			in.Only = &Comparison{Op: c.Op, Value: c.Value, Swapped: c.Swapped}
		}
	}
	return n
}

// Comparison is a comparison of the rows of Input with a number: those values stay
// for which it is true.
type Comparison struct {
	Input Node
	Op    parser.ItemType
	// Value is on the right, or Swapped on the left.
	Value   float64
	Swapped bool
}

func (c *Comparison) describe() string {
	if c.Swapped {
		return fmt.Sprintf("%g %s", c.Value, c.Op)
	}
	return fmt.Sprintf("%s %g", c.Op, c.Value)
}

// Compared returns the comparison with a number that a node is, nil for others.
func Compared(n Node) *Comparison {
	b, ok := n.(*Binary)
	if !ok || b.ReturnBool || !b.Op.IsComparisonOperator() {
		return nil
	}
	if c, ok := b.Right.(*Const); ok && b.Left.Type() == parser.ValueTypeVector {
		return &Comparison{Input: b.Left, Op: b.Op, Value: c.Value}
	}
	if c, ok := b.Left.(*Const); ok && b.Right.Type() == parser.ValueTypeVector {
		return &Comparison{Input: b.Right, Op: b.Op, Value: c.Value, Swapped: true}
	}
	return nil
}

// Rows is the node whose rows flow into the aggregation, where it is fused.
func (n *Aggregate) Rows() Node {
	if c := Compared(n.Input); c != nil {
		return c.Input
	}
	return n.Input
}

// accumulates: the aggregation needs a constant amount of memory per group and
// step, and parts of it can be merged. (Variances can too, but not with
// upstream's rounding.)
func accumulates(op parser.ItemType) bool {
	switch op {
	case parser.SUM, parser.COUNT, parser.AVG, parser.MIN, parser.MAX, parser.GROUP:
		return true
	case parser.TOPK, parser.BOTTOMK, parser.LIMITK: // labels of what is chosen alone
		return true
	}
	return false
}

// flows: the node is a selector, or a range function over one, whose rows come
// straight from the columns.
func flows(n Node) bool {
	switch n := n.(type) {
	case *Instant:
		return true
	case *Call:
		if n.Window < 0 || n.Func.Name == "absent_over_time" {
			return false
		}
		w, ok := n.Args[n.Window].(*Window)
		return ok && w.Scan != nil && function.IsRange(n.Func.Name)
	}
	return false
}

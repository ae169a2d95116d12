package plan

import (
	"slices"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/promql/parser"
)

// Reach is how far the samples that a step needs lie before and after it, in ms.
// Ahead is negative where all of them lie before it.
type Reach struct {
	Behind, Ahead int64
}

// ReachOf tells whether the answer at every step depends on the samples around
// that step alone, and on no other step or end of the query's range, and how far
// these samples are. Only then is an answer over a long range the same as
// answers over parts of it. built is the plan of expr for p.
//
// What looks at fixed times does not, nor what names the range (start(), end(),
// range()). Nor does what fails when two series get the same labels though they
// are never there at one step: a function that drops the name of several
// metrics, or that changes labels.
func ReachOf(expr parser.Expr, built Node, p Params, delayedNames bool) (Reach, bool) {
	other := p
	other.Start, other.End = p.Start-3*max(p.Step, 1), p.End+5*max(p.Step, 1)
	again, err := Build(expr, other)
	if err != nil || Explain(again) != Explain(built) {
		return Reach{}, false
	}
	r := reacher{delayedNames: delayedNames}
	r.visit(built, 0, 0)
	return r.reach, r.found && !r.bound
}

type reacher struct {
	delayedNames bool
	reach        Reach
	found        bool // a selection
	bound        bool // something does not move with the steps
}

// sees notes that samples between two times, relative to a step, are needed.
func (r *reacher) sees(from, to int64) {
	if !r.found {
		r.reach.Ahead = to
	}
	r.reach = Reach{Behind: max(r.reach.Behind, -from), Ahead: max(r.reach.Ahead, to)}
	r.found = true
}

// visit handles n, evaluated at times between from and to relative to a step.
func (r *reacher) visit(n Node, from, to int64) {
	switch n := n.(type) {
	case *Instant:
		r.moves(n.When)
		from, to = from-n.Offset, to-n.Offset
		if n.Smoothed {
			to += n.Lookback
		}
		r.sees(from-n.Lookback, to)
		return
	case *Info:
		r.bound = true // its input may be renamed by what is found anywhere in the range
	case *Window:
		if n.Scan != nil {
			r.moves(n.When)
			r.sees(from-n.Offset-n.RangeMs-n.Behind(), to-n.Offset+n.Ahead())
			return
		}
	case *Subquery:
		r.moves(n.When)
		from, to = from-n.Offset-n.RangeMs, to-n.Offset
	case *Call:
		r.bound = r.bound || r.mayCollide(n)
	case *Unary:
		r.bound = r.bound || r.severalNames(n.Input)
	}
	for _, in := range n.Inputs() {
		r.visit(in, from, to)
	}
}

func (r *reacher) moves(w When) { r.bound = r.bound || w.Fixed }

// mayCollide: the function may give two series of its input the same labels.
func (r *reacher) mayCollide(n *Call) bool {
	switch n.Func.Name {
	case "label_replace", "label_join":
		return true
	}
	return slices.ContainsFunc(n.Args, r.severalNames)
}

// severalNames: what n computes may have series that differ in their names alone.
func (r *reacher) severalNames(n Node) bool {
	switch n := n.(type) {
	case *Const, *Text:
		return false
	case *Instant:
		return !n.Scan.NameFixed
	case *Window:
		if n.Scan != nil {
			return !n.Scan.NameFixed
		}
		return r.severalNames(n.Subquery.Input)
	case *Aggregate:
		switch n.Op {
		case parser.TOPK, parser.BOTTOMK, parser.LIMITK, parser.LIMIT_RATIO:
			return r.severalNames(n.Input)
		}
		return !n.Without && slices.Contains(n.Grouping, model.MetricNameLabel) || n.Without && r.delayedNames && r.severalNames(n.Input)
	case *Binary:
		return n.Op == parser.LOR || r.severalNames(n.Left) || r.severalNames(n.Right)
	}
	return slices.ContainsFunc(n.Inputs(), r.severalNames)
}

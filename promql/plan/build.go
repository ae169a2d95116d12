package plan

import (
	"errors"
	"slices"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
)

// depthMax bounds how deep an expression may nest: planning and execution
// recurse, with about 1 KiB of stack a level. A chain of operators nests as
// deep as it is long, and generated ones have hundreds of terms.
const depthMax = 5000

// Params are the times of a query, in ms.
type Params struct {
	Start, End, Step int64
	Lookback         int64
	// SubqueryStep is the resolution of subqueries that name none.
	SubqueryStep int64
	// CounterRemarks: functions of counters remark on single series, whatever the
	// metric's name: start timestamps or the labels of types are looked at.
	CounterRemarks bool
}

// Build turns expr into a plan. It does not keep expr, but shares its
// matchers and function descriptions. Errors are what upstream reports as such
// before evaluation, *NotSupportedError or *LimitError.
func Build(expr parser.Expr, p Params) (Node, error) {
	b := builder{p: p}
	n := b.build(expr, 0)
	if b.err != nil {
		return nil, b.err
	}
	return n, nil
}

type builder struct {
	p   Params
	err error // the first
}

func (b *builder) fail(err error) Node {
	if b.err == nil {
		b.err = err
	}
	return &Const{}
}

func (b *builder) build(expr parser.Expr, depth int) Node {
	if depth++; depth > depthMax {
		return b.fail(&LimitError{
			Limit: "levels of nesting", Max: depthMax, Seen: int64(depth),
			Where: "the expression", Remedy: "split it, for example with recording rules",
		})
	}
	switch e := expr.(type) {
	case *parser.ParenExpr:
		return b.build(e.Expr, depth)
	case *parser.NumberLiteral:
		return &Const{base: at(e), Value: e.Val}
	case *parser.StringLiteral:
		return &Text{base: at(e), Value: e.Val}
	case *parser.UnaryExpr:
		return &Unary{base: at(e), Minus: e.Op == parser.SUB, Input: b.build(e.Expr, depth)}
	case *parser.BinaryExpr:
		return &Binary{
			base: at(e), Op: e.Op, Left: b.build(e.LHS, depth), Right: b.build(e.RHS, depth),
			Matching: e.VectorMatching, ReturnBool: e.ReturnBool,
		}
	case *parser.AggregateExpr:
		return b.aggregate(e, depth)
	case *parser.Call:
		return b.call(e, depth)
	case *parser.VectorSelector:
		return b.instant(e)
	case *parser.MatrixSelector:
		return b.window(e)
	case *parser.SubqueryExpr:
		return b.subquery(e, depth)
	}
	return b.fail(&NotSupportedError{What: "this kind of expression"})
}

func at(n parser.Node) base { return base{Range: n.PositionRange()} }

func (b *builder) aggregate(e *parser.AggregateExpr, depth int) Node {
	n := &Aggregate{base: at(e), Op: e.Op, Input: b.build(e.Expr, depth), Without: e.Without}
	if e.Param != nil {
		n.Param = b.build(e.Param, depth)
	}
	n.Grouping = slices.Clone(e.Grouping)
	slices.Sort(n.Grouping)
	return n
}

func (b *builder) call(e *parser.Call, depth int) Node {
	if v, ok := b.contextValue(e.Func.Name); ok {
		return &Const{base: at(e), Value: v}
	}
	if e.Func.Name == "info" {
		return b.info(e, depth)
	}
	n := &Call{base: at(e), Func: e.Func, Window: -1}
	for i, a := range e.Args {
		in := b.build(a, depth)
		if s, ok := in.(*Subquery); ok {
			in = &Window{base: s.base, When: s.When, RangeMs: s.RangeMs, Subquery: s}
		}
		if _, ok := in.(*Window); ok && n.Window < 0 {
			n.Window = i
		}
		n.Args = append(n.Args, in)
	}
	return n
}

// contextValue is the value of the functions that name the query's own times.
func (b *builder) contextValue(name string) (float64, bool) {
	switch name {
	case "start":
		return float64(b.p.Start) / 1000, true
	case "end":
		return float64(b.p.End) / 1000, true
	case "range":
		return b.queryRange().Seconds(), true
	case "step":
		if b.p.Start == b.p.End {
			return 0, true
		}
		return b.queryStep().Seconds(), true
	}
	return 0, false
}

func (b *builder) queryRange() time.Duration {
	return time.Duration(b.p.End-b.p.Start) * time.Millisecond
}

func (b *builder) queryStep() time.Duration { return time.Duration(b.p.Step) * time.Millisecond }

func (b *builder) instant(e *parser.VectorSelector) Node {
	return &Instant{
		base: at(e), When: b.when(e.OriginalOffset, e.OriginalOffsetExpr, e.Timestamp, e.StartOrEnd),
		Scan: scan(e), Lookback: b.p.Lookback, Smoothed: e.Smoothed,
	}
}

func (b *builder) window(e *parser.MatrixSelector) Node {
	vs, ok := e.VectorSelector.(*parser.VectorSelector)
	if !ok {
		return b.fail(&NotSupportedError{What: "a range of something that is not a selector"})
	}
	return &Window{
		base: at(e), When: b.when(vs.OriginalOffset, vs.OriginalOffsetExpr, vs.Timestamp, vs.StartOrEnd),
		RangeMs: b.duration(e.Range, e.RangeExpr, false), Scan: scan(vs),
		Anchored: vs.Anchored, Smoothed: vs.Smoothed, Lookback: b.p.Lookback,
	}
}

func (b *builder) subquery(e *parser.SubqueryExpr, depth int) Node {
	n := &Subquery{
		base: at(e), When: b.when(e.OriginalOffset, e.OriginalOffsetExpr, e.Timestamp, e.StartOrEnd),
		RangeMs: b.duration(e.Range, e.RangeExpr, false),
		Step:    b.duration(e.Step, e.StepExpr, false),
		Input:   b.build(e.Expr, depth),
	}
	if n.Step == 0 {
		n.Step = b.p.SubqueryStep
	}
	if n.Step < 1 {
		return b.fail(errors.New("the step of a subquery must be at least 1ms"))
	}
	return n
}

func (b *builder) when(offset time.Duration, expr *parser.DurationExpr, ts *int64, startOrEnd parser.ItemType) When {
	w := When{Offset: b.duration(offset, expr, true)}
	switch {
	case startOrEnd == parser.START:
		w.At, w.Fixed = b.p.Start, true
	case startOrEnd == parser.END:
		w.At, w.Fixed = b.p.End, true
	case ts != nil:
		w.At, w.Fixed = *ts, true
	}
	return w
}

func scan(e *parser.VectorSelector) *Scan {
	s := &Scan{Matchers: e.LabelMatchers}
	for _, m := range s.Matchers {
		if m.Name == model.MetricNameLabel && m.Type == labels.MatchEqual {
			s.NameFixed, s.Name = true, m.Value
		}
	}
	return s
}

package plan

import (
	"fmt"
	"math"
	"time"

	"github.com/prometheus/prometheus/promql/parser"
)

// duration returns d, or the value of expr in its place if there is one, in
// ms.
func (b *builder) duration(d time.Duration, expr *parser.DurationExpr, negative bool) int64 {
	if expr == nil {
		return d.Milliseconds()
	}
	seconds, err := b.seconds(expr)
	at := fmt.Sprintf("%d:%d", expr.PositionRange().Start, expr.PositionRange().End)
	switch {
	case err != nil:
	case math.IsNaN(seconds) || math.IsInf(seconds, 0):
		err = fmt.Errorf("%s: duration is NaN or infinite", at)
	case seconds <= 0 && !negative:
		err = fmt.Errorf("%s: duration must be greater than 0", at)
	case math.Abs(seconds) > durationSecondsMax:
		err = fmt.Errorf("%s: duration is out of range", at)
	}
	if err != nil {
		b.fail(err)
		return 0
	}
	return int64(seconds * 1000)
}

// durationSecondsMax is what a time.Duration can hold: the parser's bound for
// literals.
const durationSecondsMax = 1 << 63 / 1e9

// seconds evaluates a duration expression.
func (b *builder) seconds(expr parser.Expr) (float64, error) {
	e, ok := expr.(*parser.DurationExpr)
	if !ok {
		n, ok := expr.(*parser.NumberLiteral)
		if !ok {
			return 0, fmt.Errorf("unexpected duration expression type %T", expr)
		}
		return n.Val, nil
	}
	var left, right float64
	var err error
	if e.LHS != nil {
		if left, err = b.seconds(e.LHS); err != nil {
			return 0, err
		}
	}
	if e.RHS != nil {
		if right, err = b.seconds(e.RHS); err != nil {
			return 0, err
		}
	}
	at := func(what string) error {
		return fmt.Errorf("%d:%d: %s", e.PositionRange().Start, e.PositionRange().End, what)
	}
	switch e.Op {
	case parser.STEP:
		return b.queryStep().Seconds(), nil
	case parser.RANGE:
		return b.queryRange().Seconds(), nil
	case parser.MIN_OF:
		return math.Min(left, right), nil
	case parser.MAX_OF:
		return math.Max(left, right), nil
	case parser.ADD:
		return left + right, nil // unary: left is 0
	case parser.SUB:
		return left - right, nil
	case parser.MUL:
		return left * right, nil
	case parser.DIV:
		if right == 0 {
			return 0, at("division by zero")
		}
		return left / right, nil
	case parser.MOD:
		if right == 0 {
			return 0, at("modulo by zero")
		}
		return math.Mod(left, right), nil
	case parser.POW:
		return math.Pow(left, right), nil
	}
	return 0, fmt.Errorf("unexpected duration expression operator %q", e.Op)
}

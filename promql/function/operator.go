package function

import (
	"math"

	"github.com/prometheus/prometheus/promql/parser"
)

// Scalar applies a binary operator to two scalars: comparisons give 0 or 1. It
// reports false for an operator that scalars do not have.
func Scalar(op parser.ItemType, l, r float64) (float64, bool) {
	if f := Arithmetic(op); f != nil {
		return f(l, r), true
	}
	if f := Comparison(op); f != nil {
		if f(l, r) {
			return 1, true
		}
		return 0, true
	}
	return 0, false
}

// Arithmetic returns the function of an arithmetic operator, nil for others.
func Arithmetic(op parser.ItemType) func(l, r float64) float64 {
	switch op {
	case parser.ADD:
		return func(l, r float64) float64 { return l + r }
	case parser.SUB:
		return func(l, r float64) float64 { return l - r }
	case parser.MUL:
		return func(l, r float64) float64 { return l * r }
	case parser.DIV:
		return func(l, r float64) float64 { return l / r }
	case parser.POW:
		return math.Pow
	case parser.MOD:
		return math.Mod
	case parser.ATAN2:
		return math.Atan2
	}
	return nil
}

// Comparison returns the function of a comparison operator, nil for others.
func Comparison(op parser.ItemType) func(l, r float64) bool {
	switch op {
	case parser.EQLC:
		return func(l, r float64) bool { return l == r }
	case parser.NEQ:
		return func(l, r float64) bool { return l != r }
	case parser.GTR:
		return func(l, r float64) bool { return l > r }
	case parser.LSS:
		return func(l, r float64) bool { return l < r }
	case parser.GTE:
		return func(l, r float64) bool { return l >= r }
	case parser.LTE:
		return func(l, r float64) bool { return l <= r }
	}
	return nil
}

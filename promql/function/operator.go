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

// ArithmeticEach sets dst to the results of an arithmetic operator for the elements
// of l and r, which are as long. dst may be one of them.
func ArithmeticEach(op parser.ItemType, dst, l, r []float64) {
	l, r = l[:len(dst)], r[:len(dst)]
	switch op {
	case parser.ADD:
		for i := range dst {
			dst[i] = l[i] + r[i]
		}
	case parser.SUB:
		for i := range dst {
			dst[i] = l[i] - r[i]
		}
	case parser.MUL:
		for i := range dst {
			dst[i] = l[i] * r[i]
		}
	case parser.DIV:
		for i := range dst {
			dst[i] = l[i] / r[i]
		}
	default:
		f := Arithmetic(op)
		for i := range dst {
			dst[i] = f(l[i], r[i])
		}
	}
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

package function

import (
	"errors"
	"math"

	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/promql/parser"
)

// Clash is why two elements give no result, or one with a remark.
type Clash uint8

// The clashes. Each stands for one annotation of upstream's.
const (
	NoClash Clash = iota
	// ClashKinds: the operator is not defined for the kinds of its operands.
	ClashKinds
	// ClashSchemas: exponential and custom buckets.
	ClashSchemas
	// ClashResets: hints of two histograms contradict each other.
	ClashResets
	// ClashBounds: custom bounds were reduced to those in common. There is a
	// result.
	ClashBounds
)

// Histograms combines two elements of which at least one is a histogram; a nil
// one is the float beside it. keep is false where there is no result: with a
// clash other than ClashBounds, or because a comparison is not true.
// The result of a comparison is the left histogram. op is not a set operator;
// the result shares nothing with what an arithmetic operator was given.
func Histograms(op parser.ItemType, lf, rf float64, l, r *histogram.FloatHistogram) (h *histogram.FloatHistogram, keep bool, clash Clash) {
	switch {
	case l == nil:
		if op == parser.MUL {
			return r.Copy().Mul(lf).Compact(0), true, NoClash
		}
	case r == nil:
		switch op {
		case parser.MUL:
			return l.Copy().Mul(rf).Compact(0), true, NoClash
		case parser.DIV:
			return l.Copy().Div(rf).Compact(0), true, NoClash
		case parser.TRIM_UPPER, parser.TRIM_LOWER:
			return l.Copy().TrimBuckets(rf, op == parser.TRIM_UPPER), true, NoClash
		}
	default:
		switch op {
		case parser.ADD:
			h = l.Copy()
			_, collided, reconciled, err := h.Add(r)
			return added(h, collided, reconciled, err)
		case parser.SUB:
			h = l.Copy()
			_, collided, reconciled, err := h.Sub(r)
			h.CounterResetHint = histogram.GaugeType
			return added(h, collided, reconciled, err)
		case parser.EQLC:
			return l, l.Equals(r), NoClash
		case parser.NEQ:
			return l, !l.Equals(r), NoClash
		}
	}
	return nil, false, ClashKinds
}

// OfHistogram returns the function of one histogram of that PromQL name:
// histogram_count, histogram_sum, histogram_avg, histogram_stddev or
// histogram_stdvar.
func OfHistogram(name string) func(h *histogram.FloatHistogram) float64 {
	switch name {
	case "histogram_count":
		return func(h *histogram.FloatHistogram) float64 { return h.Count }
	case "histogram_sum":
		return func(h *histogram.FloatHistogram) float64 { return h.Sum }
	case "histogram_avg":
		return func(h *histogram.FloatHistogram) float64 { return h.Sum / h.Count }
	case "histogram_stddev":
		return func(h *histogram.FloatHistogram) float64 { return math.Sqrt(NativeVariance(h)) }
	case "histogram_stdvar":
		return NativeVariance
	}
	return nil
}

func added(h *histogram.FloatHistogram, collided, reconciled bool, err error) (*histogram.FloatHistogram, bool, Clash) {
	switch {
	case errors.Is(err, histogram.ErrHistogramsIncompatibleSchema):
		return nil, false, ClashSchemas
	case err != nil:
		return nil, false, NoClash
	case collided:
		return nil, false, ClashResets
	case reconciled:
		return h.Compact(0), true, ClashBounds
	}
	return h.Compact(0), true, NoClash
}

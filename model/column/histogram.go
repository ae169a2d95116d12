package column

import (
	"math"
	"slices"

	"github.com/prometheus/prometheus/model/histogram"
)

// Histogram is the value of a native histogram sample: at most one of Int and
// Float is set. Where floats and histograms share a column, the zero Histogram
// stands at a float.
//
// Histograms that were decoded together share the memory of their spans and
// custom bounds: who changes one copies it first.
type Histogram struct {
	Int   *histogram.Histogram
	Float *histogram.FloatHistogram
}

// IsZero reports whether there is no histogram.
func (h Histogram) IsZero() bool { return h.Int == nil && h.Float == nil }

// IsStale reports whether the histogram is a stale marker: its sum has the
// bits of StaleNaN. Like a float one it ends the series, whatever else is in it.
func (h Histogram) IsStale() bool {
	switch {
	case h.Int != nil:
		return IsStale(h.Int.Sum)
	case h.Float != nil:
		return IsStale(h.Float.Sum)
	}
	return false
}

// Equal reports whether two histograms are the same bit for bit: kind, hint,
// spans and values. Absent and empty lists are the same.
func (h Histogram) Equal(o Histogram) bool {
	switch {
	case h.Int != nil && o.Int != nil:
		a, b := h.Int, o.Int
		return a.CounterResetHint == b.CounterResetHint && a.Schema == b.Schema &&
			sameBits(a.ZeroThreshold, b.ZeroThreshold) && sameBits(a.Sum, b.Sum) &&
			a.Count == b.Count && a.ZeroCount == b.ZeroCount &&
			slices.Equal(a.PositiveSpans, b.PositiveSpans) && slices.Equal(a.NegativeSpans, b.NegativeSpans) &&
			slices.Equal(a.PositiveBuckets, b.PositiveBuckets) && slices.Equal(a.NegativeBuckets, b.NegativeBuckets) &&
			slices.EqualFunc(a.CustomValues, b.CustomValues, sameBits)
	case h.Float != nil && o.Float != nil:
		a, b := h.Float, o.Float
		return a.CounterResetHint == b.CounterResetHint && a.Schema == b.Schema &&
			sameBits(a.ZeroThreshold, b.ZeroThreshold) && sameBits(a.Sum, b.Sum) &&
			sameBits(a.Count, b.Count) && sameBits(a.ZeroCount, b.ZeroCount) &&
			slices.Equal(a.PositiveSpans, b.PositiveSpans) && slices.Equal(a.NegativeSpans, b.NegativeSpans) &&
			slices.EqualFunc(a.PositiveBuckets, b.PositiveBuckets, sameBits) &&
			slices.EqualFunc(a.NegativeBuckets, b.NegativeBuckets, sameBits) &&
			slices.EqualFunc(a.CustomValues, b.CustomValues, sameBits)
	}
	return h.IsZero() && o.IsZero()
}

// Copy returns a histogram that shares no memory with h but custom bounds, which
// nobody changes.
func (h Histogram) Copy() Histogram {
	switch {
	case h.Int != nil:
		return Histogram{Int: h.Int.Copy()}
	case h.Float != nil:
		return Histogram{Float: h.Float.Copy()}
	}
	return h
}

func sameBits(a, b float64) bool { return math.Float64bits(a) == math.Float64bits(b) }

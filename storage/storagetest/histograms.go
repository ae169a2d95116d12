package storagetest

import (
	"github.com/prometheus/prometheus/model/histogram"

	"github.com/nilometer/nilometer/storage"
)

// IntHistogram is a valid histogram with buckets on both sides, the more
// observations the larger n.
func IntHistogram(n int64) storage.Histogram {
	spans := func() []histogram.Span { return []histogram.Span{{Offset: 0, Length: 2}, {Offset: 1, Length: 2}} }
	h := &histogram.Histogram{
		Schema: 1, ZeroThreshold: 0.001, ZeroCount: uint64(2 + n), Sum: 18.4 * float64(n+1),
		PositiveSpans: spans(), PositiveBuckets: []int64{n + 1, 1, -1, 0},
		NegativeSpans: spans(), NegativeBuckets: []int64{n + 1, 1, -1, 0},
	}
	h.Count = h.ZeroCount + 2*uint64(4*(n+1)+1)
	return storage.Histogram{Int: h}
}

// FloatHistogram is IntHistogram as floats.
func FloatHistogram(n int64) storage.Histogram {
	return storage.Histogram{Float: IntHistogram(n).Int.ToFloat(nil)}
}

// GaugeHistogram is IntHistogram with the hint of a gauge.
func GaugeHistogram(n int64) storage.Histogram {
	h := IntHistogram(n)
	h.Int.CounterResetHint = histogram.GaugeType
	return h
}

// CustomHistogram is a histogram with bounds of its own.
func CustomHistogram(n int64) storage.Histogram {
	h := &histogram.Histogram{
		Schema: histogram.CustomBucketsSchema, Sum: 18.4 * float64(n+1), Count: uint64(4*(n+1) + 1),
		PositiveSpans: []histogram.Span{{Offset: 0, Length: 2}, {Offset: 1, Length: 2}}, PositiveBuckets: []int64{n + 1, 1, -1, 0},
		CustomValues: []float64{0, 1, 2, 3, 4},
	}
	return storage.Histogram{Int: h}
}

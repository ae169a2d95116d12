package exposition

import (
	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/util/convertnhcb"

	"github.com/nilometer/nilometer/model/column"
)

// Histogram is a sample of a native histogram in a remembered series.
type Histogram struct {
	Ref   Ref
	Value column.Histogram
	Time  int64 // ms since the Unix epoch, when Timed
	Timed bool
	Start int64 // ms since the Unix epoch, 0 without one
}

// histograms makes native histograms, in memory that the next body reuses.
type histograms struct {
	ints   []*histogram.Histogram
	floats []*histogram.FloatHistogram
	nInts  int
	nFloat int
	temp   convertnhcb.TempHistogram
}

func (hs *histograms) reset() { hs.nInts, hs.nFloat = 0, 0 }

// native makes a native histogram of a decoded metric whose spans fit.
func (hs *histograms) native(m *metric, gauge bool) column.Histogram {
	h := &m.histo
	hint := histogram.UnknownCounterReset
	if gauge {
		hint = histogram.GaugeType
	}
	if h.floats() {
		f := hs.float()
		f.CounterResetHint, f.Schema, f.ZeroThreshold, f.ZeroCount = hint, h.schema, h.zeroThreshold, h.zeroCountFloat
		f.Count, f.Sum = h.countFloat, m.sum
		f.PositiveSpans, f.PositiveBuckets = append(f.PositiveSpans[:0], h.posSpans...), append(f.PositiveBuckets[:0], h.posCounts...)
		f.NegativeSpans, f.NegativeBuckets = append(f.NegativeSpans[:0], h.negSpans...), append(f.NegativeBuckets[:0], h.negCounts...)
		return column.Histogram{Float: f.Compact(0)}
	}
	i := hs.int()
	i.CounterResetHint, i.Schema, i.ZeroThreshold, i.ZeroCount = hint, h.schema, h.zeroThreshold, h.zeroCount
	i.Count, i.Sum = m.count, m.sum
	i.PositiveSpans, i.PositiveBuckets = append(i.PositiveSpans[:0], h.posSpans...), append(i.PositiveBuckets[:0], h.posDeltas...)
	i.NegativeSpans, i.NegativeBuckets = append(i.NegativeSpans[:0], h.negSpans...), append(i.NegativeBuckets[:0], h.negDeltas...)
	return column.Histogram{Int: i.Compact(0)}
}

func (hs *histograms) int() *histogram.Histogram {
	if hs.nInts == len(hs.ints) {
		hs.ints = append(hs.ints, new(histogram.Histogram))
	}
	hs.nInts++
	return hs.ints[hs.nInts-1]
}

func (hs *histograms) float() *histogram.FloatHistogram {
	if hs.nFloat == len(hs.floats) {
		hs.floats = append(hs.floats, new(histogram.FloatHistogram))
	}
	hs.nFloat++
	return hs.floats[hs.nFloat-1]
}

// custom makes a native histogram with the bounds of a classic one.
func (hs *histograms) custom(m *metric, gauge bool) (column.Histogram, error) {
	hs.temp.Reset()
	// The first fault is kept: Convert returns it.
	_ = hs.temp.SetCount(m.counts())
	_ = hs.temp.SetSum(m.sum)
	for _, b := range m.histo.buckets {
		_ = hs.temp.SetBucketCount(b.bound, b.count)
	}
	return hs.convert(gauge)
}

// convert makes a native histogram of what was gathered in temp.
func (hs *histograms) convert(gauge bool) (column.Histogram, error) {
	i, f, err := hs.temp.Convert()
	if err != nil {
		return column.Histogram{}, err
	}
	if gauge && i != nil {
		i.CounterResetHint = histogram.GaugeType
	}
	if gauge && f != nil {
		f.CounterResetHint = histogram.GaugeType
	}
	return column.Histogram{Int: i, Float: f}, nil
}

package exposition

import (
	"fmt"
	"math"

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

	// temp gathers a classic histogram: so many buckets, the last with this
	// bound.
	temp     convertnhcb.TempHistogram
	nBuckets int
	last     float64
	disorder bool
}

// disorderMax is how many buckets a classic histogram may have whose bounds do
// not ascend: each is put in its place among the others.
const disorderMax = 512

var errDisorder = fmt.Errorf("its bounds do not ascend, and it has over %d", disorderMax)

// begin begins to gather a classic histogram.
func (hs *histograms) begin() {
	hs.temp.Reset()
	hs.nBuckets, hs.last, hs.disorder = 0, math.Inf(-1), false
}

// bucket adds one to the histogram that is gathered. What is wrong with it is
// for convert to say.
func (hs *histograms) bucket(bound, count float64) {
	if hs.nBuckets++; bound < hs.last {
		hs.disorder = true
	}
	if hs.last = bound; !hs.disorder || hs.nBuckets <= disorderMax {
		_ = hs.temp.SetBucketCount(bound, count)
	}
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
	hs.begin()
	_ = hs.temp.SetCount(m.counts()) // the first fault is kept: Convert returns it
	_ = hs.temp.SetSum(m.sum)
	for _, b := range m.histo.buckets {
		hs.bucket(b.bound, b.count)
	}
	return hs.convert(gauge)
}

// convert makes a native histogram of what was gathered in temp.
func (hs *histograms) convert(gauge bool) (column.Histogram, error) {
	if hs.disorder && hs.nBuckets > disorderMax {
		return column.Histogram{}, errDisorder
	}
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

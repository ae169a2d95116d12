package record

import (
	"encoding/binary"
	"math"

	"github.com/prometheus/prometheus/model/histogram"

	format "github.com/nilometer/nilometer/format/histogram"
	"github.com/nilometer/nilometer/model/column"
)

// A histogram is written against the member's one before where both are of the
// same kind and have the same buckets; else whole. See FORMAT.md.
const (
	histogramFloat   = 1
	histogramAgainst = 2 // the one before; else whole
	histogramHint    = 2 // shift of two bits
	histogramMask    = 0x0f
)

// AppendHistogram appends h to dst, against prev if they have buckets in common.
// The zero prev is none. h satisfies histogram.Check.
func AppendHistogram(dst []byte, prev, h column.Histogram) []byte {
	against := alike(prev, h)
	head := byte(hintOf(h)) << histogramHint
	if h.Float != nil {
		head |= histogramFloat
	}
	if against {
		head |= histogramAgainst
	}
	dst = append(dst, head)
	if !against {
		dst = appendShape(dst, h)
		prev = blank(h)
	}
	if h.Int != nil {
		return appendIntHistogram(dst, prev.Int, h.Int)
	}
	return appendFloatHistogram(dst, prev.Float, h.Float)
}

func hintOf(h column.Histogram) histogram.CounterResetHint {
	if h.Int != nil {
		return h.Int.CounterResetHint
	}
	return h.Float.CounterResetHint
}

// alike reports whether two histograms are of one kind and have the same
// buckets.
func alike(a, b column.Histogram) bool {
	if a.IsZero() || b.IsZero() || (a.Int == nil) != (b.Int == nil) {
		return false
	}
	return shapeOf(a).equal(shapeOf(b))
}

// blank is a histogram of the same buckets without an observation.
func blank(h column.Histogram) column.Histogram {
	if h.Int != nil {
		return column.Histogram{Int: &histogram.Histogram{
			PositiveBuckets: make([]int64, len(h.Int.PositiveBuckets)), NegativeBuckets: make([]int64, len(h.Int.NegativeBuckets)),
		}}
	}
	return column.Histogram{Float: &histogram.FloatHistogram{
		PositiveBuckets: make([]float64, len(h.Float.PositiveBuckets)), NegativeBuckets: make([]float64, len(h.Float.NegativeBuckets)),
	}}
}

func appendIntHistogram(dst []byte, prev, h *histogram.Histogram) []byte {
	dst = binary.AppendVarint(dst, int64(h.Count-prev.Count))
	dst = binary.AppendVarint(dst, int64(h.ZeroCount-prev.ZeroCount))
	var hint Hint
	dst = appendValue(dst, math.Float64bits(prev.Sum), math.Float64bits(h.Sum), &hint)
	dst = appendIncrements(dst, prev.PositiveBuckets, h.PositiveBuckets)
	return appendIncrements(dst, prev.NegativeBuckets, h.NegativeBuckets)
}

// appendIncrements appends by how much each bucket's count has grown. Buckets
// are deltas to the one before, as in a histogram. A 0 stands for several: their
// number less one follows.
func appendIncrements(dst []byte, prev, buckets []int64) []byte {
	grown, zeros := int64(0), 0
	flush := func() {
		if zeros > 0 {
			dst = binary.AppendUvarint(append(dst, 0), uint64(zeros-1))
			zeros = 0
		}
	}
	for i, d := range buckets {
		grown += d - prev[i]
		if grown == 0 {
			zeros++
			continue
		}
		flush()
		dst = binary.AppendVarint(dst, grown)
	}
	flush()
	return dst
}

func appendFloatHistogram(dst []byte, prev, h *histogram.FloatHistogram) []byte {
	for _, v := range [...][2]float64{{prev.Count, h.Count}, {prev.ZeroCount, h.ZeroCount}, {prev.Sum, h.Sum}} {
		var hint Hint
		dst = appendValue(dst, math.Float64bits(v[0]), math.Float64bits(v[1]), &hint)
	}
	dst = appendChanges(dst, prev.PositiveBuckets, h.PositiveBuckets)
	return appendChanges(dst, prev.NegativeBuckets, h.NegativeBuckets)
}

// appendChanges appends the buckets that have changed, each behind how many
// have not; what is left at the end has not.
func appendChanges(dst []byte, prev, buckets []float64) []byte {
	skipped := uint64(0)
	var hint Hint
	for i, v := range buckets {
		was, is := math.Float64bits(prev[i]), math.Float64bits(v)
		if was == is {
			skipped++
			continue
		}
		dst = binary.AppendUvarint(dst, skipped)
		dst = appendValue(dst, was, is, &hint)
		skipped = 0
	}
	if skipped > 0 {
		dst = binary.AppendUvarint(dst, skipped)
	}
	return dst
}

// ReadHistogram reads the histogram at the front of data, given the member's
// one before (the zero Histogram when it had none), and returns the bytes that
// follow. The result shares spans and bounds with prev.
func ReadHistogram(data []byte, prev column.Histogram) (h column.Histogram, rest []byte, err error) {
	r := reader{data: data}
	if h = r.histogram(prev); r.err != nil {
		return column.Histogram{}, data, r.err
	}
	return h, data[r.pos:], nil
}

func (r *reader) histogram(prev column.Histogram) column.Histogram {
	head := r.byte()
	if head&^histogramMask != 0 {
		r.fail("unknown flags of a histogram")
	}
	float, hint := head&histogramFloat != 0, histogram.CounterResetHint(head>>histogramHint)
	var s shape
	if head&histogramAgainst == 0 {
		s = r.shape()
	} else if prev.IsZero() || float != (prev.Float != nil) {
		r.fail("a histogram against one that is not there")
	} else {
		s = shapeOf(prev)
	}
	if r.err != nil {
		return column.Histogram{}
	}
	if float {
		return column.Histogram{Float: r.floatHistogram(s, hint, head&histogramAgainst != 0, prev.Float)}
	}
	return column.Histogram{Int: r.intHistogram(s, hint, head&histogramAgainst != 0, prev.Int)}
}

func (r *reader) intHistogram(s shape, hint histogram.CounterResetHint, against bool, prev *histogram.Histogram) *histogram.Histogram {
	if !against {
		prev = &histogram.Histogram{PositiveBuckets: make([]int64, s.positiveCount), NegativeBuckets: make([]int64, s.negativeCount)}
	}
	return &histogram.Histogram{
		CounterResetHint: hint, Schema: s.schema, ZeroThreshold: s.threshold, CustomValues: s.custom,
		PositiveSpans: s.positive, NegativeSpans: s.negative,
		Count:           prev.Count + uint64(r.varint()),
		ZeroCount:       prev.ZeroCount + uint64(r.varint()),
		Sum:             math.Float64frombits(r.value(math.Float64bits(prev.Sum))),
		PositiveBuckets: r.increments(prev.PositiveBuckets),
		NegativeBuckets: r.increments(prev.NegativeBuckets),
	}
}

func (r *reader) increments(prev []int64) []int64 {
	if len(prev) == 0 {
		return nil
	}
	out := make([]int64, len(prev))
	last, zeros := int64(0), uint64(0)
	for i, d := range prev {
		grown := int64(0)
		if zeros > 0 {
			zeros--
		} else if grown = r.varint(); grown == 0 {
			if zeros = r.uvarint(); zeros >= uint64(len(prev)-i) {
				r.fail("more buckets than there are")
			}
		}
		if r.err != nil {
			return nil
		}
		out[i] = d + grown - last
		last = grown
	}
	return out
}

func (r *reader) floatHistogram(s shape, hint histogram.CounterResetHint, against bool, prev *histogram.FloatHistogram) *histogram.FloatHistogram {
	if !against {
		prev = &histogram.FloatHistogram{PositiveBuckets: make([]float64, s.positiveCount), NegativeBuckets: make([]float64, s.negativeCount)}
	}
	return &histogram.FloatHistogram{
		CounterResetHint: hint, Schema: s.schema, ZeroThreshold: s.threshold, CustomValues: s.custom,
		PositiveSpans: s.positive, NegativeSpans: s.negative,
		Count:           math.Float64frombits(r.value(math.Float64bits(prev.Count))),
		ZeroCount:       math.Float64frombits(r.value(math.Float64bits(prev.ZeroCount))),
		Sum:             math.Float64frombits(r.value(math.Float64bits(prev.Sum))),
		PositiveBuckets: r.changes(prev.PositiveBuckets),
		NegativeBuckets: r.changes(prev.NegativeBuckets),
	}
}

func (r *reader) changes(prev []float64) []float64 {
	if len(prev) == 0 {
		return nil
	}
	out := append([]float64(nil), prev...)
	for i := 0; i < len(out); i++ {
		skipped := r.uvarint()
		if skipped > uint64(len(out)-i) {
			r.fail("more buckets than there are")
		}
		if r.err != nil {
			return nil
		}
		if i += int(skipped); i < len(out) {
			out[i] = math.Float64frombits(r.value(math.Float64bits(out[i])))
		}
	}
	return out
}

// shape is what a histogram is beside its observations.
type shape struct {
	schema                       int32
	threshold                    float64
	custom                       []float64
	positive, negative           []histogram.Span
	positiveCount, negativeCount int
}

func shapeOf(h column.Histogram) shape {
	if x := h.Int; x != nil {
		return shape{x.Schema, x.ZeroThreshold, x.CustomValues, x.PositiveSpans, x.NegativeSpans, len(x.PositiveBuckets), len(x.NegativeBuckets)}
	}
	x := h.Float
	return shape{x.Schema, x.ZeroThreshold, x.CustomValues, x.PositiveSpans, x.NegativeSpans, len(x.PositiveBuckets), len(x.NegativeBuckets)}
}

func (s shape) equal(o shape) bool {
	if s.schema != o.schema || math.Float64bits(s.threshold) != math.Float64bits(o.threshold) ||
		len(s.custom) != len(o.custom) || len(s.positive) != len(o.positive) || len(s.negative) != len(o.negative) {
		return false
	}
	for i, v := range s.custom {
		if math.Float64bits(v) != math.Float64bits(o.custom[i]) {
			return false
		}
	}
	for i, x := range s.positive {
		if x != o.positive[i] {
			return false
		}
	}
	for i, x := range s.negative {
		if x != o.negative[i] {
			return false
		}
	}
	return true
}

func appendShape(dst []byte, h column.Histogram) []byte {
	s := shapeOf(h)
	dst = binary.AppendVarint(dst, int64(s.schema))
	dst = binary.LittleEndian.AppendUint64(dst, math.Float64bits(s.threshold))
	dst = binary.AppendUvarint(dst, uint64(len(s.custom)))
	for _, v := range s.custom {
		dst = binary.LittleEndian.AppendUint64(dst, math.Float64bits(v))
	}
	for _, spans := range [...][]histogram.Span{s.positive, s.negative} {
		dst = binary.AppendUvarint(dst, uint64(len(spans)))
		for _, x := range spans {
			dst = binary.AppendVarint(dst, int64(x.Offset))
			dst = binary.AppendUvarint(dst, uint64(x.Length))
		}
	}
	return dst
}

func (r *reader) shape() shape {
	var s shape
	schema := r.varint()
	if schema < math.MinInt32 || schema > math.MaxInt32 {
		r.fail("schema out of range")
	}
	s.schema = int32(schema)
	s.threshold = math.Float64frombits(r.uint64())
	if n := r.count(8); n > 0 {
		s.custom = make([]float64, n)
		for i := range s.custom {
			s.custom[i] = math.Float64frombits(r.uint64())
		}
	}
	s.positive, s.positiveCount = r.spans()
	s.negative, s.negativeCount = r.spans()
	if s.positiveCount+s.negativeCount > format.BucketsMax {
		r.fail("too many buckets")
	}
	return s
}

func (r *reader) spans() (spans []histogram.Span, buckets int) {
	n := r.count(2)
	if n == 0 {
		return nil, 0
	}
	spans = make([]histogram.Span, n)
	for i := range spans {
		offset, length := r.varint(), r.uvarint()
		if offset < math.MinInt32 || offset > math.MaxInt32 || i > 0 && offset < 0 || length > uint64(format.BucketsMax-buckets) {
			r.fail("span out of range")
		}
		if r.err != nil {
			return nil, 0
		}
		spans[i] = histogram.Span{Offset: int32(offset), Length: uint32(length)}
		buckets += int(length)
	}
	return spans, buckets
}

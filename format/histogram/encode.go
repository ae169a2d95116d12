package histogram

import (
	"encoding/binary"
	"fmt"
	"math"

	"github.com/prometheus/prometheus/model/histogram"

	format "github.com/nilometer/nilometer/format/column"
	"github.com/nilometer/nilometer/model/column"
)

// Encoder encodes chunks. The zero value is ready. It holds scratch memory and
// is not safe for concurrent use; its results do not depend on what it encoded
// before.
type Encoder struct {
	values format.Encoder
	ints   [][]int64 // columns of the buckets of a section
	reals  [][]float64
	x      [ValuesMax]int64 // the column at hand
	y      [ValuesMax]float64

	index   []int64 // numbers of one layout's buckets
	slots   []int   // their columns
	counts  []int64
	buckets []byte // encoded columns of buckets
	cell    []byte
	other   []byte
}

// Append appends to dst the chunk of hs: 1 to ValuesMax of them. values is nil,
// or has the float of each place where hs is zero. Each histogram satisfies
// Check; anything else is a defect of the caller, and panics.
func (e *Encoder) Append(dst []byte, hs []column.Histogram, values []float64) []byte {
	if len(hs) < 1 || len(hs) > ValuesMax || values != nil && len(values) != len(hs) {
		panic(fmt.Sprintf("encode histogram chunk: %d histograms and %d values, a chunk holds 1 to %d", len(hs), len(values), ValuesMax))
	}
	for i, h := range hs {
		if err := Check(h); err != nil {
			panic(fmt.Sprintf("encode histogram chunk: value %d: %v", i, err))
		}
		if h.IsZero() && values == nil {
			panic(fmt.Sprintf("encode histogram chunk: there is no value %d", i))
		}
	}
	for _, s := range split(hs) {
		n := s.to - s.from
		dst = binary.AppendUvarint(dst, uint64(n)<<2|uint64(s.kind))
		if s.kind == floats {
			e.cell = e.values.Append(e.cell[:0], values[s.from:s.to])
			dst = appendCell(dst, e.cell, false)
			continue
		}
		dst = s.appendFront(dst, hs[s.from:s.to])
		if s.kind == intHists {
			dst = e.appendInts(dst, &s, hs[s.from:s.to])
		} else {
			dst = e.appendFloats(dst, &s, hs[s.from:s.to])
		}
	}
	return dst
}

// The codes of zero thresholds.
const (
	thresholdOther = 0 // 8 bytes follow
	thresholdZero  = 1
	threshold128   = 2 // 2^-128, what client libraries take
)

func threshold128Bits() uint64 { return math.Float64bits(math.Ldexp(1, -128)) }

// appendFront appends what the values of a section have in common, the layouts,
// and which value has which.
func (s *section) appendFront(dst []byte, hs []column.Histogram) []byte {
	dst = binary.AppendVarint(dst, int64(s.schema))
	switch s.threshold {
	case 0:
		dst = append(dst, thresholdZero)
	case threshold128Bits():
		dst = append(dst, threshold128)
	default:
		dst = binary.LittleEndian.AppendUint64(append(dst, thresholdOther), s.threshold)
	}
	dst = binary.AppendUvarint(dst, uint64(len(s.custom)))
	for _, v := range s.custom {
		dst = binary.LittleEndian.AppendUint64(dst, math.Float64bits(v))
	}
	dst = binary.AppendUvarint(dst, uint64(len(s.layouts)))
	for _, l := range s.layouts {
		dst = appendSpans(dst, l.positive)
		dst = appendSpans(dst, l.negative)
	}
	for i := 0; i < len(hs); {
		state := uint64(s.of[i])<<2 | uint64(hintOf(hs[i]))
		end := i + 1
		for end < len(hs) && uint64(s.of[end])<<2|uint64(hintOf(hs[end])) == state {
			end++
		}
		dst = binary.AppendUvarint(dst, state)
		dst = binary.AppendUvarint(dst, uint64(end-i))
		i = end
	}
	return dst
}

func hintOf(h column.Histogram) histogram.CounterResetHint {
	if h.Int != nil {
		return h.Int.CounterResetHint
	}
	return h.Float.CounterResetHint
}

func appendSpans(dst []byte, spans []histogram.Span) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(spans)))
	for _, s := range spans {
		dst = binary.AppendVarint(dst, int64(s.Offset))
		dst = binary.AppendUvarint(dst, uint64(s.Length))
	}
	return dst
}

// appendCell appends a column: its length, whether it is differences, and its
// bytes.
func appendCell(dst, cell []byte, differences bool) []byte {
	n := uint64(len(cell)) << 1
	if differences {
		n |= 1
	}
	return append(binary.AppendUvarint(dst, n), cell...)
}

// places returns, for the buckets of spans in order, their columns in union.
func (e *Encoder) places(spans []histogram.Span, union []int64) []int {
	e.index = indexes(e.index[:0], spans)
	e.slots = e.slots[:0]
	k := 0
	for _, at := range e.index {
		for union[k] != at {
			k++
		}
		e.slots = append(e.slots, k)
		k++
	}
	return e.slots
}

// gather fills cols, one for each bucket of union, with the buckets of n values
// that side returns, and returns them. A bucket that a value does not have
// keeps the count of the one before, or gets that of the next one.
func gather[T int64 | float64](e *Encoder, cols *[][]T, s *section, union []int64, side func(i int) ([]histogram.Span, []T)) [][]T {
	for len(*cols) < len(union) {
		*cols = append(*cols, make([]T, ValuesMax))
	}
	out := (*cols)[:len(union)]
	has := make([]bool, len(union)) // seen in a value before
	layout := -1
	var slots []int
	for i := range s.of {
		spans, buckets := side(i)
		if int(s.of[i]) != layout {
			layout = int(s.of[i])
			slots = e.places(spans, union)
		}
		if i > 0 {
			for _, c := range out {
				c[i] = c[i-1]
			}
		}
		for k, slot := range slots {
			out[slot][i] = buckets[k]
			if !has[slot] {
				has[slot] = true
				for j := range i {
					out[slot][j] = buckets[k]
				}
			}
		}
	}
	return out
}

// appendInts appends the columns of integer histograms: the count less the sum
// of all buckets, the zero count, the sum, and every bucket's count.
func (e *Encoder) appendInts(dst []byte, s *section, hs []column.Histogram) []byte {
	n := len(hs)
	x := e.x[:n]
	for i, h := range hs {
		x[i] = int64(h.Int.Count - h.Int.ZeroCount)
	}
	// counts turns deltas into counts, and takes them from the histogram's.
	counts := func(i int, deltas []int64) []int64 {
		e.counts = e.counts[:0]
		v := int64(0)
		for _, d := range deltas {
			v += d
			x[i] -= v
			e.counts = append(e.counts, v)
		}
		return e.counts
	}
	e.buckets = e.appendIntBuckets(e.buckets[:0], n, gather(e, &e.ints, s, s.positive, func(i int) ([]histogram.Span, []int64) {
		return hs[i].Int.PositiveSpans, counts(i, hs[i].Int.PositiveBuckets)
	}))
	e.buckets = e.appendIntBuckets(e.buckets, n, gather(e, &e.ints, s, s.negative, func(i int) ([]histogram.Span, []int64) {
		return hs[i].Int.NegativeSpans, counts(i, hs[i].Int.NegativeBuckets)
	}))
	dst = e.appendIntCell(dst, x, nil)
	for i, h := range hs {
		x[i] = int64(h.Int.ZeroCount)
		e.y[i] = h.Int.Sum
	}
	dst = e.appendIntCell(dst, x, nil)
	dst = e.appendFloatCell(dst, n, nil)
	return append(dst, e.buckets...)
}

func (e *Encoder) appendIntBuckets(dst []byte, n int, cols [][]int64) []byte {
	for k, c := range cols {
		var ref []int64
		if k > 0 {
			ref = cols[k-1][:n]
		}
		dst = e.appendIntCell(dst, c[:n], ref)
	}
	return dst
}

// appendIntCell appends a column, as differences to ref where that is shorter.
func (e *Encoder) appendIntCell(dst []byte, x, ref []int64) []byte {
	e.cell = e.values.AppendInts(e.cell[:0], x)
	if ref == nil || len(e.cell) <= 8 {
		return appendCell(dst, e.cell, false)
	}
	var diff [ValuesMax]int64
	for i, v := range x {
		diff[i] = v - ref[i]
	}
	e.other = e.values.AppendInts(e.other[:0], diff[:len(x)])
	if len(e.other) < len(e.cell) {
		return appendCell(dst, e.other, true)
	}
	return appendCell(dst, e.cell, false)
}

// appendFloats appends the columns of float histograms: the count (none where
// it is the sum of the buckets), the zero count, the sum, and every bucket.
func (e *Encoder) appendFloats(dst []byte, s *section, hs []column.Histogram) []byte {
	n := len(hs)
	if countsAreSums(hs) {
		dst = appendCell(dst, nil, false)
	} else {
		for i, h := range hs {
			e.y[i] = h.Float.Count
		}
		dst = e.appendFloatCell(dst, n, nil)
	}
	for i, h := range hs {
		e.y[i] = h.Float.ZeroCount
	}
	dst = e.appendFloatCell(dst, n, nil)
	for i, h := range hs {
		e.y[i] = h.Float.Sum
	}
	dst = e.appendFloatCell(dst, n, nil)
	dst = e.appendFloatBuckets(dst, n, gather(e, &e.reals, s, s.positive, func(i int) ([]histogram.Span, []float64) {
		return hs[i].Float.PositiveSpans, hs[i].Float.PositiveBuckets
	}))
	return e.appendFloatBuckets(dst, n, gather(e, &e.reals, s, s.negative, func(i int) ([]histogram.Span, []float64) {
		return hs[i].Float.NegativeSpans, hs[i].Float.NegativeBuckets
	}))
}

// sumOf adds up all buckets in one order: zero, positive, negative.
func sumOf(h *histogram.FloatHistogram) float64 {
	sum := h.ZeroCount
	for _, v := range h.PositiveBuckets {
		sum += v
	}
	for _, v := range h.NegativeBuckets {
		sum += v
	}
	return sum
}

func countsAreSums(hs []column.Histogram) bool {
	for _, h := range hs {
		// NaNs are kept as they are: what an addition makes of their payload is
		// the processor's business.
		if sum := sumOf(h.Float); math.IsNaN(sum) || math.Float64bits(sum) != math.Float64bits(h.Float.Count) {
			return false
		}
	}
	return true
}

// appendFloatBuckets appends columns, each with reference to its neighbour
// where that is shorter.
func (e *Encoder) appendFloatBuckets(dst []byte, n int, cols [][]float64) []byte {
	for k, c := range cols {
		var ref []float64
		if k > 0 {
			ref = cols[k-1][:n]
		}
		copy(e.y[:n], c)
		dst = e.appendFloatCell(dst, n, ref)
	}
	return dst
}

// differencesTo refers to a column, nil for none.
func differencesTo(ref []float64) format.Reference {
	if ref == nil {
		return format.Reference{}
	}
	return format.Reference{Terms: []format.Term{{Values: ref}}}
}

// appendFloatCell appends the column in e.y.
func (e *Encoder) appendFloatCell(dst []byte, n int, ref []float64) []byte {
	e.cell = e.values.AppendRef(e.cell[:0], e.y[:n], differencesTo(ref))
	return appendCell(dst, e.cell, false)
}

package histogram

import (
	"math"
	"slices"

	"github.com/prometheus/prometheus/model/histogram"

	"github.com/nilometer/nilometer/model/column"
)

// intSection reads the columns of a section of integer histograms and appends
// these to d.hs.
func (d *decoder) intSection(s *section, hints []histogram.CounterResetHint) {
	n := s.to
	rest := d.intCell(nil, n, nil)
	zero := d.intCell(nil, n, nil)
	sums := d.floatCell(n, nil)
	positive := d.intColumns(len(s.positive), n)
	negative := d.intColumns(len(s.negative), n)
	if d.err != nil {
		return
	}
	hs := make([]histogram.Histogram, n)
	var p, q rows[int64]
	for i := range hs {
		l := s.layouts[s.of[i]]
		h := &hs[i]
		*h = histogram.Histogram{
			CounterResetHint: hints[i], Schema: s.schema, ZeroThreshold: math.Float64frombits(s.threshold),
			ZeroCount: uint64(zero[i]), Sum: sums[i], CustomValues: s.custom,
			PositiveSpans: l.positive, NegativeSpans: l.negative,
			PositiveBuckets: p.row(s, i, l.positive, s.positive, positive),
			NegativeBuckets: q.row(s, i, l.negative, s.negative, negative),
		}
		h.Count = uint64(rest[i] + zero[i] + toDeltas(h.PositiveBuckets) + toDeltas(h.NegativeBuckets))
		d.hs = append(d.hs, column.Histogram{Int: h})
	}
}

// toDeltas turns counts into deltas and returns their sum.
func toDeltas(counts []int64) (sum int64) {
	last := int64(0)
	for i, v := range counts {
		sum += v
		counts[i] = v - last
		last = v
	}
	return sum
}

// floatSection is intSection for float histograms.
func (d *decoder) floatSection(s *section, hints []histogram.CounterResetHint) {
	n := s.to
	summed := d.off < len(d.b) && d.b[d.off] == 0 // an empty column: the counts are sums
	var counts []float64
	if summed {
		d.off++
	} else {
		counts = d.floatCell(n, nil)
	}
	zero := d.floatCell(n, nil)
	sums := d.floatCell(n, nil)
	positive := d.floatColumns(len(s.positive), n)
	negative := d.floatColumns(len(s.negative), n)
	if d.err != nil {
		return
	}
	hs := make([]histogram.FloatHistogram, n)
	var p, q rows[float64]
	for i := range hs {
		l := s.layouts[s.of[i]]
		h := &hs[i]
		*h = histogram.FloatHistogram{
			CounterResetHint: hints[i], Schema: s.schema, ZeroThreshold: math.Float64frombits(s.threshold),
			ZeroCount: zero[i], Sum: sums[i], CustomValues: s.custom,
			PositiveSpans: l.positive, NegativeSpans: l.negative,
			PositiveBuckets: p.row(s, i, l.positive, s.positive, positive),
			NegativeBuckets: q.row(s, i, l.negative, s.negative, negative),
		}
		if summed {
			h.Count = sumOf(h)
		} else {
			h.Count = counts[i]
		}
		d.hs = append(d.hs, column.Histogram{Float: h})
	}
}

func (d *decoder) intColumns(columns, n int) [][]int64 {
	var out [][]int64
	var ref []int64
	for range columns {
		if d.err != nil {
			return nil
		}
		ref = d.intCell(make([]int64, 0, n), n, ref)
		out = append(out, ref)
	}
	return out
}

func (d *decoder) floatColumns(columns, n int) [][]float64 {
	var out [][]float64
	var ref []float64
	for range columns {
		if d.err != nil {
			return nil
		}
		ref = d.floatCell(n, ref)
		out = append(out, ref)
	}
	return out
}

// rows makes the buckets of one side of histograms out of columns, in memory
// that is allocated for many at once.
type rows[T int64 | float64] struct {
	layout int // of the one before, plus one
	slots  []int
	free   []T
}

func (r *rows[T]) row(s *section, i int, spans []histogram.Span, union []int64, cols [][]T) []T {
	if int(s.of[i])+1 != r.layout {
		r.layout = int(s.of[i]) + 1
		r.slots = r.slots[:0]
		for _, at := range indexes(nil, spans) {
			k, _ := slices.BinarySearch(union, at)
			r.slots = append(r.slots, k)
		}
	}
	n := len(r.slots)
	if n == 0 {
		return nil
	}
	if n > len(r.free) {
		r.free = make([]T, n*(s.to-i))
	}
	out := r.free[:n:n]
	r.free = r.free[n:]
	for k, slot := range r.slots {
		out[k] = cols[slot][i]
	}
	return out
}

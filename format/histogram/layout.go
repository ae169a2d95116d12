package histogram

import (
	"fmt"
	"math"
	"slices"

	"github.com/prometheus/prometheus/model/histogram"

	"github.com/nilometer/nilometer/model/column"
)

// layout is which buckets a histogram has, as its spans say it.
type layout struct {
	positive, negative []histogram.Span
}

func (l layout) equal(o layout) bool {
	return slices.Equal(l.positive, o.positive) && slices.Equal(l.negative, o.negative)
}

func layoutOf(h column.Histogram) layout {
	if h.Int != nil {
		return layout{h.Int.PositiveSpans, h.Int.NegativeSpans}
	}
	return layout{h.Float.PositiveSpans, h.Float.NegativeSpans}
}

// indexes appends the numbers of the buckets of spans: increasing, since only
// the first offset may be negative.
func indexes(dst []int64, spans []histogram.Span) []int64 {
	at := int64(0)
	for _, s := range spans {
		at += int64(s.Offset)
		for range s.Length {
			dst = append(dst, at)
			at++
		}
	}
	return dst
}

// spanned returns the number of buckets of spans, or why they can be none.
func spanned(spans []histogram.Span) (int, error) {
	n := uint64(0)
	for i, s := range spans {
		if i > 0 && s.Offset < 0 {
			return 0, fmt.Errorf("span %d begins %d before the end of the one before", i, -int64(s.Offset))
		}
		if n += uint64(s.Length); n > BucketsMax {
			return 0, fmt.Errorf("more than %d buckets", BucketsMax)
		}
	}
	return int(n), nil
}

// union appends the merged elements of two increasing lists to dst.
func union(dst, a, b []int64) []int64 {
	for len(a) > 0 && len(b) > 0 {
		switch {
		case a[0] < b[0]:
			dst, a = append(dst, a[0]), a[1:]
		case a[0] > b[0]:
			dst, b = append(dst, b[0]), b[1:]
		default:
			dst, a, b = append(dst, a[0]), a[1:], b[1:]
		}
	}
	return append(append(dst, a...), b...)
}

// Check reports why a histogram cannot be encoded: spans that go backwards or
// do not fit the buckets, an unknown hint, more than BucketsMax buckets. What
// the values mean is not looked at; upstream's Validate does that. The zero
// Histogram, a float's place, can be.
func Check(h column.Histogram) error {
	var hint histogram.CounterResetHint
	var positive, negative int
	switch {
	case h.IsZero():
		return nil
	case h.Int != nil && h.Float != nil:
		return fmt.Errorf("both an integer and a float histogram")
	case h.Int != nil:
		hint, positive, negative = h.Int.CounterResetHint, len(h.Int.PositiveBuckets), len(h.Int.NegativeBuckets)
	default:
		hint, positive, negative = h.Float.CounterResetHint, len(h.Float.PositiveBuckets), len(h.Float.NegativeBuckets)
	}
	if hint > histogram.GaugeType {
		return fmt.Errorf("unknown counter reset hint %d", hint)
	}
	l := layoutOf(h)
	p, err := spanned(l.positive)
	if err != nil {
		return fmt.Errorf("positive buckets: %w", err)
	}
	n, err := spanned(l.negative)
	if err != nil {
		return fmt.Errorf("negative buckets: %w", err)
	}
	switch {
	case p != positive:
		return fmt.Errorf("spans have %d positive buckets, there are %d", p, positive)
	case n != negative:
		return fmt.Errorf("spans have %d negative buckets, there are %d", n, negative)
	case p+n > BucketsMax:
		return fmt.Errorf("%d buckets, at most %d are allowed", p+n, BucketsMax)
	}
	return nil
}

// kind is what the values of a section are.
type kind uint8

const (
	floats     kind = 0
	intHists   kind = 1
	floatHists kind = 2
)

// common is what the histograms of a section have in common.
type common struct {
	kind      kind
	schema    int32
	threshold uint64 // bits of the zero threshold
	custom    []float64
}

func commonOf(h column.Histogram) common {
	switch {
	case h.Int != nil:
		return common{intHists, h.Int.Schema, math.Float64bits(h.Int.ZeroThreshold), h.Int.CustomValues}
	case h.Float != nil:
		return common{floatHists, h.Float.Schema, math.Float64bits(h.Float.ZeroThreshold), h.Float.CustomValues}
	}
	return common{}
}

func (c common) equal(o common) bool {
	return c.kind == o.kind && c.schema == o.schema && c.threshold == o.threshold &&
		slices.EqualFunc(c.custom, o.custom, func(a, b float64) bool { return math.Float64bits(a) == math.Float64bits(b) })
}

// section is a plan: histograms [from, to) of the values given, their layouts
// and the union of them.
type section struct {
	common
	from, to int
	layouts  []layout
	of       []uint16 // the layout of each value
	positive []int64  // numbers of the buckets in the union
	negative []int64
}

// split cuts hs into sections.
func split(hs []column.Histogram) []section {
	var out []section
	var own, merged []int64
	for i, h := range hs {
		c := commonOf(h)
		var s *section
		if len(out) > 0 && out[len(out)-1].common.equal(c) {
			s = &out[len(out)-1]
		}
		if c.kind == floats {
			if s == nil {
				out = append(out, section{common: c, from: i})
				s = &out[len(out)-1]
			}
			s.to = i + 1
			continue
		}
		l := layoutOf(h)
		if s == nil || !s.add(l, &own, &merged) {
			out = append(out, section{common: c, from: i, to: i})
			s = &out[len(out)-1]
			s.layouts = append(s.layouts, l)
			s.of = append(s.of, 0)
			s.positive, s.negative = indexes(nil, l.positive), indexes(nil, l.negative)
		}
		s.to = i + 1
	}
	return out
}

// add takes one more value with layout l, and reports whether it fits.
func (s *section) add(l layout, own, merged *[]int64) bool {
	cells := len(s.positive) + len(s.negative)
	for k := len(s.layouts) - 1; k >= 0; k-- {
		if s.layouts[k].equal(l) {
			if (s.to-s.from+1)*cells > CellsMax {
				return false
			}
			s.of = append(s.of, uint16(k))
			return true
		}
	}
	*own = indexes((*own)[:0], l.positive)
	*merged = union((*merged)[:0], s.positive, *own)
	positive := len(*merged)
	*own = indexes((*own)[:0], l.negative)
	*merged = union(*merged, s.negative, *own)
	if len(*merged) > UnionMax || (s.to-s.from+1)*len(*merged) > CellsMax {
		return false
	}
	s.positive = append(s.positive[:0], (*merged)[:positive]...)
	s.negative = append(s.negative[:0], (*merged)[positive:]...)
	id := len(s.layouts)
	s.layouts = append(s.layouts, l)
	s.of = append(s.of, uint16(id))
	return true
}

// Validate reports why a histogram is no sample: Check refuses it, or it
// contradicts itself (upstream's Validate: negative counts, a count that is not
// the sum, custom bounds out of order). A stale marker always is one.
func Validate(h column.Histogram) error {
	switch {
	case h.IsZero():
		return fmt.Errorf("there is no histogram")
	case h.Int != nil && h.Float != nil:
		return fmt.Errorf("both an integer and a float histogram")
	case h.IsStale():
		return nil
	}
	if err := Check(h); err != nil {
		return err
	}
	if h.Int != nil {
		return h.Int.Validate()
	}
	return h.Float.Validate()
}

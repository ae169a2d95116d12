package function

import (
	"math"

	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/value"
)

// FloatPoint is a float sample. Start is its start timestamp in ms, 0 for none
// or where start timestamps do not count.
type FloatPoint struct {
	T     int64
	V     float64
	Start int64
}

// HistogramPoint is a histogram sample. H is shared: it is never changed.
type HistogramPoint struct {
	T     int64
	H     *histogram.FloatHistogram
	Start int64
}

// Span is one window of one series, whose samples may be of both kinds.
type Span struct {
	// Floats and Histograms are the samples, each in order of time, no two of
	// them at the same time. Those of an anchored or smoothed range reach beyond
	// From and To.
	Floats     []FloatPoint
	Histograms []HistogramPoint
	// From (left out) and To (included) are the bounds of the window, in ms.
	From, To int64
	// Seconds is the window's length.
	Seconds float64
	// Anchored and Smoothed are the range's modifiers.
	Anchored, Smoothed bool
	// Remarks collect what functions note.
	Remarks Remarks
}

// Value is a result: absent unless OK; a histogram if H is set, else a float.
type Value struct {
	V  float64
	H  *histogram.FloatHistogram
	OK bool
}

func floatValue(v float64) Value { return Value{V: v, OK: true} }

func histogramValue(h *histogram.FloatHistogram) Value { return Value{H: h, OK: true} }

// SpanFunc is a range function of samples of both kinds. It does not keep the
// span, and changes nothing of it but its Remarks.
type SpanFunc func(s *Span) Value

// point is a sample of either kind.
type point struct {
	t, start int64
	v        float64
	h        *histogram.FloatHistogram
}

func (p FloatPoint) point() point     { return point{t: p.T, start: p.Start, v: p.V} }
func (p HistogramPoint) point() point { return point{t: p.T, start: p.Start, h: p.H} }

// result is the sample itself as a result.
func (p point) result() Value { return Value{V: p.v, H: p.h, OK: true} }

// each calls f with all samples in order of time.
func (s *Span) each(f func(p point)) {
	i, j := 0, 0
	for i < len(s.Floats) || j < len(s.Histograms) {
		if j == len(s.Histograms) || i < len(s.Floats) && s.Floats[i].T < s.Histograms[j].T {
			f(s.Floats[i].point())
			i++
			continue
		}
		f(s.Histograms[j].point())
		j++
	}
}

// first returns the earliest sample, which must exist.
func (s *Span) first() point {
	if len(s.Histograms) == 0 || len(s.Floats) > 0 && s.Floats[0].T < s.Histograms[0].T {
		return s.Floats[0].point()
	}
	return s.Histograms[0].point()
}

// lastTwo returns the latest samples in order of time; ok is false when there
// are not two.
func (s *Span) lastTwo() (before, last point, ok bool) {
	i, j := len(s.Floats), len(s.Histograms)
	if i+j < 2 {
		return point{}, point{}, false
	}
	take := func() point {
		if j == 0 || i > 0 && s.Floats[i-1].T > s.Histograms[j-1].T {
			i--
			return s.Floats[i].point()
		}
		j--
		return s.Histograms[j].point()
	}
	last = take()
	return take(), last, true
}

// LastOfSpan returns the latest sample, absent for an empty span.
func LastOfSpan(s *Span) Value {
	i, j := len(s.Floats), len(s.Histograms)
	switch {
	case i+j == 0:
		return Value{}
	case j == 0 || i > 0 && s.Floats[i-1].T > s.Histograms[j-1].T:
		return s.Floats[i-1].point().result()
	}
	return s.Histograms[j-1].point().result()
}

// TimeOfLastFloat returns the time in seconds of the latest sample if that is a
// float. A histogram, and a stale marker, it returns itself.
func TimeOfLastFloat(s *Span) Value {
	last := LastOfSpan(s)
	if !last.OK || last.H != nil || value.IsStaleNaN(last.V) {
		return last
	}
	return floatValue(float64(s.Floats[len(s.Floats)-1].T) / 1000)
}

// StartOfLast returns the start timestamp of the latest sample in seconds; it
// is absent for an empty span and after a stale marker.
func StartOfLast(s *Span) Value {
	last := LastOfSpan(s)
	if !last.OK || last.H == nil && value.IsStaleNaN(last.V) {
		return Value{}
	}
	start := int64(0)
	if i, j := len(s.Floats), len(s.Histograms); last.H == nil {
		start = s.Floats[i-1].Start
	} else {
		start = s.Histograms[j-1].Start
	}
	return floatValue(float64(start) / 1000)
}

func firstOfSpan(s *Span) Value { return s.first().result() }

// anchor cuts the samples before the one that an anchored range begins with:
// the last at or before From, of either kind. It reports whether there is a
// sample after From; without one there is nothing to measure.
func (s *Span) anchor() bool {
	if !s.Anchored {
		return true
	}
	i, j := 0, 0
	for i < len(s.Floats) && s.Floats[i].T <= s.From {
		i++
	}
	for j < len(s.Histograms) && s.Histograms[j].T <= s.From {
		j++
	}
	if i == len(s.Floats) && j == len(s.Histograms) {
		return false
	}
	switch {
	case i == 0 && j == 0:
	case j == 0 || i > 0 && s.Floats[i-1].T >= s.Histograms[j-1].T:
		i--
	default:
		j--
	}
	s.Floats, s.Histograms = s.Floats[i:], s.Histograms[j:]
	return true
}

// changesOfSpan counts the samples that differ from the one before.
func changesOfSpan(s *Span) Value {
	return countPairs(s, func(a, b point) bool {
		if a.h != nil {
			return !b.h.Equals(a.h)
		}
		return b.v != a.v && !(math.IsNaN(a.v) && math.IsNaN(b.v))
	})
}

// resetsOfSpan counts the samples that begin anew.
func resetsOfSpan(s *Span) Value {
	return countPairs(s, func(a, b point) bool {
		if startedAnew(a.start, a.t, b.start, b.t) {
			return true
		}
		if a.h != nil {
			return b.h.DetectReset(a.h)
		}
		return b.v < a.v
	})
}

// countPairs counts the neighbours of the same kind for which f is true, and
// every change of kind.
func countPairs(s *Span, f func(a, b point) bool) Value {
	if !s.anchor() {
		return Value{}
	}
	n, some := 0, false
	var before point
	s.each(func(p point) {
		if some && ((before.h == nil) != (p.h == nil) || f(before, p)) {
			n++
		}
		before, some = p, true
	})
	return Value{V: float64(n), OK: some}
}

// startedAnew reports whether a sample's start timestamp says that its counter
// began again after the sample before. A start is of no use when it is the
// same as before, unknown (0, or the sample's own time), or after its sample.
// A start at the very time of the sample before is a reset (of deltas), unless
// that sample's own start says nothing.
func startedAnew(prevStart, prevT, start, t int64) bool {
	switch {
	case start == prevStart, start == 0, start >= t, start < prevT:
		return false
	case start > prevT:
		return true
	}
	return prevStart != 0 && prevStart < prevT
}

// startsOverlap reports whether a sample claims a time that the sample before
// has already claimed in another count.
func startsOverlap(prevStart, prevT, start int64) bool {
	return start != 0 && start < prevT && start != prevStart
}

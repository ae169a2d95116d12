package function

import (
	"errors"
	"sort"

	"github.com/prometheus/prometheus/model/histogram"
)

// Anchored and smoothed ranges measure between the exact bounds of the window:
// what the series was at From and at To is taken from samples outside of it,
// the last before (anchored), or by interpolation (smoothed).

// ends returns the samples of n that stand for the bounds: the last at or
// before From, if there is one, and, where the range is smoothed, the first at
// or after To. ok is false when nothing lies between the bounds.
func (s *Span) ends(n int, at func(int) int64) (first, last int, ok bool) {
	last = n - 1
	first = max(0, sort.Search(last, func(i int) bool { return at(i) > s.From })-1)
	if s.Smoothed {
		last = sort.Search(last, func(i int) bool { return at(i) >= s.To })
	}
	return first, last, at(last) > s.From && !(s.Smoothed && at(first) > s.To)
}

// between is the value at time t on the line from a to b. A counter that was
// reset between them rises from zero.
func between(a, b FloatPoint, t int64, counter bool) float64 {
	from := a.V
	if counter && b.V < from {
		from = 0
	}
	return from + (b.V-from)*float64(t-a.T)/float64(b.T-a.T)
}

func (s *Span) leftFloat(first int, counter bool) float64 {
	f := s.Floats
	if s.Smoothed && f[first].T < s.From {
		return between(f[first], f[first+1], s.From, counter)
	}
	return f[first].V
}

func (s *Span) rightFloat(last int, counter bool) float64 {
	f := s.Floats
	if s.Smoothed && last > 0 && f[last].T > s.To {
		return between(f[last-1], f[last], s.To, counter)
	}
	return f[last].V
}

func (k rateKind) boundedFloats(s *Span) Value {
	f := s.Floats
	first, last, ok := s.ends(len(f), func(i int) int64 { return f[i].T })
	if !ok {
		return Value{}
	}
	left, right := s.leftFloat(first, k.counter), s.rightFloat(last, k.counter)
	v := right - left
	if k.counter {
		// Resets outside of the bounds are in left and right already.
		if f[first].T <= s.From {
			first++
		}
		if f[last].T >= s.To {
			last--
		}
		lost, prev := 0.0, left
		for _, p := range f[first : last+1] {
			if p.V < prev {
				lost += prev
			}
			prev = p.V
		}
		if right < prev {
			lost += prev
		}
		v += lost
	}
	if k.perSecond {
		v /= s.Seconds
	}
	return floatValue(v)
}

// Extend returns the floats of an anchored or smoothed range with one at each
// bound: what a query for the range itself answers.
func (s *Span) Extend() []FloatPoint {
	f := s.Floats
	if len(f) == 0 {
		return nil
	}
	first, last, _ := s.ends(len(f), func(i int) int64 { return f[i].T })
	if f[last].T <= s.From {
		return nil
	}
	left, right := s.leftFloat(first, false), s.rightFloat(last, false)
	if f[first].T <= s.From {
		first++
	}
	if f[last].T >= s.To {
		last--
	}
	out := []FloatPoint{{T: s.From, V: left}}
	if first <= last {
		out = append(out, f[first:last+1]...)
	}
	return append(out, FloatPoint{T: s.To, V: right})
}

// Smooth is a smoothed selector's value at To, whose span reaches a lookback
// to both sides: the sample of that time, or what lies on the line between
// its neighbours; the last value where no sample follows.
func Smooth(s *Span) Value {
	f, h := s.Floats, s.Histograms
	switch {
	case len(f) > 0 && len(h) > 0:
		s.Remarks |= MixedKinds
		return Value{}
	case len(h) > 0:
		i := sort.Search(len(h), func(i int) bool { return h[i].T >= s.To })
		switch {
		case i < len(h) && h[i].T == s.To:
			return histogramValue(h[i].H)
		case i == 0:
			return Value{}
		case i == len(h):
			last := h[i-1].H.Copy()
			// A hint is about two samples, and this is the same one again.
			last.CounterResetHint = histogram.UnknownCounterReset
			return histogramValue(last)
		}
		counter := !isGauge(h[i-1].H) || !isGauge(h[i].H)
		if at := s.histogramBetween(h[i-1], h[i], s.To, counter); at != nil {
			return histogramValue(at)
		}
		return Value{}
	}
	i := sort.Search(len(f), func(i int) bool { return f[i].T >= s.To })
	switch {
	case i < len(f) && f[i].T == s.To:
		return floatValue(f[i].V)
	case i == 0:
		return Value{}
	case i == len(f):
		return floatValue(f[i-1].V)
	}
	return floatValue(between(f[i-1], f[i], s.To, false))
}

// histogramBetween is between of histograms; nil, with a remark, when their
// layouts do not go together.
func (s *Span) histogramBetween(a, b HistogramPoint, t int64, counter bool) *histogram.FloatHistogram {
	switch {
	case t == a.T:
		return a.H.Copy()
	case t == b.T:
		return b.H.Copy()
	case a.H.UsesCustomBuckets() != b.H.UsesCustomBuckets():
		s.Remarks |= MixedSchemas
		return nil
	}
	share := float64(t-a.T) / float64(b.T-a.T)
	h := b.H.Copy()
	if counter && b.H.DetectReset(a.H) {
		return h.Mul(share)
	}
	_, _, reconciled, err := h.Sub(a.H)
	if err == nil {
		s.Remarks.note(reconciled, ReconciledSub)
		h.Mul(share)
		_, _, reconciled, err = h.Add(a.H)
	}
	if err != nil {
		s.Remarks.note(errors.Is(err, histogram.ErrHistogramsIncompatibleSchema), MixedSchemas)
		return nil
	}
	s.Remarks.note(reconciled, ReconciledAdd)
	return h
}

func (k rateKind) boundedHistograms(s *Span) Value {
	h := s.Histograms
	first, last, ok := s.ends(len(h), func(i int) int64 { return h[i].T })
	if !ok {
		return Value{}
	}
	custom := h[first].H.UsesCustomBuckets()
	for _, p := range h[first : last+1] {
		if p.H.UsesCustomBuckets() != custom {
			s.Remarks |= MixedSchemas
			return Value{}
		}
		s.Remarks.note(k.counter && isGauge(p.H), NotCounter)
	}
	left, right := h[first].H, h[last].H
	if s.Smoothed && h[first].T < s.From {
		left = s.histogramBetween(h[first], h[first+1], s.From, k.counter)
	}
	if left != nil && s.Smoothed && last > 0 && h[last].T > s.To {
		right = s.histogramBetween(h[last-1], h[last], s.To, k.counter)
	}
	if left == nil || right == nil {
		return Value{}
	}
	s.Remarks.note(!k.counter && (!isGauge(left) || !isGauge(right)), NotGauge)
	out := right.Copy()
	if s.sub(out, left) {
		s.Remarks |= MixedSchemas
		return Value{}
	}
	if k.counter {
		lost, ok := s.lostHistograms(first, last, left, right)
		if !ok || lost != nil && !s.add(out, lost) {
			return Value{}
		}
	}
	if k.perSecond {
		out.Div(s.Seconds)
	}
	out.CounterResetHint = histogram.GaugeType
	return histogramValue(out.Compact(0))
}

// lostHistograms adds up what the resets between the bounds took away; nil
// when there was none. ok is false when layouts do not go together.
func (s *Span) lostHistograms(first, last int, left, right *histogram.FloatHistogram) (lost *histogram.FloatHistogram, ok bool) {
	h, prev, from := s.Histograms, left, first+1
	if s.Smoothed && h[first].T < s.From && h[first+1].H.DetectReset(h[first].H) {
		// left was taken after this reset.
		prev = h[first+1].H
		from++
	}
	if from > last {
		return nil, true
	}
	take := func(cur *histogram.FloatHistogram) bool {
		if !cur.DetectReset(prev) {
			return true
		}
		if lost == nil {
			lost = prev.Copy()
			return true
		}
		return s.add(lost, prev)
	}
	// The last sample is right, or right was made of it: it has its hint.
	for _, p := range h[from:last] {
		if !take(p.H) {
			return nil, false
		}
		prev = p.H
	}
	if !take(right) {
		return nil, false
	}
	return lost, true
}

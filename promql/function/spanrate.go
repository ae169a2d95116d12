package function

import (
	"errors"

	"github.com/prometheus/prometheus/model/histogram"
)

// rateKind is which of rate, increase and delta.
type rateKind struct{ counter, perSecond bool }

// span computes the rate over a window, by extrapolation as upstream does it.
func (k rateKind) span(s *Span) Value {
	floats, histograms := len(s.Floats) > 0, len(s.Histograms) > 0
	switch {
	case floats && histograms:
		s.Remarks |= MixedKinds
		return Value{}
	case floats && (s.Anchored || s.Smoothed):
		return k.boundedFloats(s)
	case histograms && (s.Anchored || s.Smoothed):
		return k.boundedHistograms(s)
	case floats:
		return k.floats(s)
	case histograms:
		return k.histograms(s)
	}
	return Value{}
}

func (k rateKind) floats(s *Span) Value {
	first, last := s.Floats[0], s.Floats[len(s.Floats)-1]
	increase := last.V - first.V
	for i := 1; i < len(s.Floats) && k.counter; i++ {
		a, b := s.Floats[i-1], s.Floats[i]
		s.Remarks.note(startsOverlap(a.Start, a.T, b.Start), OverlappingStarts)
		if b.V < a.V || startedAnew(a.Start, a.T, b.Start, b.T) {
			increase += a.V
		}
	}
	e := extent{first: first.T, last: last.T, gaps: len(s.Floats) - 1}
	if k.begins(s, first.Start, first.T) {
		e.start = first.Start
		increase += first.V
	} else if e.gaps == 0 {
		return Value{}
	}
	return floatValue(increase * k.factor(s, e, first.V, increase))
}

func (k rateKind) histograms(s *Span) Value {
	first, last := s.Histograms[0], s.Histograms[len(s.Histograms)-1]
	e := extent{first: first.T, last: last.T, gaps: len(s.Histograms) - 1}
	var increase *histogram.FloatHistogram
	if e.gaps > 0 {
		if increase = k.histogramIncrease(s); increase == nil {
			return Value{}
		}
	}
	switch {
	case k.begins(s, first.Start, first.T):
		e.start = first.Start
		if increase == nil {
			increase = first.H.Copy()
		} else if !s.add(increase, first.H) {
			return Value{}
		}
	case e.gaps == 0:
		return Value{}
	}
	return histogramValue(increase.Mul(k.factor(s, e, first.H.Count, increase.Count)))
}

// begins reports whether a counter's first sample says that it started inside
// the window: it was zero then.
func (k rateKind) begins(s *Span, start, t int64) bool {
	return k.counter && start != 0 && start > s.From && start < t
}

// extent is when the samples of a window are, in ms: start, if not 0, is when
// the counter was zero, before the first.
type extent struct {
	start, first, last int64
	gaps               int // between samples
}

// factor is what the increase between the samples is multiplied with. A gap to
// the window's bound is bridged when it is not much longer than those between
// samples, else by half of one; a counter is not extrapolated below zero.
func (k rateKind) factor(s *Span, e extent, first, increase float64) float64 {
	toStart := float64(e.first-s.From) / 1000
	toEnd := float64(s.To-e.last) / 1000
	interval := float64(e.last-e.first) / 1000
	average := 0.0
	if e.gaps > 0 {
		average = interval / float64(e.gaps)
	}
	threshold := average * 1.1
	if e.start != 0 {
		toStart, interval = 0, float64(e.last-e.start)/1000
	} else {
		if toStart >= threshold {
			toStart = average / 2
		}
		if k.counter && increase > 0 && first >= 0 {
			if toZero := interval * (first / increase); toZero < toStart {
				toStart = toZero
			}
		}
	}
	if toEnd >= threshold {
		toEnd = average / 2
	}
	factor := 1.0
	if interval != 0 {
		factor = (interval + toStart + toEnd) / interval
	}
	if k.perSecond {
		factor /= s.Seconds
	}
	return factor
}

// histogramIncrease is the last histogram less the first, with what resets in
// between took away. It is nil, with a remark, where layouts do not go
// together.
func (k rateKind) histogramIncrease(s *Span) *histogram.FloatHistogram {
	points, before := s.Histograms, s.Remarks
	incompatible := func() *histogram.FloatHistogram {
		s.Remarks = before | MixedSchemas
		return nil
	}
	first, last := points[0].H, points[len(points)-1].H
	s.Remarks.note(k.counter && (isGauge(first) || isGauge(last)), NotCounter)
	if second := points[1].H; k.counter &&
		(startedAnew(points[0].Start, points[0].T, points[1].Start, points[1].T) || second.DetectReset(first)) {
		// What was before the reset does not matter, nor does its layout.
		first = &histogram.FloatHistogram{Schema: second.Schema, CustomValues: second.CustomValues}
	}
	custom := first.UsesCustomBuckets()
	if last.UsesCustomBuckets() != custom {
		s.Remarks |= MixedSchemas
		return nil
	}
	schema := min(first.Schema, last.Schema)
	for i := 1; i < len(points)-1 && k.counter; i++ {
		h := points[i].H
		s.Remarks.note(isGauge(h), NotCounter)
		schema = min(schema, h.Schema)
		if h.UsesCustomBuckets() != custom {
			return incompatible()
		}
	}
	h := last.CopyToSchema(schema)
	if mixed := s.sub(h, first); mixed {
		return incompatible()
	}
	if !k.counter {
		s.Remarks.note(!isGauge(points[0].H) || !isGauge(last), NotGauge)
	}
	prev := first
	for i := 1; i < len(points) && k.counter; i++ {
		a, b := points[i-1], points[i]
		s.Remarks.note(startsOverlap(a.Start, a.T, b.Start), OverlappingStarts)
		if startedAnew(a.Start, a.T, b.Start, b.T) || b.H.DetectReset(prev) {
			_, _, reconciled, err := h.Add(prev)
			if errors.Is(err, histogram.ErrHistogramsIncompatibleSchema) {
				return incompatible()
			}
			s.Remarks.note(reconciled, ReconciledAdd)
		}
		prev = b.H
	}
	h.CounterResetHint = histogram.GaugeType
	return h.Compact(0)
}

func isGauge(h *histogram.FloatHistogram) bool { return h.CounterResetHint == histogram.GaugeType }

// sub takes other from h. mixed: their layouts do not go together. Hints that
// contradict each other do not matter to rates, which look at resets by
// themselves.
func (s *Span) sub(h, other *histogram.FloatHistogram) (mixed bool) {
	_, _, reconciled, err := h.Sub(other)
	s.Remarks.note(reconciled, ReconciledSub)
	return errors.Is(err, histogram.ErrHistogramsIncompatibleSchema)
}

// add adds other to h. It reports, with a remark, whether that went well.
func (s *Span) add(h, other *histogram.FloatHistogram) bool {
	_, _, reconciled, err := h.Add(other)
	s.Remarks.note(errors.Is(err, histogram.ErrHistogramsIncompatibleSchema), MixedSchemas)
	s.Remarks.note(reconciled, ReconciledAdd)
	return err == nil
}

// lastChange is irate and idelta: the difference of the last two samples.
func lastChange(counter bool) SpanFunc {
	return func(s *Span) Value {
		a, b, ok := s.lastTwo()
		if !ok || a.t == b.t {
			return Value{}
		}
		anew := counter && startedAnew(a.start, a.t, b.start, b.t)
		seconds := float64(b.t-a.t) / 1000
		switch {
		case (a.h == nil) != (b.h == nil):
			s.Remarks |= MixedKinds
			return Value{}
		case b.h == nil:
			v := b.v
			if !counter || !(b.v < a.v || anew) {
				v = b.v - a.v
			}
			if counter {
				v /= seconds
			}
			return floatValue(v)
		}
		s.Remarks.note(counter && (isGauge(a.h) || isGauge(b.h)), NotCounter)
		s.Remarks.note(!counter && (!isGauge(a.h) || !isGauge(b.h)), NotGauge)
		h := b.h.Copy()
		if (!counter || !anew && !b.h.DetectReset(a.h)) && s.sub(h, a.h) {
			s.Remarks |= MixedSchemas
			return Value{}
		}
		h.CounterResetHint = histogram.GaugeType
		h.Compact(0)
		if counter {
			h.Div(seconds)
		}
		return histogramValue(h)
	}
}

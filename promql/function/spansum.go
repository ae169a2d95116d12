package function

import (
	"errors"

	"github.com/prometheus/prometheus/model/histogram"
)

// HistogramSum adds up histograms, for a sum or a mean, with compensation. The
// zero value is an empty sum. Hints that contradict each other, bounds that
// had to be reconciled and layouts that do not go together are in Remarks.
type HistogramSum struct {
	Remarks Remarks

	sum, carry, mean *histogram.FloatHistogram
	count            float64
	resets, rises    bool
}

// Empty reports whether nothing was added.
func (a *HistogramSum) Empty() bool { return a.sum == nil }

// see notes a hint.
func (a *HistogramSum) see(h *histogram.FloatHistogram) {
	a.resets = a.resets || h.CounterResetHint == histogram.CounterReset
	a.rises = a.rises || h.CounterResetHint == histogram.NotCounterReset
}

// Collided reports whether hints contradict each other.
func (a *HistogramSum) Collided() bool { return a.resets && a.rises }

func (a *HistogramSum) noteError(err error) bool {
	a.Remarks.note(errors.Is(err, histogram.ErrHistogramsIncompatibleSchema), MixedSchemas)
	return err == nil
}

// Add adds h to a sum. It reports whether the layouts go together; after false
// the sum means nothing.
func (a *HistogramSum) Add(h *histogram.FloatHistogram) bool {
	a.see(h)
	if a.sum == nil {
		a.sum = h.Copy()
		return true
	}
	var reconciled bool
	var err error
	a.carry, _, reconciled, err = a.sum.KahanAdd(h, a.carry)
	a.Remarks.note(reconciled, ReconciledSum)
	return a.noteError(err)
}

// Sum returns the sum; nothing is added afterwards.
func (a *HistogramSum) Sum() *histogram.FloatHistogram {
	if a.carry != nil {
		_, _, reconciled, err := a.sum.Add(a.carry)
		a.Remarks.note(reconciled, ReconciledSum)
		a.noteError(err)
	}
	return a.sum
}

// AddToMean adds h to a mean: to the sum as long as that is finite, from then
// on each to the mean of those before.
func (a *HistogramSum) AddToMean(h *histogram.FloatHistogram) bool {
	a.see(h)
	a.count++
	if a.sum == nil {
		a.sum = h.Copy()
		return true
	}
	if a.mean == nil {
		sum, carry := a.sum.Copy(), a.carry
		if carry != nil {
			carry = carry.Copy()
		}
		carry, _, reconciled, err := sum.KahanAdd(h, carry)
		if !a.noteError(err) {
			return false
		}
		a.Remarks.note(reconciled, ReconciledSum)
		if !sum.HasOverflow() {
			a.sum, a.carry = sum, carry
			return true
		}
		a.mean = a.sum.Copy().Div(a.count - 1)
		if a.carry != nil {
			a.carry.Div(a.count - 1)
		}
	}
	share := (a.count - 1) / a.count
	if a.carry != nil {
		a.carry.Mul(share)
	}
	var reconciled bool
	var err error
	a.carry, _, reconciled, err = a.mean.Mul(share).KahanAdd(h.Copy().Div(a.count), a.carry)
	if !a.noteError(err) {
		return false
	}
	a.Remarks.note(reconciled, ReconciledSum)
	return true
}

// Mean returns the mean of what AddToMean was given; nothing is added
// afterwards.
func (a *HistogramSum) Mean() *histogram.FloatHistogram {
	mean := a.mean
	if mean == nil {
		mean = a.sum.Div(a.count)
		if a.carry != nil {
			a.carry.Div(a.count)
		}
	}
	if a.carry != nil {
		// Layouts are the same by now.
		_, _, _, _ = mean.Add(a.carry)
	}
	return mean
}

// sumOfSpan and meanOfSpan are sum_over_time and avg_over_time of histograms.
func sumOfSpan(s *Span) Value { return totalOfSpan(s, (*HistogramSum).Add, (*HistogramSum).Sum) }
func meanOfSpan(s *Span) Value {
	return totalOfSpan(s, (*HistogramSum).AddToMean, (*HistogramSum).Mean)
}

func totalOfSpan(s *Span, add func(*HistogramSum, *histogram.FloatHistogram) bool, end func(*HistogramSum) *histogram.FloatHistogram) Value {
	if len(s.Floats) > 0 {
		s.Remarks |= MixedKinds
		return Value{}
	}
	var a HistogramSum
	for _, p := range s.Histograms {
		if !add(&a, p.H) {
			// Nothing else is worth a remark then.
			s.Remarks |= a.Remarks & MixedSchemas
			return Value{}
		}
	}
	h := end(&a)
	s.Remarks |= a.Remarks
	s.Remarks.note(a.Collided(), ResetCollision)
	return histogramValue(h)
}

package function

import (
	"math"
	"sort"

	"github.com/nilometer/nilometer/model/simd"
)

type kernel = func(dst []float64, s *Samples, w *Windows, params [][]float64, sc *Scratch, from, to int)

func sum(v []float64) float64 {
	if sum, c := addAll(v, 0, 0); finite(sum) {
		return sum + c
	}
	var sum, c float64
	for _, x := range v {
		sum, c = Add(x, sum, c)
	}
	if math.IsInf(sum, 0) {
		return sum
	}
	return sum + c
}

// mean sums directly as long as the sum is finite, and goes on with a running
// mean when it is not.
func mean(v []float64) float64 {
	if sum, c := addAll(v[1:], v[0], 0); finite(sum) {
		n := float64(len(v))
		return sum/n + c/n
	}
	m := Mean{}
	for _, x := range v {
		m.Add(x)
	}
	return m.Value()
}

// Mean is an arithmetic mean in the making: a compensated sum, replaced by a
// compensated running mean when the sum overflows. The zero value is empty.
type Mean struct {
	count     float64
	sum, mean float64
	c         float64
	running   bool
}

// Add takes one more value.
func (m *Mean) Add(x float64) {
	m.count++
	if m.count == 1 {
		m.sum = x
		return
	}
	if !m.running {
		s, c := Add(x, m.sum, m.c)
		if !math.IsInf(s, 0) {
			m.sum, m.c = s, c
			return
		}
		m.running = true
		m.mean = m.sum / (m.count - 1)
		m.c /= m.count - 1
	}
	q := (m.count - 1) / m.count
	m.mean, m.c = Add(x/m.count, q*m.mean, q*m.c)
}

// Value returns the mean of what was added.
func (m *Mean) Value() float64 {
	if m.running {
		return m.mean + m.c
	}
	return m.sum/m.count + m.c/m.count
}

// carefulVariance is variance where something is not finite.
func carefulVariance(v []float64) float64 {
	var count, mean, cMean, aux, cAux float64
	for _, x := range v {
		count++
		delta := x - (mean + cMean)
		mean, cMean = Add(delta/count, mean, cMean)
		aux, cAux = Add(delta*(x-(mean+cMean)), aux, cAux)
	}
	return (aux + cAux) / count
}

// timeOfExtreme is when the minimum or maximum was last reached, in seconds.
func timeOfExtreme(atLeast func(v, best float64) bool) kernel {
	return func(dst []float64, s *Samples, w *Windows, _ [][]float64, _ *Scratch, from, to int) {
		for i := from; i < to; i++ {
			lo, hi := w.Lo[i], w.Hi[i]
			if lo == hi {
				dst[i-from] = 0
				continue
			}
			best, at := s.V[lo], s.T[lo]
			for j := lo; j < hi; j++ {
				if v := s.V[j]; atLeast(v, best) || math.IsNaN(best) {
					best, at = v, s.T[j]
				}
			}
			dst[i-from] = float64(at) / 1000
		}
	}
}

func countOverTime(dst []float64, _ *Samples, w *Windows, _ [][]float64, _ *Scratch, from, to int) {
	for i := from; i < to; i++ {
		dst[i-from] = float64(w.Hi[i] - w.Lo[i])
	}
}

func one(dst []float64, _ *Samples, _ *Windows, _ [][]float64, _ *Scratch, _, _ int) {
	simd.Fill(dst, 1)
}

func first(dst []float64, s *Samples, w *Windows, _ [][]float64, _ *Scratch, from, to int) {
	for i := from; i < to; i++ {
		dst[i-from] = 0
		if lo := w.Lo[i]; lo < w.Hi[i] {
			dst[i-from] = s.V[lo]
		}
	}
}

// Last is the kernel of the last value of a window: last_over_time, and the
// instant selector, whose window is the lookback.
func Last(dst []float64, s *Samples, w *Windows, _ [][]float64, _ *Scratch, from, to int) {
	for i := from; i < to; {
		i += simd.Lasts(dst[i-from:], s.V, w.Lo[i:to], w.Hi[i:to])
		// One of the next few windows is empty, or there are no more.
		for end := min(i+careful, to); i < end; i++ {
			dst[i-from] = 0
			if hi := w.Hi[i]; w.Lo[i] < hi {
				dst[i-from] = s.V[hi-1]
			}
		}
	}
}

func timeOfFirst(dst []float64, s *Samples, w *Windows, _ [][]float64, _ *Scratch, from, to int) {
	for i := from; i < to; i++ {
		dst[i-from] = 0
		if lo := w.Lo[i]; lo < w.Hi[i] {
			dst[i-from] = float64(s.T[lo]) / 1000
		}
	}
}

// TimeOfLast is the kernel of the time of the last sample of a window, in
// seconds: ts_of_last_over_time, and timestamp of an instant selector.
func TimeOfLast(dst []float64, s *Samples, w *Windows, _ [][]float64, _ *Scratch, from, to int) {
	for i := from; i < to; i++ {
		dst[i-from] = 0
		if hi := w.Hi[i]; w.Lo[i] < hi {
			dst[i-from] = float64(s.T[hi-1]) / 1000
		}
	}
}

func countResets(dst []float64, s *Samples, w *Windows, _ [][]float64, _ *Scratch, from, to int) {
	for i := from; i < to; i++ {
		a := sort.Search(len(s.Resets), func(j int) bool { return s.Resets[j] > w.Lo[i] })
		b := sort.Search(len(s.Resets), func(j int) bool { return s.Resets[j] >= w.Hi[i] })
		dst[i-from] = float64(max(0, b-a))
	}
}

func countChanges(dst []float64, s *Samples, w *Windows, _ [][]float64, sc *Scratch, from, to int) {
	// counts[j] is the number of changes up to position first+j.
	first, end := w.span(from, to)
	v := s.V[first:end]
	sc.counts = resize(sc.counts, len(v))
	changes := int32(0)
	for j, x := range v {
		if j > 0 {
			before := v[j-1]
			if x != before && !(math.IsNaN(x) && math.IsNaN(before)) {
				changes++
			}
		}
		sc.counts[j] = changes
	}
	for i := from; i < to; i++ {
		dst[i-from] = 0
		if lo, hi := w.Lo[i], w.Hi[i]; lo < hi {
			dst[i-from] = float64(sc.counts[hi-1-first] - sc.counts[lo-first])
		}
	}
}

func quantileOverTime(dst []float64, s *Samples, w *Windows, params [][]float64, sc *Scratch, from, to int) {
	for i := from; i < to; i++ {
		dst[i-from] = 0
		if lo, hi := w.Lo[i], w.Hi[i]; lo < hi {
			sc.values = append(sc.values[:0], s.V[lo:hi]...)
			dst[i-from] = Quantile(params[0][i], sc.values)
		}
	}
}

// medianDeviation is the median of the distances to the median; a NaN makes it
// NaN.
func medianDeviation(dst []float64, s *Samples, w *Windows, _ [][]float64, sc *Scratch, from, to int) {
	for i := from; i < to; i++ {
		dst[i-from] = 0
		lo, hi := w.Lo[i], w.Hi[i]
		if lo == hi {
			continue
		}
		sc.values = append(sc.values[:0], s.V[lo:hi]...)
		median := Quantile(0.5, sc.values)
		if math.IsNaN(sc.values[0]) { // NaN sorts first
			dst[i-from] = math.NaN()
			continue
		}
		for j, v := range sc.values {
			sc.values[j] = math.Abs(v - median)
		}
		dst[i-from] = Quantile(0.5, sc.values)
	}
}

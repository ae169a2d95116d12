package function

import (
	"math"

	"github.com/nilometer/nilometer/model/simd"
)

// exactMax is the magnitude up to which sums of integers have no rounding.
const exactMax = 1 << 53

// span is the positions that the windows of the steps [from, to) cover.
func (w *Windows) span(from, to int) (lo, hi int32) {
	if from >= to {
		return 0, 0
	}
	return w.Lo[from], w.Hi[to-1]
}

// prefixSums sets sc.values to the running sums of v, with a 0 in front. It
// reports false when one of them could have been rounded: then compensated
// sums of windows differ from differences of prefix sums.
func prefixSums(v []float64, sc *Scratch) bool {
	sc.values = resize(sc.values, len(v)+1)
	out, sum := sc.values, 0.0
	out[0] = 0
	for i, x := range v {
		if x != math.Trunc(x) || (x == 0 && math.Signbit(x)) {
			return false
		}
		sum += x
		if !(math.Abs(x) < exactMax && math.Abs(sum) < exactMax) {
			return false
		}
		out[i+1] = sum
	}
	return true
}

func sumOverTime(dst []float64, s *Samples, w *Windows, _ [][]float64, sc *Scratch, from, to int) {
	first, end := w.span(from, to)
	exact := prefixSums(s.V[first:end], sc)
	for i := from; i < to; i++ {
		lo, hi := w.Lo[i], w.Hi[i]
		switch {
		case lo == hi:
			dst[i-from] = 0
		case exact:
			dst[i-from] = sc.values[hi-first] - sc.values[lo-first]
		default:
			dst[i-from] = sum(s.V[lo:hi])
		}
	}
}

func meanOverTime(dst []float64, s *Samples, w *Windows, _ [][]float64, sc *Scratch, from, to int) {
	first, end := w.span(from, to)
	exact := prefixSums(s.V[first:end], sc)
	for i := from; i < to; i++ {
		lo, hi := w.Lo[i], w.Hi[i]
		switch {
		case lo == hi:
			dst[i-from] = 0
		case exact:
			dst[i-from] = (sc.values[hi-first] - sc.values[lo-first]) / float64(hi-lo)
		default:
			dst[i-from] = mean(s.V[lo:hi])
		}
	}
}

func minOverTime(dst []float64, s *Samples, w *Windows, _ [][]float64, sc *Scratch, from, to int) {
	slideExtreme(dst, s.V, w, sc, from, to, -1)
}

func maxOverTime(dst []float64, s *Samples, w *Windows, _ [][]float64, sc *Scratch, from, to int) {
	slideExtreme(dst, s.V, w, sc, from, to, 1)
}

// slideExtreme keeps what can still become the extreme of a window, and the positions
// from which it is in windows, best first. The earliest of equal values (0 and -0) wins. sign is 1
// for the maximum, -1 for the minimum.
func slideExtreme(dst, v []float64, w *Windows, sc *Scratch, from, to int, sign float64) {
	next, end := w.span(from, to)
	for _, x := range v[next:end] {
		if x != x {
			extremeWithNaN(dst, v, w, from, to, sign)
			return
		}
	}
	queue, head := sc.counts[:0], 0
	cut := from
	for i := from; i < to; i++ {
		lo, hi := w.Lo[i], w.Hi[i]
		for next < hi {
			// What lies between two bounds of windows is in a window as a whole, or not
			// at all: the best of it stands for it.
			end := hi
			for cut < to && w.Lo[cut] <= next {
				cut++
			}
			if cut < to {
				end = min(end, w.Lo[cut])
			}
			best := extremeOf(v[next:end], sign)
			for len(queue) > head && sc.values[len(queue)-1]*sign < best*sign {
				queue = queue[:len(queue)-1]
			}
			sc.values = append(sc.values[:len(queue)], best)
			queue = append(queue, next)
			next = end
		}
		for head < len(queue) && queue[head] < lo {
			head++
		}
		dst[i-from] = 0
		if lo < hi {
			dst[i-from] = sc.values[head]
		}
	}
	sc.counts = queue[:0]
}

// extremeOf is the first extreme of values that are no NaNs, one at least.
func extremeOf(v []float64, sign float64) float64 {
	if sign > 0 {
		return simd.Max(v)
	}
	return simd.Min(v)
}

// extremeWithNaN looks at each window: NaN gives way to any number.
func extremeWithNaN(dst, v []float64, w *Windows, from, to int, sign float64) {
	for i := from; i < to; i++ {
		dst[i-from] = 0
		lo, hi := w.Lo[i], w.Hi[i]
		if lo == hi {
			continue
		}
		best := v[lo]
		for _, x := range v[lo:hi] {
			if x*sign > best*sign || best != best {
				best = x
			}
		}
		dst[i-from] = best
	}
}

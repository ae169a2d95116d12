package function

import (
	"math"
	"sort"

	"github.com/nilometer/nilometer/model/simd"
)

// extrapolation is what rate, increase and delta need of a window besides the
// values: it depends on the time column alone.
type extrapolation struct {
	// factor is what the increase is multiplied with, unless the counter's zero
	// point lies nearer than the window's start.
	factor []float64
	// clamp is durationToStart / sampledInterval, a little enlarged: the zero
	// point can matter only if first < clamp · increase.
	clamp []float64
	// divisor is the window's length in seconds for rate, else 1.
	divisor float64
}

// clampSlack makes clamp err on the side of the exact computation: products
// of two roundings are wrong by less than 1e-15 relative.
const clampSlack = 1 + 1e-9

func prepareRate(w *Windows) { w.prepare(w.RangeSeconds()) }

func prepareIncrease(w *Windows) { w.prepare(1) }

func (w *Windows) prepare(divisor float64) {
	w.divisor = divisor
	w.factor, w.clamp = resize(w.factor, len(w.Lo)), resize(w.clamp, len(w.Lo))
	// What follows depends on three numbers, which are mostly the same at every step.
	var last windowShape
	at := 0
	for i := range w.Lo {
		if w.Hi[i]-w.Lo[i] < 2 {
			w.factor[i], w.clamp[i] = 0, 0
			continue
		}
		shape := w.shape(i)
		if shape == last {
			w.factor[i], w.clamp[i] = w.factor[at], w.clamp[at]
			continue
		}
		last, at = shape, i
		toStart, toEnd, interval := w.edges(i)
		w.factor[i] = w.extrapolate(toStart, toEnd, interval)
		w.clamp[i] = toStart / interval * clampSlack
	}
}

// windowShape is how far, in ms, the samples of a window are from its bounds, and
// how many they are.
type windowShape struct {
	left, right int64
	samples     int32
}

func (w *Windows) shape(i int) windowShape {
	lo, hi := w.Lo[i], w.Hi[i]
	right := w.Reference(i)
	return windowShape{left: w.T[lo] - (right - w.RangeMs), right: right - w.T[hi-1], samples: hi - lo}
}

// edges returns, in seconds, how far step i's result is extrapolated to the
// left and right of its samples, and how long they last. A gap of up to 1.1
// average intervals is bridged up to the window's bound, of a larger one half
// an interval.
func (w *Windows) edges(i int) (toStart, toEnd, interval float64) {
	lo, last := w.Lo[i], w.Hi[i]-1
	right := w.Reference(i)
	toStart = float64(w.T[lo]-(right-w.RangeMs)) / 1000
	toEnd = float64(right-w.T[last]) / 1000
	interval = float64(w.T[last]-w.T[lo]) / 1000
	average := interval / float64(last-lo)
	threshold := average * 1.1
	if toStart >= threshold {
		toStart = average / 2
	}
	if toEnd >= threshold {
		toEnd = average / 2
	}
	return toStart, toEnd, interval
}

func (w *Windows) extrapolate(toStart, toEnd, interval float64) float64 {
	factor := (interval + toStart + toEnd) / interval
	if w.divisor != 1 {
		factor /= w.divisor
	}
	return factor
}

// counterRate is rate and increase. Most windows of most counters contain no
// reset: only those around one are computed with care.
func counterRate(dst []float64, s *Samples, w *Windows, _ [][]float64, _ *Scratch, from, to int) {
	if w.stands(s.V, from, to) {
		clear(dst[:to-from])
		return
	}
	step := from
	for r := 0; r < len(s.Resets) && step < to; r++ {
		// The reset is inside the windows of the steps [first, end).
		at := s.Resets[r]
		first := step + sort.Search(to-step, func(i int) bool { return w.Hi[step+i] > at })
		end := first + sort.Search(to-first, func(i int) bool { return w.Lo[first+i] >= at })
		if first == end {
			continue
		}
		risingRate(dst[step-from:], s.V, w, step, first)
		for step = first; step < end; step++ {
			dst[step-from] = w.resetRate(s, s.Resets[r:], step)
		}
	}
	risingRate(dst[step-from:], s.V, w, step, to)
}

// stands tells whether a counter has one finite value in all windows of some
// steps: then nothing rises. Of a counter that does not stand still it looks at few
// values.
func (w *Windows) stands(v []float64, from, to int) bool {
	lo, hi := w.span(from, to)
	if lo >= hi || !finite(v[lo]) {
		return false
	}
	first := math.Float64bits(v[lo])
	for _, x := range v[lo:hi] {
		if math.Float64bits(x) != first {
			return false
		}
	}
	return true
}

// resetRate is the result of a step whose window begins before the first of
// resets: the value before each reset inside of it is added, in order of time.
func (w *Windows) resetRate(s *Samples, resets []int32, step int) float64 {
	lo, last := w.Lo[step], w.Hi[step]-1
	if last <= lo {
		return 0
	}
	increase := s.V[last] - s.V[lo]
	for _, at := range resets {
		if at > last {
			break
		}
		increase += s.V[at-1]
	}
	return w.scale(step, s.V[lo], increase)
}

// risingRate is counterRate of a counter that is never reset.
func risingRate(dst, v []float64, w *Windows, from, to int) {
	if from >= to {
		return
	}
	lo, hi := w.Lo[from:to], w.Hi[from:to]
	factor, clamp := w.factor[from:to], w.clamp[from:to]
	dst = dst[:len(lo)]
	hi, factor, clamp = hi[:len(lo)], factor[:len(lo)], clamp[:len(lo)]
	for len(lo) > 0 {
		n := simd.Rises(dst, v, lo, hi, factor, clamp)
		// One of the next few windows wants care, or there are no more.
		for end := min(n+careful, len(lo)); n < end; n++ {
			l, last := int(lo[n]), int(hi[n])-1
			if last <= l {
				dst[n] = 0
				continue
			}
			dst[n] = w.scale(from+n, v[l], v[last]-v[l])
		}
		from += n
		lo, hi, factor, clamp, dst = lo[n:], hi[n:], factor[n:], clamp[n:], dst[n:]
	}
}

// careful is how many windows are looked at one by one after those that need no care.
const careful = 4

// scale extrapolates a counter's increase in step i's window. A counter cannot
// be negative: it is not extrapolated beyond its zero point.
func (w *Windows) scale(i int, first, increase float64) float64 {
	if increase > 0 && first >= 0 && first < w.clamp[i]*increase {
		toStart, toEnd, interval := w.edges(i)
		if toZero := interval * (first / increase); toZero < toStart {
			return increase * w.extrapolate(toZero, toEnd, interval)
		}
	}
	return increase * w.factor[i]
}

func delta(dst []float64, s *Samples, w *Windows, _ [][]float64, _ *Scratch, from, to int) {
	for i := from; i < to; i++ {
		lo, last := w.Lo[i], w.Hi[i]-1
		if last <= lo {
			dst[i-from] = 0
			continue
		}
		dst[i-from] = (s.V[last] - s.V[lo]) * w.factor[i]
	}
}

func instantRate(dst []float64, s *Samples, w *Windows, _ [][]float64, _ *Scratch, from, to int) {
	for i := from; i < to; i++ {
		last := w.Hi[i] - 1
		if last <= w.Lo[i] {
			dst[i-from] = 0
			continue
		}
		rise := s.V[last]
		if !(rise < s.V[last-1]) {
			rise -= s.V[last-1]
		}
		dst[i-from] = rise / (float64(s.T[last]-s.T[last-1]) / 1000)
	}
}

func instantDelta(dst []float64, s *Samples, w *Windows, _ [][]float64, _ *Scratch, from, to int) {
	for i := from; i < to; i++ {
		last := w.Hi[i] - 1
		if last <= w.Lo[i] {
			dst[i-from] = 0
			continue
		}
		dst[i-from] = s.V[last] - s.V[last-1]
	}
}

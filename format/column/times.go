package column

import (
	"fmt"
	"math"
	"slices"
)

// TimesMax is the largest number of positions of an encoded time column.
const TimesMax = 1 << 20

// Time column modes: the low two bits of the leading varint; the others are the
// number of positions.
const (
	timesRegular    = 0 // start, interval
	timesExceptions = 1 // … and the positions at which the step changes
	timesJitter     = 2 // … and packed deviations from the grid
	timesSteps      = 3 // start and packed differences
)

// AppendTimes appends a time column (ms since the Unix epoch, strictly
// increasing, at most TimesMax) to dst: about 10 bytes when it is regular. Times
// that do not increase are a defect of the caller, and panic. The empty column
// is one byte.
func AppendTimes(dst []byte, times []int64) []byte {
	if len(times) > TimesMax {
		panic(fmt.Sprintf("encode time column: %d positions, at most %d", len(times), TimesMax))
	}
	for i := 1; i < len(times); i++ {
		if times[i] <= times[i-1] {
			panic(fmt.Sprintf("encode time column: time %d at position %d after %d", times[i], i, times[i-1]))
		}
	}
	head := uint64(len(times)) << 2
	if len(times) == 0 {
		return append(dst, 0)
	}
	if len(times) == 1 {
		return appendUvarint(appendUvarint(dst, head), zigzag(times[0]))
	}
	interval := commonStep(times)
	irregular := timesIrregular(times, interval)
	if irregular == 0 {
		return appendTimesFront(dst, head|timesRegular, times[0], interval)
	}
	// A column is encoded once and shared by its whole group: try what fits.
	best := appendTimesSteps(nil, times)
	if len(times) > 2 && irregular*4 < len(times) {
		if b := appendTimesExceptions(nil, times, interval); len(b) < len(best) {
			best = b
		}
	}
	if b := appendTimesJitter(nil, times, interval); len(b) < len(best) {
		best = b
	}
	return append(dst, best...)
}

func appendTimesFront(dst []byte, head uint64, start, interval int64) []byte {
	dst = appendUvarint(dst, head)
	dst = appendUvarint(dst, zigzag(start))
	return appendUvarint(dst, uint64(interval))
}

// commonStep returns the most common step (Boyer and Moore's majority vote; any
// step when there is no majority).
func commonStep(times []int64) int64 {
	var step int64
	votes := 0
	for i := 1; i < len(times); i++ {
		switch d := times[i] - times[i-1]; {
		case votes == 0:
			step, votes = d, 1
		case d == step:
			votes++
		default:
			votes--
		}
	}
	return step
}

// timesIrregular counts the steps that differ from the one before, the first
// from interval.
func timesIrregular(times []int64, interval int64) int {
	count, last := 0, interval
	for i := 1; i < len(times); i++ {
		if d := times[i] - times[i-1]; d != last {
			count, last = count+1, d
		}
	}
	return count
}

func appendTimesExceptions(dst []byte, times []int64, interval int64) []byte {
	dst = appendTimesFront(dst, uint64(len(times))<<2|timesExceptions, times[0], interval)
	dst = appendUvarint(dst, uint64(timesIrregular(times, interval)))
	next, last := 1, interval
	for i := 1; i < len(times); i++ {
		d := times[i] - times[i-1]
		if d == last {
			continue
		}
		dst = appendUvarint(dst, uint64(i-next))
		dst = appendUvarint(dst, zigzag(d-last))
		next, last = i+1, d
	}
	return dst
}

// appendTimesJitter takes the grid through the first and the last time or the
// most common step, whichever strays less.
func appendTimesJitter(dst []byte, times []int64, step int64) []byte {
	n := int64(len(times))
	mean := (times[n-1] - times[0] + (n-1)/2) / (n - 1)
	var best []byte
	for _, interval := range []int64{step, mean} {
		x := make([]int64, n)
		for i, t := range times {
			x[i] = t - times[0] - int64(i)*interval
		}
		res := make([]uint64, n)
		plan := planSequence(x, 0, res)
		b := appendTimesFront(nil, uint64(n)<<2|timesJitter, times[0], interval)
		if b = appendSequence(b, plan, res[:n-1]); best == nil || len(b) < len(best) {
			best = b
		}
	}
	return append(dst, best...)
}

func appendTimesSteps(dst []byte, times []int64) []byte {
	dst = appendUvarint(dst, uint64(len(times))<<2|timesSteps)
	dst = appendUvarint(dst, zigzag(times[0]))
	res := make([]uint64, len(times))
	plan := planSequence(times, 1, res)
	return appendSequence(dst, plan, res[:len(times)-1])
}

// DecodeTimes appends the times of a column to dst. A column of more than
// maxPositions is refused before anything is allocated; the result is strictly
// increasing. With an error dst is returned as it was.
func DecodeTimes(dst []int64, data []byte, maxPositions int) ([]int64, error) {
	r := reader{part: "time column", b: data}
	was := len(dst)
	dst = r.readTimes(dst, min(maxPositions, TimesMax))
	if r.err == nil && r.off != len(data) {
		r.fail(r.off, "bytes after the end")
	}
	if r.err == nil {
		for i := was + 1; i < len(dst); i++ {
			if dst[i] <= dst[i-1] {
				r.fail(0, fmt.Sprintf("time %d at position %d after %d", dst[i], i-was, dst[i-1]))
				break
			}
		}
	}
	if r.err != nil {
		return dst[:was], r.err
	}
	return dst, nil
}

func (r *reader) readTimes(dst []int64, most int) []int64 {
	head := r.uvarint()
	if head>>2 > uint64(max(0, most)) {
		r.fail(0, fmt.Sprintf("%d positions exceed %d", head>>2, most))
	}
	n, mode := int(head>>2), head&3
	if r.err != nil || n == 0 {
		if mode != timesRegular {
			r.fail(0, "an empty column has no mode")
		}
		return dst
	}
	t := r.varint()
	dst = append(slices.Grow(dst, n), t)
	if n == 1 {
		if mode != timesRegular {
			r.fail(0, "a single time has no mode")
		}
		return dst
	}
	var interval int64
	if mode != timesSteps {
		interval = int64(r.uvarint())
	}
	switch mode {
	case timesRegular:
		for range n - 1 {
			t += interval
			dst = append(dst, t)
		}
		return dst
	case timesExceptions:
		return r.readTimesExceptions(dst, n, t, interval)
	}
	res := make([]float64, n-1)
	s := r.readSequence(res)
	if r.err != nil {
		return dst
	}
	if s.order1 != (mode == timesSteps) {
		r.fail(r.off, "order of a sequence does not fit the mode")
		return dst
	}
	acc := uint64(t)
	for i, x := range res {
		step := s.base + s.gcd*math.Float64bits(x)
		if mode == timesSteps {
			acc += step
		} else {
			acc = uint64(t) + uint64(i+1)*uint64(interval) + step
		}
		dst = append(dst, int64(acc))
	}
	return dst
}

func (r *reader) readTimesExceptions(dst []int64, n int, t, step int64) []int64 {
	exceptions := r.count(n-1, "number of exceptions")
	done := 1
	for range exceptions {
		at := r.off
		gap, change := r.uvarint(), r.varint()
		if r.err == nil && gap >= uint64(n-done) {
			r.fail(at, "exception past the last position")
		}
		if r.err != nil {
			return dst
		}
		for ; gap > 0; gap-- {
			t += step
			dst = append(dst, t)
			done++
		}
		step += change
		t += step
		dst = append(dst, t)
		done++
	}
	for ; done < n; done++ {
		t += step
		dst = append(dst, t)
	}
	return dst
}

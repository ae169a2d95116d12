package column

import (
	"math"
	"math/bits"
)

// A sequence is how m integers that follow a known one are stored: their
// differences to the one before (order 1) or to the known one (order 0), less
// a base (the smallest, or the smallest that is no outlier), divided by the greatest common divisor, at one bit
// width; what does not fit the width is patched from a list of exceptions.
//
// All arithmetic is modulo 2^64, so that any int64s come back.

// Sequence header byte: width in the low six bits (63 stands for 64).
const (
	seqWidthMask = 0x3f
	seqOrder1    = 0x40
	seqExtras    = 0x80 // a byte of the flags below follows

	seqGCD        = 0x01
	seqExceptions = 0x02

	// excLong in the low two bits of an exception: a zigzag varint follows.
	// Else these bits are the high part less 1.
	excLong = 3
)

// seqPlan is how to store one sequence.
type seqPlan struct {
	base  int64
	gcd   uint64
	order int
	width int
	size  int // bytes, estimated from above
}

// planSequence finds the cheapest way to store x[1:] at one order, with x[0]
// known, and leaves the residuals in res[:len(x)-1].
func planSequence(x []int64, order int, res []uint64) seqPlan {
	m := len(x) - 1
	res = res[:m]
	if m == 0 {
		return seqPlan{gcd: 1, size: 2}
	}
	base := int64(math.MaxInt64)
	prev := x[0]
	for i, v := range x[1:] {
		d := v - prev
		if order == 1 {
			prev = v
		}
		base = min(base, d)
		res[i] = uint64(d)
	}
	var or uint64
	for i := range res {
		res[i] -= uint64(base)
		or |= res[i]
	}
	p := seqPlan{base: base, gcd: 1, order: order}
	if or == 0 {
		p.size = 1 + uvarintLen(zigzag(base))
		return p
	}
	if p.gcd = commonDivisor(res); p.gcd > 1 {
		divide(res, p.gcd)
	}
	p.width, p.size = chooseWidth(res, 0)
	if floor := robustFloor(res); floor > 0 {
		if w, size := chooseWidth(res, floor); size < p.size {
			for i := range res {
				res[i] -= floor
			}
			p.width, p.size = w, size
			p.base += int64(p.gcd * floor)
		}
	}
	p.size += 1 + uvarintLen(zigzag(p.base))
	if p.gcd > 1 {
		p.size += 1 + uvarintLen(p.gcd)
	}
	return p
}

// robustFloor returns the smallest residual that is no outlier on the low side
// (a counter's reset, a heap's collection), or 0 when there are none: as the
// base it may make the width much smaller, at the price of an exception each.
func robustFloor(res []uint64) uint64 {
	var sample [16]uint64
	if len(res) < len(sample) {
		return 0
	}
	for i := range sample {
		v := res[i*len(res)/len(sample)]
		j := i
		for ; j > 0 && sample[j-1] > v; j-- {
			sample[j] = sample[j-1]
		}
		sample[j] = v
	}
	low, high := sample[2], sample[len(sample)-3]
	if low <= high-low {
		return 0
	}
	low -= high - low
	floor := uint64(math.MaxUint64)
	for _, v := range res {
		if v >= low && v < floor {
			floor = v
		}
	}
	return floor
}

// commonDivisor returns the greatest common divisor of values that are not all
// zero.
func commonDivisor(values []uint64) uint64 {
	var g uint64
	for _, v := range values {
		if v == 0 {
			continue
		}
		if g == 0 {
			g = v
		}
		for v %= g; v != 0; {
			g, v = v, g%v
		}
		if g == 1 {
			return 1
		}
	}
	return g
}

func divide(values []uint64, g uint64) {
	if g&(g-1) == 0 {
		s := bits.TrailingZeros64(g)
		for i := range values {
			values[i] >>= s
		}
		return
	}
	for i := range values {
		values[i] /= g
	}
}

// chooseWidth returns the width with the fewest bytes, and these, for residuals
// less floor. Those below floor are exceptions at any width.
func chooseWidth(res []uint64, floor uint64) (width, size int) {
	var byLen, below [65]uint16
	negatives := 0
	for _, v := range res {
		if v >= floor {
			byLen[bits.Len64(v-floor)]++
		} else {
			below[bits.Len64(floor-v)]++
			negatives++
		}
	}
	top := 64
	for byLen[top] == 0 {
		top--
	}
	deepest := 64
	for deepest > 0 && below[deepest] == 0 {
		deepest--
	}
	best, bestWidth := math.MaxInt, 64
	count := negatives
	for w := legalWidth(top); w >= 0; w-- {
		if w < 64 {
			count += int(byLen[w+1])
		}
		if w > widePlain && w < 64 || w == 64 && negatives > 0 {
			continue
		}
		cost := 0
		if count > 0 {
			cost = 2 + count // flags, count, and a gap each
		}
		if cost >= best {
			break
		}
		for l := w + 3; l <= top; l++ {
			cost += int(byLen[l]) * ((l - w + 7) / 7)
		}
		for l := 1; l <= deepest; l++ {
			cost += int(below[l]) * ((max(l-w, 0) + 7) / 7)
		}
		if cost += packedLen(len(res), w); cost < best {
			best, bestWidth = cost, w
		}
	}
	return bestWidth, best
}

// legalWidth rounds up to a width that the packed layouts have.
func legalWidth(w int) int {
	if w > widePlain {
		return 64
	}
	return w
}

// appendSequence appends the sequence that p was planned for.
func appendSequence(dst []byte, p seqPlan, res []uint64) []byte {
	exceptions := 0
	if p.width < 64 {
		for _, v := range res {
			if int64(v)>>p.width != 0 {
				exceptions++
			}
		}
	}
	head, extras := byte(min(p.width, 63)), byte(0)
	if p.order == 1 {
		head |= seqOrder1
	}
	if p.gcd > 1 {
		extras |= seqGCD
	}
	if exceptions > 0 {
		extras |= seqExceptions
	}
	if extras != 0 {
		dst = append(dst, head|seqExtras, extras)
	} else {
		dst = append(dst, head)
	}
	dst = appendUvarint(dst, zigzag(p.base))
	if p.gcd > 1 {
		dst = appendUvarint(dst, p.gcd)
	}
	if exceptions > 0 {
		dst = appendUvarint(dst, uint64(exceptions))
		next := 0
		for i, v := range res {
			if high := int64(v) >> p.width; high != 0 {
				if code := uint64(high) - 1; code < excLong {
					dst = appendUvarint(dst, uint64(i-next)<<2|code)
				} else {
					dst = appendUvarint(dst, uint64(i-next)<<2|excLong)
					dst = appendUvarint(dst, zigzag(high))
				}
				next = i + 1
			}
		}
	}
	return appendPacked(dst, res, p.width)
}

// sequence is the header of a stored sequence.
type sequence struct {
	base   uint64
	gcd    uint64
	width  int
	order1 bool
}

// readSequence reads a sequence of len(dst) integers and leaves the residuals
// in dst, each as the bits of its element.
func (r *reader) readSequence(dst []float64) sequence {
	at := r.off
	head := r.byte()
	s := sequence{gcd: 1, width: int(head & seqWidthMask), order1: head&seqOrder1 != 0}
	if s.width > widePlain {
		if s.width != 63 {
			r.fail(at, "illegal bit width")
		}
		s.width = 64
	}
	var extras byte
	if head&seqExtras != 0 {
		if extras = r.byte(); extras&^(seqGCD|seqExceptions) != 0 {
			r.fail(r.off-1, "unknown flags of a sequence")
		}
	}
	s.base = uint64(r.varint())
	if extras&seqGCD != 0 {
		s.gcd = r.uvarint()
	}
	var patches reader
	exceptions := 0
	if extras&seqExceptions != 0 {
		exceptions = r.count(len(dst), "number of exceptions")
		patches = *r
		for range exceptions {
			r.exception()
		}
	}
	packed := r.bytes(packedLen(len(dst), s.width))
	if r.err != nil {
		return s
	}
	// What follows the packed bits may be loaded with them, see unpack.
	unpack(dst, r.b[r.off-len(packed):], s.width)
	if exceptions > 0 {
		r.patch(dst, &patches, exceptions, uint(s.width))
	}
	return s
}

// exception reads one exception: how many residuals lie between the one before
// and it, and what is to be added above the packed bits.
func (r *reader) exception() (gap, high uint64) {
	x := r.uvarint()
	if x&3 != excLong {
		return x >> 2, x&3 + 1
	}
	return x >> 2, uint64(r.varint())
}

// patch adds count exceptions, read from patches, to the residuals in dst.
func (r *reader) patch(dst []float64, patches *reader, count int, width uint) {
	next := 0
	for range count {
		gap, high := patches.exception()
		if gap >= uint64(len(dst)-next) {
			r.fail(patches.off, "exception past the end of its sequence")
			return
		}
		next += int(gap)
		dst[next] = math.Float64frombits(math.Float64bits(dst[next]) + high<<width)
		next++
	}
}

func uvarintLen(x uint64) int { return (bits.Len64(x|1) + 6) / 7 }

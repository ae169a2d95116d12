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
	longest := bits.Len64(or / p.gcd)
	p.width, p.size = chooseWidth(res, longest)
	if floor := robustFloor(res); floor > 0 {
		if w, size := chooseWidthAbove(res, longest, floor, p.size); size < p.size {
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
	const samples = 16
	if len(res) < samples {
		return 0
	}
	// The third smallest and the third largest of them, found without branches
	// that nobody can foretell.
	low, low2, low1 := uint64(math.MaxUint64), uint64(math.MaxUint64), uint64(math.MaxUint64)
	var high, high2, high1 uint64
	for i := range samples {
		v := res[i*len(res)/samples]
		low, low2, low1 = min(low, max(low2, v)), min(low2, max(low1, v)), min(low1, v)
		high, high2, high1 = max(high, min(high2, v)), max(high2, min(high1, v)), max(high1, v)
	}
	if low <= high-low {
		return 0
	}
	low -= high - low
	floor := uint64(math.MaxUint64)
	for _, v := range res {
		if v >= low {
			floor = min(floor, v)
		}
	}
	return floor
}

// commonDivisor returns the greatest common divisor of values that are not all
// zero.
func commonDivisor(values []uint64) uint64 {
	var g uint64
	for _, v := range values {
		if v == 0 || g != 0 && g&(g-1) == 0 && v&(g-1) == 0 {
			continue // a multiple of a power of two, told without a division
		}
		if g == 0 {
			g = v
		}
		for v = remainder(v, g); v != 0; {
			g, v = v, remainder(g, v)
		}
		if g == 1 {
			return 1
		}
	}
	return g
}

// remainder is a%b: processors divide short numbers in half the time.
func remainder(a, b uint64) uint64 {
	if (a|b)>>32 == 0 {
		return uint64(uint32(a) % uint32(b))
	}
	return a % b
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

// lengths counts values by their length in bits. Neighbours are counted apart:
// they are often of one length, and a count would wait for the one before.
type lengths [2][lengthsRoom]uint16

// lengthsRoom is that of 0 to 64 bits, and as far beyond as choose looks.
const lengthsRoom = 64 + 10

func (n *lengths) count(values []uint64) {
	for len(values) >= 2 {
		n[0][bits.Len64(values[0])]++
		n[1][bits.Len64(values[1])]++
		values = values[2:]
	}
	if len(values) > 0 {
		n[0][bits.Len64(values[0])]++
	}
}

// chooseWidth returns the width with the fewest bytes, and these, for residuals
// of at most so many bits.
func chooseWidth(res []uint64, longest int) (width, size int) {
	var n lengths
	n.count(res)
	return n.choose(len(res), longest, nil, 0, math.MaxInt)
}

// chooseWidthAbove is chooseWidth for residuals less floor, where that takes less
// than sizeMax bytes. Those below floor are exceptions at any width.
func chooseWidthAbove(res []uint64, longest int, floor uint64, sizeMax int) (width, size int) {
	var n lengths
	var below [65]uint16
	negatives := 0
	for _, v := range res {
		if v >= floor {
			n[0][bits.Len64(v-floor)]++
		} else {
			below[bits.Len64(floor-v)]++
			negatives++
		}
	}
	return n.choose(len(res), longest, &below, negatives, sizeMax)
}

// choose returns the width with the fewest bytes for m values of at most so many
// bits, or sizeMax where there is none with less. So many of the values are
// negative: exceptions at any
// width, counted in below by their magnitudes.
func (n *lengths) choose(m, longest int, below *[65]uint16, negatives, sizeMax int) (width, size int) {
	count := &n[0]
	top := 0
	for l := range longest + 1 {
		if count[l] += n[1][l]; count[l] != 0 {
			top = l
		}
	}
	deepest := 0
	for l := longest; negatives > 0 && deepest == 0; l-- {
		if below[l] != 0 {
			deepest = l
		}
	}
	// For each width: how many values are longer, how many by three bits or more,
	// and the bytes of the high parts of the latter, of seven bits with the sign
	// each. These are the ones of the width seven larger, and one byte more each.
	var long [7]int
	size, width = sizeMax, 64
	exceptions, longer := negatives, 0
	for w := top; w >= 0; w-- {
		exceptions += int(count[w+1])
		longer += int(count[w+3])
		bytes := longer + int(count[w+7]) + int(count[w+8]) + int(count[w+9]) + long[w%7]
		long[w%7] = bytes
		at := w
		if w > widePlain { // there is but one such width
			if at, bytes = 64, 0; w < top || negatives > 0 {
				continue
			}
		}
		cost := 0
		if exceptions > 0 {
			cost = 2 + exceptions // flags, count, and a gap each
		}
		if cost >= size {
			break
		}
		cost += bytes + negatives + packedLen(m, at)
		for l := w + 7; l <= deepest; l++ {
			cost += int(below[l]) * ((l - w) / 7)
		}
		if cost < size {
			size, width = cost, at
		}
	}
	return width, size
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

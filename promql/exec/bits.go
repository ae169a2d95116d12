package exec

import (
	"math/bits"
)

// Bits is a set of steps. nil stands for all of them.
type Bits []uint64

func newBits(n int) Bits { return make(Bits, (n+63)/64) }

// Has reports whether step i is in the set.
func (b Bits) Has(i int) bool { return b == nil || b[i>>6]&(1<<(i&63)) != 0 }

func (b Bits) set(i int) { b[i>>6] |= 1 << (i & 63) }

func (b Bits) clearBit(i int) { b[i>>6] &^= 1 << (i & 63) }

// setAll sets the first n bits.
func (b Bits) setAll(n int) {
	for i := range b {
		b[i] = ^uint64(0)
	}
	if n&63 != 0 {
		b[len(b)-1] = 1<<(n&63) - 1
	}
}

// or adds o, a set over n steps, to b, which must not be nil.
func (b Bits) or(o Bits, n int) {
	if o == nil {
		b.setAll(n)
		return
	}
	for i, w := range o {
		b[i] |= w
	}
}

// Count returns the number of steps in a set over n steps.
func (b Bits) Count(n int) int {
	if b == nil {
		return n
	}
	c := 0
	for _, w := range b {
		c += bits.OnesCount64(w)
	}
	return c
}

// span returns the first step of a set over n steps and the one after its
// last; 0, 0 when it is empty.
func (b Bits) span(n int) (first, end int) {
	if b == nil {
		return 0, n
	}
	for i, w := range b {
		if w == 0 {
			continue
		}
		if end == 0 {
			first = i*64 + bits.TrailingZeros64(w)
		}
		end = i*64 + 64 - bits.LeadingZeros64(w)
	}
	return first, end
}

// run returns the next run [first, end) of steps in the set, looking at the
// steps [from, to); to, to when there is none.
func (b Bits) run(from, to int) (first, end int) {
	first = b.next(from, to, 0)
	return first, b.next(first, to, ^uint64(0))
}

// next returns the first step in [from, to) whose bit differs from those of
// same, to when there is none.
func (b Bits) next(from, to int, same uint64) int {
	for from < to {
		w := (b[from>>6] ^ same) >> (from & 63)
		if w != 0 {
			return min(from+bits.TrailingZeros64(w), to)
		}
		from = (from | 63) + 1
	}
	return to
}

package scrape

import "math/bits"

// bitmap is a set of slots: one bit for each of a target's series.
type bitmap []uint64

// set adds slot and reports whether it was there already.
func (b *bitmap) set(slot uint32) bool {
	word := int(slot >> 6)
	for word >= len(*b) {
		*b = append(*b, 0)
	}
	mask := uint64(1) << (slot & 63)
	was := (*b)[word]&mask != 0
	(*b)[word] |= mask
	return was
}

// missing calls f with every slot of b that is not in other, in order.
func (b bitmap) missing(other bitmap, f func(slot uint32)) {
	for i, w := range b {
		if i < len(other) {
			w &^= other[i]
		}
		for ; w != 0; w &= w - 1 {
			f(uint32(i<<6 + bits.TrailingZeros64(w)))
		}
	}
}

func (b bitmap) empty() bool {
	for _, w := range b {
		if w != 0 {
			return false
		}
	}
	return true
}

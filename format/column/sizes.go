package column

// Sizes says where the bytes of a chunk lie. Their sum is the chunk's length.
type Sizes struct {
	// Header is the kind, the exponent, and the ends of the values.
	Header int
	// Layer is the position layer.
	Layer int
	// Specials are the values outside the domain.
	Specials int
	// Sequence is what stands before the packed bits of the values and of
	// their corrections: width, base, divisor. Exceptions are patches of them.
	Sequence, Exceptions int
	// Packed are the bits themselves. Those of corrections are Ulps.
	Packed, Ulps int
}

// SizesOf returns the sizes of the parts of a chunk of n values, of which it
// reads as much as that takes.
func SizesOf(chunk []byte, n int) (Sizes, error) {
	r := reader{part: "chunk", b: chunk}
	h := r.readHeader(n)
	s := Sizes{Header: r.off}
	if r.err != nil || h.constant() {
		return s, r.err
	}
	m := n - 1
	at := r.off
	switch h.kind & layerMask {
	case 0:
	case layerShared:
		return s, &CorruptError{Part: "chunk", Reason: "the sizes of a chunk with the positions of another one are not known from it"}
	default:
		var layer positions
		r.readPositions(&layer, h.kind&layerMask, n)
		m = layer.changes
	}
	s.Layer, at = r.off-at, r.off
	if h.kind&flagSpecials != 0 {
		r.skipSpecials(r.count(n, "number of specials"), n)
	}
	s.Specials = r.off - at
	s.Packed = r.sequenceSizes(&s, m)
	if h.domain == Near {
		s.Ulps = r.sequenceSizes(&s, m)
	}
	return s, r.err
}

// sequenceSizes adds the front of a sequence of m integers to s, and returns
// the bytes of its packed bits.
func (r *reader) sequenceSizes(s *Sizes, m int) int {
	at := r.off
	if r.err != nil {
		return 0
	}
	var scratch [ChunkValuesMax]float64
	before := *r
	q := r.readSequence(scratch[:m])
	packed := packedLen(m, q.width)
	front := before
	if head := front.byte(); head&seqExtras != 0 {
		extras := front.byte()
		front.varint()
		if extras&seqGCD != 0 {
			front.uvarint()
		}
	} else {
		front.varint()
	}
	s.Sequence += front.off - at
	s.Exceptions += r.off - packed - front.off
	return packed
}

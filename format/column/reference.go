package column

import (
	"fmt"
	"math"
	"slices"
)

// A reference chunk stores the differences of its values to those of another
// chunk of the same tile, in the integer or decimal domain: a histogram bucket
// is its neighbour plus little, a copy of a series (or one that moves with it)
// is a constant away. Its header describes its own values, so that Inspect
// serves it like any other.

// AppendRef appends the chunk of values to dst: the shorter of the plain one
// and the one that refers to ref, the values of another chunk at the same
// positions. Inspect tells which it was. The panics of Append are its own; ref
// of another length, or that does not fit the domain of values, is not used.
func (e *Encoder) AppendRef(dst []byte, values, ref []float64) []byte {
	from := len(dst)
	dst = e.Append(dst, values)
	plain := dst[from:]
	if len(ref) != len(values) || plain[0] < kindStream || plain[0]&(flagSpecials|domainMask) > byte(Decimal) {
		return dst
	}
	domain, exp := Domain(plain[0]&domainMask), uint8(0)
	if domain == Decimal {
		exp = plain[1]
	}
	var first, last int64
	for i, v := range values {
		k, ok := asDecimal(v, int(exp))
		y, refOK := asDecimal(ref[i], int(exp))
		if !ok || !refOK {
			return dst
		}
		e.x[i] = k - y
		if i == 0 {
			first = y
		}
		last = y
	}
	e.specials, e.refFirst, e.refLast = e.specials[:0], first, last
	e.buf = e.appendDomain(e.buf[:0], values, domain, exp, true)
	e.refFirst, e.refLast = 0, 0
	return e.keepShorter(dst, from, true)
}

// DecodeRef is Decode for a chunk that may refer to the values ref of another
// one: n of them, for the same positions. ref may not overlap the free room of
// dst. A plain chunk is decoded as Decode would, whatever ref is.
func DecodeRef(dst []float64, chunk []byte, n int, ref []float64) ([]float64, error) {
	r := reader{part: "chunk", b: chunk}
	h := r.readHeader(n)
	if r.err != nil {
		return dst, r.err
	}
	if h.constant() || h.kind&flagReference == 0 {
		return Decode(dst, chunk, n)
	}
	switch {
	case h.domain > Decimal || h.kind&flagSpecials != 0:
		r.fail(0, fmt.Sprintf("kind 0x%02x cannot be a reference", h.kind))
	case len(ref) != n:
		r.fail(0, fmt.Sprintf("the chunk of %d values refers to one of %d", n, len(ref)))
	}
	if r.err != nil {
		return dst, r.err
	}
	was := len(dst)
	dst = slices.Grow(dst, n)[:was+n]
	r.readStream(&h, dst[was:], ref)
	return r.finish(dst, was)
}

// addReference turns the residuals of m changes in out into values: sums the
// differences up as integers, spreads them, and adds what they refer to.
func (r *reader) addReference(h *header, s sequence, out []float64, m int, layer *positions, ref []float64) {
	n := len(out)
	y, ok := asDecimal(ref[0], int(h.exp))
	acc := uint64(h.first - y)
	from := acc + s.base
	out[0] = math.Float64frombits(acc)
	for i, x := range out[1 : 1+m] {
		step := s.gcd * math.Float64bits(x)
		if s.order1 {
			acc += s.base + step
		} else {
			acc = from + step
		}
		out[1+i] = math.Float64frombits(acc)
	}
	if h.kind&layerMask != 0 {
		layer.spread(out)
	}
	k := h.first
	for i, v := range ref {
		y, yes := asDecimal(v, int(h.exp))
		ok = ok && yes
		k = int64(math.Float64bits(out[i])) + y
		out[i] = scale(k, h.exp)
	}
	switch {
	case !ok:
		r.fail(0, "the values referred to are not in the chunk's domain")
	case n > 0 && k != h.first+h.delta:
		r.fail(r.off, "values disagree with the summary in the header")
	}
}

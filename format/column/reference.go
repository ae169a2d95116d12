package column

import (
	"fmt"
	"math"
	"slices"
)

// A chunk may refer to others of the same tile in two ways. Its values may be
// differences to the sum of one or two others in the integer or decimal domain:
// a histogram bucket is its neighbour plus little, a copy of a series is a
// constant away, and free memory is what is left of all. And the positions at
// which it changes may be those of another one: the sum of a histogram changes
// when its count does. Its header describes its own values, so that Inspect
// serves it like any other.

// TermsMax is the largest number of chunks whose sum another one refers to.
const TermsMax = 2

// Term is a chunk that another refers to: its values, at the same positions,
// added or (Minus) subtracted.
type Term struct {
	Values []float64
	Minus  bool
}

// Reference is what a chunk refers to.
type Reference struct {
	// Terms, at most TermsMax, are what the values are differences to.
	Terms []Term
	// Positions are the values that change where the chunk does.
	Positions []float64
}

// AppendRef appends the chunk of values to dst: the shortest of the plain one
// and those that refer to all terms or to the positions of ref. Inspect tells
// which it was. The panics of Append are its own; references of another length,
// or that do not fit the domain of values, are not used.
func (e *Encoder) AppendRef(dst []byte, values []float64, ref Reference) []byte {
	from := len(dst)
	if len(ref.Positions) == len(values) {
		e.shared = ref.Positions
	}
	dst = e.Append(dst, values)
	if len(ref.Terms) > 0 {
		dst = e.appendTerms(dst, from, values, ref.Terms)
	}
	e.shared = nil
	return dst
}

// appendTerms replaces the chunk that begins at from by the one of differences
// to terms, if that is shorter.
func (e *Encoder) appendTerms(dst []byte, from int, values []float64, terms []Term) []byte {
	plain := dst[from:]
	if plain[0] < kindStream || plain[0]&(flagSpecials|domainMask) > byte(Decimal) || len(terms) > TermsMax {
		return dst
	}
	domain, exp := Domain(plain[0]&domainMask), uint8(0)
	if domain == Decimal {
		exp = plain[1]
	}
	sum := e.res[0][:len(values)]
	if !sumTerms(sum, terms, int(exp)) {
		return dst
	}
	for i, v := range values {
		k, ok := asDecimal(v, int(exp))
		if !ok {
			return dst
		}
		e.x[i] = k - int64(sum[i])
	}
	e.specials, e.refFirst, e.refLast = e.specials[:0], int64(sum[0]), int64(sum[len(sum)-1])
	e.buf = e.appendDomain(e.buf[:0], values, domain, exp, true)
	e.refFirst, e.refLast = 0, 0
	return e.keepShorter(dst, from, true)
}

// sumTerms adds the terms up in a domain, modulo 2^64. It reports whether all
// of them have as many values as sum and are in the domain.
func sumTerms(sum []uint64, terms []Term, exp int) bool {
	clear(sum)
	ok := true
	for _, t := range terms {
		if len(t.Values) != len(sum) {
			return false
		}
		sign := uint64(1)
		if t.Minus {
			sign = math.MaxUint64
		}
		for i, v := range t.Values {
			y, yes := asDecimal(v, exp)
			ok = ok && yes
			sum[i] += sign * uint64(y)
		}
	}
	return ok
}

// sameChanges reports whether values change exactly after these distances from
// change to change.
func sameChanges(gaps []int64, values []float64) bool {
	next := 0
	if len(gaps) > 0 {
		next = int(gaps[0])
	}
	for i := 1; i < len(values); i++ {
		changes := math.Float64bits(values[i]) != math.Float64bits(values[i-1])
		if changes != (i == next && len(gaps) > 0) {
			return false
		}
		if changes {
			if gaps = gaps[1:]; len(gaps) > 0 {
				next = i + int(gaps[0])
			}
		}
	}
	return len(gaps) == 0
}

// DecodeRef is Decode for a chunk that may refer to others: their n values are
// in ref, for the same positions, and may not overlap the free room of dst. A
// plain chunk is decoded as Decode would, whatever ref is.
func DecodeRef(dst []float64, chunk []byte, n int, ref Reference) ([]float64, error) {
	r := reader{part: "chunk", b: chunk}
	h := r.readHeader(n)
	if r.err != nil {
		return dst, r.err
	}
	if !h.refers() {
		return Decode(dst, chunk, n)
	}
	terms := h.kind&flagReference != 0
	switch {
	case terms && (h.domain > Decimal || h.kind&flagSpecials != 0):
		r.fail(0, fmt.Sprintf("kind 0x%02x cannot be a reference", h.kind))
	case terms && (len(ref.Terms) == 0 || len(ref.Terms) > TermsMax):
		r.fail(0, fmt.Sprintf("the chunk refers to %d others, 1 to %d are possible", len(ref.Terms), TermsMax))
	case h.kind&layerMask == layerShared && len(ref.Positions) != n:
		r.fail(0, fmt.Sprintf("the chunk of %d values has the positions of one of %d", n, len(ref.Positions)))
	}
	if r.err != nil {
		return dst, r.err
	}
	for _, t := range ref.Terms {
		if terms && len(t.Values) != n {
			r.fail(0, fmt.Sprintf("the chunk of %d values refers to one of %d", n, len(t.Values)))
			return dst, r.err
		}
	}
	was := len(dst)
	dst = slices.Grow(dst, n)[:was+n]
	if !terms {
		ref.Terms = nil
	}
	r.readStream(&h, dst[was:], ref)
	return r.finish(dst, was)
}

// sharePositions makes p the positions at which values change.
func (p *positions) sharePositions(values []float64) {
	last := 0
	for i := 1; i < len(values); i++ {
		if math.Float64bits(values[i]) != math.Float64bits(values[i-1]) {
			p.gaps[p.changes] = uint16(i - last)
			p.changes++
			last = i
		}
	}
}

// addReference turns the residuals of m changes in out into values: sums the
// differences up as integers, spreads them, and adds the terms. Whether these
// are in the domain is not looked at: a wrong one ends at a wrong last value,
// or is what the checksum around the chunk is for.
func (r *reader) addReference(h *header, s sequence, out []float64, m int, layer *positions, terms []Term) {
	acc := uint64(h.first)
	for _, t := range terms {
		acc -= t.integer(0, h.exp)
	}
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
	for _, t := range terms {
		t.addTo(out, h.exp)
	}
	last := int64(math.Float64bits(out[len(out)-1]))
	if p := pow10[h.exp&31]; h.exp == 0 {
		for i, x := range out {
			out[i] = float64(int64(math.Float64bits(x)))
		}
	} else {
		for i, x := range out {
			out[i] = float64(int64(math.Float64bits(x))) / p
		}
	}
	if last != h.first+h.delta {
		r.fail(r.off, "values disagree with the summary in the header")
	}
}

// integer returns a value of the term in a domain, of which it must be.
func (t Term) integer(i int, exp uint8) uint64 {
	k := int64(t.Values[i])
	if exp != 0 {
		k = int64(math.RoundToEven(t.Values[i] * pow10[exp&31]))
	}
	if t.Minus {
		k = -k
	}
	return uint64(k)
}

// addTo adds the term to integers, each the bits of its element.
func (t Term) addTo(out []float64, exp uint8) {
	values := t.Values[:len(out)]
	sign := int64(1)
	if t.Minus {
		sign = -1
	}
	if exp == 0 {
		for i, x := range out {
			out[i] = math.Float64frombits(math.Float64bits(x) + uint64(sign*int64(values[i])))
		}
		return
	}
	p := pow10[exp&31]
	for i, x := range out {
		out[i] = math.Float64frombits(math.Float64bits(x) + uint64(sign*int64(math.RoundToEven(values[i]*p))))
	}
}

package column

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/bits"
)

const (
	// sampleLen is how many values the encoder tries a domain on before it
	// converts all.
	sampleLen = 32
	// exponentMax is the largest power of ten looked for: a float64 has at most
	// 17 significant digits.
	exponentMax = 17
	// exponentSure is the exponent up to which a decimal that fits everything
	// is taken without looking at other domains: an accidental fit needs more
	// digits.
	exponentSure = 8
	// nearMax bounds the corrections of the domain Near, in ulps.
	nearMax = 1 << 12
	// strayMax is how many values outside the domain are patched before a
	// domain with more digits is tried.
	strayMax = 6
)

// Encoder encodes chunks. The zero value is ready. It holds scratch memory
// (about 24 KiB) and is not safe for concurrent use; its results do not depend
// on what it encoded before.
type Encoder struct {
	x        [ChunkValuesMax]int64 // values in the domain, by position
	ulps     [ChunkValuesMax]int64 // their corrections (Near)
	changedX [ChunkValuesMax]int64 // x[0], then x at the changes
	changedU [ChunkValuesMax]int64
	gaps     [ChunkValuesMax]int64 // 0, then positions from change to change
	res      [6][ChunkValuesMax]uint64
	specials []special
	buf      []byte // the second candidate

	// What is to be added to x at the ends to have the chunk's own values: 0,
	// but for a reference chunk, whose x are differences.
	refFirst, refLast int64

	// shared are values whose positions of change a chunk may have; nil: none.
	shared []float64
}

// special is a run of values outside the domain.
type special struct {
	at, length int
	bits       uint64
}

// Append appends the chunk of values to dst: 1 to ChunkValuesMax of them, in
// order of position. Another number is a defect of the caller, and panics.
func (e *Encoder) Append(dst []byte, values []float64) []byte {
	if len(values) < 1 || len(values) > ChunkValuesMax {
		panic(fmt.Sprintf("encode chunk: %d values, a chunk holds 1 to %d", len(values), ChunkValuesMax))
	}
	first := math.Float64bits(values[0])
	for _, v := range values {
		if math.Float64bits(v) != first {
			return e.appendStream(dst, values)
		}
	}
	return appendConstant(dst, values[0])
}

func appendConstant(dst []byte, v float64) []byte {
	if math.Float64bits(v) == 0 {
		return append(dst, kindZero)
	}
	if k, ok := asInteger(v); ok && uvarintLen(zigzag(k)) < 8 {
		return appendUvarint(append(dst, kindInteger), zigzag(k))
	}
	for exp := 1; exp <= exponentMax; exp++ {
		if k, ok := asDecimal(v, exp); ok && uvarintLen(zigzag(k)) < 7 {
			return appendUvarint(append(dst, kindDecimal, byte(exp)), zigzag(k))
		}
	}
	return binary.LittleEndian.AppendUint64(append(dst, kindRaw), math.Float64bits(v))
}

// appendStream chooses the domain. Integers and short decimals are taken when
// they fit; beyond, the shortest of decimal, near and bits is.
func (e *Encoder) appendStream(dst []byte, values []float64) []byte {
	from := len(dst)
	exp, ok := e.decimals(values)
	if ok {
		domain := Decimal
		if exp == 0 {
			domain = Integer
		}
		dst = e.appendDomain(dst, values, domain, uint8(exp), false)
		if exp <= exponentSure && len(e.specials) == 0 {
			return dst
		}
	}
	if e.near(values, searchNear) {
		e.buf = e.appendDomain(e.buf[:0], values, Near, searchNear, false)
		dst, ok = e.keepShorter(dst, from, ok), true
	}
	if !ok || len(dst)-from > 2*len(values) {
		e.ordered(values)
		e.buf = e.appendDomain(e.buf[:0], values, Bits, 0, false)
		dst = e.keepShorter(dst, from, ok)
	}
	return dst
}

// keepShorter returns dst with the candidate in buf in place of the one that
// begins at from, if there is none there or it is longer.
func (e *Encoder) keepShorter(dst []byte, from int, have bool) []byte {
	if have && len(dst)-from <= len(e.buf) {
		return dst
	}
	return append(dst[:from], e.buf...)
}

// decimals looks for the smallest exponent at which all values but a few are
// decimals, and converts them.
func (e *Encoder) decimals(values []float64) (exp int, ok bool) {
	exp, strays := 0, 0
	step := max(1, len(values)/sampleLen)
	for i := 0; i < len(values); i += step {
		if isSpecial(values[i]) {
			continue
		}
		at, found := decimalFrom(values[i], exp)
		if found {
			exp = at
		} else if strays++; strays > 2 {
			return 0, false
		}
	}
	for {
		misses, more := e.convert(values, exp)
		if misses <= strayMax || more == exp {
			return exp, misses <= max(strayMax, len(values)/8)
		}
		exp = more
	}
}

// decimalFrom returns the smallest exponent from exp on at which v is a
// decimal.
func decimalFrom(v float64, exp int) (int, bool) {
	for ; exp <= exponentMax; exp++ {
		if _, ok := asDecimal(v, exp); ok {
			return exp, true
		}
	}
	return 0, false
}

// convert fills x and specials with values at one exponent. It returns the
// number of runs of strays (values that are specials only for want of digits),
// and the exponent at which those that can be decimals are.
func (e *Encoder) convert(values []float64, exp int) (strays, more int) {
	e.specials, more = e.specials[:0], exp
	var last int64
	leading := 0 // specials before the first value in the domain
	for i, v := range values {
		k, ok := asDecimal(v, exp)
		if !ok {
			if e.addSpecial(i, v) && !isSpecial(v) {
				strays++
				if at, found := decimalFrom(v, more); found {
					more = at
				}
			}
			if leading == i {
				leading++
			}
			k = last
		}
		e.x[i], last = k, k
	}
	e.fillLeading(leading, len(values))
	return strays, more
}

// fillLeading repeats the first value in the domain over the specials before
// it, so that they are no change.
func (e *Encoder) fillLeading(leading, n int) {
	if leading > 0 && leading < n {
		for i := range leading {
			e.x[i], e.ulps[i] = e.x[leading], e.ulps[leading]
		}
	}
}

// addSpecial adds the value at a position, and reports whether it began a run.
func (e *Encoder) addSpecial(at int, v float64) bool {
	b := math.Float64bits(v)
	if k := len(e.specials) - 1; k >= 0 && e.specials[k].at+e.specials[k].length == at && e.specials[k].bits == b {
		e.specials[k].length++
		return false
	}
	e.specials = append(e.specials, special{at, 1, b})
	return true
}

// near fills x, ulps and specials with values at one exponent, and reports
// whether enough of them are near to decimals.
func (e *Encoder) near(values []float64, exp int) bool {
	misses := 0
	step := max(1, len(values)/sampleLen)
	for i := 0; i < len(values); i += step {
		if _, _, ok := nearDecimal(values[i], exp, nearMax); !ok {
			if misses++; misses > 2 {
				return false
			}
		}
	}
	e.specials = e.specials[:0]
	var last, lastUlp int64
	leading := 0
	for i, v := range values {
		k, ulp, ok := nearDecimal(v, exp, nearMax)
		if !ok {
			e.addSpecial(i, v)
			if leading == i {
				leading++
			}
			k, ulp = last, lastUlp
		}
		e.x[i], e.ulps[i] = k, ulp
		last, lastUlp = k, ulp
	}
	e.fillLeading(leading, len(values))
	return len(e.specials) <= max(strayMax, len(values)/8)
}

// ordered fills x with the bits of values. There are no specials.
func (e *Encoder) ordered(values []float64) {
	e.specials = e.specials[:0]
	for i, v := range values {
		e.x[i] = toOrdered(v)
	}
}

// appendDomain appends the chunk of what x, ulps and specials hold.
func (e *Encoder) appendDomain(dst []byte, values []float64, domain Domain, exp uint8, reference bool) []byte {
	n := len(values)
	x, ulps := e.x[:n], e.ulps[:n]
	changes := e.collectChanges(x, ulps, domain == Near)
	body := e.planBody(x, e.res[0:2])
	seq, ulpSeq := x, ulps
	layer := byte(0)
	var gaps seqPlan
	if changes*10 < (n-1)*9 {
		sparse := e.planBody(e.changedX[:1+changes], e.res[2:4])
		gaps = planSequence(e.gaps[:1+changes], 0, e.res[4][:])
		bitmapLen := (n + 6) / 8
		cost := sparse.size + uvarintLen(uint64(changes)) + min(bitmapLen, gaps.size)
		shared := e.shared != nil && sameChanges(e.gaps[1:1+changes], e.shared)
		if shared {
			cost = sparse.size
		}
		if domain == Near {
			// A correction per change, not per position, whatever they cost.
			cost -= (n - 1 - changes) / 2
		}
		if cost < body.size {
			layer = layerBitmap
			if gaps.size < bitmapLen {
				layer = layerGaps
			}
			if shared {
				layer = layerShared
			}
			seq, ulpSeq, body = e.changedX[:1+changes], e.changedU[:1+changes], sparse
		}
	}
	dst = e.appendHeader(dst, values, domain, exp, layer, reference)
	switch layer {
	case layerBitmap:
		dst = appendBitmap(appendUvarint(dst, uint64(changes)), e.gaps[1:1+changes], n)
	case layerGaps:
		dst = appendSequence(appendUvarint(dst, uint64(changes)), gaps, e.res[4][:changes])
	}
	if len(e.specials) > 0 {
		dst = e.appendSpecials(dst)
	}
	bank := 0
	if layer != 0 {
		bank = 2
	}
	dst = appendSequence(dst, body, e.res[bank+body.order][:len(seq)-1])
	if domain == Near {
		was := ulpSeq[0]
		ulpSeq[0] = 0 // corrections stand for themselves
		plan := planSequence(ulpSeq, 0, e.res[5][:])
		dst = appendSequence(dst, plan, e.res[5][:len(ulpSeq)-1])
		ulpSeq[0] = was
	}
	return dst
}

// planBody plans x, each order with its residuals, and returns the shorter. Of what
// climbs or falls throughout, and by steps that differ less than it does, nobody
// needs to look at the first order.
func (e *Encoder) planBody(x []int64, res [][ChunkValuesMax]uint64) seqPlan {
	steps := planSequence(x, 1, res[1][:])
	if climbs(x) {
		return steps
	}
	flat := planSequence(x, 0, res[0][:])
	if flat.size <= steps.size {
		return flat
	}
	return steps
}

// climbs tells whether all steps of x are of one direction, and differ by less bits
// than what follows the first element.
func climbs(x []int64) bool {
	if len(x) < 3 {
		return false
	}
	least, most := int64(math.MaxInt64), int64(math.MinInt64)
	prev := x[0]
	for _, v := range x[1:] {
		least, most = min(least, v-prev), max(most, v-prev)
		prev = v
	}
	if least < 0 && most > 0 {
		return false
	}
	first, last := x[1], x[len(x)-1]
	return bits.Len64(uint64(max(first, last)-min(first, last))) > bits.Len64(uint64(most-least))
}

// collectChanges finds the positions at which x or ulps change, fills
// changedX, changedU and gaps, and returns their number.
func (e *Encoder) collectChanges(x, ulps []int64, near bool) int {
	e.changedX[0], e.changedU[0], e.gaps[0] = x[0], ulps[0], 0
	changes, last := 0, 0
	for i := 1; i < len(x); i++ {
		if x[i] == x[i-1] && !(near && ulps[i] != ulps[i-1]) {
			continue
		}
		changes++
		e.changedX[changes], e.changedU[changes], e.gaps[changes] = x[i], ulps[i], int64(i-last)
		last = i
	}
	return changes
}

func (e *Encoder) appendHeader(dst []byte, values []float64, domain Domain, exp uint8, layer byte, reference bool) []byte {
	n := len(values)
	kind := kindStream | byte(domain) | layer
	if len(e.specials) > 0 {
		kind |= flagSpecials
	} else if nonDecreasing(values) {
		kind |= flagNonDecreasing
	}
	if reference {
		kind |= flagReference
	}
	dst = append(dst, kind)
	if domain == Decimal || domain == Near {
		dst = append(dst, exp)
	}
	first, last := e.x[0]+e.refFirst, e.x[n-1]+e.refLast
	if domain == Bits {
		dst = binary.LittleEndian.AppendUint64(dst, math.Float64bits(values[0]))
	} else {
		dst = appendUvarint(dst, zigzag(first))
	}
	dst = appendUvarint(dst, zigzag(last-first))
	if domain == Near {
		dst = appendUvarint(dst, zigzag(e.ulps[0]))
		dst = appendUvarint(dst, zigzag(e.ulps[n-1]))
	}
	return dst
}

// nonDecreasing is what Info.NonDecreasing promises.
func nonDecreasing(values []float64) bool {
	last := math.Inf(-1)
	for _, v := range values {
		if isSpecial(v) || !(v >= last) {
			return false
		}
		last = v
	}
	return true
}

// appendBitmap appends one bit for each of positions 1 to n-1, given the
// distances from change to change.
func appendBitmap(dst []byte, gaps []int64, n int) []byte {
	from := len(dst)
	for range (n + 6) / 8 {
		dst = append(dst, 0)
	}
	bit := -1
	for _, gap := range gaps {
		bit += int(gap)
		dst[from+bit>>3] |= 1 << (bit & 7)
	}
	return dst
}

func (e *Encoder) appendSpecials(dst []byte) []byte {
	dst = appendUvarint(dst, uint64(len(e.specials)))
	next := 0
	for _, s := range e.specials {
		x := uint64(s.at-next) << 4
		for code := 1; code < len(specialBits); code++ {
			if specialBits[code] == s.bits {
				x |= uint64(code)
			}
		}
		if s.length > 1 {
			x |= specialRun
		}
		dst = appendUvarint(dst, x)
		if s.length > 1 {
			dst = appendUvarint(dst, uint64(s.length-2))
		}
		if x&specialCodeMask == specialRaw {
			dst = binary.LittleEndian.AppendUint64(dst, s.bits)
		}
		next = s.at + s.length
	}
	return dst
}

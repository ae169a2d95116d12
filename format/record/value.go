package record

import (
	"encoding/binary"
	"math"
	"math/bits"
)

// Codes of values, see FORMAT.md. A code of codeInteger or more is that plus
// the zigzag difference of two integers.
const (
	codeXor     = 0
	codeDecimal = 1 // to 9: the exponent
	codeNear    = 10
	codeInteger = 16

	exponentMax  = 9
	exponentNear = 9 // sums of nanoseconds in seconds
)

// scaledMax bounds the integers in which values are counted: below it every
// difference is exact, and every integer a float64.
const scaledMax = 1 << 52

// Hint remembers how the last value of a member was encoded, so that the
// encoder need not try everything again. The zero Hint knows nothing. It has no
// influence on what a decoder reads.
type Hint uint8

const (
	hintCode   = 0x0f
	hintMiss   = 0x10 // counts in the upper half
	hintMisses = 0xf0
)

var pow10 = [exponentMax + 1]float64{1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9}

// appendValue writes a value against the one before.
func appendValue(dst []byte, prev, value uint64, hint *Hint) []byte {
	v := math.Float64frombits(value)
	if k, ok := decimal(v, value, 0); ok {
		return binary.AppendUvarint(dst, zigzag(k-scaled(prev, 0))+codeInteger)
	}
	code := int(*hint & hintCode)
	if code != 0 {
		if out, ok := appendScaled(dst, prev, value, code); ok {
			return out
		}
	}
	misses := *hint & hintMisses
	if misses < 3*hintMiss || misses == hintMisses {
		for c := codeDecimal; c <= codeNear; c++ {
			if out, ok := appendScaled(dst, prev, value, c); ok {
				*hint = Hint(c)
				return out
			}
		}
		misses = min(misses, 2*hintMiss) // one round in thirteen looks again
	}
	*hint = Hint(code) | (misses + hintMiss)
	return appendXor(dst, prev^value)
}

// appendScaled writes a value with one of the codes of decimals, if it is one.
func appendScaled(dst []byte, prev, value uint64, code int) ([]byte, bool) {
	v := math.Float64frombits(value)
	if code != codeNear {
		k, ok := decimal(v, value, code)
		if !ok {
			return dst, false
		}
		return binary.AppendVarint(append(dst, byte(code)), k-scaled(prev, code)), true
	}
	x := v * pow10[exponentNear]
	if !(x > -scaledMax && x < scaledMax) {
		return dst, false
	}
	k := int64(math.RoundToEven(x))
	ulp := int64(value - math.Float64bits(float64(k)/pow10[exponentNear]))
	if ulp < math.MinInt8 || ulp > math.MaxInt8 {
		return dst, false
	}
	return binary.AppendVarint(append(dst, codeNear, byte(ulp)), k-scaled(prev, exponentNear)), true
}

// decimal returns k when v is k/10^exp, bit for bit.
func decimal(v float64, value uint64, exp int) (k int64, ok bool) {
	x := v * pow10[exp]
	if !(x > -scaledMax && x < scaledMax) {
		return 0, false
	}
	k = int64(math.RoundToEven(x))
	return k, math.Float64bits(float64(k)/pow10[exp]) == value
}

// scaled is the integer nearest to the value of prev times 10^exp, 0 where
// there is none in bounds.
func scaled(prev uint64, exp int) int64 {
	x := math.Float64frombits(prev) * pow10[exp]
	if !(x > -scaledMax && x < scaledMax) {
		return 0
	}
	return int64(math.RoundToEven(x))
}

// appendXor writes the exclusive or of two values: one byte with how many zero
// bytes are left out at the top and how many bytes follow, then these.
func appendXor(dst []byte, x uint64) []byte {
	if x == 0 {
		return append(dst, codeXor, 0)
	}
	top, bottom := bits.LeadingZeros64(x)/8, bits.TrailingZeros64(x)/8
	n := 8 - top - bottom
	dst = append(dst, codeXor, byte(top<<4|n))
	for i := range n {
		dst = append(dst, byte(x>>(8*(bottom+i))))
	}
	return dst
}

func zigzag(x int64) uint64 { return uint64(x)<<1 ^ uint64(x>>63) }

// value reads what appendValue has written.
func (r *reader) value(prev uint64) uint64 {
	code := r.uvarint()
	switch {
	case code >= codeInteger:
		zz := code - codeInteger
		return r.unscaled(scaled(prev, 0), int64(zz>>1)^-int64(zz&1), 0, 0)
	case code >= codeDecimal && code <= exponentMax:
		return r.unscaled(scaled(prev, int(code)), r.varint(), int(code), 0)
	case code == codeNear:
		ulp := int8(r.byte())
		return r.unscaled(scaled(prev, exponentNear), r.varint(), exponentNear, int64(ulp))
	case code == codeXor:
		return prev ^ r.xor()
	}
	r.fail("unknown code of a value")
	return 0
}

// unscaled returns the bits of (from+delta)/10^exp, ulp units off.
func (r *reader) unscaled(from, delta int64, exp int, ulp int64) uint64 {
	if delta <= -2*scaledMax || delta >= 2*scaledMax || from+delta <= -scaledMax || from+delta >= scaledMax {
		r.fail("a difference out of range")
		return 0
	}
	return math.Float64bits(float64(from+delta)/pow10[exp]) + uint64(ulp)
}

func (r *reader) xor() uint64 {
	head := r.byte()
	top, n := int(head>>4), int(head&15)
	if top+n > 8 || n == 0 && head != 0 {
		r.fail("bad value")
		return 0
	}
	var x uint64
	for i := range n {
		x |= uint64(r.byte()) << (8 * (8 - top - n + i))
	}
	return x
}

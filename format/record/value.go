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

// coded is a value on its way: what says how it is written, and what it is
// written with. In a batch the two stand apart. It has no array, so that it is
// returned in registers: that is a third of what writing a value takes.
type coded struct {
	code  uint16 // low byte first
	codes uint8  // bytes of code: 1 or 2
	raw   int8   // bytes of x; uvarintOperand: x is a uvarint
	x     uint64 // the operand
}

const uvarintOperand = -1

// step is a difference, zigzag, of integers that are values times 10^exp.
func step(exp int, z uint64) coded {
	if exp > 0 {
		return coded{code: uint16(exp), codes: 1, raw: uvarintOperand, x: z}
	}
	if z += codeInteger; z < 0x80 {
		return coded{code: uint16(z), codes: 1}
	}
	return coded{code: uint16(z&0x7f | 0x80), codes: 1, raw: uvarintOperand, x: z >> 7}
}

// twoBytes is a code of two bytes with an operand of so many.
func twoBytes(code, more byte, x uint64, raw int8) coded {
	return coded{code: uint16(code) | uint16(more)<<8, codes: 2, raw: raw, x: x}
}

func (c coded) appendCode(dst []byte) []byte {
	if c.codes == 1 {
		return append(dst, byte(c.code))
	}
	return append(dst, byte(c.code), byte(c.code>>8))
}

// appendOperand appends what stands behind the code.
func (c coded) appendOperand(dst []byte) []byte {
	if c.raw == uvarintOperand {
		return appendUvarint(dst, c.x)
	}
	for i := range c.raw {
		dst = append(dst, byte(c.x>>(8*i)))
	}
	return dst
}

// appendUvarint is binary.AppendUvarint for numbers whose lengths nobody can
// foretell: those of up to four bytes are written without a loop.
func appendUvarint(dst []byte, x uint64) []byte {
	if x >= 1<<28 {
		return binary.AppendUvarint(dst, x)
	}
	n := (bits.Len64(x|1) + 6) / 7
	spread := x&0x7f | x<<1&(0x7f<<8) | x<<2&(0x7f<<16) | x<<3&(0x7f<<24)
	dst = binary.LittleEndian.AppendUint32(dst, uint32(spread)|0x80808080&(1<<(8*(n-1))-1))
	return dst[:len(dst)-4+n]
}

// appendValue writes a value against the one before, code and operand in one.
func appendValue(dst []byte, prev, value uint64, hint *Hint) []byte {
	c := code(prev, value, hint)
	return c.appendOperand(c.appendCode(dst))
}

// code finds how a value is written against the one before.
func code(prev, value uint64, hint *Hint) coded {
	v := math.Float64frombits(value)
	if k, ok := integer(v, value); ok {
		was, ok := integer(math.Float64frombits(prev), prev)
		if !ok {
			was = scaled(prev, 0)
		}
		return step(0, zigzag(k-was))
	}
	last := int(*hint & hintCode)
	if last != 0 {
		if c, ok := codeScaled(prev, value, last); ok {
			return c
		}
	}
	misses := *hint & hintMisses
	if misses < 3*hintMiss || misses == hintMisses {
		for e := codeDecimal; e <= codeNear; e++ {
			if c, ok := codeScaled(prev, value, e); ok {
				*hint = Hint(e)
				return c
			}
		}
		misses = min(misses, 2*hintMiss) // one round in thirteen looks again
	}
	*hint = Hint(last) | (misses + hintMiss)
	return codeBits(prev ^ value)
}

// codeScaled writes a value with one of the codes of decimals, if it is one.
func codeScaled(prev, value uint64, code int) (c coded, ok bool) {
	v := math.Float64frombits(value)
	if code != codeNear {
		k, ok := decimal(v, value, code)
		if !ok {
			return c, false
		}
		return step(code, zigzag(k-scaled(prev, code))), true
	}
	x := v * pow10[exponentNear]
	if !(x > -scaledMax && x < scaledMax) {
		return c, false
	}
	k := int64(math.RoundToEven(x))
	ulp := int64(value - math.Float64bits(float64(k)/pow10[exponentNear]))
	if ulp < math.MinInt8 || ulp > math.MaxInt8 {
		return c, false
	}
	return twoBytes(codeNear, byte(ulp), zigzag(k-scaled(prev, exponentNear)), uvarintOperand), true
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

// integer returns k when v is k, bit for bit: decimal without an exponent, and
// without a division.
func integer(v float64, value uint64) (k int64, ok bool) {
	if !(v > -scaledMax && v < scaledMax) {
		return 0, false
	}
	k = int64(v)
	return k, math.Float64bits(float64(k)) == value
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

// codeBits writes the exclusive or of two values: one byte with how many zero
// bytes are left out at the top and how many bytes follow, then these.
func codeBits(x uint64) coded {
	if x == 0 {
		return twoBytes(codeXor, 0, 0, 0)
	}
	top, bottom := bits.LeadingZeros64(x)/8, bits.TrailingZeros64(x)/8
	n := 8 - top - bottom
	return twoBytes(codeXor, byte(top<<4|n), x>>(8*bottom), int8(n))
}

func zigzag(x int64) uint64 { return uint64(x)<<1 ^ uint64(x>>63) }

// value reads what appendValue has written.
func (r *reader) value(prev uint64) uint64 { return readValue(r, r, prev) }

// readValue reads a value whose code and operand stand in two places.
func readValue(codes, operands *reader, prev uint64) uint64 {
	code := uint64(codes.byte())
	if code >= 0x80 {
		high := operands.uvarint()
		if high >= 1<<57 {
			operands.fail("bad number")
		}
		code = code&0x7f | high<<7
	}
	switch {
	case code >= codeInteger:
		zz := code - codeInteger
		return operands.unscaled(scaled(prev, 0), int64(zz>>1)^-int64(zz&1), 0, 0)
	case code >= codeDecimal && code <= exponentMax:
		return operands.unscaled(scaled(prev, int(code)), operands.varint(), int(code), 0)
	case code == codeNear:
		ulp := int8(codes.byte())
		return operands.unscaled(scaled(prev, exponentNear), operands.varint(), exponentNear, int64(ulp))
	case code == codeXor:
		return prev ^ operands.xor(codes.byte())
	}
	codes.fail("unknown code of a value")
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

func (r *reader) xor(head byte) uint64 {
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

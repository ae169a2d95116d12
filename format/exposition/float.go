package exposition

import (
	"encoding/binary"
	"errors"
	"math"
	"math/bits"
	"strconv"
	"strings"
	"unsafe"

	"github.com/prometheus/prometheus/model/value"
)

// pow10 are the powers of ten that a float64 holds exactly.
var pow10 = [...]float64{
	1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11,
	1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22,
}

// mantissaExact is the bound under which every integer is a float64.
const mantissaExact = 1 << 53

// fastFloat parses the number at b[i:] up to a line feed or a space, and
// returns the index of that byte. It answers only when the result is exact
// without rounding twice (Clinger 1990: an exact integer multiplied or divided
// by an exact power of ten rounds once); ok is false for everything else,
// valid or not.
func fastFloat(b []byte, i int) (v float64, end int, ok bool) {
	neg := false
	if i < len(b) && b[i] == '-' {
		neg = true
		i++
	}
	start := i
	mantissa, i := digitsAt(b, i, 0)
	digits, exp := i-start, 0
	if i < len(b) && b[i] == '.' {
		i++
		point := i
		mantissa, i = digitsAt(b, i, mantissa)
		digits += i - point
		exp = point - i
	}
	if digits == 0 || digits > 19 || mantissa > mantissaExact { // 19 digits cannot overflow
		return 0, 0, false
	}
	if i < len(b) && b[i]|0x20 == 'e' {
		e, next, ok := exponent(b, i+1)
		if !ok {
			return 0, 0, false
		}
		exp, i = exp+e, next
	}
	if i >= len(b) || b[i] != '\n' && b[i] != ' ' {
		return 0, 0, false
	}
	v = float64(mantissa)
	switch {
	case exp == 0 || mantissa == 0:
	case exp > 0 && exp < len(pow10):
		v *= pow10[exp]
	case exp < 0 && -exp < len(pow10):
		v /= pow10[-exp]
	default:
		return 0, 0, false
	}
	if neg {
		v = -v
	}
	return v, i, true
}

// wholes are the first powers of ten.
var wholes = [9]uint64{1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8}

// digitsAt appends the digits at b[i:] to a number, modulo 2^64, and returns
// where they end. Up to eight are read at once: how many there are is different in
// every line, which a loop over them pays for with a wrong guess of the processor.
func digitsAt(b []byte, i int, number uint64) (_ uint64, end int) {
	if i+8 <= len(b) {
		x := binary.LittleEndian.Uint64(b[i:]) ^ 0x3030303030303030   // digits are 0 to 9 now
		others := ((x + 0x7676767676767676) | x) & 0x8080808080808080 // exact up to the first of them
		n := bits.TrailingZeros64(others) / 8
		x <<= 8 * (8 - n) // zeros in front; none of nothing
		x = x*10 + x>>8   // pairs, in every other byte
		const pairs = 0x000000ff000000ff
		x = (x&pairs*(100+1000000<<32) + x>>16&pairs*(1+10000<<32)) >> 32
		number, i = number*wholes[n]+x, i+n
		if n < 8 {
			return number, i
		}
	}
	for i < len(b) {
		d := b[i] - '0'
		if d > 9 {
			break
		}
		number = number*10 + uint64(d)
		i++
	}
	return number, i
}

// exponent reads a sign and one to three digits.
func exponent(b []byte, i int) (e, end int, ok bool) {
	neg := false
	if i < len(b) && (b[i] == '+' || b[i] == '-') {
		neg = b[i] == '-'
		i++
	}
	start := i
	for i < len(b) && b[i]-'0' <= 9 && i-start < 4 {
		e = e*10 + int(b[i]-'0')
		i++
	}
	if i == start || i-start > 3 {
		return 0, 0, false
	}
	if neg {
		e = -e
	}
	return e, i, true
}

var errFloatSyntax = errors.New("is not a number")

// parseFloat parses a whole token as Prometheus does: strconv's syntax without
// underscores and hexadecimal. Every NaN becomes the one normal NaN.
func parseFloat(token []byte) (float64, error) {
	s := unsafe.String(unsafe.SliceData(token), len(token))
	if strings.ContainsAny(s, "pP_") {
		return 0, errFloatSyntax
	}
	v, err := strconv.ParseFloat(s, 64)
	if err != nil {
		if errors.Is(err, strconv.ErrRange) {
			return 0, errors.New("is out of the range of a float64")
		}
		return 0, errFloatSyntax
	}
	if math.IsNaN(v) {
		return math.Float64frombits(value.NormalNaN), nil
	}
	return v, nil
}

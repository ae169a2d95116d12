package simd

import (
	"math"
	"math/bits"
)

// Available tells whether the vector code of other packages can run: the processor has
// AVX2.
func Available() bool { return avx2 }

// quad is how many elements a vector has.
const quad = 4

// AddEach adds x[i] to sum[i], and the error that this makes to c[i]: the error
// term of D. Knuth's TwoSum (The Art of Computer Programming 2, 4.2.2). sum and c
// are as long as x.
func AddEach(sum, c, x []float64) {
	sum, c = sum[:len(x)], c[:len(x)]
	n := 0
	if avx2 && len(x) >= quad {
		n = len(x) &^ (quad - 1)
		addEachAVX2(&sum[0], &c[0], &x[0], n)
	}
	addEach(sum[n:], c[n:], x[n:])
}

func addEach(sum, c, x []float64) {
	sum, c = sum[:len(x)], c[:len(x)]
	for i, v := range x {
		s := sum[i]
		t := s + v
		b := t - s
		c[i] += (s - (t - b)) + (v - b)
		sum[i] = t
	}
}

// Deltas replaces v, of which the bits of each element are a residual r, by
// float64(acc)/divisor, where acc, an int64, grows by base + scale·r modulo 2^64
// with every element. It returns the last acc. divisor 1 divides nothing.
func Deltas(v []float64, acc, base, scale uint64, divisor float64) uint64 {
	n := 0
	if avx2 && len(v) >= quad && scale>>32 == 0 {
		n = len(v) &^ (quad - 1)
		acc = deltasAVX2(&v[0], n, acc, base, scale, divisor)
	}
	return deltas(v[n:], acc, base, scale, divisor)
}

func deltas(v []float64, acc, base, scale uint64, divisor float64) uint64 {
	if divisor == 1 {
		for i, r := range v {
			acc += base + scale*math.Float64bits(r)
			v[i] = float64(int64(acc))
		}
		return acc
	}
	for i, r := range v {
		acc += base + scale*math.Float64bits(r)
		v[i] = float64(int64(acc)) / divisor
	}
	return acc
}

// Offsets is Deltas for residuals that are differences to from: an element is
// float64(from + scale·r)/divisor. It returns the last integer, from without any.
func Offsets(v []float64, from, scale uint64, divisor float64) uint64 {
	if len(v) == 0 {
		return from
	}
	last := from + scale*math.Float64bits(v[len(v)-1])
	n := 0
	if avx2 && len(v) >= quad && scale>>32 == 0 {
		n = len(v) &^ (quad - 1)
		offsetsAVX2(&v[0], n, from, scale, divisor)
	}
	offsets(v[n:], from, scale, divisor)
	return last
}

func offsets(v []float64, from, scale uint64, divisor float64) {
	if divisor == 1 {
		for i, r := range v {
			v[i] = float64(int64(from + scale*math.Float64bits(r)))
		}
		return
	}
	for i, r := range v {
		v[i] = float64(int64(from+scale*math.Float64bits(r))) / divisor
	}
}

// AddBits adds base + scale·r to the bits of each element of v, r being the bits
// of the element of x at the same place. v is as long as x.
func AddBits(v, x []float64, base, scale uint64) {
	v = v[:len(x)]
	n := 0
	if avx2 && len(x) >= quad && scale>>32 == 0 {
		n = len(x) &^ (quad - 1)
		addBitsAVX2(&v[0], &x[0], n, base, scale)
	}
	addBits(v[n:], x[n:], base, scale)
}

func addBits(v, x []float64, base, scale uint64) {
	v = v[:len(x)]
	for i, r := range x {
		v[i] = math.Float64frombits(math.Float64bits(v[i]) + base + scale*math.Float64bits(r))
	}
}

// Spread moves the values at the front of out to where they belong, and repeats
// each up to the next: bit i of bitmap tells whether position i+1 has another value
// than position i. changes is the number of set bits below len(out)-1; values
// 0 to changes are at the front.
func Spread(out []float64, bitmap []byte, changes int) {
	if len(out) < 2 {
		return
	}
	i, j := len(out)-1, changes
	_ = bitmap[(i-1)>>3]
	for ; i&7 != 0; i-- {
		out[i] = out[j]
		j -= int(bitmap[i>>3] >> ((i - 1) & 7) & 1)
	}
	if avx2 && i > 0 && j <= i { // j > i: out of range below
		i, j = spreadAVX2(&out[0], &bitmap[0], i, j, &spreading)
	}
	spread(out, bitmap, i, j)
}

// spread is Spread from position i, a multiple of 8, downwards: its value is at j.
func spread(out []float64, bitmap []byte, i, j int) {
	for ; i > 0; i -= 8 {
		b, dst := bitmap[i>>3-1], out[i-7:i+1:i+1]
		_ = dst[7]
		dst[7] = out[j]
		j -= int(b >> 7)
		dst[6] = out[j]
		j -= int(b >> 6 & 1)
		dst[5] = out[j]
		j -= int(b >> 5 & 1)
		dst[4] = out[j]
		j -= int(b >> 4 & 1)
		dst[3] = out[j]
		j -= int(b >> 3 & 1)
		dst[2] = out[j]
		j -= int(b >> 2 & 1)
		dst[1] = out[j]
		j -= int(b >> 1 & 1)
		dst[0] = out[j]
		j -= int(b & 1)
	}
}

// spreading has, for four bits of a bitmap, which of four values each of the four
// positions takes, as places of 32-bit halves. It is a table, never written.
var spreading = spreadingTable()

func spreadingTable() (table [16][8]uint32) {
	for nibble := range table {
		for k := range quad {
			at := quad - 1 - bits.OnesCount(uint(nibble)>>(k+1))
			table[nibble][2*k], table[nibble][2*k+1] = uint32(2*at), uint32(2*at+1)
		}
	}
	return table
}

// NextFall returns the first i from from on, at least 1, at which v[i] is less
// than v[i-1], or len(v).
func NextFall(v []float64, from int) int {
	i := from
	if avx2 && i >= 1 && len(v)-i >= quad {
		end := i + (len(v)-i)&^(quad-1)
		if i = nextFallAVX2(&v[0], i, end); i < end {
			return i
		}
	}
	return nextFall(v, i)
}

func nextFall(v []float64, from int) int {
	for i := from; i < len(v); i++ {
		if v[i] < v[i-1] {
			return i
		}
	}
	return max(from, len(v))
}

// Rises sets dst[i] to factor[i] times what v rises in the window from lo[i] up to
// hi[i], for windows of at least two values that do not begin below clamp[i] times
// that. It stops at the first four windows of which one does, or with three windows
// or less to go, and returns how many it has done. lo and hi do not decrease, lo[i] ≤ hi[i] ≤
// len(v), and all are as long as lo.
func Rises(dst, v []float64, lo, hi []int32, factor, clamp []float64) int {
	n := len(lo) &^ (quad - 1)
	if !avx2 || n == 0 {
		return 0
	}
	hi, dst, factor, clamp = hi[:len(lo)], dst[:len(lo)], factor[:len(lo)], clamp[:len(lo)]
	if lo[0] < 0 || int(hi[n-1]) > len(v) || len(v) == 0 {
		return 0 // the caller finds out
	}
	return risesAVX2(&dst[0], &v[0], &lo[0], &hi[0], &factor[0], &clamp[0], n)
}

// Lasts sets dst[i] to the last value of v before hi[i], for windows that are not
// empty. It stops at the first four windows of which one is, or with three or less
// to go, and returns how many it has done. lo and hi are as for Rises.
func Lasts(dst, v []float64, lo, hi []int32) int {
	n := len(lo) &^ (quad - 1)
	if !avx2 || n == 0 {
		return 0
	}
	hi, dst = hi[:len(lo)], dst[:len(lo)]
	if lo[0] < 0 || int(hi[n-1]) > len(v) || len(v) == 0 {
		return 0 // the caller finds out
	}
	return lastsAVX2(&dst[0], &v[0], &lo[0], &hi[0], n)
}

// Fill sets all of dst to x.
func Fill(dst []float64, x float64) {
	n := 0
	if avx2 && len(dst) >= quad {
		n = len(dst) &^ (quad - 1)
		fillAVX2(&dst[0], n, x)
	}
	for i := range dst[n:] {
		dst[n+i] = x
	}
}

// AddTo adds x to all of dst.
func AddTo(dst []float64, x float64) {
	n := 0
	if avx2 && len(dst) >= quad {
		n = len(dst) &^ (quad - 1)
		addToAVX2(&dst[0], n, x)
	}
	for i := range dst[n:] {
		dst[n+i] += x
	}
}

// Max returns the greatest of values, one at least and none of them NaN; of 0 and
// -0 the one that comes first.
func Max(v []float64) float64 {
	best, n := v[0], 0
	if avx2 && len(v) >= 2*quad {
		n = len(v) &^ (quad - 1)
		if best = maxAVX2(&v[0], n); best == 0 {
			best, n = v[0], 0 // which of them?
		}
	}
	for _, x := range v[n:] {
		if x > best {
			best = x
		}
	}
	return best
}

// Min is Max for the least of values.
func Min(v []float64) float64 {
	best, n := v[0], 0
	if avx2 && len(v) >= 2*quad {
		n = len(v) &^ (quad - 1)
		if best = minAVX2(&v[0], n); best == 0 {
			best, n = v[0], 0
		}
	}
	for _, x := range v[n:] {
		if x < best {
			best = x
		}
	}
	return best
}

// fieldMax is the longest of Fields' fields.
const fieldMax = 16

// Fields sets the bits of dst's elements to fields of w bits, at most 16, that
// follow one another from the lowest bit of src's first byte on. It stops where
// fewer than eight are left or src has too little behind them to load eight bytes, and
// returns how many it has done, a multiple of eight.
func Fields(dst []float64, src []byte, w int) int {
	if !avx2 || w < 1 || w > fieldMax {
		return 0
	}
	// Eight fields are w bytes, and are loaded as eight bytes from the first and
	// from the fifth one.
	octets := min(len(dst)/8, (len(src)-w/2-8)/w+1)
	if len(src) < w/2+8 || octets <= 0 {
		return 0
	}
	fieldsAVX2(&dst[0], &src[0], octets, w)
	return 8 * octets
}

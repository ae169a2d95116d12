package column

import (
	"encoding/binary"
	"math"

	"github.com/nilometer/nilometer/model/simd"
)

//go:generate go run ./gen

// Packed bits. Values of one width follow one another from the lowest bit of
// the first byte on ("little-endian"), except that for widths up to laneWidth
// every full group of 64 values is laid out in lanes: w words of four 16-bit
// lanes, where lane L holds values 16·L to 16·L+15 one after another from its
// lowest bit on. Unpacking a row gives four values at once, and rows of several
// chunks can be added before they are taken apart. Either way m values take
// ⌈m·w/8⌉ bytes.
const (
	laneWidth = 16
	groupLen  = 64
	// widePlain is the largest width below 64: a value of up to 57 bits lies in
	// the eight bytes from the byte in which it begins.
	widePlain = 56
)

func packedLen(m, w int) int { return (m*w + 7) / 8 }

// appendPacked appends the low w bits of each of values.
func appendPacked(dst []byte, values []uint64, w int) []byte {
	if w == 0 {
		return dst
	}
	if w <= laneWidth {
		for ; len(values) >= groupLen; values = values[groupLen:] {
			dst = appendLanes(dst, (*[groupLen]uint64)(values), w)
		}
	}
	if w == 64 {
		for _, v := range values {
			dst = binary.LittleEndian.AppendUint64(dst, v)
		}
		return dst
	}
	var acc uint64
	have, mask := 0, uint64(1)<<w-1
	for _, v := range values {
		v &= mask
		acc |= v << have
		if have += w; have >= 64 {
			dst = binary.LittleEndian.AppendUint64(dst, acc)
			have -= 64
			acc = v >> (w - have)
		}
	}
	for ; have > 0; have -= 8 {
		dst = append(dst, byte(acc))
		acc >>= 8
	}
	return dst
}

// appendLanes appends one group in the lane layout.
func appendLanes(dst []byte, v *[groupLen]uint64, w int) []byte {
	mask := uint64(1)<<w - 1
	var acc, spill uint64
	have := 0
	for row := 0; row < 16; row++ {
		x := v[row]&mask | v[row+16]&mask<<16 | v[row+32]&mask<<32 | v[row+48]&mask<<48
		low := 16 - have // bits of each lane that still fit
		if w < low {
			acc |= x << have
			have += w
			continue
		}
		keep := uint64(1)<<low - 1
		keep |= keep<<16 | keep<<32 | keep<<48
		acc |= x & keep << have
		spill = x &^ keep >> low
		dst = binary.LittleEndian.AppendUint64(dst, acc)
		acc, have = spill, w-low
	}
	return dst
}

// unpack fills dst with values of width w from the front of src, each as the
// bits of a float64. src has at least packedLen(len(dst), w) bytes; what
// follows may be looked at but does not matter.
func unpack(dst []float64, src []byte, w int) {
	switch {
	case w == 0:
		clear(dst)
	case w <= laneWidth:
		groups := len(dst) / groupLen * groupLen
		unpackLanes(dst[:groups], src, w)
		unpackPlain(dst[groups:], src[packedLen(groups, w):], w)
	default:
		unpackPlain(dst, src, w)
	}
}

// unpackLanes fills dst, a multiple of 64 values, with the packed values of width w,
// 1 to 16, at the front of src.
func unpackLanes(dst []float64, src []byte, w int) {
	if !simd.Available() || len(dst) == 0 {
		unpackLanesGo(dst, src, w)
		return
	}
	src = src[:packedLen(len(dst), w)]
	unpackLanesAVX2(&dst[0], &src[0], len(dst)/groupLen, w)
}

// putRow stores the four lanes of x as values row, row+16, row+32 and row+48.
func putRow(d *[groupLen]float64, row int, x uint64) {
	d[row] = math.Float64frombits(x & 0xffff)
	d[row+16] = math.Float64frombits(x >> 16 & 0xffff)
	d[row+32] = math.Float64frombits(x >> 32 & 0xffff)
	d[row+48] = math.Float64frombits(x >> 48)
}

// unpackPlain unpacks the little-endian layout.
func unpackPlain(dst []float64, src []byte, w int) {
	if w == 64 {
		for i := range dst {
			dst[i] = math.Float64frombits(binary.LittleEndian.Uint64(src[8*i:]))
		}
		return
	}
	mask := uint64(1)<<w - 1
	i := simd.Fields(dst, src, w)
	bit := i * w
	// Whole words, while there are eight bytes.
	for ; i < len(dst) && bit>>3+8 <= len(src); i++ {
		dst[i] = math.Float64frombits(binary.LittleEndian.Uint64(src[bit>>3:]) >> (bit & 7) & mask)
		bit += w
	}
	if i == len(dst) {
		return
	}
	var tail [16]byte
	from := max(0, len(src)-8)
	copy(tail[:], src[from:])
	for ; i < len(dst); i++ {
		dst[i] = math.Float64frombits(binary.LittleEndian.Uint64(tail[bit>>3-from:]) >> (bit & 7) & mask)
		bit += w
	}
}

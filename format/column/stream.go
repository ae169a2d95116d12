package column

import (
	"fmt"
	"math"
	"math/bits"
)

// StreamPositionMax is the largest position of a stream.
const StreamPositionMax = math.MaxUint16 - 1

// StreamRecordMax is the largest number of bytes that AppendStream adds.
const StreamRecordMax = 13

// StreamState is where an open stream of values stands: what the encoder needs
// to append the next change, and what a decoder knows after the last one. The
// zero value is an empty stream. It has no pointers, takes 24 bytes, and may be
// copied: a copy taken before an AppendStream takes the append back.
//
// An encoder and a decoder that have gone through the same bytes have equal
// states (comparable with ==).
type StreamState struct {
	last   uint64 // bits of the last value
	scaled int64  // k of the last record that gave one
	next   uint16 // last position + 1; 0: no record yet
	exp    uint8  // the last value given by k is k/10^exp …
	near   bool   // … and had a correction in ulps
	misses uint8  // records by bits since the last by k: the encoder searches less
}

// Empty reports whether the stream has no record.
func (st *StreamState) Empty() bool { return st.next == 0 }

// Position is that of the last record; -1 when the stream is empty.
func (st *StreamState) Position() int { return int(st.next) - 1 }

// Value is that of the last record: 0 when the stream is empty.
func (st *StreamState) Value() float64 { return math.Float64frombits(st.last) }

// Bits are those of Value: two values are the same when their bits are.
func (st *StreamState) Bits() uint64 { return st.last }

// Record layout, see FORMAT.md: tag = kind<<6 | gap<<4 | code.
const (
	recDelta = 0 // k += delta; v = k/10^exp
	recScale = 1 // code ≤ 8: new exponent and k; code > 8: k += delta and ulps
	recLow   = 2 // bits ^= low bytes
	recHigh  = 3 // bits ^= high bytes

	gapByte = 2 // gap-3 in one byte
	gapWord = 3 // gap in two bytes

	inlineFirst = 9 // codes 9…15 of recDelta are these deltas
	ulpMaxByte  = 127

	scaleNear  = 0x80 // in the exponent byte: a byte of ulps follows
	searchExp  = 12   // exponents that the encoder looks for
	searchNear = 9    // the exponent of sums of nanoseconds in seconds
)

// AppendStream appends to dst the record that v is the value at position pos
// and st to it. Positions between the stream's last and pos keep the last
// value; a caller leaves a position out when the bits of its value are those of
// Value. A typical record of an integer counter takes 2-3 bytes, none more than
// StreamRecordMax.
//
// pos must be larger than the stream's last position and at most
// StreamPositionMax; anything else is a defect of the caller, and panics.
func AppendStream(dst []byte, st *StreamState, pos int, v float64) []byte {
	gap := pos + 1 - int(st.next)
	if gap < 1 || pos > StreamPositionMax {
		panic(fmt.Sprintf("append to value stream: position %d after %d, with a maximum of %d", pos, st.Position(), StreamPositionMax))
	}
	tag := len(dst)
	dst = append(dst, 0)
	var gapCode byte
	switch {
	case gap <= 2:
		gapCode = byte(gap - 1)
	case gap < 3+256:
		gapCode = gapByte
		dst = append(dst, byte(gap-3))
	default:
		gapCode = gapWord
		dst = append(dst, byte(gap), byte(gap>>8))
	}
	kind, code, dst := appendStreamValue(dst, st, v)
	dst[tag] = kind<<6 | gapCode<<4 | code
	st.next = uint16(pos + 1)
	st.last = math.Float64bits(v)
	return dst
}

// appendStreamValue appends the payload of v and returns kind and code.
func appendStreamValue(dst []byte, st *StreamState, v float64) (kind, code byte, _ []byte) {
	if k, ok := asDecimal(v, int(st.exp)); ok {
		delta := k - st.scaled
		st.scaled, st.misses = k, 0
		if c := inlineCode(delta); c != 0 {
			return recDelta, c, dst
		}
		n := byteLen(zigzag(delta))
		return recDelta, byte(n), appendLow(dst, zigzag(delta), n)
	}
	if st.near {
		if k, ulp, ok := nearDecimal(v, int(st.exp), ulpMaxByte); ok {
			if z := zigzag(k - st.scaled); z < 1<<56 {
				st.scaled, st.misses = k, 0
				n := max(1, byteLen(z))
				return recScale, byte(8 + n), appendLow(append(dst, byte(ulp)), z, n)
			}
		}
	}
	if st.misses < 4 || st.misses&15 == 0 {
		for e := 0; e <= searchExp; e++ {
			if k, ok := asDecimal(v, e); ok {
				st.scaled, st.exp, st.near, st.misses = k, uint8(e), false, 0
				n := byteLen(zigzag(k))
				return recScale, byte(n), appendLow(append(dst, byte(e)), zigzag(k), n)
			}
		}
		if k, ulp, ok := nearDecimal(v, searchNear, ulpMaxByte); ok {
			st.scaled, st.exp, st.near, st.misses = k, searchNear, true, 0
			n := byteLen(zigzag(k))
			return recScale, byte(n), appendLow(append(dst, searchNear|scaleNear, byte(ulp)), zigzag(k), n)
		}
	}
	st.missed()
	x := math.Float64bits(v) ^ st.last
	low, high := byteLen(x), byteLen(bits.ReverseBytes64(x))
	if high < low {
		return recHigh, byte(high), appendLow(dst, x>>(64-8*high), high)
	}
	return recLow, byte(low), appendLow(dst, x, low)
}

// missed counts a record by bits. The count wraps from 255 to 240, so that it
// stays above the threshold and the encoder still looks at every sixteenth.
func (st *StreamState) missed() {
	if st.misses++; st.misses == 0 {
		st.misses = 240
	}
}

func byteLen(x uint64) int { return (bits.Len64(x) + 7) / 8 }

// appendLow appends the n low bytes of x, lowest first.
func appendLow(dst []byte, x uint64, n int) []byte {
	for ; n > 0; n-- {
		dst = append(dst, byte(x))
		x >>= 8
	}
	return dst
}

// inlineCode returns the code of a small delta, 0 if it has none.
func inlineCode(delta int64) byte {
	switch {
	case delta >= 1 && delta <= 5:
		return byte(inlineFirst + 1 + delta)
	case delta == -1 || delta == -2:
		return byte(inlineFirst + 2 + delta)
	}
	return 0
}

// inlineDelta is the inverse of inlineCode.
func inlineDelta(code byte) int64 {
	d := int64(code) - inlineFirst - 2
	if d >= 0 {
		d++
	}
	return d
}

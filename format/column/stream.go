package column

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/bits"
)

// StreamPositionMax is the largest position of a stream.
const StreamPositionMax = math.MaxUint16 - 1

// StreamRecordMax is the largest number of bytes that a record has.
const StreamRecordMax = 13

// StreamState is where an open stream of values stands: what the encoder needs
// to append the next change, and what a decoder knows after the last one. The
// zero value is an empty stream. It has no pointers, takes 24 bytes, and may be
// copied: a copy taken before a Record takes it back.
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

// Counts reports whether the last value has the given bits, and Integer is the
// nearest to it times 10^Exponent.
func (st *StreamState) Counts(last uint64) bool { return st.last == last && st.misses == 0 }

// Integer is the integer of the last record that gave one.
func (st *StreamState) Integer() int64 { return st.scaled }

// Exponent is that of the last record that gave an integer.
func (st *StreamState) Exponent() int { return int(st.exp) }

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

// StreamRecord is a record of a stream: Size bytes, those of Low from the lowest
// on, then those of High.
type StreamRecord struct {
	Low, High uint64
	Size      int
}

// Counted reports whether the record gives its value as an integer at the exponent
// of the one before it, as nearly all do.
func (r StreamRecord) Counted() bool { return r.Low>>6&3 == recDelta }

// AppendStream appends to dst the record that v is the value at position pos, see
// StreamState.Record.
func AppendStream(dst []byte, st *StreamState, pos int, v float64) []byte {
	r, from := st.Record(pos, v), len(dst)
	dst = binary.LittleEndian.AppendUint64(dst, r.Low)
	if r.Size > 8 {
		dst = binary.LittleEndian.AppendUint64(dst, r.High)
	}
	return dst[:from+r.Size]
}

// Record returns the record that v is the value at position pos, and takes st
// over it. Positions between the stream's last and pos keep the last value; a
// caller leaves a position out when the bits of its value are those of Value. A
// typical record of an integer counter takes 2-3 bytes, none more than
// StreamRecordMax.
//
// pos must be larger than the stream's last position and at most
// StreamPositionMax; anything else is a defect of the caller, and panics.
//
// The record is put together in words: most are shorter than one, and bytes that
// are written one after the other are slow to be read as what they make up.
func (st *StreamState) Record(pos int, v float64) StreamRecord {
	gap := pos + 1 - int(st.next)
	if gap < 1 || pos > StreamPositionMax {
		panic(fmt.Sprintf("append to value stream: position %d after %d, with a maximum of %d", pos, st.Position(), StreamPositionMax))
	}
	var head uint64
	size := 1
	switch {
	case gap <= 2:
		head = uint64(gap-1) << 4
	case gap < 3+256:
		head = gapByte<<4 | uint64(gap-3)<<8
		size = 2
	default:
		head = gapWord<<4 | uint64(gap)<<8
		size = 3
	}
	x := st.value(v)
	st.next = uint16(pos + 1)
	st.last = math.Float64bits(v)
	head |= uint64(x.head&0xff) | uint64(x.head>>8)<<(8*size)
	size += int(x.fronts)
	return StreamRecord{Low: head | x.low<<(8*size), High: x.low >> (64 - 8*size), Size: size + int(x.lows)}
}

// payload is how a record gives a value. With more than four fields it would not
// be kept in registers.
type payload struct {
	head   uint32 // kind and code, then the bytes before those of low
	fronts uint8  // how many these are
	lows   uint8  // bytes of low; the others are 0
	low    uint64
}

// bare is a value that needs nothing before the bytes of low.
func bare(kind byte, code, lows int, low uint64) payload {
	return payload{head: uint32(kind)<<6 | uint32(code), lows: uint8(lows), low: low}
}

// fronted is a value of recScale, with bytes before those of low.
func fronted(code int, front uint32, fronts, lows int, low uint64) payload {
	return payload{head: recScale<<6 | uint32(code) | front<<8, fronts: uint8(fronts), lows: uint8(lows), low: low}
}

// value returns how v is given, and takes st over it but for its position.
func (st *StreamState) value(v float64) payload {
	if k, ok := asDecimal(v, int(st.exp)); ok {
		delta := k - st.scaled
		st.scaled, st.misses = k, 0
		if c := inlineCode(delta); c != 0 {
			return bare(recDelta, int(c), 0, 0)
		}
		n := byteLen(zigzag(delta))
		return bare(recDelta, n, n, zigzag(delta))
	}
	if st.near {
		if k, ulp, ok := nearDecimal(v, int(st.exp), ulpMaxByte); ok {
			if z := zigzag(k - st.scaled); z < 1<<56 {
				st.scaled, st.misses = k, 0
				n := max(1, byteLen(z))
				return fronted(8+n, uint32(byte(ulp)), 1, n, z)
			}
		}
	}
	if st.misses < 4 || st.misses&15 == 0 {
		if x, ok := st.rescaled(v); ok {
			return x
		}
	}
	st.missed()
	x := math.Float64bits(v) ^ st.last
	low, high := byteLen(x), byteLen(bits.ReverseBytes64(x))
	if high < low {
		return bare(recHigh, high, high, x>>(64-8*high))
	}
	return bare(recLow, low, low, x)
}

// rescaled looks for another exponent.
func (st *StreamState) rescaled(v float64) (payload, bool) {
	for e := 0; e <= searchExp; e++ {
		if k, ok := asDecimal(v, e); ok {
			st.scaled, st.exp, st.near, st.misses = k, uint8(e), false, 0
			n := byteLen(zigzag(k))
			return fronted(n, uint32(e), 1, n, zigzag(k)), true
		}
	}
	k, ulp, ok := nearDecimal(v, searchNear, ulpMaxByte)
	if !ok {
		return payload{}, false
	}
	st.scaled, st.exp, st.near, st.misses = k, searchNear, true, 0
	n := byteLen(zigzag(k))
	return fronted(n, searchNear|scaleNear|uint32(byte(ulp))<<8, 2, n, zigzag(k)), true
}

// missed counts a record by bits. The count wraps from 255 to 240, so that it
// stays above the threshold and the encoder still looks at every sixteenth.
func (st *StreamState) missed() {
	if st.misses++; st.misses == 0 {
		st.misses = 240
	}
}

func byteLen(x uint64) int { return (bits.Len64(x) + 7) / 8 }

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

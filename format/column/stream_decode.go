package column

import (
	"encoding/binary"
	"math"
)

// ReadStream reads the record at the front of data, takes st over it, and
// returns the record's length in bytes. After it st holds the record's position
// and value. st is unchanged when there is an error.
func ReadStream(data []byte, st *StreamState) (int, error) {
	r := reader{part: "value stream", b: data}
	s := *st
	if err := s.read(&r); err != nil {
		return 0, err
	}
	*st = s
	return r.off, nil
}

// DecodeStream appends to dst one value for every position from the stream's
// first to endPos-1: positions between two records repeat the earlier value.
// Records at positions from endPos on are ignored, so that a reader may be
// behind the writer. The stream's first position is endPos minus the number of
// values appended; nothing is appended when the stream begins at endPos or
// later, or is empty. endPos is at most StreamPositionMax+1.
//
// It allocates nothing when dst has room for endPos values.
func DecodeStream(dst []float64, data []byte, endPos int) ([]float64, error) {
	var st StreamState
	return ContinueStream(dst, &st, data, endPos)
}

// DecodeStreamFrom is DecodeStream without the values at positions before from:
// their records are read, which takes half as long.
func DecodeStreamFrom(dst []float64, data []byte, endPos, from int) ([]float64, error) {
	var st StreamState
	return continueStream(dst, &st, data, endPos, from)
}

// ContinueStream is DecodeStream for bytes that follow the state *st: values
// are appended for the positions from st's next one (its first record's, when
// st is empty) to endPos-1. *st is left after the last record read.
func ContinueStream(dst []float64, st *StreamState, data []byte, endPos int) ([]float64, error) {
	return continueStream(dst, st, data, endPos, 0)
}

func continueStream(dst []float64, st *StreamState, data []byte, endPos, from int) ([]float64, error) {
	r := reader{part: "value stream", b: data}
	if endPos < 0 || endPos > StreamPositionMax+1 {
		return dst, &CorruptError{Part: r.part, Offset: 0, Reason: "end position out of range"}
	}
	s := *st
	if err := s.skipTo(&r, min(from, endPos)); err != nil {
		return dst, err
	}
	for r.off < len(data) {
		if data[r.off] < fastTags && len(data)-r.off >= fastBytes && !s.Empty() && int(s.next) >= from {
			var n int
			if dst, n = s.deltas(dst, data[r.off:], endPos); n > 0 {
				r.off += n
				continue
			}
		}
		before := s
		if err := s.read(&r); err != nil {
			return dst, err
		}
		if s.Position() >= endPos {
			s = before
			break
		}
		if !before.Empty() {
			dst = appendRepeated(dst, before.Value(), s.Position()-max(before.Position()+1, from))
		}
		dst = append(dst, s.Value())
	}
	if !s.Empty() {
		dst = appendRepeated(dst, s.Value(), endPos-max(s.Position()+1, from))
	}
	*st = s
	return dst, nil
}

// skipTo takes st over the records at positions before until.
func (st *StreamState) skipTo(r *reader, until int) error {
	for r.off < len(r.b) && int(st.next) < until {
		if r.b[r.off] < fastTags && len(r.b)-r.off >= fastBytes && !st.Empty() {
			if n := st.skip(r.b[r.off:], until); n > 0 {
				r.off += n
				continue
			}
		}
		before, at := *st, r.off
		if err := st.read(r); err != nil {
			return err
		}
		if st.Position() >= until {
			*st, r.off = before, at
			return nil
		}
	}
	return nil
}

// skip is deltas without values.
func (st *StreamState) skip(data []byte, until int) (n int) {
	next, k := int(st.next), st.scaled
	for len(data)-n >= fastBytes {
		tag := data[n]
		gap, code := int(tag>>4)+1, tag&15
		if tag >= fastTags || next+gap > until {
			break
		}
		if n++; code >= inlineFirst {
			k += inlineDelta(code)
		} else {
			k += unzigzag(binary.LittleEndian.Uint64(data[n:]) & lowMasks[code])
			n += int(code)
		}
		next += gap
	}
	if n > 0 {
		st.next, st.scaled, st.last, st.misses = uint16(next), k, math.Float64bits(scale(k, st.exp&31)), 0
	}
	return n
}

// fastTags are the tags of records that deltas reads, those below it: of kind
// recDelta with a gap of one or two. fastBytes is what has to be there from such a
// tag on: eight bytes are loaded at once.
const (
	fastTags  = recDelta<<6 | gapByte<<4
	fastBytes = 9
)

// deltas reads the records of fastTags that data begins with, up to endPos, and
// returns how many bytes they take. They are nearly all of a counter's. Reading
// them apart from the others keeps the state in registers: it is a third of the
// time.
func (st *StreamState) deltas(dst []float64, data []byte, endPos int) (_ []float64, n int) {
	next, k, p := int(st.next), st.scaled, pow10[st.exp&31]
	v := math.Float64frombits(st.last)
	for len(data)-n >= fastBytes {
		tag := data[n]
		gap, code := int(tag>>4)+1, tag&15
		if tag >= fastTags || next+gap > endPos {
			break
		}
		if n++; code >= inlineFirst {
			k += inlineDelta(code)
		} else {
			k += unzigzag(binary.LittleEndian.Uint64(data[n:]) & lowMasks[code])
			n += int(code)
		}
		if gap > 1 {
			dst = append(dst, v)
		}
		next += gap
		v = float64(k) / p
		dst = append(dst, v)
	}
	if next != int(st.next) {
		st.next, st.scaled, st.last, st.misses = uint16(next), k, math.Float64bits(v), 0
	}
	return dst, n
}

// lowMasks keep the low n bytes of a word.
var lowMasks = [inlineFirst]uint64{0, 1<<8 - 1, 1<<16 - 1, 1<<24 - 1, 1<<32 - 1, 1<<40 - 1, 1<<48 - 1, 1<<56 - 1, 1<<64 - 1}

func appendRepeated(dst []float64, v float64, n int) []float64 {
	for ; n > 0; n-- {
		dst = append(dst, v)
	}
	return dst
}

// read takes st over the next record of r.
func (st *StreamState) read(r *reader) error {
	tag := r.byte()
	kind, gapCode, code := tag>>6, tag>>4&3, tag&15
	gap := int(gapCode) + 1
	start := r.off - 1
	switch gapCode {
	case gapByte:
		gap = 3 + int(r.byte())
	case gapWord:
		lo, hi := r.byte(), r.byte()
		gap = int(lo) | int(hi)<<8
	}
	next := int(st.next) + gap
	if gap == 0 || next > StreamPositionMax+1 {
		r.fail(start, "position out of range")
	}
	switch kind {
	case recDelta:
		if code >= inlineFirst {
			st.scaled += inlineDelta(code)
		} else {
			st.scaled += unzigzag(r.low(int(code)))
		}
		st.last, st.misses = math.Float64bits(scale(st.scaled, st.exp)), 0
	case recScale:
		st.readScale(r, code)
	case recLow, recHigh:
		if code > 8 {
			r.fail(start, "unknown record")
			break
		}
		x := r.low(int(code))
		if kind == recHigh {
			x <<= 64 - 8*uint(code)
		}
		st.last ^= x
		st.missed()
	}
	st.next = uint16(next)
	return r.err
}

// readScale reads the payload of a recScale record.
func (st *StreamState) readScale(r *reader, code byte) {
	var ulp int8
	if code > 8 {
		ulp = int8(r.byte())
		st.scaled += unzigzag(r.low(int(code) - 8))
		st.near = true
	} else {
		e := r.byte()
		if e&^scaleNear > decimalExpMax {
			r.fail(r.off-1, "decimal exponent out of range")
			return
		}
		if st.exp, st.near = e&^scaleNear, e&scaleNear != 0; st.near {
			ulp = int8(r.byte())
		}
		st.scaled = unzigzag(r.low(int(code)))
	}
	st.last, st.misses = math.Float64bits(scale(st.scaled, st.exp))+uint64(int64(ulp)), 0
}

// scale returns k/10^exp, rounded once.
func scale(k int64, exp uint8) float64 {
	if exp == 0 {
		return float64(k)
	}
	return float64(k) / pow10[exp&31]
}

// low takes n bytes, lowest first.
func (r *reader) low(n int) uint64 {
	if n == 0 {
		return 0
	}
	p := r.bytes(n)
	var x uint64
	for i, c := range p {
		x |= uint64(c) << (8 * uint(i))
	}
	return x
}

// AppendStreamState appends st itself to dst, in at most 25 bytes, so that
// records can go on after it elsewhere: in the base record of a WAL segment.
func AppendStreamState(dst []byte, st StreamState) []byte {
	flags := st.exp
	if st.near {
		flags |= scaleNear
	}
	raw := math.Float64bits(scale(st.scaled, st.exp)) != st.last
	if raw {
		flags |= stateRaw
	}
	dst = appendUvarint(dst, uint64(st.next))
	dst = append(dst, flags, st.misses)
	dst = appendUvarint(dst, zigzag(st.scaled))
	if raw {
		dst = binary.LittleEndian.AppendUint64(dst, st.last)
	}
	return dst
}

// stateRaw in the flags of a state: the value's bits follow.
const stateRaw = 0x40

// ReadStreamState reads a state from the front of data and returns the bytes
// that follow it.
func ReadStreamState(data []byte) (st StreamState, rest []byte, err error) {
	r := reader{part: "value stream state", b: data}
	st.next = uint16(r.count(StreamPositionMax+1, "position"))
	flags := r.byte()
	if flags&^(scaleNear|stateRaw) > decimalExpMax {
		r.fail(r.off-1, "decimal exponent out of range")
	}
	st.exp, st.near = flags&^(scaleNear|stateRaw), flags&scaleNear != 0
	st.misses = r.byte()
	st.scaled = r.varint()
	if flags&stateRaw != 0 {
		st.last = r.low(8)
	} else {
		st.last = math.Float64bits(scale(st.scaled, st.exp&31))
	}
	if r.err != nil {
		return StreamState{}, data, r.err
	}
	return st, data[r.off:], nil
}

func appendUvarint(dst []byte, x uint64) []byte {
	for ; x >= 0x80; x >>= 7 {
		dst = append(dst, byte(x)|0x80)
	}
	return append(dst, byte(x))
}

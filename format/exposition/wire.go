package exposition

import "encoding/binary"

// Wire types of the protobuf encoding.
const (
	wireVarint     = 0
	wireFixed64    = 1
	wireBytes      = 2
	wireGroup      = 3
	wireGroupEnd   = 4
	wireFixed32    = 5
	varintSizeMax  = 10
	familySizeSize = 5 // bytes of the varint before a family, at most
)

// wire goes through the fields of one protobuf message, which is a part of a
// body. After a fault it has no more fields; fault says why and pos where.
type wire struct {
	body  []byte
	pos   int
	end   int
	fault string
}

// within returns a wire over the content of a field.
func (w *wire) within(content span) wire {
	return wire{body: w.body, pos: int(content.start), end: int(content.end)}
}

// fail notes the first fault and ends the message.
func (w *wire) fail(reason string) {
	if w.fault == "" {
		w.fault = reason
	}
}

// adopt takes over the fault of a message within this one.
func (w *wire) adopt(inner *wire) {
	if inner.fault != "" && w.fault == "" {
		w.fault, w.pos = inner.fault, inner.pos
	}
}

// next reads the tag of the next field.
func (w *wire) next() (field int32, typ uint8, ok bool) {
	if w.fault != "" || w.pos >= w.end {
		return 0, 0, false
	}
	tag := w.varint()
	if w.fault != "" {
		return 0, 0, false
	}
	field, typ = int32(tag>>3), uint8(tag&7)
	if field <= 0 || typ == wireGroupEnd {
		w.fail("a field has no valid tag")
		return 0, 0, false
	}
	return field, typ, true
}

// varint reads an integer of up to ten bytes; bits over 64 are cut off.
func (w *wire) varint() (v uint64) {
	for shift := uint(0); shift < 64; shift += 7 {
		if w.pos >= w.end {
			w.fail("the message ends in a number")
			return 0
		}
		b := w.body[w.pos]
		w.pos++
		v |= uint64(b&0x7f) << shift
		if b < 0x80 {
			return v
		}
	}
	w.fail("a number has more than ten bytes")
	return 0
}

// number reads the integer of a field that must be one.
func (w *wire) number(typ uint8) uint64 {
	if typ != wireVarint {
		w.fail("a field that is an integer is encoded otherwise")
		return 0
	}
	return w.varint()
}

// fixed64 reads eight bytes of a field that must have them.
func (w *wire) fixed64(typ uint8) uint64 {
	if typ != wireFixed64 {
		w.fail("a field that is a double is encoded otherwise")
		return 0
	}
	return w.eight()
}

func (w *wire) eight() uint64 {
	if w.end-w.pos < 8 {
		w.fail("the message ends in a double")
		return 0
	}
	v := binary.LittleEndian.Uint64(w.body[w.pos:])
	w.pos += 8
	return v
}

// bytes returns the content of a field that has a length, and goes behind it.
func (w *wire) bytes(typ uint8) span {
	if typ != wireBytes {
		w.fail("a field with a length is encoded otherwise")
		return span{}
	}
	n := w.varint()
	if w.fault != "" {
		return span{}
	}
	if n > uint64(w.end-w.pos) {
		w.fail("a field is longer than the message")
		return span{}
	}
	s := span{uint32(w.pos), uint32(w.pos + int(n))}
	w.pos = int(s.end)
	return s
}

// skip goes behind a field that is not known.
func (w *wire) skip(typ uint8) {
	depth := 0
	for {
		switch typ {
		case wireVarint:
			w.varint()
		case wireFixed64:
			w.over(8)
		case wireBytes:
			w.bytes(wireBytes)
		case wireGroup:
			depth++
		case wireGroupEnd:
			depth--
		case wireFixed32:
			w.over(4)
		default:
			w.fail("a field has an unknown wire type")
		}
		if depth <= 0 || w.fault != "" {
			return
		}
		typ = uint8(w.varint() & 7) // the next field of the group
	}
}

func (w *wire) over(n int) {
	if w.end-w.pos < n {
		w.fail("a field is longer than the message")
		return
	}
	w.pos += n
}

// repeat calls read for every element of a repeated number: one, or packed.
func (w *wire) repeat(typ, plain uint8, read func()) {
	if typ == plain {
		read()
		return
	}
	packed := w.bytes(typ)
	for w.pos = int(packed.start); w.fault == "" && w.pos < int(packed.end); {
		read()
	}
}

func zigzag(v uint64) int64 { return int64(v>>1) ^ -int64(v&1) }

// zigzag32 reads the low half alone, as encoders of sint32 write it.
func zigzag32(v uint64) int32 { return int32(uint32(v)>>1) ^ -int32(v&1) }

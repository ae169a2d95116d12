package seal

import (
	"encoding/binary"

	"github.com/nilometer/nilometer/model/column"
)

// Type is the value type of a chunk, two bits. Its meaning is the head's.
type Type uint8

// Limits of a stretch.
const (
	// SlotsMax bounds the members of a stretch.
	SlotsMax = 1 << 24
	// DataBytesMax bounds the bytes of all entries of a stretch.
	DataBytesMax = 1 << 31
)

const (
	// stretchHeader is the number of slots and the bytes of the entries.
	stretchHeader = 8
	// slotsPerBlock: every so many slots an offset says where the entries stand,
	// so that an entry is found by adding up at most 31 lengths: one cache line.
	slotsPerBlock = 32

	lengthMask = 1<<12 - 1
	typeShift  = 12
	flagLong   = 1 << 14 // the length is in front of the entry, four bytes
	flagRuns   = 1 << 15 // presence runs stand in front of the chunk

	runBytes  = 4
	longBytes = 4
)

// Builder writes a stretch, member by member. The zero value is ready; Reset
// makes it ready again and keeps its memory.
type Builder struct {
	lengths []uint16
	starts  []uint32 // of each block of slots
	data    []byte
}

// Reset begins a new stretch.
func (b *Builder) Reset() { b.lengths, b.starts, b.data = b.lengths[:0], b.starts[:0], b.data[:0] }

// Add gives the next slot its chunk; runs are the exceptions to "present",
// counted from the stretch's first position. A slot without chunk and runs has
// no sample.
func (b *Builder) Add(t Type, chunk []byte, runs []column.Run) {
	if len(b.lengths)%slotsPerBlock == 0 {
		b.starts = append(b.starts, uint32(len(b.data)))
	}
	length := uint16(t) << typeShift
	n := len(chunk)
	if len(runs) > 0 {
		length |= flagRuns
		n += 2 + runBytes*len(runs)
	}
	if n > lengthMask {
		length |= flagLong
		b.data = binary.LittleEndian.AppendUint32(b.data, uint32(n))
	} else {
		length |= uint16(n)
	}
	b.lengths = append(b.lengths, length)
	if len(runs) > 0 {
		b.data = binary.LittleEndian.AppendUint16(b.data, uint16(len(runs)))
		for _, r := range runs {
			b.data = binary.LittleEndian.AppendUint16(b.data, r.At)
			b.data = binary.LittleEndian.AppendUint16(b.data, r.Len<<2|uint16(r.State))
		}
	}
	b.data = append(b.data, chunk...)
}

// Append appends the stretch's bytes to dst.
func (b *Builder) Append(dst []byte) []byte {
	dst = binary.LittleEndian.AppendUint32(dst, uint32(len(b.lengths)))
	dst = binary.LittleEndian.AppendUint32(dst, uint32(len(b.data)))
	for _, s := range b.starts {
		dst = binary.LittleEndian.AppendUint32(dst, s)
	}
	for _, n := range b.lengths {
		dst = binary.LittleEndian.AppendUint16(dst, n)
	}
	return append(dst, b.data...)
}

// Stretch is a stretch's bytes, checked. The zero value has no slots.
type Stretch struct {
	b     []byte
	slots int
}

// ReadStretch checks the bytes of a stretch of so many positions in one pass
// over the lengths, so that Entry needs no error. It keeps b.
func ReadStretch(b []byte, positions int) (Stretch, error) {
	if len(b) < stretchHeader {
		return Stretch{}, corrupt(0, "a stretch of %d bytes", len(b))
	}
	slots, size := int(binary.LittleEndian.Uint32(b)), int(binary.LittleEndian.Uint32(b[4:]))
	if slots > SlotsMax {
		return Stretch{}, corrupt(0, "%d slots, %d are allowed", slots, SlotsMax)
	}
	blocks := (slots + slotsPerBlock - 1) / slotsPerBlock
	tables := stretchHeader + 4*blocks + 2*slots
	if len(b) != tables+size {
		return Stretch{}, corrupt(4, "%d bytes where its tables and %d bytes of entries need %d", len(b), size, tables+size)
	}
	s := Stretch{b: b, slots: slots}
	at, lengths, data := 0, s.lengths(), s.data()
	for slot := range slots {
		if slot%slotsPerBlock == 0 && s.start(slot/slotsPerBlock) != at {
			return Stretch{}, corrupt(stretchHeader+slot/slotsPerBlock*4, "entries of slot %d at %d instead of %d", slot, s.start(slot/slotsPerBlock), at)
		}
		n, ok := check(binary.LittleEndian.Uint16(lengths[2*slot:]), data[at:], positions)
		if !ok {
			return Stretch{}, corrupt(tables+at, "the entry of slot %d cannot be", slot)
		}
		at += n
	}
	if at != size {
		return Stretch{}, corrupt(tables+at, "%d bytes after the last entry", size-at)
	}
	return s, nil
}

// check returns the bytes of the entry at the front of data, false when they are
// not all there, or its runs are none.
func check(length uint16, data []byte, positions int) (int, bool) {
	n, head := int(length&lengthMask), 0
	if length&flagLong != 0 {
		if n != 0 || len(data) < longBytes {
			return 0, false
		}
		n, head = int(binary.LittleEndian.Uint32(data)), longBytes
	}
	if head+n > len(data) {
		return 0, false
	}
	if length&flagRuns != 0 {
		if n < 2 {
			return 0, false
		}
		count := int(binary.LittleEndian.Uint16(data[head:]))
		if count == 0 || count > positions || 2+count*runBytes > n {
			return 0, false
		}
		if column.ValidateRuns(appendRuns(nil, data[head+2:], count), positions) != nil {
			return 0, false
		}
	}
	return head + n, true
}

func (s *Stretch) start(block int) int {
	return int(binary.LittleEndian.Uint32(s.b[stretchHeader+4*block:]))
}

// lengths are the tables' second: two bytes a slot.
func (s *Stretch) lengths() []byte {
	return s.b[stretchHeader+(s.slots+slotsPerBlock-1)/slotsPerBlock*4:]
}

// data are the entries.
func (s *Stretch) data() []byte { return s.lengths()[2*s.slots:] }

// Bytes are the stretch's. They must not be changed.
func (s *Stretch) Bytes() []byte { return s.b }

// Slots is the number of slots: those from it on have no sample.
func (s *Stretch) Slots() int { return s.slots }

// Entry returns a slot's chunk, a part of the stretch's bytes, its type, and
// its presence runs appended to dst. Without chunk and runs the slot has no
// sample.
func (s *Stretch) Entry(slot int, dst []column.Run) (t Type, chunk []byte, runs []column.Run) {
	if slot >= s.slots {
		return 0, nil, dst
	}
	lengths, data := s.lengths(), s.data()
	block := slot / slotsPerBlock
	at := s.start(block)
	for i := block * slotsPerBlock; i < slot; i++ {
		at += entryBytes(binary.LittleEndian.Uint16(lengths[2*i:]), data[at:])
	}
	length := binary.LittleEndian.Uint16(lengths[2*slot:])
	end := at + entryBytes(length, data[at:])
	if length&flagLong != 0 {
		at += longBytes
	}
	runs = dst
	if length&flagRuns != 0 {
		n := int(binary.LittleEndian.Uint16(data[at:]))
		at += 2
		runs = appendRuns(runs, data[at:], n)
		at += n * runBytes
	}
	return Type(length >> typeShift & 3), data[at:end:end], runs
}

// Has reports whether Entry returns a chunk or runs for a slot.
func (s *Stretch) Has(slot int) bool {
	if slot >= s.slots {
		return false
	}
	return binary.LittleEndian.Uint16(s.lengths()[2*slot:])&(lengthMask|flagLong|flagRuns) != 0
}

// appendRuns decodes n runs at the front of b.
func appendRuns(dst []column.Run, b []byte, n int) []column.Run {
	for i := range n {
		at, last := binary.LittleEndian.Uint16(b[runBytes*i:]), binary.LittleEndian.Uint16(b[runBytes*i+2:])
		dst = append(dst, column.Run{At: at, Len: last >> 2, State: column.State(last & 3)})
	}
	return dst
}

// entryBytes is the size of the entry at the front of data.
func entryBytes(length uint16, data []byte) int {
	if length&flagLong != 0 {
		return longBytes + int(binary.LittleEndian.Uint32(data))
	}
	return int(length & lengthMask)
}

package head

import (
	"encoding/binary"

	"github.com/nilometer/nilometer/format/column"
	"github.com/nilometer/nilometer/tsdb/arena"
)

// blockBytes is the payload of a stream block: with the link it is 32 bytes,
// half a cache line.
const blockBytes = 28

// streamBlock is bytes of a stream, then the index of the following block plus
// one, four bytes. While it is the last one the link is free to be written over.
type streamBlock [blockBytes + 4]byte

func (b *streamBlock) next() uint32 { return binary.LittleEndian.Uint32(b[blockBytes:]) }

func (b *streamBlock) link(next uint32) { binary.LittleEndian.PutUint32(b[blockBytes:], next) }

// stream is a member's open value stream: records of format/column in linked
// blocks of its group. Its positions count from those that are not sealed yet.
type stream struct {
	state       column.StreamState
	first, last uint32 // block indexes plus one; 0: no block
	size        uint16 // bytes: 13 for each of 480 positions at most
}

// blocks are the stream blocks of one group's open tile.
type blocks struct{ arena.Sequence[streamBlock] }

// word is how many bytes are written at once.
const word = 8

// append adds the record that v is the value from position pos on.
func (b *blocks) append(mem *memory, s *stream, pos int, v float64) {
	b.add(mem, s, s.state.Record(pos, v))
}

// add adds a record to the stream.
func (b *blocks) add(mem *memory, s *stream, r column.StreamRecord) {
	if r.Size > word {
		var buf [2 * word]byte
		binary.LittleEndian.PutUint64(buf[:], r.Low)
		binary.LittleEndian.PutUint64(buf[word:], r.High)
		b.write(mem, s, buf[:r.Size])
		return
	}
	at := int(s.size) % blockBytes
	s.size += uint16(r.Size)
	if at == 0 {
		b.extend(mem, s).put(0, r.Low)
		return
	}
	b.At(int(s.last)-1).put(at, r.Low)
	if had := blockBytes - at; had < r.Size {
		b.extend(mem, s).put(0, r.Low>>(8*had))
	}
}

// put writes a word from at on into the last block of a stream, as much of it as
// there is room for. It reads nothing: the block is in no cache most of the time.
func (b *streamBlock) put(at int, bytes uint64) {
	if at <= len(b)-word {
		binary.LittleEndian.PutUint64(b[at:], bytes)
	} else {
		binary.LittleEndian.PutUint32(b[at:], uint32(bytes))
	}
}

// extend gives the stream one more block.
func (b *blocks) extend(mem *memory, s *stream) *streamBlock {
	to := b.Push(&mem.blocks)
	n := uint32(b.Len())
	if s.last == 0 {
		s.first = n
	} else {
		b.At(int(s.last) - 1).link(n)
	}
	s.last = n
	return to
}

// write adds records to the stream.
func (b *blocks) write(mem *memory, s *stream, rec []byte) {
	for len(rec) > 0 {
		at := int(s.size) % blockBytes
		if at == 0 {
			b.extend(mem, s)
		}
		n := copy(b.At(int(s.last) - 1)[at:blockBytes], rec)
		s.size += uint16(n)
		rec = rec[n:]
	}
}

// gather appends the stream's bytes to dst.
func (b *blocks) gather(dst []byte, s *stream) []byte {
	left := int(s.size)
	for at := s.first; at != 0 && left > 0; {
		block := b.At(int(at) - 1)
		n := min(left, blockBytes)
		dst = append(dst, block[:n]...)
		left -= n
		at = block.next()
	}
	return dst
}

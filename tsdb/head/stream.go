package head

import (
	"github.com/nilometer/nilometer/format/column"
	"github.com/nilometer/nilometer/tsdb/arena"
)

// blockBytes is the payload of a stream block: with the link it is 32 bytes,
// half a cache line.
const blockBytes = 28

type streamBlock struct {
	next uint32 // index of the following block, plus one
	data [blockBytes]byte
}

// stream is a member's open value stream: records of format/column in linked
// blocks of its group. Its positions count from those that are not sealed yet.
type stream struct {
	state       column.StreamState
	first, last uint32 // block indexes plus one; 0: no block
	size        uint16 // bytes: 13 for each of 480 positions at most
}

// blocks are the stream blocks of one group's open tile.
type blocks struct{ arena.Sequence[streamBlock] }

// append adds the record that v is the value from position pos on.
func (b *blocks) append(mem *memory, s *stream, pos int, v float64) {
	var buf [column.StreamRecordMax]byte
	b.write(mem, s, column.AppendStream(buf[:0], &s.state, pos, v))
}

// write adds records to the stream.
func (b *blocks) write(mem *memory, s *stream, rec []byte) {
	for len(rec) > 0 {
		at := int(s.size) % blockBytes
		if at == 0 {
			b.Push(&mem.blocks)
			n := uint32(b.Len())
			if s.last == 0 {
				s.first = n
			} else {
				b.At(int(s.last) - 1).next = n
			}
			s.last = n
		}
		n := copy(b.At(int(s.last) - 1).data[at:], rec)
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
		dst = append(dst, block.data[:n]...)
		left -= n
		at = block.next
	}
	return dst
}

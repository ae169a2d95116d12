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

// blocks are the stream blocks of one group's open tile, in memory of a head or
// of the Go heap.
type blocks struct {
	all []streamBlock
	mem *arena.Slices[streamBlock] // nil: of the Go heap
}

// append adds the record that v is the value from position pos on.
func (b *blocks) append(s *stream, pos int, v float64) {
	var buf [column.StreamRecordMax]byte
	b.write(s, column.AppendStream(buf[:0], &s.state, pos, v))
}

// write adds records to the stream.
func (b *blocks) write(s *stream, rec []byte) {
	for len(rec) > 0 {
		at := int(s.size) % blockBytes
		if at == 0 {
			n := b.push()
			if s.last == 0 {
				s.first = n
			} else {
				b.all[s.last-1].next = n
			}
			s.last = n
		}
		n := copy(b.all[s.last-1].data[at:], rec)
		s.size += uint16(n)
		rec = rec[n:]
	}
}

// push adds an empty block and returns its index plus one.
func (b *blocks) push() uint32 {
	n := len(b.all)
	if b.mem == nil {
		b.all = append(b.all, streamBlock{})
	} else {
		b.all = b.mem.Grow(b.all, n+1)
		b.all[n] = streamBlock{}
	}
	return uint32(n + 1)
}

// gather appends the stream's bytes to dst.
func (b *blocks) gather(dst []byte, s *stream) []byte {
	left := int(s.size)
	for at := s.first; at != 0 && left > 0; at = b.all[at-1].next {
		n := min(left, blockBytes)
		dst = append(dst, b.all[at-1].data[:n]...)
		left -= n
	}
	return dst
}

package index

import (
	"fmt"
	"hash/crc32"
	"io"
	"sync"
	"sync/atomic"
)

// section is a part of the file: in memory, or fetched when it is needed. Its
// checksum is computed once.
type section struct {
	src          io.ReaderAt
	offset, size int64
	crc          uint32

	ready atomic.Bool // b is there and verified

	mu  sync.Mutex // guards what follows until ready
	b   []byte     // nil before it is fetched
	err error      // of the checksum
}

// section returns the bytes of a section after its checksum was verified. An
// error of reading is not remembered, damage is.
func (x *Index) section(i int) ([]byte, error) {
	s := &x.sections[i]
	if s.ready.Load() {
		return s.b, nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil || s.ready.Load() {
		return s.b, s.err
	}
	if s.b == nil {
		b := make([]byte, s.size)
		if n, err := s.src.ReadAt(b, s.offset); n < len(b) {
			return nil, fmt.Errorf("read section %s of the index: %w", sectionNames[i], err)
		}
		s.b = b
	}
	if i != secColumns { // each column has a checksum of its own
		if got := crc32.Checksum(s.b, castagnoli); got != s.crc {
			s.err = x.corrupt(i, 0, fmt.Sprintf("checksum %08x, computed %08x", s.crc, got))
			return nil, s.err
		}
	}
	s.ready.Store(true)
	return s.b, nil
}

// tailBytes are read first of an index from afar: the footer, and before it
// what opening needs.
const tailBytes = 64 << 10

// OpenAt reads the head of an index of size bytes that lies afar: one of at most
// PackedBytesMax whole, of a larger one its header and its end. Sections are
// read when they are needed. src must be readable as long as the Index is used.
func OpenAt(src io.ReaderAt, size int64, dec Decompressor) (*Index, error) {
	if size <= PackedBytesMax {
		b, err := readRange(src, 0, size)
		if err != nil {
			return nil, err
		}
		return Open(b, dec)
	}
	header, err := readRange(src, 0, headerBytes)
	if err != nil {
		return nil, err
	}
	tail, err := readRange(src, size-tailBytes, tailBytes)
	if err != nil {
		return nil, err
	}
	return open(header, tail, src, size, dec)
}

func readRange(src io.ReaderAt, offset, n int64) ([]byte, error) {
	b := make([]byte, n)
	if got, err := src.ReadAt(b, offset); int64(got) < n {
		return nil, fmt.Errorf("read %d bytes of the index from %d on: %w", n, offset, err)
	}
	return b, nil
}

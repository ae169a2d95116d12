package head

import (
	"encoding/binary"
	"unsafe"

	"github.com/cespare/xxhash/v2"

	"github.com/nilometer/nilometer/tsdb/arena"
)

// symbolID numbers the strings of labels.
type symbolID uint32

// symbols are the strings of labels, each once. They stand in large pieces of
// the Go heap, which has no pointers to look at there, so that strings can be
// handed out as they are: a piece lives as long as anybody has one of its
// strings. A string is at piece<<16 + offset, its length before it.
type symbols struct {
	pieces [][]byte
	at     arena.Array[uint32] // by symbolID
	byHash table
	bytes  int // of strings
}

const (
	// pieceBytes is the length of a piece, unless one string is longer: the
	// offset in it has 16 bits.
	pieceBytes = 64 << 10
	// pieceBytesMin is the length of the first piece; each has twice as many
	// bytes as the one before.
	pieceBytesMin = 1 << 10
	// piecesMax keeps places within 32 bits.
	piecesMax = 1 << 16
)

func newSymbols(o *arena.Owner) symbols {
	return symbols{at: arena.NewArray[uint32](o), byHash: newTable(o)}
}

// of returns the string of a symbol.
func (s *symbols) of(id symbolID) string {
	at := s.at.All()[id]
	piece := s.pieces[at>>16][at&(pieceBytes-1):]
	n, k := binary.Uvarint(piece)
	return unsafe.String(unsafe.SliceData(piece[k:]), int(n)) //nolint:gosec // written once, never changed
}

func (s *symbols) hashOf(id uint32) uint64 { return xxhash.Sum64String(s.of(symbolID(id))) }

// find returns the symbol of a string.
func (s *symbols) find(v string) (symbolID, bool) { return s.findHash(v, xxhash.Sum64String(v)) }

func (s *symbols) findHash(v string, hash uint64) (symbolID, bool) {
	if s.byHash.used == 0 {
		return 0, false
	}
	for id, at, ok := s.byHash.next(s.byHash.home(hash)); ok; id, at, ok = s.byHash.next(at) {
		if s.of(symbolID(id)) == v {
			return symbolID(id), true
		}
	}
	return 0, false
}

// add returns the symbol of a string, which is copied when it is new.
func (s *symbols) add(v string) symbolID {
	hash := xxhash.Sum64String(v)
	if id, ok := s.findHash(v, hash); ok {
		return id
	}
	id := uint32(s.at.Len())
	s.at.Push(s.write(v))
	s.byHash.add(hash, id, s.hashOf)
	s.bytes += len(v)
	return symbolID(id)
}

// write copies a string to the last piece, or to a new one.
func (s *symbols) write(v string) uint32 {
	need := binary.MaxVarintLen32 + len(v)
	k := len(s.pieces) - 1
	if k < 0 || len(s.pieces[k])+need > cap(s.pieces[k]) || len(s.pieces[k]) >= pieceBytes {
		n := pieceBytesMin
		if k >= 0 {
			n = min(pieceBytes, 2*cap(s.pieces[k]))
		}
		s.pieces = append(s.pieces, make([]byte, 0, max(n, need)))
		k++
	}
	p := s.pieces[k]
	at := uint32(k)<<16 | uint32(len(p))
	p = binary.AppendUvarint(p, uint64(len(v)))
	s.pieces[k] = append(p, v...)
	return at
}

// full tells that there is no place for many more strings.
func (s *symbols) full() bool { return len(s.pieces) > piecesMax-1024 }

// free gives the memory back; strings that were handed out stay.
func (s *symbols) free() {
	s.at.Free()
	s.byHash.free()
	s.pieces, s.bytes = nil, 0
}

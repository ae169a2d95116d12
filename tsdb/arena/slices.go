package arena

import (
	"fmt"
	"math/bits"
	"sort"
	"sync"
	"unsafe"
)

// Slices makes slices of one type. It is safe for concurrent use.
type Slices[T any] struct {
	owner *Owner
	size  int
}

// NewSlices returns a maker of slices of T. It panics when T has pointers.
func NewSlices[T any](o *Owner) Slices[T] { return Slices[T]{owner: o, size: sizeOf[T]()} }

// Make returns n zero elements; the capacity is what their size class has room
// for, and as zero. No element is nil, without any memory.
func (s Slices[T]) Make(n int) []T {
	if n == 0 {
		return nil
	}
	mem := s.owner.allocator.blocks.make(n * s.size)
	s.owner.charge(len(mem))
	return view[T](mem, s.size)[:n]
}

// Free gives back what Make or Grow returned, as it was returned but for its
// length.
func (s Slices[T]) Free(v []T) {
	if cap(v) == 0 {
		return
	}
	s.owner.charge(-s.owner.allocator.blocks.free(uintptr(unsafe.Pointer(unsafe.SliceData(v)))))
}

// Grow returns v with n elements: in place where its capacity allows it, moved
// into other memory where not. New elements are zero if nobody has written
// beyond the length of v.
func (s Slices[T]) Grow(v []T, n int) []T {
	if n <= cap(v) {
		return v[:n]
	}
	room := n
	if n*s.size > classMax { // pages that are never reached cost nothing
		room = max(n, cap(v)+cap(v)/4)
	}
	out := s.Make(room)[:n]
	copy(out, v)
	s.Free(v)
	return out
}

// The size classes: four to a doubling, from 16 bytes to 1 MiB. Larger pieces
// are whole pages of their own.
const (
	classMin   = 16
	classMax   = 1 << 20
	classCount = 16*4 + 1
	spanBytes  = 4 << 20
)

// classOf returns the class for n bytes, which are at most classMax.
func classOf(n int) int {
	if n <= classMin {
		return 0
	}
	// The quarter steps of the doubling that n-1 is in.
	k := bits.Len(uint(n-1)) - 1
	quarter := (n - 1) >> (k - 2) & 3
	return (k-4)*4 + quarter + 1
}

// classBytes is the size of a class. Classes under 64 bytes are rounded to the
// 16 bytes that everything is aligned to.
func classBytes(c int) int {
	n := (classMin << (c / 4)) * (4 + c%4) / 4
	return (n + classMin - 1) / classMin * classMin
}

// blocks are the spans of all size classes.
type blocks struct {
	mappings *mappings

	mu      sync.Mutex // guards what follows
	classes [classCount]class
	spans   []*span          // by address
	single  map[uintptr]span // larger pieces by address
}

// class is the spans of one size that have room.
type class struct{ room []*span }

// span is memory that is divided into blocks of one size.
type span struct {
	mem     []byte
	size    int
	class   int
	fresh   int      // blocks that have been handed out at least once
	used    int      // blocks that are handed out
	taken   []uint64 // one bit a block: it is handed out
	free    []uint32 // blocks that were freed
	listed  bool     // in its class' room
	address uintptr
}

func addressOf(mem []byte) uintptr { return uintptr(unsafe.Pointer(unsafe.SliceData(mem))) }

// make returns n zero bytes or some more, as many as are charged.
func (b *blocks) make(n int) []byte {
	b.mu.Lock()
	defer b.mu.Unlock()
	if n > classMax {
		mem := b.mappings.add(acquire(pages(n)))
		if b.single == nil {
			b.single = map[uintptr]span{}
		}
		b.single[addressOf(mem)] = span{mem: mem}
		return mem
	}
	c := classOf(n)
	list := &b.classes[c]
	if len(list.room) == 0 {
		b.addSpan(c)
	}
	s := list.room[len(list.room)-1]
	out := s.take()
	if s.used == s.blocks() {
		list.room = list.room[:len(list.room)-1]
		s.listed = false
	}
	return out
}

func (b *blocks) addSpan(c int) {
	size := classBytes(c)
	n := spanBytes
	if !mapped { // the Go heap would give all of it at once
		n = max(size, smallBytes)
	}
	mem := b.mappings.add(acquire(n))
	s := &span{mem: mem, size: size, class: c, listed: true, address: addressOf(mem)}
	s.taken = make([]uint64, (s.blocks()+63)/64)
	b.classes[c].room = append(b.classes[c].room, s)
	i := sort.Search(len(b.spans), func(i int) bool { return b.spans[i].address > s.address })
	b.spans = append(b.spans, nil)
	copy(b.spans[i+1:], b.spans[i:])
	b.spans[i] = s
}

func (s *span) blocks() int { return len(s.mem) / s.size }

// take hands out a block; the span has room.
func (s *span) take() []byte {
	i := s.fresh
	if k := len(s.free) - 1; k >= 0 {
		i, s.free = int(s.free[k]), s.free[:k]
		clear(s.mem[i*s.size : (i+1)*s.size])
	} else {
		s.fresh++
	}
	s.taken[i/64] |= 1 << (i % 64)
	s.used++
	return s.mem[i*s.size : (i+1)*s.size : (i+1)*s.size]
}

// free takes a block back and returns its size. A span without blocks is
// released, but for one that a class is about to need again.
func (b *blocks) free(at uintptr) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	if s, ok := b.single[at]; ok {
		delete(b.single, at)
		b.mappings.release(s.mem)
		return len(s.mem)
	}
	k := sort.Search(len(b.spans), func(i int) bool { return b.spans[i].address > at }) - 1
	if k < 0 || at >= b.spans[k].address+uintptr(len(b.spans[k].mem)) {
		panic("arena: freed what is not of this allocator")
	}
	s := b.spans[k]
	off := int(at - s.address)
	i := off / s.size
	if off%s.size != 0 || i >= s.blocks() || s.taken[i/64]&(1<<(i%64)) == 0 {
		panic(fmt.Sprintf("arena: freed a block of %d bytes that is not handed out", s.size))
	}
	s.taken[i/64] &^= 1 << (i % 64)
	s.used--
	if s.used == 0 && !b.keeps(s) {
		b.drop(s, k)
		return s.size
	}
	s.free = append(s.free, uint32(i))
	s.discard(i)
	if !s.listed {
		s.listed = true
		b.classes[s.class].room = append(b.classes[s.class].room, s)
	}
	return s.size
}

// discardBytes is the size from which on a freed block's pages are given back
// at once: for smaller ones the call costs more than they are worth.
const discardBytes = 64 << 10

// discard gives the whole pages of a freed block back.
func (s *span) discard(i int) {
	if s.size < discardBytes {
		return
	}
	if from, to := pages(i*s.size), (i+1)*s.size/pageBytes*pageBytes; from < to {
		discard(s.mem[from:to])
	}
}

// keptBytes bounds what an empty span may have touched that is kept.
const keptBytes = 64 << 10

// keeps tells whether a span without blocks stays: the only one of its class
// that has room, when next to nothing of it was used. What grows step by step
// through the classes has one block of each, one after the other, and would map
// and release a span at every step.
func (b *blocks) keeps(s *span) bool {
	room := b.classes[s.class].room
	return s.fresh*s.size <= keptBytes && (len(room) == 0 || len(room) == 1 && s.listed)
}

// drop releases a span that has no block.
func (b *blocks) drop(s *span, k int) {
	if s.listed {
		room := b.classes[s.class].room
		for i := range room {
			if room[i] == s {
				room[i] = room[len(room)-1]
				b.classes[s.class].room = room[:len(room)-1]
				break
			}
		}
	}
	b.spans = append(b.spans[:k], b.spans[k+1:]...)
	b.mappings.release(s.mem)
}

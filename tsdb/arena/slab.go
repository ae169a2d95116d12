package arena

import (
	"fmt"
	"math/bits"
)

// SlabUnit is the size in bytes of the smallest block of a slab.
const SlabUnit = 16

// SlabMax is the size in bytes of the largest block of a slab.
const SlabMax = 512

// slabClasses is the number of sizes: powers of two.
const slabClasses = 6

// BlockRef names a block of a slab. 0 names none.
type BlockRef uint32

// Slab is blocks of 16, 32, … 512 bytes that are named by references, at most
// 64 GiB of them. Free blocks are kept for others of their size.
type Slab struct {
	mem  Array[[SlabUnit]byte]
	free [slabClasses]BlockRef // the first free block; its first four bytes name the next
	live int                   // bytes
}

// NewSlab returns a slab without blocks.
func NewSlab(o *Owner) Slab { return Slab{mem: NewArray[[SlabUnit]byte](o)} }

// Live is the number of bytes in blocks that are in use.
func (s *Slab) Live() int { return s.live }

func slabClass(size int) int {
	if size < SlabUnit || size > SlabMax || size&(size-1) != 0 {
		panic(fmt.Sprintf("arena: a slab has no blocks of %d bytes", size))
	}
	return bits.Len(uint(size/SlabUnit)) - 1
}

// Alloc returns a block of size bytes, a power of two from SlabUnit to SlabMax.
// It is zero.
func (s *Slab) Alloc(size int) BlockRef {
	c := slabClass(size)
	s.live += size
	if ref := s.free[c]; ref != 0 {
		b := s.Bytes(ref, size)
		s.free[c] = BlockRef(uint32(b[0]) | uint32(b[1])<<8 | uint32(b[2])<<16 | uint32(b[3])<<24)
		clear(b[:4]) // the rest was cleared when it was freed
		return ref
	}
	if s.mem.Len() == 0 {
		s.mem.Extend(1) // 0 names none
	}
	ref := s.mem.Len()
	s.mem.Extend(1 << c)
	return BlockRef(ref)
}

// Bytes returns the block of a reference; size is what it was allocated with.
func (s *Slab) Bytes(ref BlockRef, size int) []byte {
	units := s.mem.All()[ref : int(ref)+size/SlabUnit]
	return view8(units)
}

// Free gives a block back.
func (s *Slab) Free(ref BlockRef, size int) {
	c := slabClass(size)
	b := s.Bytes(ref, size)
	clear(b)
	next := s.free[c]
	b[0], b[1], b[2], b[3] = byte(next), byte(next>>8), byte(next>>16), byte(next>>24)
	s.free[c] = ref
	s.live -= size
}

// Release gives all blocks back. The slab is empty and may be used again.
func (s *Slab) Release() {
	s.mem.Free()
	s.free, s.live = [slabClasses]BlockRef{}, 0
}

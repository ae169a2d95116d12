package arena

import "math/bits"

// chunkBytes is the size of a sequence's chunks at most.
const chunkBytes = 4 << 10

// Sequence grows at its end in chunks of one size: nothing moves once it is
// longer than a chunk, and what short-lived sequences free fits the next ones.
// The zero value is empty. All calls get the same maker.
type Sequence[T any] struct {
	chunks [][]T
	length int
	shift  uint8 // of an index, for its chunk
}

// Len is the number of elements.
func (q *Sequence[T]) Len() int { return q.length }

// At returns element i. It is valid until the next Push, and for good when the
// sequence has been longer than a chunk.
func (q *Sequence[T]) At(i int) *T {
	return &q.chunks[i>>q.shift][i&(1<<q.shift-1)]
}

// Push adds a zero element and returns it.
func (q *Sequence[T]) Push(mem *Slices[T]) *T {
	if q.length == 0 {
		q.shift = uint8(bits.Len(uint(max(chunkBytes/mem.size, 1))) - 1)
		q.chunks = append(q.chunks[:0], nil)
	}
	i := q.length
	k, at := i>>q.shift, i&(1<<q.shift-1)
	switch {
	case k == len(q.chunks):
		q.chunks = append(q.chunks, mem.Make(1<<q.shift))
	case k == 0: // the first grows until it is as long as the others
		q.chunks[0] = mem.Grow(q.chunks[0], at+1)
	}
	q.length++
	out := &q.chunks[k][at]
	var zero T
	*out = zero
	return out
}

// Free gives the memory back and empties the sequence.
func (q *Sequence[T]) Free(mem *Slices[T]) {
	for _, c := range q.chunks {
		mem.Free(c)
	}
	*q = Sequence[T]{}
}

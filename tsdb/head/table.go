package head

import (
	"math/bits"

	"github.com/nilometer/nilometer/tsdb/arena"
)

// table finds numbers by hash: open addressing in slots of four bytes, at most
// three quarters of them in use. It grows by a third, so that it is never far
// from that. What a number's hash is, and whether it is the one looked for, is
// the caller's to say.
type table struct {
	words arena.Slices[uint32]
	slots []uint32 // a number plus one; 0: free
	used  int
}

func newTable(o *arena.Owner) table { return table{words: arena.NewSlices[uint32](o)} }

// home is the slot that a hash begins at.
func (t *table) home(hash uint64) int {
	hi, _ := bits.Mul64(hash, uint64(len(t.slots)))
	return int(hi)
}

// next returns a number of this hash and the slot to go on from; ok is false at
// the end. The caller compares: numbers of other hashes come, too.
func (t *table) next(at int) (number uint32, after int, ok bool) {
	if len(t.slots) == 0 || t.slots[at] == 0 {
		return 0, 0, false
	}
	after = at + 1
	if after == len(t.slots) {
		after = 0
	}
	return t.slots[at] - 1, after, true
}

// add puts a number that is not there.
func (t *table) add(hash uint64, number uint32, hashOf func(uint32) uint64) {
	t.reserve(1, hashOf)
	t.put(hash, number)
	t.used++
}

func (t *table) put(hash uint64, number uint32) {
	at := t.home(hash)
	for t.slots[at] != 0 {
		if at++; at == len(t.slots) {
			at = 0
		}
	}
	t.slots[at] = number + 1
}

// tableMin is the number of slots of the smallest table.
const tableMin = 16

// reserve makes room for n more numbers.
func (t *table) reserve(n int, hashOf func(uint32) uint64) {
	if (t.used+n)*4 <= len(t.slots)*3 {
		return
	}
	old := t.slots
	t.slots = t.words.Make(max(tableMin, len(old)*4/3+1, (t.used+n)*3/2))
	t.slots = t.slots[:cap(t.slots)]
	for _, s := range old {
		if s != 0 {
			t.put(hashOf(s-1), s-1)
		}
	}
	t.words.Free(old)
}

// remove takes a number out that is there. What was moved on because of it
// moves back: there are no marks of what was.
func (t *table) remove(hash uint64, number uint32, hashOf func(uint32) uint64) {
	hole := t.home(hash)
	for t.slots[hole] != number+1 {
		if hole++; hole == len(t.slots) {
			hole = 0
		}
	}
	t.used--
	n := len(t.slots)
	for at := hole; ; {
		t.slots[hole] = 0
		for {
			if at++; at == n {
				at = 0
			}
			if t.slots[at] == 0 {
				return
			}
			// It may move to the hole unless its home lies behind the hole.
			home := t.home(hashOf(t.slots[at] - 1))
			if (at-home+n)%n >= (at-hole+n)%n {
				break
			}
		}
		t.slots[hole], hole = t.slots[at], at
	}
}

// free gives the memory back.
func (t *table) free() {
	t.words.Free(t.slots)
	t.slots, t.used = nil, 0
}

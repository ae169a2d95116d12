package head

import (
	"math/bits"
	"slices"

	"github.com/nilometer/nilometer/tsdb/part"
)

// keyed is a series and what it is sorted by.
type keyed struct {
	key uint64
	id  seriesID
}

// sorter puts series into label order. The ranks of a series' labels, one after
// the other, compare as its labels do; of the columns of such ranks those in
// which the series differ at all are packed into one word, and words are sorted
// without looking at any label. Series whose words are equal are sorted by the
// columns that had no room.
type sorter struct {
	index   *index
	keys    []keyed // of all series
	spare   []keyed
	columns columns64
	restart bool // labels got other ranks on the way
	held    bool // the lock is held throughout
}

// columnsMax is the number of labels that are looked at as columns: the rest is
// compared one by one.
const columnsMax = 32

// lockedBatch is the number of series that are looked at in one holding of the
// index' lock, some 100 µs.
const lockedBatch = 8192

// restartsMax is how often sorting starts over because labels got other ranks;
// then it keeps the lock.
const restartsMax = 2

// order sorts series by labels. A number stays its series: the snapshot that
// asks knows it.
func (s *sorter) order(x *index, ids []seriesID) []part.Ref {
	s.index = x
	if cap(s.keys) < len(ids) {
		s.keys = make([]keyed, len(ids))
	}
	s.keys = s.keys[:len(ids)]
	for try := 0; ; try++ {
		for i, id := range ids {
			s.keys[i].id = id
		}
		if s.restart, s.held = false, try == restartsMax; s.held {
			x.sortedRLock()
		}
		s.sort(s.keys, 0)
		if s.held {
			x.mu.RUnlock()
		}
		if !s.restart {
			break
		}
	}
	out := make([]part.Ref, len(ids))
	for i, k := range s.keys {
		out[i] = part.Ref(k.id)
	}
	return out
}

// keyedMin is the number of series from which on packing columns is faster than
// comparing labels.
const keyedMin = 48

// sort sorts series that agree in all columns before from.
func (s *sorter) sort(keys []keyed, from int) {
	if len(keys) < 2 || s.restart {
		return
	}
	if len(keys) < keyedMin || from >= columnsMax {
		s.lock()
		slices.SortFunc(keys, func(a, b keyed) int { return s.index.compareLocked(a.id, b.id) })
		s.unlock()
		return
	}
	if !s.gather(keys) {
		return
	}
	next := s.columns.key(keys, from)
	s.byKey(keys)
	for at := 0; at < len(keys); {
		end := at + 1
		for end < len(keys) && keys[end].key == keys[at].key {
			end++
		}
		s.sort(keys[at:end], next)
		at = end
	}
}

// gather notes the tuples of the series; false when labels got other ranks
// meanwhile.
func (s *sorter) gather(keys []keyed) bool {
	x := s.index
	c := &s.columns
	c.reset(len(keys))
	s.lock()
	generation := x.generation
	s.unlock()
	for rest := keys; len(rest) > 0; {
		s.lock()
		if s.restart = x.generation != generation; s.restart {
			s.unlock()
			return false
		}
		n := min(len(rest), lockedBatch)
		left, right := x.left.All(), x.right.All()
		for i := range rest[:n] {
			id := rest[i].id
			c.add(&x.tuples, left[id], right[id])
		}
		rest = rest[n:]
		s.unlock()
	}
	return true
}

func (s *sorter) lock() {
	if !s.held {
		s.index.mu.RLock()
	}
}

func (s *sorter) unlock() {
	if !s.held {
		s.index.mu.RUnlock()
	}
}

// radixMin is the number of series from which on sorting digit by digit is
// faster.
const radixMin = 256

// byKey sorts by key.
func (s *sorter) byKey(keys []keyed) {
	var all uint64
	for i := range keys {
		all |= keys[i].key
	}
	if len(keys) < radixMin {
		slices.SortFunc(keys, func(a, b keyed) int {
			switch {
			case a.key < b.key:
				return -1
			case a.key > b.key:
				return 1
			}
			return 0
		})
		return
	}
	if len(s.spare) < len(keys) {
		s.spare = make([]keyed, len(keys))
	}
	from, to := keys, s.spare[:len(keys)]
	for shift := 0; shift < bits.Len64(all); shift += 8 {
		var at [257]int
		for i := range from {
			at[from[i].key>>shift&255+1]++
		}
		for d := 1; d < 256; d++ {
			at[d] += at[d-1]
		}
		for _, k := range from {
			d := k.key >> shift & 255
			to[at[d]] = k
			at[d]++
		}
		from, to = to, from
	}
	if &from[0] != &keys[0] {
		copy(keys, from)
	}
}

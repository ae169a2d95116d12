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
	keys    []keyed
	spare   []keyed
	restart bool // labels got other ranks on the way
	held    bool // the lock is held throughout
}

// columnsMax is the number of labels that are looked at as columns: the rest is
// compared one by one.
const columnsMax = 32

// lockedBatch is the number of series that are looked at in one holding of the
// index' lock, some 100 µs.
const lockedBatch = 4096

// restartsMax is how often sorting starts over because labels got other ranks;
// then it keeps the lock.
const restartsMax = 2

// ordered sorts series by labels. A number stays its series': the snapshot that
// asks knows it.
func (x *index) ordered(ids []seriesID) []part.Ref {
	s := sorter{index: x, keys: make([]keyed, len(ids))}
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

// sort sorts series that agree in all columns before from.
func (s *sorter) sort(keys []keyed, from int) {
	if len(keys) < 2 || s.restart {
		return
	}
	if len(keys) < 12 || from >= columnsMax {
		s.lock()
		slices.SortFunc(keys, func(a, b keyed) int { return s.index.compareLocked(a.id, b.id) })
		s.unlock()
		return
	}
	next := s.key(keys, from)
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

// bounds are the least and largest rank of a column; 0 stands for no label.
type bounds struct{ low, high uint32 }

// key sets the keys to as many columns as have room, and returns the column
// after them.
func (s *sorter) key(keys []keyed, from int) (next int) {
	s.lock()
	generation := s.index.generation
	s.unlock()
	var columns [columnsMax]bounds
	for i := range columns {
		columns[i].low = 1<<32 - 1
	}
	widest := 0
	s.eachRank(keys, generation, func(_ *keyed, ranks []uint32) {
		widest = max(widest, len(ranks))
		for i := from; i < columnsMax; i++ {
			r := uint32(0)
			if i < len(ranks) {
				r = ranks[i]
			}
			columns[i].low, columns[i].high = min(columns[i].low, r), max(columns[i].high, r)
			if r == 0 {
				clearLow(columns[i+1:])
				break
			}
		}
	})
	left := 64
	var shift [columnsMax]uint8
	for next = from; next < min(widest, columnsMax); next++ {
		n := bits.Len32(columns[next].high - columns[next].low)
		if n > left {
			break
		}
		left -= n
		shift[next] = uint8(left)
	}
	s.eachRank(keys, generation, func(k *keyed, ranks []uint32) {
		k.key = 0
		for i := from; i < next; i++ {
			r := uint32(0)
			if i < len(ranks) {
				r = ranks[i]
			}
			k.key |= uint64(r-columns[i].low) << shift[i]
		}
		k.key >>= left
	})
	if next >= widest {
		return columnsMax // labels of one series differ from another's within the widest
	}
	return next
}

// clearLow notes that some series has none of these columns.
func clearLow(columns []bounds) {
	for i := range columns {
		if columns[i].low == 0 {
			return
		}
		columns[i].low = 0
	}
}

// eachRank calls do with the ranks of the labels of each series.
func (s *sorter) eachRank(keys []keyed, generation uint64, do func(*keyed, []uint32)) {
	x := s.index
	var buf [columnsMax]uint32
	for len(keys) > 0 && !s.restart {
		s.lock()
		if s.restart = x.generation != generation; !s.restart {
			n := min(len(keys), lockedBatch)
			ranks, left, right := x.tuples.order.ranks.All(), x.left.All(), x.right.All()
			for i := range keys[:n] {
				k := &keys[i]
				do(k, x.tuples.ranksOf(buf[:0], ranks, left[k.id], right[k.id]))
			}
			keys = keys[n:]
		}
		s.unlock()
	}
}

// ranksOf appends the ranks of the labels of two tuples, ascending: that is the
// order of names.
func (t *tuples) ranksOf(dst, ranks []uint32, left, right tupleID) []uint32 {
	a, b := t.of(left), t.of(right)
	for len(a) > 0 && len(b) > 0 {
		ra, rb := ranks[a[0]], ranks[b[0]]
		if ra < rb {
			dst, a = append(dst, ra), a[1:]
		} else {
			dst, b = append(dst, rb), b[1:]
		}
	}
	for _, p := range a {
		dst = append(dst, ranks[p])
	}
	for _, p := range b {
		dst = append(dst, ranks[p])
	}
	return dst
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

package head

import (
	"slices"
	"sync"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/nilometer/nilometer/model/series"
)

// seriesID numbers the series of one head. The number of a forgotten series is
// used again when no snapshot is left that may know it.
type seriesID uint32

const noSeries = seriesID(1<<32 - 1)

// owner is the place where a series' samples go: a slot of a group.
type owner struct {
	group uint32 // index in Head.groups
	slot  uint32
}

// nowhere is the owner of a series that was forgotten.
var nowhere = owner{group: 1<<32 - 1}

// symbolID numbers the strings of labels.
type symbolID uint32

// pair is a label: two symbols.
type pair struct{ name, value symbolID }

// index finds series by labels. Its methods ending in Locked are called with
// mu held.
type index struct {
	mu sync.RWMutex // guards everything

	// symbols may have holes, which freeSymbols lists. It is replaced, and never
	// changed in place, where a symbol goes.
	symbols     []string
	symbolOf    map[string]symbolID
	freeSymbols []symbolID

	// By seriesID. pairs has the labels in order of names; both are replaced when
	// they are compacted.
	pairs     []pair
	labelsAt  []span32
	deadPairs int // in pairs, of forgotten series
	hashes    []series.Hash
	owners    []owner
	former    map[seriesID][]owner // places it was in before, oldest first
	dead      int
	free      []freeID
	// oldest is the oldest commit that a snapshot may see.
	oldest func() uint64

	byHash   map[series.Hash]seriesID
	chain    map[seriesID]seriesID // further series of the same hash
	postings map[pair][]seriesID   // ascending; never changed in place
	values   map[symbolID][]symbolID
}

// span32 is [at, at+n) of a slice.
type span32 struct{ at, n uint32 }

// freeID is the number of a series that was forgotten after a commit.
type freeID struct {
	id     seriesID
	commit uint64
}

func newIndex(oldest func() uint64) index {
	return index{
		oldest: oldest, symbolOf: map[string]symbolID{}, former: map[seriesID][]owner{},
		byHash: map[series.Hash]seriesID{}, chain: map[seriesID]seriesID{},
		postings: map[pair][]seriesID{}, values: map[symbolID][]symbolID{},
	}
}

// liveLocked is the number of series.
func (x *index) liveLocked() int { return len(x.hashes) - x.dead }

// findLocked returns the series with these labels.
func (x *index) findLocked(hash series.Hash, lset labels.Labels) (seriesID, bool) {
	id, ok := x.byHash[hash]
	for ok {
		if x.equalLocked(id, lset) {
			return id, true
		}
		id, ok = x.chain[id]
	}
	return noSeries, false
}

func (x *index) equalLocked(id seriesID, lset labels.Labels) bool {
	ps := x.pairsLocked(id)
	i, same := 0, true
	lset.Range(func(l labels.Label) {
		same = same && i < len(ps) && x.symbols[ps[i].name] == l.Name && x.symbols[ps[i].value] == l.Value
		i++
	})
	return same && i == len(ps)
}

func (x *index) pairsLocked(id seriesID) []pair {
	at := x.labelsAt[id]
	return x.pairs[at.at : at.at+at.n]
}

// addLocked makes a series; the caller knows that there is none.
func (x *index) addLocked(hash series.Hash, lset labels.Labels, at owner) seriesID {
	id := x.newIDLocked()
	from := len(x.pairs)
	lset.Range(func(l labels.Label) {
		p := pair{x.symbolLocked(l.Name), x.symbolLocked(l.Value)}
		x.pairs = append(x.pairs, p)
		list, known := x.postings[p]
		if !known {
			x.values[p.name] = append(x.values[p.name], p.value)
		}
		x.postings[p] = withID(list, id)
	})
	x.labelsAt[id] = span32{uint32(from), uint32(len(x.pairs) - from)}
	x.hashes[id], x.owners[id] = hash, at
	if first, taken := x.byHash[hash]; taken {
		x.chain[id] = first
	}
	x.byHash[hash] = id
	return id
}

// newIDLocked returns a number for a series, a forgotten one when there is one.
func (x *index) newIDLocked() seriesID {
	if len(x.free) > 0 && x.free[0].commit < x.oldest() {
		id := x.free[0].id
		x.free = x.free[1:]
		x.dead--
		return id
	}
	x.labelsAt = append(x.labelsAt, span32{})
	x.hashes = append(x.hashes, 0)
	x.owners = append(x.owners, nowhere)
	return seriesID(len(x.hashes) - 1)
}

// withID adds a number to an ascending list. What readers have of the list
// stays as it is.
func withID(list []seriesID, id seriesID) []seriesID {
	if len(list) == 0 || list[len(list)-1] < id {
		return append(list, id)
	}
	i, _ := slices.BinarySearch(list, id)
	out := make([]seriesID, 0, len(list)+1)
	return append(append(append(out, list[:i]...), id), list[i:]...)
}

func (x *index) symbolLocked(s string) symbolID {
	if id, ok := x.symbolOf[s]; ok {
		return id
	}
	s = string([]byte(s)) // the caller's memory may be a whole request
	id := symbolID(len(x.symbols))
	if k := len(x.freeSymbols) - 1; k >= 0 {
		id, x.freeSymbols = x.freeSymbols[k], x.freeSymbols[:k]
		x.symbols[id] = s // no reader knows a hole
	} else {
		x.symbols = append(x.symbols, s)
	}
	x.symbolOf[s] = id
	return id
}

// moveLocked gives a series another place.
func (x *index) moveLocked(id seriesID, to owner) {
	x.former[id] = append(x.former[id], x.owners[id])
	x.owners[id] = to
}

// placesLocked appends every place that a series is or was in, oldest first.
func (x *index) placesLocked(dst []owner, id seriesID) []owner {
	return append(append(dst, x.former[id]...), x.owners[id])
}

// hideLocked begins to forget a series: its labels find it no more.
func (x *index) hideLocked(id seriesID) {
	x.unhashLocked(id)
	x.owners[id] = nowhere
	delete(x.former, id)
	x.dead++
}

// removeLocked forgets series that are hidden and that no group knows any more;
// ids is sorted. commit is the last one that a snapshot of now may see.
func (x *index) removeLocked(ids []seriesID, commit uint64) {
	touched := map[pair]bool{}
	for _, id := range ids {
		for _, p := range x.pairsLocked(id) {
			touched[p] = true
		}
		x.deadPairs += int(x.labelsAt[id].n)
		x.free = append(x.free, freeID{id, commit})
	}
	x.unpostLocked(ids, touched)
	if x.deadPairs > len(x.pairs)/4 {
		x.compactLocked()
	}
}

// unpostLocked takes series out of the postings.
func (x *index) unpostLocked(ids []seriesID, touched map[pair]bool) {
	for p := range touched {
		left := slices.DeleteFunc(slices.Clone(x.postings[p]), func(id seriesID) bool {
			_, gone := slices.BinarySearch(ids, id)
			return gone
		})
		if len(left) > 0 {
			x.postings[p] = left
			continue
		}
		delete(x.postings, p)
		x.values[p.name] = slices.DeleteFunc(slices.Clone(x.values[p.name]), func(v symbolID) bool { return v == p.value })
		if len(x.values[p.name]) == 0 {
			delete(x.values, p.name)
		}
	}
}

// compactLocked drops the labels of forgotten series, and symbols that nobody
// uses. Readers keep what they have: nothing is changed in place.
func (x *index) compactLocked() {
	gone := make(map[seriesID]bool, len(x.free))
	for _, f := range x.free {
		gone[f.id] = true
	}
	pairs := make([]pair, 0, len(x.pairs)-x.deadPairs)
	at := make([]span32, len(x.labelsAt))
	used := make([]bool, len(x.symbols))
	for id := range x.labelsAt {
		ps := x.pairsLocked(seriesID(id))
		if gone[seriesID(id)] {
			continue
		}
		at[id] = span32{uint32(len(pairs)), uint32(len(ps))}
		pairs = append(pairs, ps...)
		for _, p := range ps {
			used[p.name], used[p.value] = true, true
		}
	}
	x.pairs, x.labelsAt, x.deadPairs = pairs, at, 0
	x.symbols = slices.Clone(x.symbols)
	x.freeSymbols = x.freeSymbols[:0]
	for id, u := range used {
		if !u {
			if s := x.symbols[id]; x.symbolOf[s] == symbolID(id) {
				delete(x.symbolOf, s)
			}
			x.symbols[id] = ""
			x.freeSymbols = append(x.freeSymbols, symbolID(id))
		}
	}
}

func (x *index) unhashLocked(id seriesID) {
	hash := x.hashes[id]
	next, more := x.chain[id]
	if x.byHash[hash] == id {
		delete(x.byHash, hash)
		if more {
			x.byHash[hash] = next
		}
	} else {
		for at := x.byHash[hash]; ; at = x.chain[at] {
			if x.chain[at] == id {
				delete(x.chain, at)
				if more {
					x.chain[at] = next
				}
				break
			}
		}
	}
	delete(x.chain, id)
}

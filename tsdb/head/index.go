package head

import (
	"slices"
	"sync"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/nilometer/nilometer/model/series"
)

// seriesID numbers the series of one head. Numbers are not used again.
type seriesID uint32

const noSeries = seriesID(1<<32 - 1)

// owner is the place where a series' samples go: a slot of a group.
type owner struct {
	group uint32 // index in Head.groups
	slot  uint32
}

// symbolID numbers the strings of labels.
type symbolID uint32

// pair is a label: two symbols.
type pair struct{ name, value symbolID }

// index finds series by labels. Its methods ending in Locked are called with
// mu held.
type index struct {
	mu sync.RWMutex // guards everything

	symbols  []string
	symbolOf map[string]symbolID

	// By seriesID. labelsFrom has one more entry: the pairs of series i are
	// pairs[labelsFrom[i]:labelsFrom[i+1]], in order of names.
	pairs      []pair
	labelsFrom []uint32
	hashes     []series.Hash
	owners     []owner
	former     map[seriesID][]owner // places it was in before, oldest first
	dead       int

	byHash   map[series.Hash]seriesID
	chain    map[seriesID]seriesID // further series of the same hash
	postings map[pair][]seriesID   // ascending; never changed in place
	values   map[symbolID][]symbolID
}

func newIndex() index {
	return index{
		symbolOf: map[string]symbolID{}, labelsFrom: []uint32{0}, former: map[seriesID][]owner{},
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

func (x *index) pairsLocked(id seriesID) []pair { return x.pairs[x.labelsFrom[id]:x.labelsFrom[id+1]] }

// addLocked makes a series; the caller knows that there is none.
func (x *index) addLocked(hash series.Hash, lset labels.Labels, at owner) seriesID {
	id := seriesID(len(x.hashes))
	lset.Range(func(l labels.Label) {
		p := pair{x.symbolLocked(l.Name), x.symbolLocked(l.Value)}
		x.pairs = append(x.pairs, p)
		list, known := x.postings[p]
		if !known {
			x.values[p.name] = append(x.values[p.name], p.value)
		}
		x.postings[p] = append(list, id)
	})
	x.labelsFrom = append(x.labelsFrom, uint32(len(x.pairs)))
	x.hashes = append(x.hashes, hash)
	x.owners = append(x.owners, at)
	if first, taken := x.byHash[hash]; taken {
		x.chain[id] = first
	}
	x.byHash[hash] = id
	return id
}

func (x *index) symbolLocked(s string) symbolID {
	if id, ok := x.symbolOf[s]; ok {
		return id
	}
	id := symbolID(len(x.symbols))
	s = string([]byte(s)) // the caller's memory may be a whole request
	x.symbols = append(x.symbols, s)
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

// removeLocked forgets series; ids is sorted.
func (x *index) removeLocked(ids []seriesID) {
	touched := map[pair]bool{}
	for _, id := range ids {
		for _, p := range x.pairsLocked(id) {
			touched[p] = true
		}
		x.unhashLocked(id)
		delete(x.former, id)
		x.dead++
	}
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

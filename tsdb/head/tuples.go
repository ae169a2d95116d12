package head

import (
	"math/bits"

	"github.com/nilometer/nilometer/tsdb/arena"
)

// pairID numbers labels: pairs of a name and a value.
type pairID uint32

// pair is a label, and the tuples that it is in.
type pair struct {
	name, value symbolID
	tuples      list
	live        uint32 // those of tuples that have a series
}

// tupleID numbers tuples. 0 is the empty one, which has no postings.
type tupleID uint32

// tuple is labels that series have in common, and the series.
//
// A label set is two of them: what the series of its target share, and the
// rest, which the same series of other targets share. So a series costs eight
// bytes instead of some for each of its labels, and has two postings instead of
// one a label.
type tuple struct {
	at     uint32 // in tuples.labels: the number of labels, then their pairs in order of names
	series list
}

// tuples are the labels of an index. It is guarded by the index' lock.
type tuples struct {
	owner   *arena.Owner
	symbols symbols
	pairs   arena.Array[pair]
	byPair  table
	all     arena.Array[tuple]
	labels  arena.Array[pairID]
	byTuple table
	lists   lists
	order   order
	dead    int // labels of tuples that have no series
}

func newTuples(o *arena.Owner) tuples {
	t := tuples{
		owner: o, symbols: newSymbols(o), pairs: arena.NewArray[pair](o), byPair: newTable(o),
		all: arena.NewArray[tuple](o), labels: arena.NewArray[pairID](o), byTuple: newTable(o),
		lists: lists{arena.NewSlab(o)}, order: newOrder(o),
	}
	t.all.Push(tuple{})
	t.labels.Push(0)
	return t
}

// of returns the labels of a tuple, which callers must not change.
func (t *tuples) of(id tupleID) []pairID {
	at := t.all.All()[id].at
	ps := t.labels.All()
	n := uint32(ps[at])
	return ps[at+1 : at+1+n]
}

// name and value are the strings of a label.
func (t *tuples) name(p pairID) string  { return t.symbols.of(t.pairs.All()[p].name) }
func (t *tuples) value(p pairID) string { return t.symbols.of(t.pairs.All()[p].value) }

// mix spreads the bits of two numbers over a hash.
func mix(a, b uint64) uint64 {
	hi, lo := bits.Mul64(a^0x9e3779b97f4a7c15, b^0xbf58476d1ce4e5b9)
	return hi ^ lo
}

func hashPair(name, value symbolID) uint64 {
	return mix(mix(uint64(name)+1, uint64(value)+1), 0x94d049bb133111eb)
}

func (t *tuples) hashOfPair(id uint32) uint64 {
	p := &t.pairs.All()[id]
	return hashPair(p.name, p.value)
}

// findPair returns the label of a name and a value.
func (t *tuples) findPair(name, value symbolID) (pairID, bool) {
	if t.byPair.used == 0 {
		return 0, false
	}
	all := t.pairs.All()
	for id, at, ok := t.byPair.next(t.byPair.home(hashPair(name, value))); ok; id, at, ok = t.byPair.next(at) {
		if all[id].name == name && all[id].value == value {
			return pairID(id), true
		}
	}
	return 0, false
}

// addPair returns the label of a name and a value, made when it is new.
func (t *tuples) addPair(name, value symbolID) pairID {
	if id, ok := t.findPair(name, value); ok {
		return id
	}
	id := uint32(t.pairs.Len())
	t.pairs.Push(pair{name: name, value: value})
	t.byPair.add(hashPair(name, value), id, t.hashOfPair)
	return pairID(id)
}

func hashTuple(ps []pairID) uint64 {
	h := uint64(len(ps))
	for _, p := range ps {
		h = mix(h, uint64(p)+1)
	}
	return h
}

func (t *tuples) hashOfTuple(id uint32) uint64 { return hashTuple(t.of(tupleID(id))) }

// add returns the tuple of some labels in order of names, made when it is new.
func (t *tuples) add(ps []pairID) tupleID {
	if len(ps) == 0 {
		return 0
	}
	hash := hashTuple(ps)
	if id, ok := t.find(hash, ps); ok {
		return id
	}
	id := uint32(t.all.Len())
	t.all.Push(tuple{at: uint32(t.labels.Len())})
	t.labels.Push(pairID(len(ps)))
	copy(t.labels.Extend(len(ps)), ps)
	t.byTuple.add(hash, id, t.hashOfTuple)
	all := t.pairs.All()
	for _, p := range ps {
		t.lists.add(&all[p].tuples, id)
	}
	t.dead += len(ps) // until it has a series
	return tupleID(id)
}

func (t *tuples) find(hash uint64, ps []pairID) (tupleID, bool) {
	if t.byTuple.used == 0 {
		return 0, false
	}
next:
	for id, at, ok := t.byTuple.next(t.byTuple.home(hash)); ok; id, at, ok = t.byTuple.next(at) {
		have := t.of(tupleID(id))
		if len(have) != len(ps) {
			continue
		}
		for i := range ps {
			if have[i] != ps[i] {
				continue next
			}
		}
		return tupleID(id), true
	}
	return 0, false
}

// post adds a series to a tuple's postings.
func (t *tuples) post(id tupleID, s seriesID) {
	if id == 0 {
		return
	}
	u := &t.all.All()[id]
	if u.series.count == 0 {
		t.revive(id, 1)
	}
	t.lists.add(&u.series, uint32(s))
}

// unpost takes series out of a tuple's postings, sorted ones, those that are
// there.
func (t *tuples) unpost(id tupleID, gone []uint32) {
	u := &t.all.All()[id]
	t.lists.remove(&u.series, gone)
	if u.series.count == 0 {
		t.revive(id, -1)
	}
}

// revive notes that a tuple has series now (1), or none (-1).
func (t *tuples) revive(id tupleID, by int) {
	ps := t.of(id)
	t.dead -= by * len(ps)
	all := t.pairs.All()
	for _, p := range ps {
		all[p].live = uint32(int(all[p].live) + by)
	}
}

// full tells that there is no room for many more labels.
func (t *tuples) full() bool {
	const most = 1<<32 - 1<<24
	return t.symbols.full() || t.labels.Len() > most || t.pairs.Len() > most
}

// free gives all memory back.
func (t *tuples) free() {
	t.symbols.free()
	t.pairs.Free()
	t.byPair.free()
	t.all.Free()
	t.labels.Free()
	t.byTuple.free()
	t.lists.slab.Release()
	t.order.free()
}

package head

import (
	"github.com/nilometer/nilometer/format/seal"
	"github.com/nilometer/nilometer/model/series"
)

// definitions returns the labels of series as a frame has them. A series whose
// number is another one by now was forgotten, and is left out.
func (x *index) definitions(tenant string, defs []definition) *seal.Definitions {
	d := &seal.Definitions{Tenant: tenant, Series: make([]seal.Definition, 0, len(defs))}
	tuples, symbols := map[tupleID]uint32{0: 0}, map[symbolID]uint32{}
	x.mu.RLock()
	defer x.mu.RUnlock()
	t := &x.tuples
	symbol := func(id symbolID) uint32 {
		ref, ok := symbols[id]
		if !ok {
			ref = uint32(len(d.Strings))
			symbols[id] = ref
			d.Strings = append(d.Strings, t.symbols.of(id))
		}
		return ref
	}
	tuple := func(id tupleID) uint32 {
		ref, ok := tuples[id]
		if !ok {
			var refs []uint32
			for _, p := range t.of(id) {
				q := &t.pairs.All()[p]
				refs = append(refs, symbol(q.name), symbol(q.value))
			}
			d.Tuples = append(d.Tuples, refs)
			ref = uint32(len(d.Tuples))
			tuples[id] = ref
		}
		return ref
	}
	for _, f := range defs {
		left, right := x.left.All()[f.id], x.right.All()[f.id]
		if x.numberLocked(f.id) != f.number || left|right == 0 {
			continue
		}
		d.Series = append(d.Series, seal.Definition{Number: f.number, Hash: x.hashOf(uint32(f.id)), Left: tuple(left), Right: tuple(right)})
	}
	return d
}

// define makes the series of a frame, which are in no group yet, and calls do
// with the number and the series of each. A series that there is already keeps
// the number that it has.
func (x *index) define(d *seal.Definitions, do func(number uint64, id seriesID)) {
	x.mu.Lock()
	defer x.mu.Unlock()
	t := &x.tuples
	symbols := make([]symbolID, len(d.Strings))
	for i, s := range d.Strings {
		symbols[i] = t.symbols.add(s)
	}
	tuples := make([]tupleID, 1, len(d.Tuples)+1)
	for _, refs := range d.Tuples {
		x.pairs = x.pairs[:0]
		for i := 0; i < len(refs); i += 2 {
			x.pairs = append(x.pairs, t.addPair(symbols[refs[i]], symbols[refs[i+1]]))
		}
		tuples = append(tuples, t.add(x.pairs))
	}
	for _, s := range d.Series {
		do(s.Number, x.defineLocked(s.Number, series.Hash(s.Hash), tuples[s.Left], tuples[s.Right]))
	}
}

// defineLocked returns the series of two tuples of labels, made when there is
// none.
func (x *index) defineLocked(number uint64, hash series.Hash, left, right tupleID) seriesID {
	if x.byHash.used > 0 {
		for id, at, ok := x.byHash.next(x.byHash.home(uint64(hash))); ok; id, at, ok = x.byHash.next(at) {
			if x.hashes.All()[id] == hash && x.sameLocked(seriesID(id), left, right) {
				return seriesID(id)
			}
		}
	}
	return x.newLocked(hash, left, right, nowhere, number)
}

// sameLocked tells whether a series has the labels of two tuples, which may
// share them out in another way than its own.
func (x *index) sameLocked(id seriesID, left, right tupleID) bool {
	if x.left.All()[id] == left && x.right.All()[id] == right {
		return true
	}
	t := &x.tuples
	has := map[pairID]bool{}
	for _, u := range [2]tupleID{left, right} {
		for _, p := range t.of(u) {
			has[p] = true
		}
	}
	n := 0
	for _, u := range [2]tupleID{x.left.All()[id], x.right.All()[id]} {
		for _, p := range t.of(u) {
			if !has[p] {
				return false
			}
			n++
		}
	}
	return n == len(has)
}

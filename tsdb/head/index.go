package head

import (
	"slices"
	"strings"
	"sync"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"

	"github.com/nilometer/nilometer/model/series"
	"github.com/nilometer/nilometer/tsdb/arena"
)

// seriesID is where the index of one head has a series. The place of a forgotten
// one is used again when no snapshot is left that may know it; its number, by
// which the log and files of seals know it, never is.
type seriesID uint32

const noSeries = seriesID(1<<32 - 1)

// metricName is the label that no two series of a scrape are expected to share.
const metricName = model.MetricNameLabel

// seriesMax bounds the numbers of one head.
const seriesMax = 1 << 30

// owner is the place where a series' samples go: a slot of a group.
type owner struct {
	group uint32 // index in Head.groups
	slot  uint32
}

// nowhere is the owner of a series that was forgotten.
var nowhere = owner{group: 1<<32 - 1}

// index finds series by labels. All that there is one of per series, or per
// label, is in flat memory outside of the Go heap: about 38 bytes a series
// beside its tuples. Its methods ending in Locked are called with mu held.
type index struct {
	mu sync.RWMutex // guards everything

	tuples     tuples
	metricName symbolID
	sharing    sharing
	pairs      []pairID // scratch of addLocked

	removing    sync.Mutex   // held by who forgets series and copies labels, before mu
	renumbering *renumbering // nil: none is under way

	// By seriesID.
	left, right arena.Array[tupleID] // the labels: what the group shares, and the rest; 0 and 0 of numbers that are free
	hashes      arena.Array[series.Hash]
	numbers     arena.Array[uint64] // in the log and in files of seals; 0 of those that are forgotten
	owners      arena.Array[owner]
	byHash      table

	newest uint64               // of numbers
	former map[seriesID][]owner // places it was in before, oldest first
	dead   int
	free   []freeID
	// oldest is the oldest commit that a snapshot may see.
	oldest     func() uint64
	selections sync.Pool // of *selection
	// generation changes when labels get other numbers or ranks.
	generation uint64
}

// freeID is the number of a series that was forgotten after a commit.
type freeID struct {
	id     seriesID
	commit uint64
}

func newIndex(o *arena.Owner, oldest func() uint64) index {
	t := newTuples(o)
	name := t.symbols.add(metricName)
	return index{
		tuples: t, metricName: name, oldest: oldest, former: map[seriesID][]owner{},
		left: arena.NewArray[tupleID](o), right: arena.NewArray[tupleID](o),
		hashes: arena.NewArray[series.Hash](o), numbers: arena.NewArray[uint64](o), owners: arena.NewArray[owner](o), byHash: newTable(o),
	}
}

// liveLocked is the number of series.
func (x *index) liveLocked() int { return x.hashes.Len() - x.dead }

// fullLocked tells that there is no room for another series.
func (x *index) fullLocked() bool { return x.hashes.Len() >= seriesMax || x.tuples.full() }

func (x *index) ownerLocked(id seriesID) owner { return x.owners.All()[id] }

// numberLocked is the number of a series outside of memory: a label set that is
// forgotten and comes again has another, higher one.
func (x *index) numberLocked(id seriesID) uint64 { return x.numbers.All()[id] }

// setNumberLocked gives a series its number.
func (x *index) setNumberLocked(id seriesID, number uint64) {
	x.numbers.All()[id] = number
	x.newest = max(x.newest, number)
}

// atLeast makes the numbers of new series higher than one that may be in the log.
func (x *index) atLeast(number uint64) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.newest = max(x.newest, number)
}

// renew gives a series the number of a new one.
func (x *index) renew(id seriesID) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.setNumberLocked(id, x.newest+1)
}

func (x *index) hashOf(id uint32) uint64 { return uint64(x.hashes.All()[id]) }

// findLocked returns the series with these labels.
func (x *index) findLocked(hash series.Hash, lset labels.Labels) (seriesID, bool) {
	if x.byHash.used == 0 {
		return noSeries, false
	}
	for id, at, ok := x.byHash.next(x.byHash.home(uint64(hash))); ok; id, at, ok = x.byHash.next(at) {
		if x.hashes.All()[id] == hash && x.equalLocked(seriesID(id), lset) {
			return seriesID(id), true
		}
	}
	return noSeries, false
}

// equalLocked tells whether a series has these labels.
func (x *index) equalLocked(id seriesID, lset labels.Labels) bool {
	t := &x.tuples
	a, b := t.of(x.left.All()[id]), t.of(x.right.All()[id])
	same := true
	lset.Range(func(l labels.Label) {
		switch {
		case !same:
		case len(b) > 0 && t.is(b[0], l):
			b = b[1:]
		case len(a) > 0 && t.is(a[0], l):
			a = a[1:]
		default:
			same = false
		}
	})
	return same && len(a)+len(b) == 0
}

func (t *tuples) is(p pairID, l labels.Label) bool {
	q := &t.pairs.All()[p]
	return t.symbols.of(q.value) == l.Value && t.symbols.of(q.name) == l.Name
}

// pairsLocked appends the labels of a series to dst, in order of names.
func (x *index) pairsLocked(dst []pairID, id seriesID) []pairID {
	t := &x.tuples
	a, b := t.of(x.left.All()[id]), t.of(x.right.All()[id])
	ranks := t.order.ranks.All()
	for len(a) > 0 && len(b) > 0 {
		var first bool
		if int(a[0]) < len(ranks) && int(b[0]) < len(ranks) {
			first = ranks[a[0]] < ranks[b[0]]
		} else {
			first = t.name(a[0]) < t.name(b[0])
		}
		if first {
			dst, a = append(dst, a[0]), a[1:]
		} else {
			dst, b = append(dst, b[0]), b[1:]
		}
	}
	return append(append(dst, a...), b...)
}

// pairsMax is the number of labels for which callers of pairsLocked keep room.
const pairsMax = 32

// eachLabelLocked calls do with the labels of a series, in order of names.
func (x *index) eachLabelLocked(id seriesID, do func(name, value string)) {
	var buf [pairsMax]pairID
	for _, p := range x.pairsLocked(buf[:0], id) {
		do(x.tuples.name(p), x.tuples.value(p))
	}
}

// labelsLocked returns a label set.
func (x *index) labelsLocked(id seriesID) labels.Labels {
	b := labels.NewScratchBuilder(pairsMax)
	x.eachLabelLocked(id, b.Add)
	return b.Labels()
}

// labelValueLocked returns one label of a series, "" when it has none.
func (x *index) labelValueLocked(id seriesID, name string) string {
	t := &x.tuples
	for _, u := range [2]tupleID{x.right.All()[id], x.left.All()[id]} {
		for _, p := range t.of(u) {
			if t.name(p) == name {
				return t.value(p)
			}
		}
	}
	return ""
}

// addLocked makes a series; the caller knows that there is none.
func (x *index) addLocked(hash series.Hash, lset labels.Labels, at owner, number uint64) seriesID {
	t := &x.tuples
	x.pairs = x.pairs[:0]
	lset.Range(func(l labels.Label) {
		x.pairs = append(x.pairs, t.addPair(t.symbols.add(l.Name), t.symbols.add(l.Value)))
	})
	a, b := x.sharing.split(t, at.group, x.pairs, x.metricName)
	return x.newLocked(hash, t.add(a), t.add(b), at, number)
}

// newLocked makes a series of two tuples of labels.
func (x *index) newLocked(hash series.Hash, left, right tupleID, at owner, number uint64) seriesID {
	t := &x.tuples
	id := x.newIDLocked()
	t.post(left, id)
	t.post(right, id)
	if x.renumbering != nil {
		x.renumbering.note(left, id)
		x.renumbering.note(right, id)
	}
	x.left.All()[id], x.right.All()[id] = left, right
	x.hashes.All()[id], x.owners.All()[id] = hash, at
	x.setNumberLocked(id, number)
	x.byHash.add(uint64(hash), uint32(id), x.hashOf)
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
	x.left.Push(0)
	x.right.Push(0)
	x.hashes.Push(0)
	x.numbers.Push(0)
	x.owners.Push(nowhere)
	return seriesID(x.hashes.Len() - 1)
}

// moveLocked gives a series another place. It may be one that it was in before:
// a start finds that out of a log of which a part is missing.
func (x *index) moveLocked(id seriesID, to owner) {
	from := x.ownerLocked(id)
	x.owners.All()[id] = to
	if x.former[id] != nil {
		x.notAtLocked(id, func(at owner) bool { return at == to })
	}
	x.wasAtLocked(id, from)
}

// wasAtLocked notes a place that a series was in before.
func (x *index) wasAtLocked(id seriesID, at owner) {
	if at != x.ownerLocked(id) && !slices.Contains(x.former[id], at) {
		x.former[id] = append(x.former[id], at)
	}
}

// placesLocked appends every place that a series is or was in, oldest first.
func (x *index) placesLocked(dst []owner, id seriesID) []owner {
	return append(append(dst, x.former[id]...), x.ownerLocked(id))
}

// hideLocked begins to forget a series: its labels find it no more.
func (x *index) hideLocked(id seriesID) {
	x.byHash.remove(x.hashOf(uint32(id)), uint32(id), x.hashOf)
	x.owners.All()[id], x.numbers.All()[id] = nowhere, 0
	delete(x.former, id)
	x.dead++
}

// unpostLocked takes hidden series out of the postings; ids is sorted. Their
// numbers are free when no snapshot is left that sees commit.
func (x *index) unpostLocked(ids []seriesID, commit uint64) {
	gone := map[tupleID][]uint32{}
	left, right := x.left.All(), x.right.All()
	for _, id := range ids {
		gone[left[id]] = append(gone[left[id]], uint32(id))
		gone[right[id]] = append(gone[right[id]], uint32(id))
		x.free = append(x.free, freeID{id, commit})
	}
	delete(gone, 0)
	for u, s := range gone {
		x.tuples.unpost(u, s)
	}
}

// sparseLocked tells whether a quarter of the labels is dead: then those that
// are not are copied to new memory.
func (x *index) sparseLocked() bool { return x.tuples.dead > x.tuples.labels.Len()/4 }

// zeroFreeLocked takes the labels from numbers that are free.
func (x *index) zeroFreeLocked() {
	for _, f := range x.free {
		x.left.All()[f.id], x.right.All()[f.id] = 0, 0
	}
}

// names returns the sorted names of all labels.
func (x *index) names() []string {
	defer x.sortedRLock().RUnlock()
	return x.tuples.names()
}

// valuesOf returns the sorted values of a label.
func (x *index) valuesOf(name string) []string {
	defer x.sortedRLock().RUnlock()
	return x.tuples.values(name)
}

// sortedRLock takes the read lock at a moment when all labels are sorted, and
// returns it.
func (x *index) sortedRLock() *sync.RWMutex {
	for {
		x.mu.RLock()
		if !x.tuples.stale() {
			return &x.mu
		}
		x.mu.RUnlock()
		x.mu.Lock()
		if x.tuples.stale() {
			x.tuples.sort()
			x.generation++
		}
		x.mu.Unlock()
	}
}

// compareLocked orders two series as labels.Compare orders their labels.
func (x *index) compareLocked(a, b seriesID) int {
	t := &x.tuples
	var bufA, bufB [pairsMax]pairID
	pa, pb := x.pairsLocked(bufA[:0], a), x.pairsLocked(bufB[:0], b)
	for i := range min(len(pa), len(pb)) {
		if pa[i] == pb[i] {
			continue
		}
		if ranks := t.order.ranks.All(); int(pa[i]) < len(ranks) && int(pb[i]) < len(ranks) {
			return int(ranks[pa[i]]) - int(ranks[pb[i]])
		}
		if c := strings.Compare(t.name(pa[i]), t.name(pb[i])); c != 0 {
			return c
		}
		return strings.Compare(t.value(pa[i]), t.value(pb[i]))
	}
	return len(pa) - len(pb)
}

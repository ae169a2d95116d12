package head

import "slices"

// Sizes of the steps in which labels are dropped: between two of them the index
// can be had.
const (
	removeStep = 4096 // series
	pairStep   = 2048
	tupleStep  = 1024
)

// renumbering is a copy of the labels that series still have, on its way. It is
// made in steps under the index' read lock, and what comes meanwhile is noted.
type renumbering struct {
	to     tuples
	pairs  []pairID  // by pair of before: the one of now plus one
	became []tupleID // by tuple of before
	copied int       // tuples of before that are copied
	missed []missed
}

// missed is a series that came to a tuple that had been copied, or was new.
type missed struct {
	tuple  tupleID
	series seriesID
}

// note notes a series that is new, under the index' lock.
func (n *renumbering) note(u tupleID, id seriesID) {
	if u != 0 && (int(u) >= len(n.became) || int(u) < n.copied) {
		n.missed = append(n.missed, missed{u, id})
	}
}

// pair returns what became of a label.
func (n *renumbering) pair(old *tuples, p pairID) pairID {
	for int(p) >= len(n.pairs) {
		n.pairs = append(n.pairs, 0)
	}
	if n.pairs[p] == 0 {
		q := &old.pairs.All()[p]
		n.pairs[p] = n.to.addPair(n.to.symbols.add(old.symbols.of(q.name)), n.to.symbols.add(old.symbols.of(q.value))) + 1
	}
	return n.pairs[p] - 1
}

// tuple adds the labels of a tuple of before.
func (n *renumbering) tuple(old *tuples, u tupleID) tupleID {
	var buf [pairsMax]pairID
	ps := buf[:0]
	for _, p := range old.of(u) {
		ps = append(ps, n.pair(old, p))
	}
	return n.to.add(ps)
}

// remove forgets series that are hidden and that no group knows any more; ids is
// sorted. commit is the last one that a snapshot of now may see. Others get the
// index between its steps.
func (x *index) remove(ids []seriesID, commit uint64) {
	x.removing.Lock()
	defer x.removing.Unlock()
	for part := range slices.Chunk(ids, removeStep) {
		x.mu.Lock()
		x.unpostLocked(part, commit)
		x.mu.Unlock()
	}
	x.mu.Lock()
	if !x.sparseLocked() {
		x.mu.Unlock()
		return
	}
	x.zeroFreeLocked()
	n := &renumbering{to: newTuples(x.tuples.owner), pairs: make([]pairID, x.tuples.pairs.Len()), became: make([]tupleID, x.tuples.all.Len())}
	pairs := slices.Clone(x.tuples.order.sorted.All()) // in order, so that the new ones are nearly sorted
	for p := len(pairs); p < x.tuples.pairs.Len(); p++ {
		pairs = append(pairs, pairID(p))
	}
	x.renumbering = n
	x.mu.Unlock()
	name := n.to.symbols.add(metricName)
	for part := range slices.Chunk(pairs, pairStep) {
		x.mu.RLock()
		for _, p := range part {
			if x.tuples.pairs.All()[p].live > 0 {
				n.pair(&x.tuples, p)
			}
		}
		x.mu.RUnlock()
	}
	n.to.sort()
	for n.copied < len(n.became) {
		x.mu.RLock()
		for range min(tupleStep, len(n.became)-n.copied) {
			n.copyTuple(&x.tuples, tupleID(n.copied))
			n.copied++
		}
		x.mu.RUnlock()
	}
	x.mu.Lock()
	old := x.adoptLocked(n)
	x.metricName = name
	x.mu.Unlock()
	old.free()
}

// copyTuple copies a tuple that has series, with them.
func (n *renumbering) copyTuple(old *tuples, u tupleID) {
	have := old.all.All()[u].series
	if have.count == 0 {
		return
	}
	became := n.tuple(old, u)
	l := list{}
	old.lists.each(&have, func(r span) { n.to.lists.addRun(&l, r) })
	n.to.all.All()[became].series = l
	n.to.revive(became, 1)
	n.became[u] = became
}

// adoptLocked makes the copy, and what was missed, the labels of the index. It
// returns those of before.
func (x *index) adoptLocked(n *renumbering) tuples {
	old := x.tuples
	n.became = append(n.became, make([]tupleID, old.all.Len()-len(n.became))...)
	for _, m := range n.missed {
		if n.became[m.tuple] == 0 {
			n.became[m.tuple] = n.tuple(&old, m.tuple)
		}
		n.to.post(n.became[m.tuple], m.series)
	}
	for _, side := range [][]tupleID{x.left.All(), x.right.All()} {
		for i, u := range side {
			side[i] = n.became[u]
		}
	}
	x.tuples, x.renumbering = n.to, nil
	x.sharing.forget()
	x.generation++
	return old
}

package head

import (
	"slices"

	"github.com/prometheus/prometheus/model/labels"
)

// Count is the number of series that have all of ls, most at most. It looks at
// postings alone and sorts nothing, so that it may be asked for every new
// series.
func (h *Head) Count(most int, ls ...labels.Label) int {
	x := &h.index
	x.mu.RLock()
	defer x.mu.RUnlock()
	n := 0
	x.eachWithLocked(ls, func(u tupleID, rest []pairID) bool {
		if len(rest) == 0 {
			n += int(x.tuples.all.All()[u].series.count)
		} else {
			x.tuples.eachSeries(u, func(id seriesID) {
				if x.siblingHasLocked(u, id, rest) {
					n++
				}
			})
		}
		return n < most
	})
	return min(n, most)
}

// EachValue calls do with the value of the label name of series that have all
// of ls. A value comes as often as a tuple of labels has it: at least once.
func (h *Head) EachValue(name string, do func(value string), ls ...labels.Label) {
	x := &h.index
	x.mu.RLock()
	defer x.mu.RUnlock()
	t := &x.tuples
	sym, ok := t.symbols.find(name)
	if !ok {
		return
	}
	valueIn := func(u tupleID) bool {
		for _, p := range t.of(u) {
			if t.pairs.All()[p].name == sym {
				do(t.value(p))
				return true
			}
		}
		return false
	}
	x.eachWithLocked(ls, func(u tupleID, rest []pairID) bool {
		if len(rest) == 0 && valueIn(u) {
			return true
		}
		seen := tupleID(0) // the siblings of a tuple are often one
		t.eachSeries(u, func(id seriesID) {
			v := x.siblingLocked(u, id)
			if !x.siblingHasLocked(u, id, rest) || v == seen && len(rest) == 0 {
				return
			}
			if seen = v; !valueIn(v) {
				valueIn(u)
			}
		})
		return true
	})
}

// eachWithLocked calls do with every tuple that has series and the rarest of
// ls, and with those of ls that it does not have, until do says no. No label at
// all means nothing.
func (x *index) eachWithLocked(ls []labels.Label, do func(u tupleID, rest []pairID) bool) {
	t := &x.tuples
	var buf, restBuf [4]pairID
	ps := buf[:0]
	rarest := 0
	for i, l := range ls {
		name, ok := t.symbols.find(l.Name)
		value, found := t.symbols.find(l.Value)
		if !ok || !found {
			return
		}
		p, ok := t.findPair(name, value)
		if !ok || t.pairs.All()[p].live == 0 {
			return
		}
		ps = append(ps, p)
		if t.pairs.All()[p].live < t.pairs.All()[ps[rarest]].live {
			rarest = i
		}
	}
	if len(ps) == 0 {
		return
	}
	going := true
	t.lists.each(&t.pairs.All()[ps[rarest]].tuples, func(r span) {
		for u := r.from; going && u < r.to; u++ {
			if t.all.All()[u].series.count == 0 {
				continue
			}
			rest, has := restBuf[:0], t.of(tupleID(u))
			for _, p := range ps {
				if !slices.Contains(has, p) {
					rest = append(rest, p)
				}
			}
			going = do(tupleID(u), rest)
		}
	})
}

// eachSeries calls do with the series of a tuple.
func (t *tuples) eachSeries(u tupleID, do func(seriesID)) {
	t.lists.each(&t.all.All()[u].series, func(r span) {
		for id := r.from; id < r.to; id++ {
			do(seriesID(id))
		}
	})
}

// siblingLocked is the other tuple of a series.
func (x *index) siblingLocked(u tupleID, id seriesID) tupleID {
	if left := x.left.All()[id]; left != u {
		return left
	}
	return x.right.All()[id]
}

// siblingHasLocked tells whether the other tuple of a series has all of ps.
func (x *index) siblingHasLocked(u tupleID, id seriesID, ps []pairID) bool {
	has := x.tuples.of(x.siblingLocked(u, id))
	for _, p := range ps {
		if !slices.Contains(has, p) {
			return false
		}
	}
	return true
}

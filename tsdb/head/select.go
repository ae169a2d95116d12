package head

import (
	"context"
	"slices"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/nilometer/nilometer/tsdb/part"
)

// Select implements part.Part.
func (s *Snapshot) Select(ctx context.Context, ms ...*labels.Matcher) ([]part.Ref, error) {
	refs := s.head.index.find(ms)
	if err := ctx.Err(); err != nil {
		return nil, context.Cause(ctx)
	}
	return refs, nil
}

// find returns the series that match, in label order.
func (x *index) find(ms []*labels.Matcher) []part.Ref {
	w, _ := x.selections.Get().(*selection)
	if w == nil {
		w = new(selection)
	}
	x.sortedRLock()
	ids := w.finder.find(x, ms)
	x.mu.RUnlock()
	refs := w.sorter.order(x, ids)
	if cap(w.finder.out) <= selectionKept {
		x.selections.Put(w)
	}
	return refs
}

// selection is the memory of one selection. Small ones keep theirs for the
// next.
type selection struct {
	finder finder
	sorter sorter
}

// selectionKept is the number of series for which a selection's memory is kept,
// some 100 bytes each.
const selectionKept = 1 << 16

// condition is a matcher over the labels of one name: those of ranks [low,
// high).
type condition struct {
	low, high uint32
	absent    bool // whether a series without the label matches
	// listed are some labels of that name: those that match; where absent is
	// set, those that do not.
	listed   []pairID
	least    int      // so many series match at least; without meaning where absent is set
	from, to uint32   // the ranks of listed are in [from, to)
	set      []uint64 // bits of those that are, from from on; nil where all are
}

// matches tells whether a label of the condition's name does, by rank.
func (c *condition) matches(rank uint32) bool {
	in := rank >= c.from && rank < c.to
	if in && c.set != nil {
		at := rank - c.from
		in = c.set[at/64]&(1<<(at%64)) != 0
	}
	return in != c.absent
}

// list sets the labels that the condition is about.
func (c *condition) list(ps []pairID, t *tuples) {
	pairs, ranks := t.pairs.All(), t.order.ranks.All()
	c.listed = ps
	c.from = 1<<32 - 1
	for _, p := range ps {
		c.least += int(pairs[p].live)
		c.from, c.to = min(c.from, ranks[p]), max(c.to, ranks[p]+1)
	}
	if int(c.to-c.from) == len(ps) {
		return
	}
	c.set = make([]uint64, (c.to-c.from+63)/64)
	for _, p := range ps {
		at := ranks[p] - c.from
		c.set[at/64] |= 1 << (at % 64)
	}
}

// conditionsMax is how many conditions are tested at once: their bits are one
// word.
const conditionsMax = 64

// find returns the series that match, in memory of the finder. The index' lock
// is held, and its labels are sorted.
//
// A matcher that absence fails names labels, these are in tuples, and those
// have series: the matcher with the fewest such series is followed. Each of its
// tuples is tested on its own, with every other condition, and the other tuple
// of each series with what the first has left open: a few thousand tuples stand
// for millions of series.
func (f *finder) find(x *index, ms []*labels.Matcher) []seriesID {
	all, possible := x.conditions(ms)
	f.out = f.out[:0]
	if !possible {
		return f.out
	}
	slices.SortStableFunc(all, func(a, b condition) int { return a.least - b.least })
	n := min(len(all), conditionsMax)
	f.index, f.conditions, f.best = x, all[:n], 0
	f.left, f.right, f.ranks = x.left.All(), x.right.All(), x.tuples.order.ranks.All()
	driver := -1
	for i := range f.conditions {
		if c := &f.conditions[i]; !c.absent && (driver < 0 || c.least < f.best) {
			if n := f.cost(c); driver < 0 || n < f.best {
				driver, f.best = i, n
			}
		}
	}
	if driver < 0 {
		f.everything()
	} else {
		f.follow(&f.conditions[driver])
	}
	for len(all) > conditionsMax {
		all = all[conditionsMax:]
		f.conditions = all[:min(len(all), conditionsMax)]
		f.keep()
	}
	return f.out
}

// conditions returns what the matchers ask for; possible is false when no
// series can match.
func (x *index) conditions(ms []*labels.Matcher) (out []condition, possible bool) {
	for _, m := range ms {
		c := condition{absent: m.Matches("")}
		name, known := x.tuples.symbols.find(m.Name)
		if !known {
			if !c.absent {
				return nil, false
			}
			continue
		}
		listed := x.listed(m, name, c.absent)
		if len(listed) == 0 {
			if !c.absent {
				return nil, false
			}
			continue
		}
		c.list(listed, &x.tuples)
		if named := x.tuples.valuesWith(m.Name, ""); len(named) > 0 {
			c.low = x.tuples.order.ranks.All()[named[0]]
			c.high = c.low + uint32(len(named))
		}
		out = append(out, c)
	}
	return out, true
}

// listed returns the labels of a name whose values match, or, where absence
// matches, those that do not.
func (x *index) listed(m *labels.Matcher, name symbolID, absent bool) []pairID {
	t := &x.tuples
	if m.Type == labels.MatchEqual && !absent || m.Type == labels.MatchNotEqual && absent {
		return x.valuesLocked(nil, name, m.Value)
	}
	if m.Type == labels.MatchRegexp && !absent || m.Type == labels.MatchNotRegexp && absent {
		if set := m.SetMatches(); len(set) > 0 {
			return x.valuesLocked(nil, name, set...)
		}
		return x.filtered(t.valuesWith(m.Name, m.Prefix()), m, !absent)
	}
	return x.filtered(t.valuesWith(m.Name, ""), m, !absent)
}

// valuesLocked appends the labels of a name with one of some values.
func (x *index) valuesLocked(dst []pairID, name symbolID, values ...string) []pairID {
	for _, v := range values {
		if s, ok := x.tuples.symbols.find(v); ok {
			if p, ok := x.tuples.findPair(name, s); ok && !slices.Contains(dst, p) {
				dst = append(dst, p)
			}
		}
	}
	return dst
}

// filtered returns the labels that m matches, or that it does not.
func (x *index) filtered(ps []pairID, m *labels.Matcher, match bool) []pairID {
	out := make([]pairID, 0, len(ps))
	for _, p := range ps {
		if x.tuples.pairs.All()[p].live > 0 && m.Matches(x.tuples.value(p)) == match {
			out = append(out, p)
		}
	}
	return out
}

// finder is one selection on its way.
type finder struct {
	index       *index
	conditions  []condition
	left, right []tupleID
	ranks       []uint32
	best        int       // the series of the cheapest condition
	open        uint64    // the conditions that verdicts are about
	epoch       uint32    // counts the changes of open
	verdicts    []verdict // by the low bits of a tuple's number
	marks       []mark
	active      []mark // those of a tuple's open conditions
	out         []seriesID
}

// verdict says whether a tuple passes the conditions that were open in an
// epoch.
type verdict struct {
	tuple tupleID
	epoch uint32 // shifted by one, with the answer in the lowest bit
}

// The least and most verdicts that a selection remembers.
const (
	verdictsMin = 1 << 6
	verdictsMax = 1 << 15
)

// epochMax is when a finder forgets its verdicts: an epoch has 31 bits, and a
// selection has no more than that many of them.
const epochMax = 1 << 30

// cost is the number of series that have one of the condition's labels, or some
// number that is larger than the best so far.
func (f *finder) cost(c *condition) int {
	t := &f.index.tuples
	pairs, all := t.pairs.All(), t.all.All()
	n := 0
	for _, p := range c.listed {
		if f.best > 0 && n+int(pairs[p].live) > f.best {
			break
		}
		t.lists.each(&pairs[p].tuples, func(r span) {
			for _, u := range all[r.from:r.to] {
				n += int(u.series.count)
			}
		})
	}
	return n
}

// follow selects from the series that have one of the condition's labels.
func (f *finder) follow(c *condition) {
	f.remember(f.best)
	f.mark(c)
	t := &f.index.tuples
	pairs := t.pairs.All()
	for _, p := range c.listed {
		t.lists.each(&pairs[p].tuples, func(r span) {
			for u := r.from; u < r.to; u++ {
				f.tuple(tupleID(u))
			}
		})
	}
}

// tuple selects from the series of a tuple.
func (f *finder) tuple(u tupleID) {
	t := &f.index.tuples
	series := &t.all.All()[u].series
	if series.count == 0 {
		return
	}
	open, passes := f.test(u, f.every())
	if !passes {
		return
	}
	if open == 0 {
		t.lists.each(series, func(r span) {
			for id := r.from; id < r.to; id++ {
				f.out = append(f.out, seriesID(id))
			}
		})
		return
	}
	marks := f.active[:0]
	for i := range f.marks {
		if m := &f.marks[i]; open&m.condition != 0 {
			marks = append(marks, *m)
			open &^= m.condition
		}
	}
	f.active = marks
	if open != f.open {
		f.open, f.epoch = open, f.epoch+1
	}
	t.lists.each(series, func(r span) {
	next:
		for id := r.from; id < r.to; id++ {
			other := f.left[id]
			if other == u {
				other = f.right[id]
			}
			for i := range marks {
				if m := &marks[i]; m.bits[other/64]&(1<<(other%64)) != 0 == m.absent {
					continue next
				}
			}
			if open == 0 || f.passes(other) {
				f.out = append(f.out, seriesID(id))
			}
		}
	})
}

// mark is a condition as bits by tuple: those that have one of its labels.
type mark struct {
	condition uint64
	absent    bool
	bits      []uint64
}

// mark looks up which tuples have the labels of the conditions beside the one
// that is followed, where that is less work than to test the tuples of the
// series that are.
func (f *finder) mark(followed *condition) {
	t := &f.index.tuples
	pairs := t.pairs.All()
	words := t.all.Len()/64 + 1
	f.marks = f.marks[:0]
	for i := range f.conditions {
		c := &f.conditions[i]
		if c == followed || c.least > f.best || words > f.best {
			continue
		}
		k := len(f.marks)
		f.marks = slices.Grow(f.marks, 1)[:k+1]
		m := &f.marks[k]
		m.condition, m.absent = 1<<i, c.absent
		if cap(m.bits) < words {
			m.bits = make([]uint64, words+words/8)
		}
		m.bits = m.bits[:words]
		clear(m.bits)
		for _, p := range c.listed {
			t.lists.each(&pairs[p].tuples, func(r span) {
				for u := r.from; u < r.to; u++ {
					m.bits[u/64] |= 1 << (u % 64)
				}
			})
		}
	}
}

// everything selects from all series.
func (f *finder) everything() {
	owners := f.index.owners.All()
	for id := range owners {
		if owners[id] != nowhere {
			f.out = append(f.out, seriesID(id))
		}
	}
	f.keep()
}

// keep drops those of the selected series that fail a condition.
func (f *finder) keep() {
	if len(f.conditions) == 0 {
		return
	}
	f.remember(len(f.out))
	kept := f.out[:0]
	for _, id := range f.out {
		open, passes := f.test(f.left[id], f.every())
		if !passes {
			continue
		}
		if open != f.open {
			f.open, f.epoch = open, f.epoch+1
		}
		if f.passes(f.right[id]) {
			kept = append(kept, id)
		}
	}
	f.out = kept
}

// every is the bits of all conditions.
func (f *finder) every() uint64 { return 1<<len(f.conditions) - 1 }

// remember makes room for the verdicts of a selection from n series.
func (f *finder) remember(n int) {
	size := verdictsMin
	for size < n && size < verdictsMax {
		size *= 2
	}
	if f.open = 0; len(f.verdicts) < size || f.epoch >= epochMax {
		f.verdicts, f.epoch = make([]verdict, size), 0
	}
	f.epoch++
}

// test tells whether the labels of a tuple pass those of the conditions that
// are about them, and which conditions are about none.
func (f *finder) test(u tupleID, conditions uint64) (open uint64, passes bool) {
	for _, p := range f.index.tuples.of(u) {
		rank := f.ranks[p]
		for i := range f.conditions {
			if c := &f.conditions[i]; rank >= c.low && rank < c.high {
				if conditions&(1<<i) != 0 && !c.matches(rank) {
					return 0, false
				}
				conditions &^= 1 << i
			}
		}
	}
	return conditions, true
}

// passes tells whether the other tuple of a series passes what is open: none of
// it is about any further label.
func (f *finder) passes(u tupleID) bool {
	v := &f.verdicts[int(u)&(len(f.verdicts)-1)]
	if v.tuple == u && v.epoch>>1 == f.epoch {
		return v.epoch&1 != 0
	}
	open, passes := f.test(u, f.open)
	for i := range f.conditions {
		passes = passes && (open&(1<<i) == 0 || f.conditions[i].absent)
	}
	*v = verdict{u, f.epoch << 1}
	if passes {
		v.epoch |= 1
	}
	return passes
}

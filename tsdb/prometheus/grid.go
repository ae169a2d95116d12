package prometheus

import (
	"cmp"
	"slices"

	"github.com/nilometer/nilometer/model/series"
	"github.com/nilometer/nilometer/tsdb/block"
)

// timesBudget is the default of ImportOptions.TimesMax: 256 MiB, 2,500 targets
// at 15 s in a range of 54 h. Over it a range is cut into shorter ones; series
// that a shortest range has no room for get columns of their own.
const timesBudget = 32 << 20

// grids finds out which series of a placement key share their timestamps: pure,
// fed with the distinct lists of timestamps of each key.
type grids struct {
	sets   []timeSet
	byHash map[uint64][]int32
	kept   int // timestamps in sets

	entries []gridEntry
	byKey   map[gridKey]int32 // to entries
}

// timeSet is a list of timestamps that some series have exactly. Keys share
// it.
type timeSet struct {
	times []int64
}

// gridKey is a placement key and a signature of timestamps: where two series of
// one key have the same, their timestamps are very likely the same.
type gridKey struct {
	key       series.Key
	signature uint64
}

type gridEntry struct {
	key     series.Key
	set     int32
	members int32
}

func newGrids() *grids {
	return &grids{byHash: map[uint64][]int32{}, byKey: map[gridKey]int32{}}
}

// known counts another series of a key and signature, and returns its entry;
// ok is false when they are new.
func (g *grids) known(k gridKey) (entry int32, ok bool) {
	entry, ok = g.byKey[k]
	if ok {
		g.entries[entry].members++
	}
	return entry, ok
}

// add makes the timestamps of the first series of a key and signature known,
// and returns its entry. times is copied. It reports false over the budget.
func (g *grids) add(k gridKey, times []int64, budget int) (entry int32, ok bool) {
	set, ok := g.intern(times, budget)
	if !ok {
		return -1, false
	}
	entry = int32(len(g.entries))
	g.entries = append(g.entries, gridEntry{key: k.key, set: set, members: 1})
	g.byKey[k] = entry
	return entry, true
}

func (g *grids) intern(times []int64, budget int) (int32, bool) {
	hash := block.HashTimes(times)
	for _, i := range g.byHash[hash] {
		if slices.Equal(g.sets[i].times, times) {
			return i, true
		}
	}
	if g.kept+len(times) > budget {
		return -1, false
	}
	g.kept += len(times)
	g.sets = append(g.sets, timeSet{times: slices.Clone(times)})
	i := int32(len(g.sets) - 1)
	g.byHash[hash] = append(g.byHash[hash], i)
	return i, true
}

// layout is where the series of a range go.
type layout struct {
	columns []gridColumn
	ofEntry []int32              // the column of each entry
	ofKey   map[series.Key]int32 // the first column of each key; the others follow
}

// gridColumn is one time column in the making. It may be longer than a block
// allows: then the writer cuts it.
type gridColumn struct {
	key     series.Key
	times   []int64
	members int
}

// lay unites the lists of timestamps of each key where that costs less than
// columns of their own, and ends the collection.
func (g *grids) lay() *layout {
	l := &layout{ofEntry: make([]int32, len(g.entries)), ofKey: map[series.Key]int32{}}
	order := make([]int32, len(g.entries))
	for i := range order {
		order[i] = int32(i)
	}
	slices.SortFunc(order, func(a, b int32) int {
		x, y := &g.entries[a], &g.entries[b]
		return cmp.Or(cmp.Compare(x.key, y.key), cmp.Compare(g.weight(y), g.weight(x)), cmp.Compare(x.set, y.set), cmp.Compare(a, b))
	})
	for len(order) > 0 {
		key := g.entries[order[0]].key
		n := 1
		for n < len(order) && g.entries[order[n]].key == key {
			n++
		}
		l.layKey(g, key, order[:n])
		order = order[n:]
	}
	return l
}

func (g *grids) weight(e *gridEntry) int { return int(e.members) * len(g.sets[e.set].times) }

// candidatesMax bounds the columns of its key that a list is tried on.
const candidatesMax = 8

// layKey lays the entries of one key out, the heaviest first.
func (l *layout) layKey(g *grids, key series.Key, entries []int32) {
	first := len(l.columns)
	l.ofKey[key] = int32(first)
	shared := make([]bool, 0, len(entries)) // the column's times are still those of a set
	for _, i := range entries {
		e := &g.entries[i]
		times := g.sets[e.set].times
		at := -1
		for k := first; k < len(l.columns) && k < first+candidatesMax; k++ {
			c := &l.columns[k]
			if f := fitOf(c.times, times); f.cost(c.members, int(e.members)) <= ownCost(len(times), int(e.members)) {
				if f.added > 0 {
					c.times = unite(c.times, times, shared[k-first])
					shared[k-first] = false
				}
				c.members += int(e.members)
				at = k
				break
			}
		}
		if at < 0 {
			at = len(l.columns)
			l.columns = append(l.columns, gridColumn{key: key, times: times, members: int(e.members)})
			shared = append(shared, true)
		}
		l.ofEntry[i] = int32(at)
	}
}

// fit tells what it takes to put a list of timestamps on a column.
type fit struct {
	added  int // timestamps that the column does not have
	gaps   int // runs of the column's that the list lacks, between its ends
	opened int // runs of the list's that the column lacks, between its ends
}

// Costs in bytes, about: a run of absent positions, the entry of a series on
// another column than its neighbours' for each tile, a column.
const (
	runBytes    = 3
	entryBytes  = 8
	columnBytes = 32
)

func (f fit) cost(columnMembers, members int) int {
	return runBytes * (f.gaps*members + f.opened*columnMembers)
}

func ownCost(n, members int) int {
	return columnBytes + entryBytes*members*(1+n/480)
}

// fitOf compares two sorted lists.
func fitOf(col, times []int64) fit {
	var f fit
	i, k := 0, 0
	inGap, inOpen := false, false
	for k < len(times) {
		switch {
		case i == len(col): // behind the column
			f.added += len(times) - k
			return f
		case col[i] < times[k]:
			if k > 0 && !inGap {
				f.gaps++
			}
			inGap, inOpen = k > 0, false
			i++
		case col[i] > times[k]:
			f.added++
			if i > 0 && !inOpen {
				f.opened++
			}
			inOpen, inGap = i > 0, false
			k++
		default:
			inGap, inOpen = false, false
			i, k = i+1, k+1
		}
	}
	return f
}

// unite returns the union of two sorted lists. col is not changed when it is
// shared with others.
func unite(col, times []int64, shared bool) []int64 {
	if len(col) > 0 && len(times) > 0 && col[len(col)-1] < times[0] {
		if shared {
			col = slices.Clone(col)
		}
		return append(col, times...)
	}
	out := make([]int64, 0, len(col)+len(times)/8)
	i, k := 0, 0
	for i < len(col) && k < len(times) {
		switch {
		case col[i] < times[k]:
			out = append(out, col[i])
			i++
		case col[i] > times[k]:
			out = append(out, times[k])
			k++
		default:
			out = append(out, col[i])
			i, k = i+1, k+1
		}
	}
	return append(append(out, col[i:]...), times[k:]...)
}

// find returns the column that has all of times: the one guessed, or another
// of the key; -1 without one.
func (l *layout) find(key series.Key, guess int32, times []int64) int32 {
	if guess >= 0 && covers(l.columns[guess].times, times) {
		return guess
	}
	first, ok := l.ofKey[key]
	if !ok {
		return -1
	}
	for k := first; k < int32(len(l.columns)) && k < first+candidatesMax && l.columns[k].key == key; k++ {
		if k != guess && covers(l.columns[k].times, times) {
			return k
		}
	}
	return -1
}

// covers reports whether a sorted list has all of another.
func covers(col, times []int64) bool {
	if len(times) > len(col) || len(times) == 0 {
		return len(times) == 0
	}
	i, ok := slices.BinarySearch(col, times[0])
	if !ok || len(col)-i < len(times) {
		return false
	}
	if slices.Equal(col[i:i+len(times)], times) {
		return true
	}
	for _, t := range times {
		for i < len(col) && col[i] < t {
			i++
		}
		if i == len(col) || col[i] != t {
			return false
		}
		i++
	}
	return true
}

package scan

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/nilometer/nilometer/model/column"
	"github.com/nilometer/nilometer/tsdb/part"
)

// timeColumn is a time column under the scan's own number.
type timeColumn struct {
	times []int64
	path  int32   // the first that uses it, -1 before there is one
	more  []int32 // further ones, seldom any
}

// stretch is positions [from, to) of a column, with their first and last time:
// where a piece of one series lies, or a tile of a path.
type stretch struct {
	column     int32
	from, to   uint32
	start, end int64
}

// path is the stretches [at, at+len) of the interner: sorted by time, disjoint.
type path struct {
	at, len int
}

// pathsTried bounds how many paths of one column a series is held against. A
// column has one path unless its series are cut differently.
const pathsTried = 8

// interner gives equal columns equal numbers and series that can share a
// batch the same path.
type interner struct {
	parts []part.Part
	// numbers are the scan's numbers of each part's columns.
	numbers []numbering
	// byKey finds equal columns of parts that overlap in time; parts that do
	// not can have none.
	byKey    map[uint64]int32
	overlaps []bool

	columns   []timeColumn
	paths     []path
	stretches []stretch
}

// numbering maps the columns of one part to the scan's numbers plus one; 0: not
// seen yet. The ids that a part has at one time lie close together.
type numbering struct {
	from    part.ColumnID // of the first entry
	entries []int32
}

// find returns the entry of a column, 0 when there is none.
func (n *numbering) find(id part.ColumnID) int32 {
	if i := int64(id) - int64(n.from); i >= 0 && i < int64(len(n.entries)) {
		return n.entries[i]
	}
	return 0
}

// at returns the place of a column's entry, which is made.
func (n *numbering) at(id part.ColumnID) *int32 {
	if len(n.entries) == 0 {
		n.from = id
	}
	if id < n.from {
		from := id - min(id, part.ColumnID(len(n.entries)))
		n.entries = append(make([]int32, n.from-from), n.entries...)
		n.from = from
	}
	i := int(id - n.from)
	if i >= len(n.entries) {
		n.entries = append(n.entries, make([]int32, max(i+1, 2*len(n.entries))-len(n.entries))...)
	}
	return &n.entries[i]
}

func newInterner(parts []part.Part) *interner {
	in := &interner{
		parts:    parts,
		numbers:  make([]numbering, len(parts)),
		byKey:    map[uint64]int32{},
		overlaps: make([]bool, len(parts)),
	}
	for i, p := range parts {
		from, to := p.Range()
		for k, q := range parts[:i] {
			if f, t := q.Range(); f <= to && t >= from {
				in.overlaps[i], in.overlaps[k] = true, true
			}
		}
	}
	return in
}

// column returns the scan's number of a part's column.
func (in *interner) column(p int32, id part.ColumnID) (int32, error) {
	known := in.numbers[p].at(id)
	if *known != 0 {
		return *known - 1, nil
	}
	if in.overlaps[p] {
		if n, ok := in.byKey[in.parts[p].ColumnKey(id)]; ok {
			*known = n + 1
			return n, nil
		}
	}
	times, err := in.parts[p].Column(id)
	if err != nil {
		return 0, fmt.Errorf("time column %d: %w", id, err)
	}
	in.columns = append(in.columns, timeColumn{times: times, path: -1})
	n := int32(len(in.columns)) - 1
	*known = n + 1
	if in.overlaps[p] {
		in.byKey[in.parts[p].ColumnKey(id)] = n
	}
	return n, nil
}

// locate appends where the pieces of a series in a part lie. Those on a time
// column that cannot be read are left out, with an error beside the others.
func (in *interner) locate(dst []stretch, p int32, pieces []part.Span) ([]stretch, error) {
	var failed error
	for i := range pieces {
		n, err := in.column(p, pieces[i].Column)
		if err != nil {
			failed = err
			continue
		}
		times := in.columns[n].times
		from, to := pieces[i].From, pieces[i].To
		if from >= to || int(to) > len(times) || to-from > column.TilePositions {
			return dst, fmt.Errorf("a piece lies on positions [%d, %d) of a time column of %d", from, to, len(times))
		}
		dst = append(dst, stretch{column: n, from: from, to: to, start: times[from], end: times[to-1]})
	}
	return dst, failed
}

// path returns the path that the pieces of a series fit, a new one when there
// is none, or -1 when the pieces overlap in time. own is sorted by it.
func (in *interner) path(own []stretch) int32 {
	if !disjoint(own) {
		slices.SortFunc(own, func(a, b stretch) int { return cmp.Compare(a.start, b.start) })
		if !disjoint(own) {
			return -1
		}
	}
	// The newest column first: it is the one that most series still have.
	for i := len(own) - 1; i >= 0; i-- {
		if i+1 < len(own) && own[i].column == own[i+1].column {
			continue
		}
		c := &in.columns[own[i].column]
		if c.path >= 0 && in.join(c.path, own) {
			return c.path
		}
		for _, p := range c.more[:min(len(c.more), pathsTried-1)] {
			if in.join(p, own) {
				return p
			}
		}
	}
	p := int32(len(in.paths))
	in.paths = append(in.paths, path{at: len(in.stretches), len: len(own)})
	in.stretches = append(in.stretches, own...)
	in.register(p, own)
	return p
}

// register makes a path known to the columns that it uses.
func (in *interner) register(p int32, own []stretch) {
	for _, s := range own {
		c := &in.columns[s.column]
		switch {
		case c.path < 0:
			c.path = p
		case c.path != p && !slices.Contains(c.more, p):
			c.more = append(c.more, p)
		}
	}
}

func disjoint(own []stretch) bool {
	for i := 1; i < len(own); i++ {
		if own[i].start <= own[i-1].end {
			return false
		}
	}
	return true
}

// join reports whether the series fits the path, which it extends by what it
// has and the path has not.
func (in *interner) join(p int32, own []stretch) bool {
	tiles := in.stretches[in.paths[p].at:][:in.paths[p].len]
	if within(tiles, own) {
		return true
	}
	merged, ok := union(tiles, own)
	if !ok {
		return false
	}
	// The old stretches stay behind unused: paths grow rarely.
	in.paths[p] = path{at: len(in.stretches), len: len(merged)}
	in.stretches = append(in.stretches, merged...)
	in.register(p, own)
	return true
}

// within reports whether every piece lies in a tile of its own (I3).
func within(tiles, own []stretch) bool {
	t := 0
	for _, s := range own {
		for t < len(tiles) && tiles[t].end < s.start {
			t++
		}
		if t == len(tiles) || tiles[t].column != s.column || s.from < tiles[t].from || s.to > tiles[t].to {
			return false
		}
		t++
	}
	return true
}

// union returns the tiles with what own adds: new tiles, and tiles that grow
// to hold a longer piece. It fails where a tile would hold two pieces of one
// series, or would swallow another tile: then chunks no longer fit.
func union(tiles, own []stretch) ([]stretch, bool) {
	out := make([]stretch, 0, len(tiles)+len(own))
	t, o := 0, 0
	for t < len(tiles) || o < len(own) {
		switch {
		case o == len(own) || t < len(tiles) && tiles[t].end < own[o].start:
			out = append(out, tiles[t])
			t++
		case t == len(tiles) || own[o].end < tiles[t].start:
			out = append(out, own[o])
			o++
		default:
			a, b := tiles[t], own[o]
			if a.column != b.column {
				return nil, false
			}
			a.from, a.to = min(a.from, b.from), max(a.to, b.to)
			a.start, a.end = min(a.start, b.start), max(a.end, b.end)
			if a.to-a.from > column.TilePositions {
				return nil, false
			}
			out = append(out, a)
			t++
			o++
		}
	}
	return out, disjoint(out)
}

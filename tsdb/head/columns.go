package head

import (
	"math/bits"
	"slices"
)

// columns64 packs the ranks of many series' labels into one word each. What
// series have in common is looked at once: their tuples, and for each pair of
// tuples' names where the labels of both stand among one another.
type columns64 struct {
	series   []crossing // in the order that they were added
	strands  []strand
	ranks    []uint32 // of all strands
	slots    []uint32 // strands by hash of their tuples, plus one
	shapes   []shape
	byNames  map[uint64]uint32
	patterns []pattern
	byShapes map[[2]uint32]uint32
	lastLeft strandID
}

// strandID is an index of columns64.strands.
type strandID uint32

// crossing is a series: its tuples and how their labels alternate.
type crossing struct {
	left, right strandID
	pattern     uint32
}

// strand is a tuple.
type strand struct {
	tuple    tupleID
	from, to uint32 // its labels in ranks
	shape    uint32
	bounded  uint32 // the pattern, plus one, for which its ranks are in the bounds
	keyed    uint32 // the pattern, plus one, that key is for
	key      uint64
}

// shape is the names of a tuple.
type shape []symbolID

// pattern is the columns of the labels of two tuples.
type pattern struct {
	left, right []uint8
	width       int
}

// bounds are the least and largest rank of a column; 0 stands for no label.
type bounds struct{ low, high uint32 }

// reset forgets all series; n are to come.
func (c *columns64) reset(n int) {
	size := 64
	for size < 2*n && size < 1<<22 {
		size *= 2
	}
	if len(c.slots) < size {
		c.slots = make([]uint32, size)
	} else {
		c.slots = c.slots[:size]
		clear(c.slots)
	}
	c.series, c.strands, c.ranks, c.shapes, c.patterns = slices.Grow(c.series[:0], n), c.strands[:0], c.ranks[:0], c.shapes[:0], c.patterns[:0]
	if c.lastLeft = 0; c.byNames == nil {
		c.byNames, c.byShapes = map[uint64]uint32{}, map[[2]uint32]uint32{}
	}
	clear(c.byNames)
	clear(c.byShapes)
}

// add notes the tuples of a series, whose labels are all ranked.
func (c *columns64) add(t *tuples, left, right tupleID) {
	var x crossing
	// The series of a target stand together.
	if x.left = c.lastLeft; len(c.strands) == 0 || c.strands[x.left].tuple != left {
		x.left = c.strand(t, left)
		c.lastLeft = x.left
	}
	x.right = c.strand(t, right)
	l, r := &c.strands[x.left], &c.strands[x.right]
	if k := len(c.series) - 1; k >= 0 {
		last := c.series[k]
		if c.strands[last.left].shape == l.shape && c.strands[last.right].shape == r.shape {
			x.pattern = last.pattern
			c.series = append(c.series, x)
			return
		}
	}
	p, known := c.byShapes[[2]uint32{l.shape, r.shape}]
	if !known {
		p = uint32(len(c.patterns))
		c.patterns = append(c.patterns, alternate(c.ranks[l.from:l.to], c.ranks[r.from:r.to]))
		c.byShapes[[2]uint32{l.shape, r.shape}] = p
	}
	x.pattern = p
	c.series = append(c.series, x)
}

// strand returns the strand of a tuple.
func (c *columns64) strand(t *tuples, u tupleID) strandID {
	mask := uint32(len(c.slots) - 1)
	at := uint32(u) * 0x9e3779b1 >> 7 & mask
	for c.slots[at] != 0 {
		if e := c.slots[at] - 1; c.strands[e].tuple == u {
			return strandID(e)
		}
		at = (at + 1) & mask
	}
	id := strandID(len(c.strands))
	e := strand{tuple: u, from: uint32(len(c.ranks))}
	ranks, pairs := t.order.ranks.All(), t.pairs.All()
	var buf [pairsMax]symbolID
	names := buf[:0]
	hash := uint64(0)
	for _, p := range t.of(u) {
		c.ranks = append(c.ranks, ranks[p])
		names = append(names, pairs[p].name)
		hash = mix(hash, uint64(pairs[p].name)+1)
	}
	e.to, e.shape = uint32(len(c.ranks)), c.shape(hash, names)
	c.strands = append(c.strands, e)
	if 2*len(c.strands) < len(c.slots) { // else it is another strand when it comes again
		c.slots[at] = uint32(id) + 1
	}
	return id
}

// shape returns the number of some names.
func (c *columns64) shape(hash uint64, names []symbolID) uint32 {
	for ; ; hash++ {
		s, known := c.byNames[hash]
		if known && slices.Equal(c.shapes[s], names) {
			return s
		}
		if !known {
			break
		}
	}
	s := uint32(len(c.shapes))
	c.shapes = append(c.shapes, slices.Clone(names))
	c.byNames[hash] = s
	return s
}

// alternate returns which columns the labels of two tuples have: ranks are in
// the order of names.
func alternate(left, right []uint32) pattern {
	p := pattern{width: len(left) + len(right)}
	i, j := 0, 0
	for column := range p.width {
		if j == len(right) || i < len(left) && left[i] < right[j] {
			p.left = append(p.left, uint8(min(column, columnsMax)))
			i++
		} else {
			p.right = append(p.right, uint8(min(column, columnsMax)))
			j++
		}
	}
	return p
}

// key sets the keys of the series that were added, in their order, to as many
// columns from one on as have room. It returns the column after them.
func (c *columns64) key(keys []keyed, from int) (next int) {
	var columns [columnsMax + 1]bounds
	for i := range columns {
		columns[i].low = 1<<32 - 1
	}
	widest := 0
	for _, p := range c.patterns {
		widest = max(widest, p.width)
	}
	for _, p := range c.patterns {
		for i := p.width; i < min(widest, columnsMax); i++ {
			columns[i].low = 0
		}
	}
	for _, x := range c.series {
		p := &c.patterns[x.pattern]
		c.bound(&columns, &c.strands[x.left], p.left, x.pattern+1)
		c.bound(&columns, &c.strands[x.right], p.right, x.pattern+1)
	}
	left := 64
	var shift [columnsMax + 1]uint8
	for next = from; next < min(widest, columnsMax); next++ {
		n := bits.Len32(columns[next].high - columns[next].low)
		if n > left {
			break
		}
		left -= n
		shift[next] = uint8(left)
	}
	packed := packing{from: from, to: next, unused: uint8(left), columns: &columns, shift: &shift}
	for i, x := range c.series {
		p := &c.patterns[x.pattern]
		// Columns that a series does not have are below all others: their bits
		// are the distance from 0, which is 0.
		keys[i].key = packed.of(c.ranks, &c.strands[x.left], p.left, x.pattern+1) | packed.of(c.ranks, &c.strands[x.right], p.right, x.pattern+1)
	}
	if next >= widest {
		return columnsMax // no two series are equal in all columns
	}
	return next
}

// bound widens the bounds of the columns by the ranks of a strand.
func (c *columns64) bound(columns *[columnsMax + 1]bounds, e *strand, places []uint8, pattern uint32) {
	if e.bounded == pattern {
		return
	}
	e.bounded = pattern
	for i, r := range c.ranks[e.from:e.to] {
		b := &columns[places[i]]
		b.low, b.high = min(b.low, r), max(b.high, r)
	}
}

// packing says where the bits of columns [from, to) are in a word.
type packing struct {
	from, to int
	unused   uint8 // low bits
	columns  *[columnsMax + 1]bounds
	shift    *[columnsMax + 1]uint8
}

// of returns the bits of a strand's labels.
func (p *packing) of(ranks []uint32, e *strand, places []uint8, pattern uint32) uint64 {
	if e.keyed == pattern {
		return e.key
	}
	key := uint64(0)
	for i, r := range ranks[e.from:e.to] {
		if at := int(places[i]); at >= p.from && at < p.to {
			key |= uint64(r-p.columns[at].low) << p.shift[at]
		}
	}
	e.key, e.keyed = key>>p.unused, pattern
	return e.key
}

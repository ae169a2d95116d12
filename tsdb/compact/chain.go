package compact

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/nilometer/nilometer/format/index"
	"github.com/nilometer/nilometer/model/column"
	"github.com/nilometer/nilometer/model/series"
	"github.com/nilometer/nilometer/tsdb/block"
	"github.com/nilometer/nilometer/tsdb/part"
)

// chains joins time columns of the sources that continue one another, so that
// twelve columns of a target become one of the result, and tiles that are not
// full are filled. Where a placement key has one column, the next one of that
// key continues it. Where it has several, what continues a column is told by a
// series that is on both. A wrong guess costs bytes and never a sample.
type chains struct {
	w       *block.Writer
	sources []Source
	of      []map[part.ColumnID]*chain // per source
	open    map[series.Key][]*chain
	done    []int // sources that were joined already, in order of time
}

// chain is a column of the result in the making.
type chain struct {
	key       series.Key
	last      int64 // the time of its last position
	positions int
	members   []member

	added bool
	id    part.ColumnID
}

type member struct {
	source  int
	id      part.ColumnID
	at      uint32 // where it begins in the chain
	tiles   []index.Tile
	witness uint32 // the first series on it
}

// takes reports whether a column that begins at first with n positions can
// follow.
func (ch *chain) takes(first int64, n int) bool {
	return ch.last < first && ch.positions+n <= block.ColumnPositionsMax
}

func newChains(w *block.Writer, sources []Source) (*chains, error) {
	cs := &chains{w: w, sources: sources, of: make([]map[part.ColumnID]*chain, len(sources)), open: map[series.Key][]*chain{}}
	order := make([]int, len(sources))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int {
		x, _ := sources[a].Range()
		y, _ := sources[b].Range()
		return cmp.Compare(x, y)
	})
	for _, i := range order {
		b, ok := sources[i].Part.(*block.Block)
		if !ok {
			continue // a part that cannot list its columns: each stays one
		}
		if err := cs.joinAll(i, b); err != nil {
			return nil, fmt.Errorf("merge %s: %w", b.Name(), err)
		}
		cs.done = append(cs.done, i)
	}
	return cs, nil
}

func (cs *chains) joinAll(source int, b *block.Block) error {
	cs.of[source] = make(map[part.ColumnID]*chain, b.TimeColumns())
	ofKey := map[series.Key]int{}
	for id := range part.ColumnID(b.TimeColumns()) {
		c, err := b.TimeColumn(id)
		if err != nil {
			return err
		}
		ofKey[c.Key]++
	}
	for id := range part.ColumnID(b.TimeColumns()) {
		c, err := b.TimeColumn(id)
		if err != nil {
			return err
		}
		if err := cs.join(source, b, id, c, ofKey[c.Key] > 1); err != nil {
			return err
		}
	}
	return nil
}

// join puts a column on the chain that it continues, or on a new one.
// several tells that the source has more of its key.
func (cs *chains) join(source int, b *block.Block, id part.ColumnID, c *index.Column, several bool) error {
	first, n := c.Tiles[0].First, c.Positions()
	var ch *chain
	switch open := cs.open[c.Key]; {
	case len(open) == 0:
	case len(open) == 1 && !several:
		ch = open[0]
	default:
		var err error
		if ch, err = cs.predecessor(b, c, id); err != nil {
			return err
		}
	}
	if ch == nil || !ch.takes(first, n) {
		ch = &chain{key: c.Key}
		cs.open[c.Key] = append(cs.open[c.Key], ch)
	}
	ch.members = append(ch.members, member{source: source, id: id, at: uint32(ch.positions), tiles: c.Tiles, witness: c.Witness})
	ch.last = c.Tiles[len(c.Tiles)-1].Last
	ch.positions += n
	cs.of[source][id] = ch
	return nil
}

// Limits of the search for a predecessor.
const (
	lookBackMax = 12 // sources in which the first series of a column is looked up
	reverseMax  = 8  // chains whose first series is looked up in the column's source
)

// predecessor finds the chain of the column that the first series on c was on
// before; else the one whose own first series is on c now.
func (cs *chains) predecessor(b *block.Block, c *index.Column, id part.ColumnID) (*chain, error) {
	if int(c.Witness) >= b.SeriesCount() {
		return nil, nil
	}
	for k, i := range slices.Backward(cs.done) {
		if len(cs.done)-k > lookBackMax {
			break
		}
		old := cs.sources[i].Part.(*block.Block)
		on, ok, err := columnOf(old, labelsOf(b, c.Witness), true)
		if err != nil {
			return nil, err
		}
		if ok {
			if ch := cs.of[i][on]; ch != nil && ch.key == c.Key {
				return ch, nil
			}
			return nil, nil
		}
	}
	open := cs.open[c.Key]
	for _, ch := range open[max(0, len(open)-reverseMax):] {
		last := ch.members[len(ch.members)-1]
		old := cs.sources[last.source].Part.(*block.Block)
		if old == b || int(last.witness) >= old.SeriesCount() {
			continue
		}
		on, ok, err := columnOf(b, labelsOf(old, last.witness), false)
		if err != nil {
			return nil, err
		}
		if ok && on == id {
			return ch, nil
		}
	}
	return nil, nil
}

func labelsOf(b *block.Block, ref uint32) labels.Labels {
	sb := labels.NewScratchBuilder(16)
	b.Labels(part.Ref(ref), &sb)
	return sb.Labels()
}

// columnOf returns the column that a series is on, at the end of the block or
// at its begin.
func columnOf(b *block.Block, lset labels.Labels, end bool) (part.ColumnID, bool, error) {
	ref, ok, err := b.Find(lset)
	if err != nil || !ok {
		return 0, false, err
	}
	pieces, err := b.Pieces(ref, math.MinInt64, math.MaxInt64, nil)
	if err != nil || len(pieces) == 0 {
		return 0, false, err
	}
	if end {
		return pieces[len(pieces)-1].Column, true, nil
	}
	return pieces[0].Column, true, nil
}

// resolver returns what tells the mapper of a source where its columns go.
func (cs *chains) resolver(source int) block.Resolve {
	if cs.of[source] == nil {
		return nil
	}
	return func(id part.ColumnID) ([]block.Place, error) {
		ch := cs.of[source][id]
		if ch == nil || ch.positions > block.ColumnPositionsMax {
			return nil, nil
		}
		if err := cs.add(ch); err != nil {
			return nil, err
		}
		for _, m := range ch.members {
			if m.source == source && m.id == id {
				n := m.tiles[len(m.tiles)-1].To
				return []block.Place{{From: 0, To: n, Column: ch.id, At: m.at}}, nil
			}
		}
		return nil, nil
	}
}

// add makes the chain a column of the result.
func (cs *chains) add(ch *chain) error {
	if ch.added {
		return nil
	}
	times := make([]int64, 0, ch.positions)
	var ends []uint32
	begin := uint32(0) // of the tile at hand
	for _, m := range ch.members {
		ts, err := cs.sources[m.source].Column(m.id)
		if err != nil {
			return err
		}
		times = append(times, ts...)
		for _, t := range m.tiles {
			// A tile stays as it is unless the one before has room for all of it.
			if k := len(ends) - 1; k >= 0 && m.at+t.To-begin <= column.TilePositions {
				ends[k] = m.at + t.To
			} else {
				begin = m.at + t.From
				ends = append(ends, m.at+t.To)
			}
		}
	}
	id, err := cs.w.AddColumn(ch.key, times, ends)
	if err != nil {
		return err
	}
	ch.id, ch.added = id, true
	return nil
}

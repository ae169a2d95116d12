package compact

import (
	"fmt"
	"slices"

	"github.com/nilometer/nilometer/format/index"
	"github.com/nilometer/nilometer/model/column"
	"github.com/nilometer/nilometer/model/series"
	"github.com/nilometer/nilometer/tsdb/block"
	"github.com/nilometer/nilometer/tsdb/part"
)

// chains joins time columns of the sources that continue one another, so that
// twelve columns of a target become one of the result, and tiles that are not
// full are filled. What belongs together is a guess (same placement key, later
// times, best the same first series); a wrong one costs bytes and never a
// sample.
type chains struct {
	w       *block.Writer
	sources []Source
	of      []map[part.ColumnID]*chain // per source
}

// chain is a column of the result in the making.
type chain struct {
	key       series.Key
	last      int64 // the time of its last position
	positions int
	interval  int64 // of its last member
	witness   witness
	members   []member

	added bool
	id    part.ColumnID
}

// witness is the first series on a column. Its hash is asked for only where
// several chains could go on.
type witness struct {
	b   *block.Block
	ref uint32
}

func (w witness) hash() series.Hash {
	if int(w.ref) >= w.b.SeriesCount() {
		return 0
	}
	return w.b.Hash(part.Ref(w.ref))
}

type member struct {
	source int
	id     part.ColumnID
	at     uint32 // where it begins in the chain
	tiles  []index.Tile
}

func newChains(w *block.Writer, sources []Source) (*chains, error) {
	cs := &chains{w: w, sources: sources, of: make([]map[part.ColumnID]*chain, len(sources))}
	order := make([]int, len(sources))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int {
		x, _ := sources[a].Range()
		y, _ := sources[b].Range()
		if x < y {
			return -1
		} else if x > y {
			return 1
		}
		return 0
	})
	open := map[series.Key][]*chain{}
	for _, i := range order {
		b, ok := sources[i].Part.(*block.Block)
		if !ok {
			continue // a part that cannot list its columns: each stays one
		}
		cs.of[i] = make(map[part.ColumnID]*chain, b.TimeColumns())
		for id := range part.ColumnID(b.TimeColumns()) {
			c, err := b.TimeColumn(id)
			if err != nil {
				return nil, fmt.Errorf("merge %s: %w", b.Name(), err)
			}
			cs.of[i][id] = join(open, i, id, b, c)
		}
	}
	return cs, nil
}

// join puts a column on the chain that it continues best, or on a new one.
func join(open map[series.Key][]*chain, source int, id part.ColumnID, b *block.Block, c *index.Column) *chain {
	first, last, n := c.Tiles[0].First, c.Tiles[len(c.Tiles)-1].Last, c.Positions()
	interval := int64(0)
	if n > 1 {
		interval = (last - first) / int64(n-1)
	}
	w := witness{b, c.Witness}
	var best *chain
	for _, ch := range open[c.Key] {
		if ch.last >= first || ch.positions+n > block.ColumnPositionsMax {
			continue
		}
		if best == nil || ch.closer(best, w, interval) {
			best = ch
		}
	}
	if best == nil {
		best = &chain{key: c.Key}
		open[c.Key] = append(open[c.Key], best)
	}
	best.members = append(best.members, member{source: source, id: id, at: uint32(best.positions), tiles: c.Tiles})
	best.last, best.interval, best.witness = last, interval, w
	best.positions += n
	return best
}

// closer reports whether ch is a better predecessor than other: the same first
// series, then the more similar interval, then the later end.
func (ch *chain) closer(other *chain, w witness, interval int64) bool {
	h := w.hash()
	if a, b := ch.witness.hash() == h, other.witness.hash() == h; a != b {
		return a
	}
	if a, b := distance(ch.interval, interval), distance(other.interval, interval); a != b {
		return a < b
	}
	return ch.last > other.last
}

func distance(a, b int64) int64 { return max(a-b, b-a) }

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

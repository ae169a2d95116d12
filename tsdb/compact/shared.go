package compact

import (
	"cmp"
	"slices"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/nilometer/nilometer/format/index"
	"github.com/nilometer/nilometer/model/column"
	"github.com/nilometer/nilometer/model/series"
	"github.com/nilometer/nilometer/storage"
	"github.com/nilometer/nilometer/tsdb/block"
	"github.com/nilometer/nilometer/tsdb/part"
)

// window is a tile of a source's time column on which a series has a piece.
type window struct {
	source int
	column part.ColumnID
	from   uint32  // position in the column of times[0]
	times  []int64 // of the tile
}

func (w *window) first() int64 { return w.times[0] }
func (w *window) last() int64  { return w.times[len(w.times)-1] }

// windows returns the tiles that pieces which overlap lie on, in order of time.
// Of tiles that overlap it has the one with most positions: a sample that came
// late is mostly one that its group's column has a position for.
func (m *merger) windows(pieces []located) ([]window, error) {
	all := make([]window, 0, len(pieces))
	for i := range pieces {
		w, err := windowOf(pieces[i].source, m.sources[pieces[i].source], &pieces[i].piece)
		if err != nil {
			return nil, err
		}
		all = append(all, w)
	}
	slices.SortStableFunc(all, func(a, b window) int {
		return cmp.Or(cmp.Compare(len(b.times), len(a.times)), cmp.Compare(a.source, b.source))
	})
	out := all[:0]
	for _, w := range all {
		if !slices.ContainsFunc(out, func(x window) bool { return x.first() <= w.last() && w.first() <= x.last() }) {
			out = append(out, w)
		}
	}
	slices.SortFunc(out, func(a, b window) int { return cmp.Compare(a.first(), b.first()) })
	return out, nil
}

// windowOf returns the tile that a piece begins on.
func windowOf(source int, src part.Part, p *part.Piece) (window, error) {
	times, err := src.Column(p.Column)
	if err != nil {
		return window{}, err
	}
	from := p.From - p.From%column.TilePositions
	to := min(from+column.TilePositions, uint32(len(times)))
	if b, ok := blockOf(src); ok {
		c, err := b.TimeColumn(p.Column)
		if err != nil {
			return window{}, err
		}
		i, _ := slices.BinarySearchFunc(c.Tiles, p.From+1, func(t index.Tile, pos uint32) int { return cmp.Compare(t.To, pos) })
		from, to = c.Tiles[i].From, c.Tiles[i].To
	}
	return window{source: source, column: p.Column, from: from, times: times[from:to]}, nil
}

// place puts the resolved samples of pieces that overlapped where they fit: on
// the tiles of the sources' columns, as far as these have a position for every
// sample, so that a series with late samples stays on its group's column. The
// others get a column of their own.
func (m *merger) place(lset labels.Labels, pieces []located, samples []column.Sample) error {
	windows, err := m.windows(pieces)
	if err != nil {
		return err
	}
	var alone []column.Sample // not placed yet
	flush := func() error {
		if len(alone) == 0 {
			return nil
		}
		var key series.Key
		key, m.keyBuf = series.KeyOf(lset, m.keyBuf)
		m.mapped, err = appendPrivate(m.w, key, alone, m.mapped)
		alone = alone[:0]
		return err
	}
	at := func(t int64) int {
		n, _ := slices.BinarySearchFunc(samples, t, func(s column.Sample, t int64) int { return cmp.Compare(s.T, t) })
		return n
	}
	for i := range windows {
		w := &windows[i]
		n := at(w.first())
		alone, samples = append(alone, samples[:n]...), samples[n:]
		n = at(w.last() + 1)
		inside := samples[:n]
		samples = samples[n:]
		if len(inside) == 0 {
			continue
		}
		from, to, ok := w.fits(inside)
		if !ok {
			alone = append(alone, inside...)
			continue
		}
		if err := flush(); err != nil {
			return err
		}
		p := part.Piece{
			Column: w.column, From: w.from + uint32(from), To: w.from + uint32(to), Chunk: storage.ChunkOf(w.times[from:to], inside),
		}
		if m.mapped, err = m.mappers[w.source].Map(lset, &p, m.mapped); err != nil {
			return err
		}
	}
	alone = append(alone, samples...)
	return flush()
}

// fits returns the positions of the tile from the first sample to behind the
// last one, and whether every sample has one.
func (w *window) fits(samples []column.Sample) (from, to int, ok bool) {
	from, _ = slices.BinarySearch(w.times, samples[0].T)
	to = from
	for _, s := range samples {
		for to < len(w.times) && w.times[to] < s.T {
			to++
		}
		if to == len(w.times) || w.times[to] != s.T {
			return 0, 0, false
		}
		to++
	}
	return from, to, true
}

// blockOf returns the block that a source is.
func blockOf(src part.Part) (*block.Block, bool) {
	if s, ok := src.(Source); ok {
		src = s.Part
	}
	b, ok := src.(*block.Block)
	return b, ok
}

package scan

import (
	"cmp"
	"fmt"
	"slices"

	format "github.com/nilometer/nilometer/format/column"
	"github.com/nilometer/nilometer/model/column"
	"github.com/nilometer/nilometer/storage"
	"github.com/nilometer/nilometer/tsdb/part"
)

// sample is one sample of a series whose pieces overlap; part orders samples
// at one time (I2).
type sample struct {
	time  int64
	part  int32
	state column.State
	value float64
	start int64
	hist  storage.Histogram
}

func (s *sample) isHistogram() bool { return s.hist.Int != nil || s.hist.Float != nil }

// merged is the memory that the chunks of a private column point into.
type merged struct {
	values     []float64
	starts     []int64
	histograms []storage.Histogram
}

// fillPrivate gives the series b.Ranks[0] a column of its own, of all samples
// that its pieces have.
func (s *Scan) fillPrivate(b *storage.ColumnBatch, w *scratch) error {
	w.samples = w.samples[:0]
	for at := s.series[b.Ranks[0]].head; at >= 0; at = s.members[at].next {
		m := s.members[at]
		var err error
		if w.pieces, err = s.pieces(m, w.pieces[:0]); err != nil {
			return err
		}
		for i := range w.pieces {
			if err := s.materialize(w, m, &w.pieces[i]); err != nil {
				s.warnings.add(fmt.Errorf("%s: samples of a series were left out: %w", s.parts[m.part].Name(), err))
			}
		}
	}
	slices.SortStableFunc(w.samples, func(a, b sample) int {
		return cmp.Or(cmp.Compare(a.time, b.time), cmp.Compare(a.part, b.part))
	})
	w.samples = slices.CompactFunc(w.samples, func(a, b sample) bool { return a.time == b.time })
	w.merged.layOut(b, w)
	return nil
}

// materialize appends the samples of one piece to w.samples.
func (s *Scan) materialize(w *scratch, m member, piece *part.Piece) error {
	times := s.times(m, piece)
	if times == nil {
		return nil
	}
	times = times[piece.From:piece.To]
	c := &piece.Chunk
	n := column.PresentCount(c.Runs, len(times))
	values := c.Values
	switch c.Kind {
	case storage.None:
		return nil
	case storage.Encoded:
		w.values = w.values[:0]
		if n > 0 {
			var err error
			if w.values, err = format.Decode(w.values, c.Data, n); err != nil {
				return err
			}
		}
		values = w.values
	case storage.Histograms:
		if len(c.Histograms) != n {
			return fmt.Errorf("a chunk has %d histograms for %d positions", len(c.Histograms), n)
		}
	}
	if c.Kind != storage.Histograms && len(values) != n {
		return fmt.Errorf("a chunk has %d values for %d positions", len(values), n)
	}
	next := 0
	for pos, t := range times {
		x := sample{time: t, part: m.part, state: column.StateAt(c.Runs, pos)}
		if x.state == column.Absent {
			continue
		}
		if x.state == column.Present {
			if c.Kind == storage.Histograms {
				x.hist = c.Histograms[next]
			} else {
				x.value = values[next]
			}
			if c.Starts != nil {
				x.start = c.Starts[next]
			}
			next++
		}
		w.samples = append(w.samples, x)
	}
	return nil
}

// layOut writes w.samples, in order of time, to b as decoded chunks. A tile
// ends when it is full, and where floats and histograms meet.
func (m *merged) layOut(b *storage.ColumnBatch, w *scratch) {
	// The chunks keep slices of these: they must not move while they grow.
	m.values = slices.Grow(m.values[:0], len(w.samples))
	m.starts = slices.Grow(m.starts[:0], len(w.samples))
	m.histograms = slices.Grow(m.histograms[:0], len(w.samples))
	for from := 0; from < len(w.samples); {
		to := tileEnd(w.samples, from)
		b.Tiles = append(b.Tiles, storage.Tile{From: from, To: to})
		b.Chunks = append(b.Chunks, m.chunk(b, w, w.samples[from:to]))
		from = to
	}
}

// tileEnd returns the end of the tile that begins at from.
func tileEnd(samples []sample, from int) int {
	kind := -1
	for i := from; i < len(samples); i++ {
		if i-from == column.TilePositions {
			return i
		}
		if samples[i].state != column.Present {
			continue
		}
		k := 0
		if samples[i].isHistogram() {
			k = 1
		}
		if kind >= 0 && k != kind {
			return i
		}
		kind = k
	}
	return len(samples)
}

func (m *merged) chunk(b *storage.ColumnBatch, w *scratch, samples []sample) storage.Chunk {
	c := storage.Chunk{Kind: storage.Decoded}
	values, starts, hists, runs := len(m.values), len(m.starts), len(m.histograms), len(w.runs)
	hasStarts := false
	for pos := range samples {
		x := &samples[pos]
		b.Times = append(b.Times, x.time)
		switch {
		case x.state == column.Stale:
			w.runs = appendRun(w.runs, runs, column.Run{At: uint16(pos), Len: 1, State: column.Stale})
			continue
		case x.isHistogram():
			c.Kind = storage.Histograms
			m.histograms = append(m.histograms, x.hist)
		default:
			m.values = append(m.values, x.value)
		}
		m.starts = append(m.starts, x.start)
		hasStarts = hasStarts || x.start != 0
	}
	c.Runs = w.runs[runs:len(w.runs):len(w.runs)]
	if c.Kind == storage.Histograms {
		c.Histograms = m.histograms[hists:]
	} else {
		c.Values = m.values[values:]
	}
	if hasStarts {
		c.Starts = m.starts[starts:]
	}
	return c
}

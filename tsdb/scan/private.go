package scan

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/nilometer/nilometer/model/column"
	"github.com/nilometer/nilometer/storage"
	"github.com/nilometer/nilometer/tsdb/part"
)

// fillPrivate gives the series b.Ranks[0] a column of its own, of all samples
// that its pieces have. At one time the sample of the first part stays (I2).
func (s *Scan) fillPrivate(b *storage.ColumnBatch, w *scratch) error {
	w.samples = w.samples[:0]
	for at := s.series[b.Ranks[0]].head; at >= 0; at = s.members[at].next {
		m := s.members[at]
		var err error
		w.pieces, err = s.parts[m.part].Pieces(m.ref, s.minTime, s.maxTime, w.pieces[:0])
		if err != nil && !s.warnings.addDamage(err) {
			return err
		}
		for i := range w.pieces {
			if err := s.materialize(w, m, &w.pieces[i]); err != nil {
				s.warnings.add(fmt.Errorf("%s: samples of a series were left out: %w", s.parts[m.part].Name(), err))
			}
		}
	}
	// The samples came in the parts' order, which the sort keeps at one time.
	slices.SortStableFunc(w.samples, func(a, b column.Sample) int { return cmp.Compare(a.T, b.T) })
	w.samples = slices.CompactFunc(w.samples, func(a, b column.Sample) bool { return a.T == b.T })
	for from := 0; from < len(w.samples); {
		to := min(from+column.TilePositions, len(w.samples))
		for _, x := range w.samples[from:to] {
			b.Times = append(b.Times, x.T)
		}
		b.Tiles = append(b.Tiles, storage.Tile{From: from, To: to})
		b.Chunks = append(b.Chunks, storage.ChunkOf(b.Times[from:to], w.samples[from:to]))
		from = to
	}
	return nil
}

// materialize appends the samples of one piece to w.samples.
func (s *Scan) materialize(w *scratch, m member, piece *part.Piece) error {
	times := s.times(m.part, piece)
	if times == nil || piece.Chunk.Kind == storage.None {
		return nil
	}
	times = times[piece.From:piece.To]
	if err := w.values.Decode(&piece.Chunk, len(times)); err != nil {
		return err
	}
	w.samples = w.values.AppendSamples(w.samples, times, piece.Chunk.Runs)
	return nil
}

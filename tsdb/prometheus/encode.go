package prometheus

import (
	"slices"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/nilometer/nilometer/model/column"
	"github.com/nilometer/nilometer/storage"
	"github.com/nilometer/nilometer/tsdb/part"
)

// encodedSeries is one series of a range, ready for the block's writer.
type encodedSeries struct {
	labels labels.Labels
	column int32   // of the layout; -1: it has one of its own
	times  []int64 // of a column of its own
	pieces []encodedPiece
	count  int // samples
	digest digest
}

// encodedPiece is what a series has in one tile: positions [from, to) of the
// column in the making.
type encodedPiece struct {
	from, to int
	data     []byte // of format/chunk; none when all samples are stale markers
	runs     []column.Run
}

// encoder puts samples on the tiles of a column. One goroutine uses it; what
// it returns stays valid.
type encoder struct {
	chunk  part.Encoder
	values storage.Values
	runs   []column.Run
	data   []byte
}

// encode appends to dst the pieces of samples on col, which has all their
// timestamps, in tiles of column.TilePositions.
func (e *encoder) encode(dst []encodedPiece, col []int64, s *samples) []encodedPiece {
	if len(s.times) == 0 {
		return dst
	}
	i, _ := slices.BinarySearch(col, s.times[0])
	for k := 0; k < len(s.times); {
		for col[i] != s.times[k] {
			i++
		}
		from, to := i, i
		end := min(from-from%column.TilePositions+column.TilePositions, len(col))
		e.runs = e.runs[:0]
		e.values.Floats, e.values.Histograms, e.values.Starts = e.values.Floats[:0], e.values.Histograms[:0], e.values.Starts[:0]
		for ; k < len(s.times) && i < end; i++ {
			switch {
			case col[i] != s.times[k]:
				e.runs = column.AppendState(e.runs, i-from, column.Absent)
				continue
			case s.isStale(k):
				e.runs = column.AppendState(e.runs, i-from, column.Stale)
			default:
				e.add(s, k)
			}
			k, to = k+1, i+1
		}
		if n := len(e.runs); n > 0 && e.runs[n-1].End() > to-from {
			e.runs = e.runs[:n-1] // absent behind the last sample
		}
		p := encodedPiece{from: from, to: to, runs: slices.Clone(e.runs)}
		e.data = e.chunk.Append(e.data[:0], &e.values)
		p.data = slices.Clone(e.data)
		dst = append(dst, p)
	}
	return dst
}

// add appends the value of the k-th sample to those of the tile.
func (e *encoder) add(s *samples, k int) {
	e.values.Floats = append(e.values.Floats, s.values[k])
	if len(s.hists) > 0 {
		e.values.Histograms = append(e.values.Histograms, s.hists[k])
	}
	if len(s.starts) > 0 {
		e.values.Starts = append(e.values.Starts, s.starts[k])
	}
}

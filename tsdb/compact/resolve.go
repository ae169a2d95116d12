package compact

import (
	"slices"

	"github.com/nilometer/nilometer/model/column"
	"github.com/nilometer/nilometer/model/series"
	"github.com/nilometer/nilometer/storage"
	"github.com/nilometer/nilometer/tsdb/block"
	"github.com/nilometer/nilometer/tsdb/part"
)

// resolve returns the samples of pieces that overlap, in order of time. For
// each timestamp the first source that has it wins; a different value of a
// later one is counted.
func resolve(sources []Source, pieces []located) ([]column.Sample, uint64, error) {
	bySource := slices.Clone(pieces)
	slices.SortStableFunc(bySource, func(a, b located) int { return a.source - b.source })
	var merged, next, of []column.Sample
	var conflicts uint64
	for i := 0; i < len(bySource); {
		of = of[:0]
		source := bySource[i].source
		for ; i < len(bySource) && bySource[i].source == source; i++ {
			var err error
			if of, err = appendSamples(of, sources[source], &bySource[i].piece); err != nil {
				return nil, 0, err
			}
		}
		var n uint64
		next, n = mergeSamples(next[:0], merged, of)
		conflicts += n
		merged, next = next, merged
	}
	return merged, conflicts, nil
}

func appendSamples(dst []column.Sample, src part.Part, p *part.Piece) ([]column.Sample, error) {
	if p.Chunk.Kind == storage.None {
		return dst, nil
	}
	times, err := src.Column(p.Column)
	if err != nil {
		return dst, err
	}
	var values storage.Values
	if err := values.Decode(&p.Chunk, int(p.To-p.From)); err != nil {
		return dst, err
	}
	return values.AppendSamples(dst, times[p.From:p.To], p.Chunk.Runs), nil
}

// mergeSamples appends the union of two sorted lists to dst; where both have a
// timestamp, winner's value stays, and a different one is counted.
func mergeSamples(dst, winner, loser []column.Sample) ([]column.Sample, uint64) {
	var conflicts uint64
	for len(winner) > 0 && len(loser) > 0 {
		switch w, l := winner[0], loser[0]; {
		case w.T < l.T:
			dst, winner = append(dst, w), winner[1:]
		case w.T > l.T:
			dst, loser = append(dst, l), loser[1:]
		default:
			if !w.SameValue(l) {
				conflicts++
			}
			dst, winner, loser = append(dst, w), winner[1:], loser[1:]
		}
	}
	return append(append(dst, winner...), loser...), conflicts
}

// appendPrivate appends pieces with exactly these samples, on a column of
// their times; series that share all times share the column.
func appendPrivate(w *block.Writer, key series.Key, samples []column.Sample, dst []part.Piece) ([]part.Piece, error) {
	for len(samples) > 0 {
		n := min(len(samples), block.ColumnPositionsMax)
		times := make([]int64, n)
		for i, s := range samples[:n] {
			times[i] = s.T
		}
		id, err := w.AddColumn(key, times, nil)
		if err != nil {
			return dst, err
		}
		for from := 0; from < n; from += column.TilePositions {
			to := min(from+column.TilePositions, n)
			c := storage.ChunkOf(times[from:to], samples[from:to])
			dst = append(dst, part.Piece{Column: id, From: uint32(from), To: uint32(to), Chunk: c})
		}
		samples = samples[n:]
	}
	return dst, nil
}

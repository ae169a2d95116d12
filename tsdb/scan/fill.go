package scan

import (
	"sort"

	"github.com/nilometer/nilometer/model/column"
	"github.com/nilometer/nilometer/storage"
	"github.com/nilometer/nilometer/tsdb/part"
)

// scratch is the memory that goes with one caller's batch and is valid as long
// as the batch's content.
type scratch struct {
	walks   walks
	chosen  []chosen
	series  []entry
	pieces  []part.Piece
	runs    []column.Run
	samples []column.Sample
	values  storage.Values
}

// fill lays the series b.Ranks on a path.
func (s *Scan) fill(b *storage.ColumnBatch, w *scratch, p path) error {
	tiles := s.stretch[p.at:][:p.len]
	for _, t := range tiles {
		from := len(b.Times)
		b.Times = append(b.Times, s.columns[t.column].times[t.from:t.to]...)
		b.Tiles = append(b.Tiles, storage.Tile{From: from, To: len(b.Times)})
	}
	b.Chunks = grow(b.Chunks, len(b.Ranks)*len(tiles))
	w.series = w.series[:0]
	for _, rank := range b.Ranks {
		w.series = append(w.series, s.series[rank])
	}
	w.chosen = s.choose(w.chosen, w.series)
	for p := range w.chosen {
		c := &w.chosen[p]
		if len(c.refs) == 0 {
			continue
		}
		hint := 0
		err := s.walkOf(&w.walks, int32(p)).Pieces(c.refs, !s.timesOnly, func(i int, pieces []part.Piece) {
			hint = s.place(b.Chunks[int(c.who[i])*len(tiles):][:len(tiles)], tiles, int32(p), pieces, hint, w)
		})
		if err = s.warnings.addAll(err); err != nil {
			return err
		}
	}
	return nil
}

// grow extends a cleared slice to n zero elements.
func grow(chunks []storage.Chunk, n int) []storage.Chunk {
	if cap(chunks) < n {
		return make([]storage.Chunk, n)
	}
	chunks = chunks[:n]
	clear(chunks)
	return chunks
}

// place puts one part's pieces of a series into their tiles. hint is where the
// first may be, and is returned for the next series.
func (s *Scan) place(chunks []storage.Chunk, tiles []stretch, p int32, pieces []part.Piece, hint int, w *scratch) int {
	at := hint
	for i := range pieces {
		piece := &pieces[i]
		times := s.times(p, piece)
		if times == nil {
			continue
		}
		start := times[piece.From]
		if at < len(tiles) && tiles[at].end < start {
			at++
		}
		if at >= len(tiles) || tiles[at].end < start || at > 0 && tiles[at-1].end >= start {
			at = sort.Search(len(tiles), func(k int) bool { return tiles[k].end >= start })
		}
		if i == 0 {
			hint = at
		}
		if at == len(tiles) || !s.covers(tiles[at], piece, times) {
			continue // damaged when the path was made, as in times
		}
		chunks[at] = piece.Chunk
		if before, after := piece.From-tiles[at].from, tiles[at].to-piece.To; before > 0 || after > 0 {
			chunks[at].Runs = w.widen(piece.Chunk.Runs, int(before), int(piece.To-piece.From), int(after))
			chunks[at].At += uint16(before) // of a stream; others have no use for it
		}
	}
	return hint
}

// covers reports whether a piece on a column with these times lies in the tile.
func (s *Scan) covers(tile stretch, piece *part.Piece, times []int64) bool {
	if piece.From < tile.from || piece.To > tile.to {
		return false
	}
	shared := s.columns[tile.column].times
	return shared[piece.From] == times[piece.From] && shared[piece.To-1] == times[piece.To-1]
}

// widen returns the presence runs of a piece of n positions in a tile that has
// more before and after it, where the series is absent.
func (w *scratch) widen(runs []column.Run, before, n, after int) []column.Run {
	from := len(w.runs)
	if before > 0 {
		w.runs = append(w.runs, column.Run{Len: uint16(before), State: column.Absent})
	}
	for _, r := range runs {
		r.At += uint16(before)
		w.runs = appendRun(w.runs, from, r)
	}
	if after > 0 {
		w.runs = appendRun(w.runs, from, column.Run{At: uint16(before + n), Len: uint16(after), State: column.Absent})
	}
	return w.runs[from:len(w.runs):len(w.runs)]
}

// appendRun appends r, or lets the last of dst[from:] go on when r continues it.
func appendRun(dst []column.Run, from int, r column.Run) []column.Run {
	if k := len(dst) - 1; k >= from && dst[k].State == r.State && dst[k].End() == int(r.At) {
		dst[k].Len += r.Len
		return dst
	}
	return append(dst, r)
}

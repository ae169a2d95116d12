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
	private walks // with values, whatever the selection
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
	for i, rank := range b.Ranks {
		chunks := b.Chunks[i*len(tiles):][:len(tiles)]
		for at := s.series[rank].head; at >= 0; at = s.members[at].next {
			m := s.members[at]
			var err error
			w.pieces, err = s.pieces(&w.walks, m, w.pieces[:0])
			if err != nil {
				return err
			}
			s.place(chunks, tiles, m, w)
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

// place puts w.pieces, one part's pieces of a series, into their tiles.
func (s *Scan) place(chunks []storage.Chunk, tiles []stretch, m member, w *scratch) {
	hint := 0
	for i := range w.pieces {
		piece := &w.pieces[i]
		times := s.times(m, piece)
		if times == nil {
			continue
		}
		start := times[piece.From]
		if hint < len(tiles) && tiles[hint].end < start {
			hint++
		}
		if hint >= len(tiles) || tiles[hint].end < start {
			hint = sort.Search(len(tiles), func(k int) bool { return tiles[k].end >= start })
		}
		if hint == len(tiles) || !s.covers(tiles[hint], piece, times) {
			continue // damaged when the path was made, as in times
		}
		chunks[hint] = piece.Chunk
		if before, after := piece.From-tiles[hint].from, tiles[hint].to-piece.To; before > 0 || after > 0 {
			chunks[hint].Runs = w.widen(piece.Chunk.Runs, int(before), int(piece.To-piece.From), int(after))
			chunks[hint].At += uint16(before) // of a stream; others have no use for it
		}
	}
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

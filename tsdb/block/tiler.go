package block

import (
	"fmt"
	"slices"
	"sort"

	"github.com/nilometer/nilometer/format/index"
	"github.com/nilometer/nilometer/format/page"
	"github.com/nilometer/nilometer/model/column"
	"github.com/nilometer/nilometer/storage"
	"github.com/nilometer/nilometer/tsdb/part"
)

// tiler turns the pieces of a series into one chunk per tile. A piece that is
// alone in its tile keeps its bytes, and the rest of the tile becomes absent;
// pieces that share a tile, or lie across several, are decoded and encoded
// again.
type tiler struct {
	encoder  part.Encoder
	segments []segment
	chunks   []tileChunk
	tile     part.Gathered
	decoded  storage.Values
	data     []byte
	runs     []column.Run

	copied, encoded uint64 // chunks taken over as they were, and made
}

// segment is the part of a piece, [from, to) of the column, in one tile.
type segment struct {
	piece    *part.Piece
	tile     int
	from, to uint32
}

func (s segment) whole() bool { return s.from == s.piece.From && s.to == s.piece.To }

// tileChunk is the chunk of one tile, with its samples (stale markers
// included).
type tileChunk struct {
	column  part.ColumnID
	tile    int
	chunk   page.Chunk
	samples int
}

// cut returns the chunks in order of time. They are valid until the next call.
func (t *tiler) cut(columns []writerColumn, pieces []part.Piece) ([]tileChunk, error) {
	t.segments, t.chunks, t.data, t.runs = t.segments[:0], t.chunks[:0], t.data[:0], t.runs[:0]
	for i := range pieces {
		p := &pieces[i]
		if err := checkPiece(columns, p); err != nil {
			return nil, err
		}
		if p.Chunk.Kind == storage.None {
			continue
		}
		tiles := columns[p.Column].tiles
		k := sort.Search(len(tiles), func(k int) bool { return tiles[k].To > p.From })
		for from := p.From; from < p.To; k++ {
			to := min(p.To, tiles[k].To)
			t.segments = append(t.segments, segment{piece: p, tile: k, from: from, to: to})
			from = to
		}
	}
	for rest := t.segments; len(rest) > 0; {
		n := 1
		for n < len(rest) && rest[n].piece.Column == rest[0].piece.Column && rest[n].tile == rest[0].tile && rest[n].from >= rest[n-1].to {
			n++
		}
		id := rest[0].piece.Column
		if err := t.emit(id, columns[id].tiles[rest[0].tile], rest[:n]); err != nil {
			return nil, err
		}
		rest = rest[n:]
	}
	return t.chunks, nil
}

func checkPiece(columns []writerColumn, p *part.Piece) error {
	if int(p.Column) >= len(columns) {
		return fmt.Errorf("a piece on column %d, there are %d", p.Column, len(columns))
	}
	tiles := columns[p.Column].tiles
	if n := tiles[len(tiles)-1].To; p.From >= p.To || p.To > n {
		return fmt.Errorf("a piece from %d to %d on column %d of %d positions", p.From, p.To, p.Column, n)
	}
	return column.ValidateRuns(p.Chunk.Runs, int(p.To-p.From))
}

// emit makes the chunk of one tile.
func (t *tiler) emit(id part.ColumnID, tile index.Tile, segments []segment) error {
	runsAt := len(t.runs)
	at := tile.From
	for _, s := range segments {
		t.addRun(runsAt, tile, at, s.from, column.Absent)
		for _, r := range s.piece.Chunk.Runs {
			from, to := max(s.from, s.piece.From+uint32(r.At)), min(s.to, s.piece.From+uint32(r.End()))
			t.addRun(runsAt, tile, from, to, r.State)
		}
		at = s.to
	}
	t.addRun(runsAt, tile, at, tile.To, column.Absent)
	runs := slices.Clip(t.runs[runsAt:])
	n := int(tile.To - tile.From)
	samples := column.SampleCount(runs, n)
	if samples == 0 {
		t.runs = t.runs[:runsAt]
		return nil
	}
	data, err := t.chunkData(segments, column.PresentCount(runs, n))
	if err != nil {
		return err
	}
	t.chunks = append(t.chunks, tileChunk{column: id, tile: segments[0].tile, chunk: page.Chunk{Data: data, Runs: runs}, samples: samples})
	return nil
}

// addRun extends the runs that begin at runsAt by positions [from, to) of the
// column.
func (t *tiler) addRun(runsAt int, tile index.Tile, from, to uint32, state column.State) {
	if from >= to {
		return
	}
	run := column.Run{At: uint16(from - tile.From), Len: uint16(to - from), State: state}
	if k := len(t.runs) - 1; k >= runsAt && t.runs[k].State == state && t.runs[k].End() == int(run.At) {
		t.runs[k].Len += run.Len
		return
	}
	t.runs = append(t.runs, run)
}

// chunkData returns the encoded values of the segments, n of them.
func (t *tiler) chunkData(segments []segment, n int) ([]byte, error) {
	if n == 0 {
		return nil, nil
	}
	if s := segments[0]; len(segments) == 1 && s.whole() {
		if data, ok := part.Pack(&s.piece.Chunk); ok {
			t.copied++
			return data, nil
		}
	}
	t.encoded++
	t.tile.Reset()
	for _, s := range segments {
		if err := t.decoded.Decode(&s.piece.Chunk, int(s.piece.To-s.piece.From)); err != nil {
			return nil, err
		}
		runs := s.piece.Chunk.Runs
		from, to := presentBefore(runs, int(s.from-s.piece.From)), presentBefore(runs, int(s.to-s.piece.From))
		t.tile.Add(&t.decoded, from, to)
	}
	if t.tile.Len() != n {
		return nil, fmt.Errorf("a tile with %d values where its presence runs leave %d", t.tile.Len(), n)
	}
	at := len(t.data)
	t.data = t.encoder.Append(t.data, &t.tile.Values)
	return slices.Clip(t.data[at:]), nil
}

// presentBefore counts the present positions before pos.
func presentBefore(runs []column.Run, pos int) int {
	n := pos
	for _, r := range runs {
		if int(r.At) >= pos {
			break
		}
		n -= min(r.End(), pos) - int(r.At)
	}
	return n
}

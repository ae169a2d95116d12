package block

import (
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"sort"

	"github.com/cespare/xxhash/v2"

	formatcolumn "github.com/nilometer/nilometer/format/column"
	"github.com/nilometer/nilometer/format/index"
	"github.com/nilometer/nilometer/format/page"
	"github.com/nilometer/nilometer/storage"
	"github.com/nilometer/nilometer/tsdb/part"
)

// loadedPage is a page whose checksum is right.
type loadedPage struct {
	*page.Page
}

// Pieces appends the pieces of a series that overlap [minTime, maxTime], by
// the bounds of their tiles. A chunk whose tile begins or ends with absent
// positions is handed out without them.
func (b *Block) Pieces(ref part.Ref, minTime, maxTime int64, dst []part.Piece) ([]part.Piece, error) {
	return b.pieces(query{ref, minTime, maxTime, true}, dst)
}

// Outline is Pieces without the decoding of chunks that refer to others.
func (b *Block) Outline(ref part.Ref, minTime, maxTime int64, dst []part.Piece) ([]part.Piece, error) {
	return b.pieces(query{ref, minTime, maxTime, false}, dst)
}

// query is what Pieces asks for; without values it is Outline.
type query struct {
	ref              part.Ref
	minTime, maxTime int64
	values           bool
}

func (b *Block) pieces(q query, dst []part.Piece) ([]part.Piece, error) {
	var errs []error
	was := len(dst)
	for _, row := range b.rows {
		if row.MinTime > q.maxTime || row.MaxTime < q.minTime {
			continue
		}
		var err error
		if dst, err = b.rowPieces(row, q, dst); err != nil {
			errs = append(errs, err)
		}
	}
	return b.ordered(dst, was, errs)
}

// ordered puts dst[was:] in order.
func (b *Block) ordered(dst []part.Piece, was int, errs []error) ([]part.Piece, error) {
	if err := b.order(dst[was:]); err != nil {
		errs = append(errs, err)
	}
	return dst, part.Join(errs)
}

func (b *Block) rowPieces(row index.RowInfo, q query, dst []part.Piece) ([]part.Piece, error) {
	i, err := b.index.FindPage(row, uint32(q.ref))
	if err != nil {
		return dst, b.damage(b.prefix+indexName, 0, err)
	}
	var failed error
	tiles := rowTiles{row: row.Number}
	for ; i < row.EndPage; i++ {
		info, err := b.index.Page(i)
		if err != nil {
			return dst, b.damage(b.prefix+indexName, 0, err)
		}
		if info.First > uint32(q.ref) {
			break
		}
		if info.MinTime > q.maxTime || info.MaxTime < q.minTime {
			continue
		}
		p, err := b.page(i, info, row.Number)
		if err != nil {
			failed = errors.Join(failed, err)
			continue
		}
		entries := p.Entries()
		for k := p.Find(uint32(q.ref)); k < len(entries) && entries[k].Series == uint32(q.ref); k++ {
			if dst, err = b.entryPieces(p, k, &tiles, q, dst); err != nil {
				failed = errors.Join(failed, b.damage(b.files[info.File-1].name, int64(info.Offset), err))
			}
		}
	}
	return dst, failed
}

// rowTiles are the tiles of a column in a row: those of the last one asked for,
// since series after series is on the same.
type rowTiles struct {
	row    int64
	known  bool
	column uint32
	tiles  []index.Tile
}

func (b *Block) tiles(r *rowTiles, column uint32) ([]index.Tile, error) {
	if r.known && r.column == column {
		return r.tiles, nil
	}
	c, err := b.column(part.ColumnID(column))
	if err != nil {
		return nil, err
	}
	from, to := c.RowTiles(r.row, b.index.RowMs())
	r.known, r.column, r.tiles = true, column, c.Tiles[from:to]
	return r.tiles, nil
}

func (b *Block) entryPieces(p *loadedPage, entry int, row *rowTiles, q query, dst []part.Piece) ([]part.Piece, error) {
	e := p.Entries()[entry]
	tiles, err := b.tiles(row, e.Column)
	if err != nil {
		return dst, err
	}
	for i, t := range tiles {
		if t.First > q.maxTime || t.Last < q.minTime {
			continue
		}
		data, presence, ok, err := p.Chunk(e, i, int(t.To-t.From))
		if err != nil {
			return dst, err
		}
		if !ok {
			continue
		}
		piece := part.Piece{
			Column: part.ColumnID(e.Column),
			From:   t.From + uint32(presence.Lead), To: t.To - uint32(presence.Trail),
		}
		switch {
		case !q.values: // its bytes need not be touched
			piece.Chunk = storage.Chunk{Kind: storage.Decoded, Runs: presence.Runs}
		case p.Refers(e, i):
			values, err := p.Values(entry, i, int(t.To-t.From))
			if err != nil {
				return dst, err
			}
			piece.Chunk = storage.Chunk{Kind: storage.Decoded, Values: values, Runs: presence.Runs}
		default:
			if piece.Chunk, err = part.Unpack(data, presence.Runs); err != nil {
				return dst, err
			}
		}
		dst = append(dst, piece)
	}
	return dst, nil
}

// order sorts pieces of several columns by time: a tile that begins absent may
// lie in an earlier row than what comes before its first sample. Where the
// tiles are in order, so are the pieces, and no column is decoded.
func (b *Block) order(pieces []part.Piece) error {
	sorted, last := true, int64(math.MinInt64)
	for i := range pieces {
		if i > 0 && pieces[i].Column == pieces[i-1].Column && pieces[i].From >= pieces[i-1].To {
			continue // its stretch was looked at with its first piece
		}
		c, err := b.column(pieces[i].Column)
		if err != nil {
			return err
		}
		first := c.Tiles[tileOf(c, pieces[i].From)].First
		if first <= last {
			sorted = false
			break
		}
		end := i // the last piece of this stretch on one column
		for end+1 < len(pieces) && pieces[end+1].Column == pieces[i].Column {
			end++
		}
		last = c.Tiles[tileOf(c, pieces[end].To-1)].Last
	}
	if sorted {
		return nil
	}
	starts := make(map[part.ColumnID][]int64, 2)
	for _, p := range pieces {
		if _, ok := starts[p.Column]; !ok {
			times, err := b.Column(p.Column)
			if err != nil {
				return err
			}
			starts[p.Column] = times
		}
	}
	slices.SortStableFunc(pieces, func(x, y part.Piece) int {
		tx, ty := starts[x.Column][x.From], starts[y.Column][y.From]
		if tx < ty {
			return -1
		} else if tx > ty {
			return 1
		}
		return 0
	})
	return nil
}

// page returns a page, verified and parsed. A damaged page is remembered, an
// error of reading is not.
func (b *Block) page(i int, info index.Page, row int64) (*loadedPage, error) {
	if p, ok := b.pages[i].get(); ok {
		return p, nil
	}
	if err, ok := b.damaged.Load(i); ok {
		return nil, err.(error)
	}
	p, size, err := b.readPage(info, row)
	if err != nil {
		var broken *page.CorruptError
		if errors.As(err, &broken) {
			b.damaged.Store(i, err)
		}
		return nil, err
	}
	return b.pages[i].put(b.cache, p, size), nil
}

func (b *Block) readPage(info index.Page, row int64) (*loadedPage, int, error) {
	if info.File == 0 || int(info.File) > len(b.files) {
		return nil, 0, b.damage(b.prefix+indexName, 0, fmt.Errorf("a page in file %d of %d", info.File, len(b.files)))
	}
	f := &b.files[info.File-1]
	frame, owned, err := f.read(int64(info.Offset), int(info.Bytes))
	if err != nil {
		return nil, 0, b.damage(f.name, int64(info.Offset), err)
	}
	h, payload, err := page.Open(frame, b.dec)
	if err != nil {
		return nil, 0, b.damage(f.name, int64(info.Offset), err)
	}
	var columns error
	p, err := page.Parse(payload, b.tilesOf(row, &columns))
	if columns != nil {
		return nil, 0, columns // the page is sound, as far as anyone can tell
	}
	if err != nil {
		return nil, 0, b.damage(f.name, int64(info.Offset), err)
	}
	size := p.MemoryBytes()
	if owned || h.Stored != h.Raw {
		size += len(payload)
	}
	return &loadedPage{Page: p}, size, nil
}

// tilesOf counts the tiles of columns in a row, remembering the last answer:
// series after series is on the same column. A column that cannot be read has
// none, and its error is left in failed.
func (b *Block) tilesOf(row int64, failed *error) page.Tiles {
	last, tiles, known := uint32(0), 0, false
	return func(id uint32) int {
		if known && id == last {
			return tiles
		}
		c, err := b.column(part.ColumnID(id))
		if err != nil {
			*failed = err
			return 0
		}
		from, to := c.RowTiles(row, b.index.RowMs())
		last, tiles, known = id, to-from, true
		return tiles
	}
}

// read returns bytes of the file, and whether they are a copy.
func (f *chunksFile) read(offset int64, n int) ([]byte, bool, error) {
	if f.obj == nil {
		return nil, false, &page.CorruptError{Reason: "the file is missing"}
	}
	if n > page.RawBytesMax+page.HeaderBytes+page.PadBytes || offset+int64(n) > f.obj.Size() {
		return nil, false, &page.CorruptError{Reason: fmt.Sprintf("%d bytes from %d on are not in the file of %d bytes", n, offset, f.obj.Size())}
	}
	if b := f.obj.Bytes(); b != nil {
		return b[offset : offset+int64(n) : offset+int64(n)], false, nil
	}
	buf := make([]byte, n)
	if _, err := f.obj.ReadAt(buf, offset); err != nil && !errors.Is(err, io.EOF) {
		return nil, false, err
	}
	return buf, true, nil
}

func (b *Block) damage(file string, offset int64, err error) error {
	var already *part.DamageError
	if errors.As(err, &already) {
		return err
	}
	return &part.DamageError{Part: b.name, File: file, Offset: offset, Err: fmt.Errorf("page at offset %d: %w", offset, err)}
}

// column returns the table's entry of a time column.
func (b *Block) column(id part.ColumnID) (*index.Column, error) {
	if int(id) >= len(b.columns) {
		return nil, b.damage(b.prefix+indexName, 0, fmt.Errorf("time column %d of %d", id, len(b.columns)))
	}
	if c, ok := b.columns[id].get(); ok {
		return c, nil
	}
	c, err := b.index.Column(uint32(id))
	if err != nil {
		return nil, b.indexDamage(err)
	}
	return b.columns[id].put(b.cache, &c, 80+24*cap(c.Tiles)), nil
}

// SeriesCount is the number of series: references are below.
func (b *Block) SeriesCount() int {
	if b.broken != nil {
		return 0
	}
	return b.index.Series()
}

// PieceRange returns the times of a piece's first and last position. Where a
// piece covers its tile, no time column is decoded for it.
func (b *Block) PieceRange(p *part.Piece) (first, last int64, err error) {
	c, err := b.column(p.Column)
	if err != nil {
		return 0, 0, err
	}
	i := tileOf(c, p.From)
	if i < len(c.Tiles) && c.Tiles[i].From == p.From && c.Tiles[i].To == p.To {
		return c.Tiles[i].First, c.Tiles[i].Last, nil
	}
	times, err := b.Column(p.Column)
	if err != nil {
		return 0, 0, err
	}
	return times[p.From], times[p.To-1], nil
}

// tileOf returns the tile that a position lies in.
func tileOf(c *index.Column, pos uint32) int {
	return sort.Search(len(c.Tiles), func(i int) bool { return c.Tiles[i].To > pos })
}

// TimeColumns is the number of the block's time columns: their ids are below.
func (b *Block) TimeColumns() int { return len(b.columns) }

// TimeColumn returns the table's entry of a time column. It must not be
// changed.
func (b *Block) TimeColumn(id part.ColumnID) (*index.Column, error) { return b.column(id) }

func (b *Block) indexDamage(err error) error {
	d := &part.DamageError{Part: b.name, File: b.prefix + indexName, Err: err}
	var broken *index.CorruptError
	if errors.As(err, &broken) {
		d.Offset = broken.Offset
	}
	return d
}

// Column returns the whole time column.
func (b *Block) Column(id part.ColumnID) ([]int64, error) {
	if int(id) < len(b.times) {
		if times, ok := b.times[id].get(); ok {
			return times, nil
		}
	}
	c, err := b.column(id)
	if err != nil {
		return nil, err
	}
	times, err := formatcolumn.DecodeTimes(make([]int64, 0, c.Positions()), c.Times, c.Positions())
	if err == nil && len(times) != c.Positions() {
		err = fmt.Errorf("%d timestamps in tiles of %d positions", len(times), c.Positions())
	}
	if err != nil {
		return nil, b.indexDamage(fmt.Errorf("time column %d: %w", id, err))
	}
	return b.times[id].put(b.cache, times, 8*cap(times)), nil
}

// ColumnKey returns the hash of the column's content. A damaged column has a
// key that no other column has.
func (b *Block) ColumnKey(id part.ColumnID) uint64 {
	c, err := b.column(id)
	if err != nil {
		return xxhash.Sum64String(fmt.Sprintf("%s column %d", b.name, id))
	}
	return c.Hash
}

// EstimateSeries tells what the pages of a series in the range hold per entry.
func (b *Block) EstimateSeries(ref part.Ref, minTime, maxTime int64) (samples, bytes int64) {
	for _, row := range b.rows {
		if row.MinTime > maxTime || row.MaxTime < minTime {
			continue
		}
		i, err := b.index.FindPage(row, uint32(ref))
		if err != nil || i >= row.EndPage {
			continue
		}
		info, err := b.index.Page(i)
		if err != nil || info.First > uint32(ref) || info.Entries == 0 {
			continue
		}
		share := 1.0
		if covered := min(maxTime, row.MaxTime) - max(minTime, row.MinTime); covered >= 0 && row.MaxTime > row.MinTime {
			share = float64(covered+1) / float64(row.MaxTime-row.MinTime+1)
		}
		samples += int64(share*float64(info.Samples)/float64(info.Entries)) + 1
		bytes += int64(share*float64(info.Bytes)/float64(info.Entries)) + 1
	}
	return samples, bytes
}

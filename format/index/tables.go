package index

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math"
	"sort"

	"github.com/nilometer/nilometer/model/series"
)

// Column is an entry of the time column table.
type Column struct {
	// Key is the placement key of the series that use it first.
	Key series.Key
	// Hash is a hash of the timestamps: equal ones mean an equal column.
	Hash uint64
	// Witness is the first series on the column.
	Witness uint32
	// Tiles cut the column; there is at least one.
	Tiles []Tile
	// Times are the timestamps, as format/column encodes them.
	Times []byte
}

// Tile is a stretch of positions of a time column.
type Tile struct {
	From, To    uint32 // positions
	First, Last int64  // times of From and To-1, ms
}

// Positions is the number of positions of the column.
func (c *Column) Positions() int {
	if len(c.Tiles) == 0 {
		return 0
	}
	return int(c.Tiles[len(c.Tiles)-1].To)
}

// Row is the row that a time lies in.
func Row(t, rowMs int64) int64 {
	row := t / rowMs
	if t%rowMs < 0 {
		row--
	}
	return row
}

// RowTiles returns the range of the tiles that lie in a row.
func (c *Column) RowTiles(row, rowMs int64) (from, to int) {
	from = sort.Search(len(c.Tiles), func(i int) bool { return Row(c.Tiles[i].First, rowMs) >= row })
	to = from
	for to < len(c.Tiles) && Row(c.Tiles[to].First, rowMs) == row {
		to++
	}
	return from, to
}

// appendColumn appends the record of a column.
func appendColumn(dst []byte, c *Column) []byte {
	at := len(dst)
	dst = append(dst, 0, 0, 0, 0)
	dst = binary.LittleEndian.AppendUint64(dst, uint64(c.Key))
	dst = binary.LittleEndian.AppendUint64(dst, c.Hash)
	dst = binary.AppendUvarint(dst, uint64(c.Witness))
	dst = binary.AppendUvarint(dst, uint64(len(c.Tiles)))
	last := int64(0)
	for _, t := range c.Tiles {
		dst = binary.AppendUvarint(dst, uint64(t.To-t.From))
		dst = binary.AppendVarint(dst, t.First-last)
		dst = binary.AppendUvarint(dst, uint64(t.Last-t.First))
		last = t.Last
	}
	dst = append(dst, c.Times...)
	binary.LittleEndian.PutUint32(dst[at:], crc32.Checksum(dst[at+4:], castagnoli))
	return dst
}

// Column decodes the record of a column and verifies its checksum.
func (x *Index) Column(id uint32) (Column, error) {
	b, err := x.section(secColumns)
	if err != nil {
		return Column{}, err
	}
	if uint64(id) >= uint64(x.columns) {
		return Column{}, x.corrupt(secColumns, 0, fmt.Sprintf("no column %d of %d", id, x.columns))
	}
	from, to := binary.LittleEndian.Uint32(b[4*id:]), binary.LittleEndian.Uint32(b[4*id+4:])
	body := b[4*(x.columns+1):]
	if uint64(from)+20 > uint64(to) || uint64(to) > uint64(len(body)) {
		return Column{}, x.corrupt(secColumns, int(4*id), fmt.Sprintf("column %d from %d to %d of %d", id, from, to, len(body)))
	}
	at := len(b) - len(body) + int(from)
	rec := body[from:to]
	if got, want := crc32.Checksum(rec[4:], castagnoli), binary.LittleEndian.Uint32(rec); got != want {
		return Column{}, x.corrupt(secColumns, at, fmt.Sprintf("column %d: checksum %08x, computed %08x", id, want, got))
	}
	c, ok := decodeColumn(rec)
	if !ok {
		return Column{}, x.corrupt(secColumns, at, fmt.Sprintf("column %d: bad tiles", id))
	}
	return c, nil
}

func decodeColumn(rec []byte) (Column, bool) {
	c := Column{
		Key:  series.Key(binary.LittleEndian.Uint64(rec[4:])),
		Hash: binary.LittleEndian.Uint64(rec[12:]),
	}
	r := reader{b: rec, off: 20}
	c.Witness = uint32(r.uvarint(ordinalMax))
	tiles := r.uvarint(uint64(len(rec)))
	if r.bad || tiles == 0 {
		return Column{}, false
	}
	c.Tiles = make([]Tile, 0, tiles)
	pos, last := uint64(0), int64(0)
	for i := range tiles {
		n := r.uvarint(1 << 16)
		first := last + r.varint()
		end := first + int64(r.uvarint(math.MaxInt64))
		if r.bad || n == 0 || pos+n > ordinalMax || end < first || (n > 1) != (end > first) || i > 0 && first <= last {
			return Column{}, false
		}
		c.Tiles = append(c.Tiles, Tile{From: uint32(pos), To: uint32(pos + n), First: first, Last: end})
		pos, last = pos+n, end
	}
	c.Times = rec[r.off:]
	return c, true
}

// RowInfo is a row of pages.
type RowInfo struct {
	// Number times RowMs is where the row begins.
	Number int64
	// Pages [FirstPage, EndPage) are its pages, in order of series.
	FirstPage, EndPage int
	// MinTime and MaxTime bound the tiles' times.
	MinTime, MaxTime int64
}

const rowBytes = 32

// Rows returns all rows, in order.
func (x *Index) Rows() ([]RowInfo, error) {
	b, err := x.section(secRows)
	if err != nil {
		return nil, err
	}
	out := make([]RowInfo, x.rows)
	next := 0
	for i := range out {
		r := b[i*rowBytes:]
		out[i] = RowInfo{
			Number:    int64(binary.LittleEndian.Uint64(r)),
			FirstPage: next,
			EndPage:   next + int(binary.LittleEndian.Uint32(r[8:])),
			MinTime:   int64(binary.LittleEndian.Uint64(r[16:])),
			MaxTime:   int64(binary.LittleEndian.Uint64(r[24:])),
		}
		next = out[i].EndPage
		if next > x.pages || i > 0 && out[i].Number <= out[i-1].Number {
			return nil, x.corrupt(secRows, i*rowBytes, fmt.Sprintf("row %d is out of order or has too many pages", i))
		}
	}
	if next != x.pages {
		return nil, x.corrupt(secRows, 0, fmt.Sprintf("rows of %d pages, there are %d", next, x.pages))
	}
	return out, nil
}

func appendRow(dst []byte, r RowInfo) []byte {
	dst = binary.LittleEndian.AppendUint64(dst, uint64(r.Number))
	dst = binary.LittleEndian.AppendUint32(dst, uint32(r.EndPage-r.FirstPage))
	dst = binary.LittleEndian.AppendUint32(dst, 0)
	dst = binary.LittleEndian.AppendUint64(dst, uint64(r.MinTime))
	return binary.LittleEndian.AppendUint64(dst, uint64(r.MaxTime))
}

// Page is an entry of the page table.
type Page struct {
	// First and Last are the ordinals of the first and last series.
	First, Last uint32
	// File is the number of the chunks' file, from 1 on; Offset and Bytes are
	// where the frame lies in it.
	File, Offset, Bytes uint32
	// Entries and Samples count.
	Entries, Samples uint32
	// MinTime and MaxTime bound the tiles' times.
	MinTime, MaxTime int64
}

const pageBytes = 44

// Page returns an entry of the page table.
func (x *Index) Page(i int) (Page, error) {
	b, err := x.section(secPages)
	if err != nil {
		return Page{}, err
	}
	if i < 0 || i >= x.pages {
		return Page{}, x.corrupt(secPages, 0, fmt.Sprintf("no page %d of %d", i, x.pages))
	}
	r := b[i*pageBytes:]
	return Page{
		First:   binary.LittleEndian.Uint32(r),
		Last:    binary.LittleEndian.Uint32(r[4:]),
		File:    binary.LittleEndian.Uint32(r[8:]),
		Offset:  binary.LittleEndian.Uint32(r[12:]),
		Bytes:   binary.LittleEndian.Uint32(r[16:]),
		Entries: binary.LittleEndian.Uint32(r[20:]),
		Samples: binary.LittleEndian.Uint32(r[24:]),
		MinTime: int64(binary.LittleEndian.Uint64(r[28:])),
		MaxTime: int64(binary.LittleEndian.Uint64(r[36:])),
	}, nil
}

// FindPage returns the first page of a row whose last series is not before
// series, EndPage without one.
func (x *Index) FindPage(row RowInfo, series uint32) (int, error) {
	b, err := x.section(secPages)
	if err != nil {
		return 0, err
	}
	return row.FirstPage + sort.Search(row.EndPage-row.FirstPage, func(i int) bool {
		return binary.LittleEndian.Uint32(b[(row.FirstPage+i)*pageBytes+4:]) >= series
	}), nil
}

func appendPage(dst []byte, p Page) []byte {
	for _, v := range []uint32{p.First, p.Last, p.File, p.Offset, p.Bytes, p.Entries, p.Samples} {
		dst = binary.LittleEndian.AppendUint32(dst, v)
	}
	dst = binary.LittleEndian.AppendUint64(dst, uint64(p.MinTime))
	return binary.LittleEndian.AppendUint64(dst, uint64(p.MaxTime))
}

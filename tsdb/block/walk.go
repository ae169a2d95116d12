package block

import (
	"github.com/nilometer/nilometer/format/index"
	"github.com/nilometer/nilometer/tsdb/part"
)

var _ part.Walker = (*Block)(nil)

// Walk implements part.Walker: neighbours are in one page of each row, an entry
// apart, and series of one column lie on the same positions.
func (b *Block) Walk(minTime, maxTime int64) part.Walk {
	w := &walk{block: b, query: query{minTime: minTime, maxTime: maxTime}}
	for _, row := range b.rows {
		if row.MinTime <= maxTime && row.MaxTime >= minTime {
			w.rows = append(w.rows, walkedRow{row: row, tiles: rowTiles{row: row.Number}})
		}
	}
	return w
}

// walk knows where the last series was.
type walk struct {
	block  *Block
	query  query
	rows   []walkedRow
	buf    []part.Piece
	places part.Places
	// Series that are whole on the same column in every row have one place. These
	// are the ways there, row by row: the first step by column, further ones by what
	// comes before and column; 0 is none. placeOf are the places at their ends, 0
	// where that is not known.
	first   []int32
	further map[step]int32
	placeOf []part.Place
}

type step struct {
	before int32
	column uint32
}

// walkedRow is a row and the page in it that the last series was in.
type walkedRow struct {
	row         index.RowInfo
	page        *loadedPage // nil: none
	info        index.Page
	first, last uint32 // series of the page's first and last entry
	tiles       rowTiles
	// overlaps are the tiles of each column, among those of the row, that overlap
	// the range of times.
	overlaps []overlap
}

// overlap is tiles [from, to).
type overlap struct {
	from, to int32
	known    bool
}

// Spans implements part.Walk.
func (w *walk) Spans(p part.Place) []part.Span { return w.places.Spans(p) }

// Places implements part.Walk.
func (w *walk) Places(refs []part.Ref, of []part.Place) error {
	var errs []error
	for i, ref := range refs {
		if p, ok := w.wholePlace(ref); ok {
			of[i] = p
			continue
		}
		var err error
		if w.buf, err = w.pieces(ref, false, w.buf[:0]); err != nil {
			errs = append(errs, err)
		}
		of[i] = w.places.Of(w.buf)
	}
	return part.Join(errs)
}

// Pieces implements part.Walk.
func (w *walk) Pieces(refs []part.Ref, values bool, take func(int, []part.Piece)) error {
	var errs []error
	for i, ref := range refs {
		var err error
		if w.buf, err = w.pieces(ref, values, w.buf[:0]); err != nil {
			errs = append(errs, err)
		}
		take(i, w.buf)
	}
	return part.Join(errs)
}

// wholePlace is the place of a series that has in each row one entry, inside of
// the page at hand, with a chunk and no exception on every tile: all that are on
// the same columns have the same. ok is false where that is not so, or not known
// yet.
func (w *walk) wholePlace(ref part.Ref) (p part.Place, ok bool) {
	at := int32(0)
	for i := range w.rows {
		column, ok := w.wholeOn(&w.rows[i], uint32(ref))
		if !ok {
			return 0, false
		}
		at = w.step(at, i, column)
	}
	if at == 0 { // no row
		return 0, true
	}
	if w.placeOf[at] == 0 {
		pieces, err := w.pieces(ref, false, w.buf[:0])
		if w.buf = pieces; err != nil {
			return 0, false
		}
		w.placeOf[at] = w.places.Of(pieces)
	}
	return w.placeOf[at], true
}

// step goes on by a column in the i-th row.
func (w *walk) step(before int32, i int, column uint32) int32 {
	var at *int32
	if i == 0 {
		if w.first == nil {
			w.first, w.placeOf = make([]int32, len(w.block.columns)), make([]part.Place, 1)
		}
		if at = &w.first[column]; *at != 0 {
			return *at
		}
	} else if at, ok := w.further[step{before, column}]; ok {
		return at
	}
	n := int32(len(w.placeOf))
	w.placeOf = append(w.placeOf, 0)
	if at != nil {
		*at = n
		return n
	}
	if w.further == nil {
		w.further = map[step]int32{}
	}
	w.further[step{before, column}] = n
	return n
}

// wholeOn returns the column that a series is whole on in a row.
func (w *walk) wholeOn(r *walkedRow, ref uint32) (column uint32, ok bool) {
	if !w.inside(r, part.Ref(ref)) {
		return 0, false
	}
	entries := r.page.Entries()
	k := r.page.Find(ref)
	if k+1 >= len(entries) || entries[k].Series != ref || entries[k+1].Series == ref {
		return 0, false
	}
	column = entries[k].Column
	o, ok := w.overlap(r, column)
	return column, ok && r.page.Whole(entries[k], int(o.from), int(o.to))
}

func (w *walk) overlap(r *walkedRow, column uint32) (overlap, bool) {
	if int(column) >= len(w.block.columns) {
		return overlap{}, false
	}
	if r.overlaps == nil {
		r.overlaps = make([]overlap, len(w.block.columns))
	}
	o := &r.overlaps[column]
	if o.known {
		return *o, true
	}
	tiles, err := w.block.tiles(&r.tiles, column)
	if err != nil {
		return overlap{}, false
	}
	for o.from < int32(len(tiles)) && tiles[o.from].Last < w.query.minTime {
		o.from++
	}
	for o.to = o.from; o.to < int32(len(tiles)) && tiles[o.to].First <= w.query.maxTime; {
		o.to++
	}
	o.known = true
	return *o, true
}

// pieces are those of one series.
func (w *walk) pieces(ref part.Ref, values bool, dst []part.Piece) ([]part.Piece, error) {
	q := w.query
	q.ref, q.values = ref, values
	var errs []error
	was := len(dst)
	for i := range w.rows {
		r := &w.rows[i]
		var err error
		if w.inside(r, ref) {
			dst, err = w.block.walkedPieces(r, q, dst)
		} else {
			dst, err = w.block.rowPieces(r.row, q, dst)
		}
		if err != nil {
			errs = append(errs, err)
		}
	}
	if len(dst)-was < 2 {
		return dst, part.Join(errs)
	}
	return w.block.ordered(dst, was, errs)
}

// inside makes the page of a series the one at hand, and reports whether all of
// the series in that row is in it: the first and the last series of a page may
// have entries in its neighbours.
func (w *walk) inside(r *walkedRow, ref part.Ref) bool {
	if r.page == nil || uint32(ref) < r.first || uint32(ref) > r.last {
		w.block.enter(r, query{ref: ref, minTime: w.query.minTime, maxTime: w.query.maxTime})
	}
	return r.page != nil && r.first < uint32(ref) && uint32(ref) < r.last
}

// enter remembers the page of a series, if there is one that could be read.
func (b *Block) enter(r *walkedRow, q query) {
	r.page = nil
	i, err := b.index.FindPage(r.row, uint32(q.ref))
	if err != nil || i >= r.row.EndPage {
		return
	}
	info, err := b.index.Page(i)
	if err != nil || info.MinTime > q.maxTime || info.MaxTime < q.minTime {
		return
	}
	p, err := b.page(i, info, r.row.Number)
	if err != nil || len(p.Entries()) == 0 {
		return
	}
	entries := p.Entries()
	r.page, r.info = p, info
	r.first, r.last = entries[0].Series, entries[len(entries)-1].Series
}

// walkedPieces is rowPieces of a series inside of the page that the last one was
// in.
func (b *Block) walkedPieces(r *walkedRow, q query, dst []part.Piece) ([]part.Piece, error) {
	entries, ref := r.page.Entries(), uint32(q.ref)
	var failed []error
	for k := r.page.Find(ref); k < len(entries) && entries[k].Series == ref; k++ {
		var err error
		if dst, err = b.entryPieces(r.page, k, &r.tiles, q, dst); err != nil {
			failed = append(failed, b.damage(b.files[r.info.File-1].name, int64(r.info.Offset), err))
		}
	}
	return dst, part.Join(failed)
}

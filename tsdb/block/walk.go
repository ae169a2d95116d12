package block

import (
	"github.com/nilometer/nilometer/format/index"
	"github.com/nilometer/nilometer/tsdb/part"
)

var _ part.Walker = (*Block)(nil)

// Walk implements part.Walker: neighbours are in one page of each row, on one
// column, an entry apart.
func (b *Block) Walk(minTime, maxTime int64, values bool) func(part.Ref, []part.Piece) ([]part.Piece, error) {
	w := &walk{block: b, query: query{minTime: minTime, maxTime: maxTime, values: values}}
	for _, row := range b.rows {
		if row.MinTime <= maxTime && row.MaxTime >= minTime {
			w.rows = append(w.rows, walkedRow{row: row, tiles: rowTiles{row: row.Number}})
		}
	}
	return w.pieces
}

// walk is Pieces that knows where the last series was.
type walk struct {
	block *Block
	query query
	rows  []walkedRow
}

// walkedRow is a row and the page in it that the last series was in.
type walkedRow struct {
	row         index.RowInfo
	page        *loadedPage // nil: none
	info        index.Page
	first, last uint32 // series of the page's first and last entry
	entry       int    // where the next series is expected
	tiles       rowTiles
}

func (w *walk) pieces(ref part.Ref, dst []part.Piece) ([]part.Piece, error) {
	q := w.query
	q.ref = ref
	var errs []error
	was := len(dst)
	for i := range w.rows {
		r := &w.rows[i]
		var err error
		// The first and the last series of a page may have entries in its neighbours.
		if r.page != nil && r.first < uint32(ref) && uint32(ref) < r.last {
			dst, err = w.block.walkedPieces(r, q, dst)
		} else {
			dst, err = w.block.rowPieces(r.row, q, dst)
			w.block.enter(r, q)
		}
		if err != nil {
			errs = append(errs, err)
		}
	}
	return w.block.ordered(dst, was, errs)
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
	r.page, r.info, r.entry = p, info, 0
	r.first, r.last = entries[0].Series, entries[len(entries)-1].Series
}

// stepsMax is how many entries a walk goes on before it searches.
const stepsMax = 8

// walkedPieces is rowPieces of a series inside of the page that the last one was
// in.
func (b *Block) walkedPieces(r *walkedRow, q query, dst []part.Piece) ([]part.Piece, error) {
	entries, ref := r.page.Entries(), uint32(q.ref)
	k := r.entry
	for end := min(k+stepsMax, len(entries)-1); k < end && entries[k].Series < ref; {
		k++
	}
	if entries[k].Series != ref || k > 0 && entries[k-1].Series == ref {
		k = r.page.Find(ref)
	}
	var failed []error
	for ; k < len(entries) && entries[k].Series == ref; k++ {
		var err error
		if dst, err = b.entryPieces(r.page, k, &r.tiles, q, dst); err != nil {
			failed = append(failed, b.damage(b.files[r.info.File-1].name, int64(r.info.Offset), err))
		}
	}
	r.entry = min(k, len(entries)-1)
	return dst, joined(failed)
}

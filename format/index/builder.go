package index

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"maps"
	"slices"
	"strings"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/nilometer/nilometer/format/postings"
	"github.com/nilometer/nilometer/format/symbols"
)

// Compressor is implemented by *zstd.Encoder.
type Compressor interface {
	EncodeAll(src, dst []byte) []byte
}

// Builder makes an index. It keeps, in memory, each distinct name and value
// once, about 2 bytes a series for labels that change from series to series
// (in both label sets and postings), and the records of columns and pages.
type Builder struct {
	rowMs  int64
	names  map[string]*buildName
	byID   []*buildName // in order of first use
	shapes map[string]uint32
	tuples [][]uint32 // shapes, of name ids
	rows   map[int64][]Page
	files  uint32 // the highest number of a page's file

	series  uint32
	last    labels.Labels
	refs    []byte // per series: shape, mask, values of the labels that changed
	columns []byte
	offsets []uint32 // of columns, and their end

	scratch []byte
	tuple   []byte
}

// buildName is one name: ids number its values in order of first use.
type buildName struct {
	id     uint32
	ids    map[string]uint32
	values []string
	lists  []*postings.Encoder
	last   uint32 // the id of the value that was used last
	order  []uint32
}

// NewBuilder returns an empty index whose rows are rowMs wide.
func NewBuilder(rowMs int64) *Builder {
	return &Builder{
		rowMs: rowMs, names: map[string]*buildName{}, shapes: map[string]uint32{},
		rows: map[int64][]Page{}, offsets: []uint32{0},
	}
}

// Series is the number of series so far.
func (b *Builder) Series() int { return int(b.series) }

// Columns is the number of columns so far.
func (b *Builder) Columns() int { return len(b.offsets) - 1 }

// AddSeries adds a series, whose label set must be greater than the one before
// it, and returns its ordinal. lset is kept until the next call.
func (b *Builder) AddSeries(lset labels.Labels) (uint32, error) {
	if b.series > 0 && labels.Compare(b.last, lset) >= 0 {
		return 0, fmt.Errorf("index series: %s follows %s", lset, b.last)
	}
	if b.series >= ordinalMax || lset.Len() > labelsMax {
		return 0, fmt.Errorf("index series: series %d with %d labels: at most %d series and %d labels are allowed", b.series, lset.Len(), uint32(ordinalMax), labelsMax)
	}
	mask := make([]byte, (lset.Len()+7)/8, 16)
	b.scratch, b.tuple = b.scratch[:0], b.tuple[:0]
	k := 0
	lset.Range(func(l labels.Label) {
		n := b.name(l.Name)
		if value := n.value(l.Value); n.add(value, b.series) {
			mask[k/8] |= 1 << (k % 8)
			b.scratch = binary.AppendUvarint(b.scratch, uint64(value))
		}
		b.tuple = binary.AppendUvarint(b.tuple, uint64(n.id))
		k++
	})
	b.refs = binary.AppendUvarint(b.refs, uint64(b.shape()))
	b.refs = append(append(b.refs, mask...), b.scratch...)
	b.last = lset
	b.series++
	return b.series - 1, nil
}

func (b *Builder) name(s string) *buildName {
	n, ok := b.names[s]
	if !ok {
		s = strings.Clone(s)
		n = &buildName{id: uint32(len(b.byID)), ids: map[string]uint32{}, last: ordinalMax}
		b.names[s] = n
		b.byID = append(b.byID, n)
	}
	return n
}

func (n *buildName) value(s string) uint32 {
	if n.last != ordinalMax && n.values[n.last] == s {
		return n.last
	}
	id, ok := n.ids[s]
	if !ok {
		s = strings.Clone(s)
		id = uint32(len(n.values))
		n.ids[s] = id
		n.values = append(n.values, s)
		n.lists = append(n.lists, &postings.Encoder{})
	}
	return id
}

// add notes that a series has a value, and reports whether it is another one
// than the name's last.
func (n *buildName) add(value, series uint32) bool {
	n.lists[value].Add(series)
	changed := value != n.last
	n.last = value
	return changed
}

func (b *Builder) shape() uint32 {
	id, ok := b.shapes[string(b.tuple)]
	if !ok {
		id = uint32(len(b.tuples))
		b.shapes[string(b.tuple)] = id
		r := reader{b: b.tuple}
		var tuple []uint32
		for r.off < len(b.tuple) {
			tuple = append(tuple, uint32(r.uvarint(ordinalMax)))
		}
		b.tuples = append(b.tuples, tuple)
	}
	return id
}

// AddColumn adds a time column and returns its id. The slices of c are not
// kept.
func (b *Builder) AddColumn(c *Column) (uint32, error) {
	b.columns = appendColumn(b.columns, c)
	if uint64(len(b.columns)) > ordinalMax || len(b.offsets) > ordinalMax {
		return 0, fmt.Errorf("index column: %d columns with %d bytes: at most 4 GiB are allowed", len(b.offsets), len(b.columns))
	}
	b.offsets = append(b.offsets, uint32(len(b.columns)))
	return uint32(len(b.offsets) - 2), nil
}

// AddPage adds a page to a row. The pages of one row come in order of series.
func (b *Builder) AddPage(row int64, p Page) {
	b.rows[row] = append(b.rows[row], p)
	b.files = max(b.files, p.File)
}

// Build returns the index. Pages of series are compressed by c where that
// pays; c may be nil. The builder must not be used again.
func (b *Builder) Build(c Compressor) ([]byte, error) {
	out := append(make([]byte, 0, headerBytes+len(b.refs)*2+len(b.columns)), headerMagic...)
	out = append(out, Version, 0, 0, 0, 0, 0, 0, 0)
	sorted := slices.Sorted(maps.Keys(b.names))
	names, values, lists, err := b.buildNames(sorted)
	if err != nil {
		return nil, err
	}
	rank := make([]uint32, len(sorted)) // name id -> ordinal
	for i, s := range sorted {
		rank[b.names[s].id] = uint32(i)
	}
	rows, pages, count := b.buildPages()
	bodies := [sections][]byte{
		secNames: names, secValues: values, secPostings: lists,
		secShapes: b.buildShapes(rank), secSeries: b.buildSeries(c),
		secColumns: b.buildColumns(), secRows: rows, secPages: pages,
	}
	var footer []byte
	for _, body := range bodies {
		footer = binary.LittleEndian.AppendUint64(footer, uint64(len(out)))
		footer = binary.LittleEndian.AppendUint64(footer, uint64(len(body)))
		footer = binary.LittleEndian.AppendUint32(footer, crc32.Checksum(body, castagnoli))
		out = append(out, body...)
	}
	for _, n := range []int{int(b.series), b.Columns(), count, len(b.rows), int(b.files), 0} {
		footer = binary.LittleEndian.AppendUint32(footer, uint32(n))
	}
	footer = binary.LittleEndian.AppendUint64(footer, uint64(b.rowMs))
	footer = binary.LittleEndian.AppendUint32(footer, crc32.Checksum(footer, castagnoli))
	footer = binary.LittleEndian.AppendUint32(footer, footerBytes)
	return append(out, footer...), nil
}

// buildNames sorts the values of each name and encodes them with their
// postings.
func (b *Builder) buildNames(sorted []string) (names, values, lists []byte, err error) {
	if names, err = symbols.Append(nil, sorted); err != nil {
		return nil, nil, nil, err
	}
	for _, s := range sorted {
		n := b.names[s]
		ids := make([]uint32, len(n.values))
		for i := range ids {
			ids[i] = uint32(i)
		}
		slices.SortFunc(ids, func(i, j uint32) int { return strings.Compare(n.values[i], n.values[j]) })
		n.order = make([]uint32, len(ids))
		ordered := make([]string, len(ids))
		for i, id := range ids {
			n.order[id] = uint32(i)
			ordered[i] = n.values[id]
		}
		was := len(values)
		if values, err = symbols.Append(values, ordered); err != nil {
			return nil, nil, nil, fmt.Errorf("index label %s: %w", s, err)
		}
		names = binary.AppendUvarint(names, uint64(len(values)-was))
		was = len(lists)
		if lists, err = n.appendPostings(lists, ids); err != nil {
			return nil, nil, nil, fmt.Errorf("index label %s: %w", s, err)
		}
		names = binary.AppendUvarint(names, uint64(len(lists)-was))
	}
	return names, values, lists, nil
}

// appendPostings appends the lists of the values ids, in that order.
func (n *buildName) appendPostings(dst []byte, ids []uint32) ([]byte, error) {
	lists := make([]*postings.Encoder, len(ids))
	for i, id := range ids {
		lists[i] = n.lists[id]
	}
	return appendLists(dst, lists)
}

func (b *Builder) buildShapes(rank []uint32) []byte {
	out := binary.AppendUvarint(nil, uint64(len(b.tuples)))
	for _, tuple := range b.tuples {
		out = binary.AppendUvarint(out, uint64(len(tuple)))
		for _, id := range tuple {
			out = binary.AppendUvarint(out, uint64(rank[id]))
		}
	}
	return out
}

// buildSeries encodes the label sets in pages, with the values' final
// ordinals.
func (b *Builder) buildSeries(c Compressor) []byte {
	last := make([]uint32, len(b.byID)) // name id -> value id, as the series came
	r := reader{b: b.refs}
	var offsets, body []byte
	var w seriesWriter
	for i := range b.series {
		if i%SeriesPerPage == 0 {
			offsets = binary.LittleEndian.AppendUint32(offsets, uint32(len(body)))
			w.reset(len(b.byID))
		}
		shape := uint32(r.uvarint(ordinalMax))
		tuple := b.tuples[shape]
		mask := r.b[r.off:][:(len(tuple)+7)/8]
		r.off += len(mask)
		w.begin(shape, len(tuple))
		for k, id := range tuple {
			if mask[k/8]>>(k%8)&1 == 1 {
				last[id] = uint32(r.uvarint(ordinalMax))
			}
			w.value(k, id, b.byID[id].order[last[id]])
		}
		if i%SeriesPerPage == SeriesPerPage-1 || i == b.series-1 {
			body = w.appendTo(body, c)
		}
	}
	offsets = binary.LittleEndian.AppendUint32(offsets, uint32(len(body)))
	return append(offsets, body...)
}

// seriesWriter gathers the columns of one page.
type seriesWriter struct {
	shapes []byte
	masks  []byte
	values []byte
	last   []uint32 // name id -> value ordinal in this page
	shape  uint32
	run    uint64
	mask   []byte // of the series at hand, in masks
}

func (w *seriesWriter) reset(names int) {
	*w = seriesWriter{shapes: w.shapes[:0], masks: w.masks[:0], values: w.values[:0], last: make([]uint32, names)}
}

func (w *seriesWriter) begin(shape uint32, labels int) {
	if w.run > 0 && shape != w.shape {
		w.flush()
	}
	w.shape = shape
	w.run++
	at := len(w.masks)
	w.masks = append(w.masks, make([]byte, (labels+7)/8)...)
	w.mask = w.masks[at:]
}

func (w *seriesWriter) flush() {
	w.shapes = binary.AppendUvarint(w.shapes, uint64(w.shape))
	w.shapes = binary.AppendUvarint(w.shapes, w.run)
	w.run = 0
}

func (w *seriesWriter) value(k int, name, ordinal uint32) {
	if ordinal == w.last[name] {
		return
	}
	w.mask[k/8] |= 1 << (k % 8)
	w.values = binary.AppendVarint(w.values, int64(ordinal)-int64(w.last[name]))
	w.last[name] = ordinal
}

func (w *seriesWriter) appendTo(dst []byte, c Compressor) []byte {
	w.flush()
	raw := slices.Concat(w.shapes, w.masks, w.values)
	if c != nil {
		if packed := c.EncodeAll(raw, nil); len(packed) < len(raw) {
			return append(append(dst, 1), packed...)
		}
	}
	return append(append(dst, 0), raw...)
}

func (b *Builder) buildColumns() []byte {
	out := make([]byte, 0, 4*len(b.offsets)+len(b.columns))
	for _, o := range b.offsets {
		out = binary.LittleEndian.AppendUint32(out, o)
	}
	return append(out, b.columns...)
}

func (b *Builder) buildPages() (rows, pages []byte, count int) {
	for _, number := range slices.Sorted(maps.Keys(b.rows)) {
		row := RowInfo{Number: number, FirstPage: count, EndPage: count + len(b.rows[number])}
		for i, p := range b.rows[number] {
			if i == 0 {
				row.MinTime, row.MaxTime = p.MinTime, p.MaxTime
			}
			row.MinTime, row.MaxTime = min(row.MinTime, p.MinTime), max(row.MaxTime, p.MaxTime)
			pages = appendPage(pages, p)
		}
		rows = appendRow(rows, row)
		count = row.EndPage
	}
	return rows, pages, count
}

// Package index is the format of a block's index: its series, the postings of
// their labels, its time columns and the table of its pages. FORMAT.md draws
// it.
//
// Series are dense ordinals in the order of labels.Compare (label by label in
// order of names: the metric's name comes first but for names that begin with
// an upper case letter). So nothing needs a pointer per series: a page is
// found by binary search, and most labels' postings are few runs.
//
// Builder makes an index from series in order; Index reads one in place, from
// mapped bytes, and checks each section's checksum when it is first touched.
//
// Invariants:
//
//   - I1: the ordinal of a label's value is its place in the order of bytes,
//     among the values of that name.
//   - I2: opening reads the head, the names and the shapes, whatever the number
//     of series, and from afar one range of a bounded size besides; a small
//     index that is packed is read whole. Any other section is read when it is
//     needed, and kept.
//   - I3: an Index over any bytes returns what they say or an error. It never
//     panics, and never allocates more than the bytes justify.
package index

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"math"
	"sync/atomic"

	"github.com/nilometer/nilometer/format/postings"
	"github.com/nilometer/nilometer/format/symbols"
)

// Version is the newest version that this package knows.
const Version = 1

const (
	headerMagic = "nilindex"
	headerBytes = 16
	footerBytes = sections*sectionBytes + 6*4 + 8 + 4 + 4

	sectionBytes = 20
)

// The sections, in order: what opening needs lies at the end.
const (
	secValues   = iota // symbol tables of values, name by name
	secPostings        // per name: lists, one per value
	secSeries          // pages of label sets
	secColumns         // time columns, each with a checksum of its own
	secPages           // pages of chunks
	secNames           // symbol table of names, then sizes of each name's values and postings
	secShapes          // tuples of names
	secRows            // rows of pages
	sections
)

var sectionNames = [sections]string{"values", "postings", "series", "columns", "pages", "names", "shapes", "rows"}

// CorruptError says where an index is not what was written.
type CorruptError struct {
	Section string
	Offset  int64 // in the file, of the section or closer
	Reason  string
}

// Error names the section and the offset.
func (e *CorruptError) Error() string {
	return fmt.Sprintf("index damaged: section %s at offset %d: %s", e.Section, e.Offset, e.Reason)
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Decompressor is implemented by *zstd.Decoder.
type Decompressor interface {
	DecodeAll(input, dst []byte) ([]byte, error)
}

// Index reads an index in place, or section by section from afar. Its methods
// are safe for concurrent use; what they return is valid as long as the bytes
// are.
type Index struct {
	size     int64
	dec      Decompressor
	sections [sections]section

	series, columns, pages, rows, files int
	rowMs                               int64

	nameInfo []nameInfo
	tables   atomic.Pointer[[]symbols.Table] // of values, by name; nil until they are needed
	nameStr  []string
	shapes   [][]uint32
}

// nameInfo locates the values and postings of one name in their sections.
type nameInfo struct {
	valuesAt, valuesEnd int
	postingsAt, end     int
}

// Open reads the head of an index, which is all of b, packed or not.
func Open(b []byte, dec Decompressor) (*Index, error) {
	b, err := unpack(b, dec)
	if err != nil {
		return nil, err
	}
	return open(b, b, bytes.NewReader(b), int64(len(b)), dec)
}

// open reads the head of an index of size bytes: header are its first bytes, tail
// its last, all of it when it is in memory.
func open(header, tail []byte, src io.ReaderAt, size int64, dec Decompressor) (*Index, error) {
	if size < headerBytes+footerBytes || string(header[:8]) != headerMagic {
		return nil, &CorruptError{"header", 0, "this is no index"}
	}
	if v := header[8]; v == 0 || v > Version {
		return nil, &CorruptError{"header", 8, fmt.Sprintf("version %d, known up to %d: upgrade this program to read it", v, Version)}
	}
	if flags := binary.LittleEndian.Uint32(header[9:]) | binary.LittleEndian.Uint32(header[12:]); flags != 0 {
		return nil, &CorruptError{"header", 9, fmt.Sprintf("unknown flags %#x: upgrade this program to read it", flags)}
	}
	x := &Index{size: size, dec: dec}
	if err := x.readFooter(tail, src); err != nil {
		return nil, err
	}
	if err := x.readNames(); err != nil {
		return nil, err
	}
	if err := x.readShapes(); err != nil {
		return nil, err
	}
	return x, x.checkTables()
}

// readFooter locates the sections. Those that lie in tail are there already.
func (x *Index) readFooter(tail []byte, src io.ReaderAt) error {
	at := x.size - footerBytes
	f := tail[len(tail)-footerBytes:]
	if n := binary.LittleEndian.Uint32(f[footerBytes-4:]); n != footerBytes {
		return &CorruptError{"footer", at, fmt.Sprintf("size %d, expected %d", n, footerBytes)}
	}
	if got, want := crc32.Checksum(f[:footerBytes-8], castagnoli), binary.LittleEndian.Uint32(f[footerBytes-8:]); got != want {
		return &CorruptError{"footer", at, fmt.Sprintf("checksum %08x, computed %08x", want, got)}
	}
	for i := range x.sections {
		s := f[i*sectionBytes:]
		offset, size := binary.LittleEndian.Uint64(s), binary.LittleEndian.Uint64(s[8:])
		if offset < headerBytes || offset > uint64(at) || size > uint64(at)-offset {
			return &CorruptError{"footer", at, fmt.Sprintf("section %s from %d, %d bytes, is not in the file", sectionNames[i], offset, size)}
		}
		sec := &x.sections[i]
		sec.src, sec.offset, sec.size, sec.crc = src, int64(offset), int64(size), binary.LittleEndian.Uint32(s[16:])
		if from := int64(offset) - (x.size - int64(len(tail))); from >= 0 {
			sec.b = tail[from : from+sec.size : from+sec.size]
		}
	}
	f = f[sections*sectionBytes:]
	x.series = int(binary.LittleEndian.Uint32(f))
	x.columns = int(binary.LittleEndian.Uint32(f[4:]))
	x.pages = int(binary.LittleEndian.Uint32(f[8:]))
	x.rows = int(binary.LittleEndian.Uint32(f[12:]))
	x.files = int(binary.LittleEndian.Uint32(f[16:]))
	if reserved := binary.LittleEndian.Uint32(f[20:]); reserved != 0 {
		return &CorruptError{"footer", at, fmt.Sprintf("reserved bytes %#x: upgrade this program to read it", reserved)}
	}
	x.rowMs = int64(binary.LittleEndian.Uint64(f[24:]))
	return nil
}

func (x *Index) corrupt(i, at int, reason string) error {
	return &CorruptError{sectionNames[i], x.sections[i].offset + int64(at), reason}
}

func (x *Index) readNames() error {
	b, err := x.section(secNames)
	if err != nil {
		return err
	}
	names, at, err := symbols.Open(b)
	if err != nil {
		return x.corrupt(secNames, 0, err.Error())
	}
	x.nameInfo = make([]nameInfo, 0, names.Len())
	if err := names.Range(0, func(_ int, s []byte) bool {
		x.nameStr = append(x.nameStr, string(s))
		return true
	}); err != nil {
		return x.corrupt(secNames, 0, err.Error())
	}
	r := reader{b: b, off: at}
	values, postings := uint64(0), uint64(0)
	for range names.Len() {
		valuesBytes := r.uvarint(uint64(x.sections[secValues].size) - values)
		postingsBytes := r.uvarint(uint64(x.sections[secPostings].size) - postings)
		if r.bad {
			return x.corrupt(secNames, r.off, "bad size of a name's values or postings")
		}
		x.nameInfo = append(x.nameInfo, nameInfo{
			valuesAt: int(values), valuesEnd: int(values + valuesBytes),
			postingsAt: int(postings), end: int(postings + postingsBytes),
		})
		values, postings = values+valuesBytes, postings+postingsBytes
	}
	return nil
}

// checkTables checks the sizes of the tables of fixed records.
func (x *Index) checkTables() error {
	for _, t := range []struct {
		section int
		want    int64
	}{
		{secRows, int64(x.rows) * rowBytes},
		{secPages, int64(x.pages) * pageBytes},
	} {
		if got := x.sections[t.section].size; got != t.want {
			return x.corrupt(t.section, 0, fmt.Sprintf("%d bytes, expected %d", got, t.want))
		}
	}
	if x.rowMs <= 0 {
		return &CorruptError{"footer", x.size - footerBytes, fmt.Sprintf("rows of %d ms", x.rowMs)}
	}
	if got, least := x.sections[secSeries].size, 4*int64(x.seriesPages()+1); got < least {
		return x.corrupt(secSeries, 0, fmt.Sprintf("%d bytes, at least %d are needed", got, least))
	}
	if got, least := x.sections[secColumns].size, 4*int64(x.columns+1); got < least {
		return x.corrupt(secColumns, 0, fmt.Sprintf("%d bytes, at least %d are needed", got, least))
	}
	return nil
}

// Sizes returns the bytes of each section, in order, by name.
func (x *Index) Sizes() []SectionSize {
	out := make([]SectionSize, sections)
	for i := range out {
		out[i] = SectionSize{Section: sectionNames[i], Bytes: int(x.sections[i].size)}
	}
	return out
}

// SectionSize is the size of one section.
type SectionSize struct {
	Section string
	Bytes   int
}

// Series is the number of series.
func (x *Index) Series() int { return x.series }

// Columns is the number of time columns.
func (x *Index) Columns() int { return x.columns }

// Pages is the number of pages of chunks.
func (x *Index) Pages() int { return x.pages }

// Files is the number of files of chunks, numbered from 1 on.
func (x *Index) Files() int { return x.files }

// RowMs is the width of a row: a tile lies in the row floor(t / RowMs) of its
// first timestamp t.
func (x *Index) RowMs() int64 { return x.rowMs }

// Names returns the names of all labels, sorted: a name's place is its
// ordinal. The slice must not be changed.
func (x *Index) Names() []string { return x.nameStr }

// Values returns the values of a name, by its ordinal.
func (x *Index) Values(name int) (symbols.Table, error) {
	tables, err := x.valueTables()
	if err != nil {
		return symbols.Table{}, err
	}
	return tables[name], nil
}

// valueTables returns the values of all names. They are opened together, when
// they are needed for the first time.
func (x *Index) valueTables() ([]symbols.Table, error) {
	if t := x.tables.Load(); t != nil {
		return *t, nil
	}
	b, err := x.section(secValues)
	if err != nil {
		return nil, err
	}
	tables := make([]symbols.Table, len(x.nameInfo))
	for i, info := range x.nameInfo {
		table, n, err := symbols.Open(b[info.valuesAt:info.valuesEnd])
		if err != nil || n != info.valuesEnd-info.valuesAt {
			return nil, x.corrupt(secValues, info.valuesAt, fmt.Sprintf("table of %d bytes: %v", info.valuesEnd-info.valuesAt, err))
		}
		tables[i] = table
	}
	x.tables.Store(&tables)
	return tables, nil
}

// Postings returns the series that have a value of a name, by their ordinals.
func (x *Index) Postings(name, value int) (postings.List, error) {
	b, err := x.section(secPostings)
	if err != nil {
		return nil, err
	}
	info := x.nameInfo[name]
	tables, err := x.valueTables()
	if err != nil {
		return nil, err
	}
	n := tables[name].Len()
	at := info.postingsAt
	if value < 0 || value >= n || at >= info.end {
		return nil, x.corrupt(secPostings, at, fmt.Sprintf("no postings of value %d of %d", value, n))
	}
	l, off, err := readList(b[at:info.end], value, n, uint32(x.series))
	if err != nil {
		return nil, x.corrupt(secPostings, at+off, err.Error())
	}
	return l, nil
}

// fixed reads a little endian number of width bytes.
func fixed(b []byte, width int) int {
	v := 0
	for k := range width {
		v |= int(b[k]) << (8 * k)
	}
	return v
}

// reader reads varints and remembers a fault.
type reader struct {
	b   []byte
	off int
	bad bool
}

func (r *reader) uvarint(limit uint64) uint64 {
	v, n := binary.Uvarint(r.b[min(r.off, len(r.b)):])
	if n <= 0 || v > limit || r.bad {
		r.bad = true
		return 0
	}
	r.off += n
	return v
}

func (r *reader) varint() int64 {
	v, n := binary.Varint(r.b[min(r.off, len(r.b)):])
	if n <= 0 || r.bad {
		r.bad = true
		return 0
	}
	r.off += n
	return v
}

// ordinalMax bounds counts of series, columns and pages.
const ordinalMax = math.MaxUint32 - 1

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
//     of series; a small index that is packed is read whole.
//   - I3: an Index over any bytes returns what they say or an error. It never
//     panics, and never allocates more than the bytes justify.
package index

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math"
	"sync"

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

// The sections, in order.
const (
	secNames    = iota // symbol table of names, then sizes of each name's values and postings
	secValues          // symbol tables of values, name by name
	secPostings        // per name: offsets, then one list per value
	secShapes          // tuples of names
	secSeries          // pages of label sets
	secColumns         // time columns, each with a checksum of its own
	secRows            // rows of pages
	secPages           // pages of chunks
	sections
)

var sectionNames = [sections]string{"names", "values", "postings", "shapes", "series", "columns", "rows", "pages"}

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

// Index reads an index in place. Its methods are safe for concurrent use; what
// they return is valid as long as the bytes are.
type Index struct {
	b        []byte
	dec      Decompressor
	sections [sections]section

	series, columns, pages, rows, files int
	rowMs                               int64

	names    symbols.Table
	nameInfo []nameInfo
	nameStr  []string
	shapes   [][]uint32
}

// section is a part of the file, whose checksum is computed once.
type section struct {
	offset int64
	b      []byte
	crc    uint32
	once   sync.Once
	err    error
}

// nameInfo locates the values and postings of one name.
type nameInfo struct {
	values          symbols.Table
	postingsAt, end int // in the postings section
}

// Open reads the head of an index, which is all of b, packed or not.
func Open(b []byte, dec Decompressor) (*Index, error) {
	b, err := unpack(b, dec)
	if err != nil {
		return nil, err
	}
	x := &Index{b: b, dec: dec}
	if len(b) < headerBytes+footerBytes || string(b[:8]) != headerMagic {
		return nil, &CorruptError{"header", 0, "this is no index"}
	}
	if v := b[8]; v == 0 || v > Version {
		return nil, &CorruptError{"header", 8, fmt.Sprintf("version %d, known up to %d: upgrade this program to read it", v, Version)}
	}
	if flags := binary.LittleEndian.Uint32(b[9:]) | binary.LittleEndian.Uint32(b[12:]); flags != 0 {
		return nil, &CorruptError{"header", 9, fmt.Sprintf("unknown flags %#x: upgrade this program to read it", flags)}
	}
	if err := x.readFooter(); err != nil {
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

func (x *Index) readFooter() error {
	at := int64(len(x.b) - footerBytes)
	f := x.b[at:]
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
		x.sections[i].offset = int64(offset)
		x.sections[i].b = x.b[offset : offset+size : offset+size]
		x.sections[i].crc = binary.LittleEndian.Uint32(s[16:])
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

// section returns the bytes of a section after its checksum was verified.
func (x *Index) section(i int) ([]byte, error) {
	s := &x.sections[i]
	s.once.Do(func() {
		if i == secColumns {
			return // each column has its own
		}
		if got := crc32.Checksum(s.b, castagnoli); got != s.crc {
			s.err = x.corrupt(i, 0, fmt.Sprintf("checksum %08x, computed %08x", s.crc, got))
		}
	})
	return s.b, s.err
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
	x.names = names
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
		valuesBytes := r.uvarint(uint64(len(x.sections[secValues].b)) - values)
		postingsBytes := r.uvarint(uint64(len(x.sections[secPostings].b)) - postings)
		if r.bad {
			return x.corrupt(secNames, r.off, "bad size of a name's values or postings")
		}
		table, n, err := symbols.Open(x.sections[secValues].b[values : values+valuesBytes])
		if err != nil || uint64(n) != valuesBytes {
			return x.corrupt(secValues, int(values), fmt.Sprintf("table of %d bytes: %v", valuesBytes, err))
		}
		x.nameInfo = append(x.nameInfo, nameInfo{values: table, postingsAt: int(postings), end: int(postings + postingsBytes)})
		values, postings = values+valuesBytes, postings+postingsBytes
	}
	return nil
}

// checkTables checks the sizes of the tables of fixed records.
func (x *Index) checkTables() error {
	for _, t := range []struct{ section, want int }{
		{secRows, x.rows * rowBytes},
		{secPages, x.pages * pageBytes},
	} {
		if got := len(x.sections[t.section].b); got != t.want {
			return x.corrupt(t.section, 0, fmt.Sprintf("%d bytes, expected %d", got, t.want))
		}
	}
	if x.rowMs <= 0 {
		return &CorruptError{"footer", int64(len(x.b) - footerBytes), fmt.Sprintf("rows of %d ms", x.rowMs)}
	}
	if got, least := len(x.sections[secSeries].b), 4*(x.seriesPages()+1); got < least {
		return x.corrupt(secSeries, 0, fmt.Sprintf("%d bytes, at least %d are needed", got, least))
	}
	if got, least := len(x.sections[secColumns].b), 4*(x.columns+1); got < least {
		return x.corrupt(secColumns, 0, fmt.Sprintf("%d bytes, at least %d are needed", got, least))
	}
	return nil
}

// Sizes returns the bytes of each section, in order, by name.
func (x *Index) Sizes() []SectionSize {
	out := make([]SectionSize, sections)
	for i := range out {
		out[i] = SectionSize{Section: sectionNames[i], Bytes: len(x.sections[i].b)}
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
	_, err := x.section(secValues)
	return x.nameInfo[name].values, err
}

// Postings returns the series that have a value of a name, by their ordinals.
func (x *Index) Postings(name, value int) (postings.List, error) {
	b, err := x.section(secPostings)
	if err != nil {
		return nil, err
	}
	info := x.nameInfo[name]
	n := info.values.Len()
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

package index

import (
	"encoding/binary"
	"fmt"

	"github.com/nilometer/nilometer/format/symbols"
)

// SeriesPerPage is the number of series whose labels are decoded together: a
// page takes about 1 KiB and 10 µs.
const SeriesPerPage = 256

// labelsMax bounds the labels of one series.
const labelsMax = 1 << 12

// seriesRawMax bounds a page of series after decompression.
const seriesRawMax = SeriesPerPage * labelsMax * 6

func (x *Index) seriesPages() int { return (x.series + SeriesPerPage - 1) / SeriesPerPage }

// readShapes decodes the tuples of names.
func (x *Index) readShapes() error {
	b, err := x.section(secShapes)
	if err != nil {
		return err
	}
	r := reader{b: b}
	n := r.uvarint(uint64(len(b)))
	for range n {
		size := r.uvarint(min(labelsMax, uint64(len(b))))
		shape := make([]uint32, 0, size)
		for range size {
			name := r.uvarint(uint64(max(0, len(x.nameInfo)-1)))
			if r.bad || len(x.nameInfo) == 0 {
				break
			}
			shape = append(shape, uint32(name))
		}
		if r.bad || len(shape) != int(size) {
			return x.corrupt(secShapes, r.off, "bad shape")
		}
		x.shapes = append(x.shapes, shape)
	}
	return nil
}

// SeriesPage is the labels of SeriesPerPage consecutive series, as ordinals.
type SeriesPage struct {
	// First is the ordinal of the page's first series.
	First  uint32
	names  [][]uint32 // per series, shared
	begins []uint32   // per series and one more, in values
	values []uint32
}

// Len is the number of series.
func (p *SeriesPage) Len() int { return len(p.names) }

// Refs returns the ordinals of the names and values of the i-th series of the
// page, in order of names.
func (p *SeriesPage) Refs(i int) (names, values []uint32) {
	return p.names[i], p.values[p.begins[i]:p.begins[i+1]]
}

// MemoryBytes is about what the page takes.
func (p *SeriesPage) MemoryBytes() int {
	return 100 + 24*cap(p.names) + 4*cap(p.begins) + 4*cap(p.values)
}

// SeriesPage decodes a page: number i has the series from i·SeriesPerPage on.
func (x *Index) SeriesPage(i int) (*SeriesPage, error) {
	b, err := x.section(secSeries)
	if err != nil {
		return nil, err
	}
	if i < 0 || i >= x.seriesPages() {
		return nil, x.corrupt(secSeries, 0, fmt.Sprintf("no page %d", i))
	}
	from, to := binary.LittleEndian.Uint32(b[4*i:]), binary.LittleEndian.Uint32(b[4*i+4:])
	body := b[4*(x.seriesPages()+1):]
	if from >= to || uint64(to) > uint64(len(body)) {
		return nil, x.corrupt(secSeries, 4*i, fmt.Sprintf("page %d from %d to %d of %d", i, from, to, len(body)))
	}
	at := len(b) - len(body) + int(from)
	raw := body[from+1 : to]
	if codec := body[from]; codec == 1 {
		if raw, err = x.dec.DecodeAll(raw, nil); err != nil {
			return nil, x.corrupt(secSeries, at, "decompress: "+err.Error())
		}
	} else if codec != 0 {
		return nil, x.corrupt(secSeries, at, fmt.Sprintf("unknown codec %d", codec))
	}
	if len(raw) > seriesRawMax {
		return nil, x.corrupt(secSeries, at, fmt.Sprintf("%d bytes decompressed", len(raw)))
	}
	tables, err := x.valueTables()
	if err != nil {
		return nil, err
	}
	p, reason := x.decodeSeries(raw, tables, min(SeriesPerPage, x.series-i*SeriesPerPage))
	if reason != "" {
		return nil, x.corrupt(secSeries, at, reason)
	}
	p.First = uint32(i * SeriesPerPage)
	return p, nil
}

// decodeSeries reads the three columns of a page: runs of shapes, masks of the
// labels whose value is not the name's last one, and those values. tables are
// the values of the names.
func (x *Index) decodeSeries(raw []byte, tables []symbols.Table, n int) (*SeriesPage, string) {
	r := reader{b: raw}
	p := &SeriesPage{names: make([][]uint32, 0, n), begins: make([]uint32, 1, n+1)}
	for len(p.names) < n {
		shape, count := r.uvarint(ordinalMax), r.uvarint(uint64(n-len(p.names)))
		if r.bad || shape >= uint64(len(x.shapes)) || count == 0 {
			return nil, "bad run of shapes"
		}
		for range count {
			p.names = append(p.names, x.shapes[shape])
			p.begins = append(p.begins, p.begins[len(p.begins)-1]+uint32(len(x.shapes[shape])))
		}
	}
	masks := raw[r.off:]
	maskBytes := 0
	for _, names := range p.names {
		maskBytes += (len(names) + 7) / 8
	}
	if maskBytes > len(masks) {
		return nil, "masks cut off"
	}
	r.off += maskBytes
	p.values = make([]uint32, 0, p.begins[n])
	last := make([]uint32, len(x.nameInfo))
	for _, names := range p.names {
		for k, name := range names {
			if masks[k/8]>>(k%8)&1 == 1 {
				v := int64(last[name]) + r.varint()
				if r.bad || v < 0 || v >= int64(tables[name].Len()) {
					return nil, "bad value of a label"
				}
				last[name] = uint32(v)
			}
			p.values = append(p.values, last[name])
		}
		masks = masks[(len(names)+7)/8:]
	}
	if r.off != len(raw) {
		return nil, "bytes after the end"
	}
	return p, ""
}

// CheckSeries reads and verifies everything that label sets are decoded from;
// it costs something on the first call only.
func (x *Index) CheckSeries() error {
	if _, err := x.section(secSeries); err != nil {
		return err
	}
	_, err := x.valueTables()
	return err
}

// Check verifies the checksums of all sections, and returns what is wrong.
func (x *Index) Check() []error {
	var errs []error
	for i := range x.sections {
		if _, err := x.section(i); err != nil {
			errs = append(errs, err)
		}
	}
	return errs
}

package seriestable

import (
	"encoding/binary"
	"hash/crc32"
	"math"
)

// Section is what Next has read: the field of its type. It is valid until the
// following Next; strings point into the reader's bytes.
type Section struct {
	Type    Type
	Series  []Row
	Places  []Place
	Tuples  [][]uint32
	Pairs   []Pair
	Strings [][]byte
	Totals  Totals
}

// Reader reads the sections of a table.
type Reader struct {
	data    []byte
	pos     int
	begun   bool
	section Section
	labels  []uint32
}

// NewReader returns a reader of bytes that nobody changes meanwhile.
func NewReader(data []byte) *Reader { return &Reader{data: data} }

// Next returns the following section. The last is End: what comes after it is
// not read. Without one the error is ErrIncomplete.
func (r *Reader) Next() (*Section, error) {
	if r.pos == len(r.data) {
		return nil, ErrIncomplete
	}
	if len(r.data)-r.pos < headerSize+4 {
		return nil, r.corrupt("the header of a section is cut off")
	}
	head := r.data[r.pos:]
	typ, rows, n := Type(head[0]), int(binary.LittleEndian.Uint32(head[1:])), int(binary.LittleEndian.Uint32(head[5:]))
	switch {
	case n > sectionBytesMax || n > len(head)-headerSize-4:
		return nil, r.corrupt("a section is cut off")
	case binary.LittleEndian.Uint32(head[headerSize+n:]) != crc32.Checksum(head[:headerSize+n], castagnoli):
		return nil, r.corrupt("checksum mismatch")
	case rows > RowsMax || rows > n: // a row has a byte at least
		return nil, r.corrupt("more rows than bytes")
	}
	if err := r.read(typ, rows, &payload{data: head[headerSize : headerSize+n], at: r.pos + headerSize}); err != nil {
		return nil, err
	}
	r.pos += headerSize + n + 4
	return &r.section, nil
}

func (r *Reader) corrupt(what string) error { return &CorruptError{what, r.pos} }

func (r *Reader) read(typ Type, rows int, p *payload) error {
	s := &r.section
	*s = Section{
		Type: typ, Series: s.Series[:0], Places: s.Places[:0], Tuples: s.Tuples[:0], Pairs: s.Pairs[:0], Strings: s.Strings[:0],
	}
	if typ == Begin {
		if len(p.data) != len(magic) || string(p.data[:3]) != magic[:3] {
			return r.corrupt("this is no table of series")
		}
		if p.data[3] != magic[3] {
			return ErrFuture
		}
		r.begun = true
		return nil
	}
	if !r.begun {
		return r.corrupt("a section comes before the beginning")
	}
	switch typ {
	case Series:
		r.series(rows, p)
	case Places:
		for range rows {
			s.Places = append(s.Places, Place{Series: p.uint32(), Group: p.uvarint(), Slot: p.uint32()})
		}
	case Tuples:
		r.tuples(rows, p)
	case Pairs:
		for range rows {
			s.Pairs = append(s.Pairs, Pair{Name: p.uint32(), Value: p.uint32()})
		}
	case Strings:
		for range rows {
			s.Strings = append(s.Strings, p.bytes(p.uvarint()))
		}
	case End:
		s.Totals = Totals{Series: p.uvarint(), Places: p.uvarint(), Tuples: p.uvarint(), Pairs: p.uvarint(), Strings: p.uvarint()}
	default:
		return r.corrupt("a section of an unknown type")
	}
	if p.fault == "" && len(p.data) > 0 {
		p.fail("bytes that belong to no row")
	}
	if p.fault != "" {
		return &CorruptError{p.fault, p.at}
	}
	return nil
}

func (r *Reader) series(rows int, p *payload) {
	var last Row
	for range rows {
		last = Row{
			Left: p.near(int64(last.Left)), Right: p.near(int64(last.Right) + 1),
			Group: last.Group + uint64(p.varint()), Slot: p.near(int64(last.Slot) + 1), Hash: p.fixed64(),
		}
		r.section.Series = append(r.section.Series, last)
	}
}

func (r *Reader) tuples(rows int, p *payload) {
	r.labels = r.labels[:0]
	var ends []int
	for range rows {
		n := p.uvarint()
		if n > uint64(len(p.data)) {
			p.fail("more labels than bytes")
			return
		}
		for range n {
			r.labels = append(r.labels, p.uint32())
		}
		ends = append(ends, len(r.labels))
	}
	from := 0
	for _, end := range ends {
		r.section.Tuples = append(r.section.Tuples, r.labels[from:end:end])
		from = end
	}
}

// payload is what is left of a section. After a fault it reads as zeros.
type payload struct {
	data  []byte
	at    int // of data, in all bytes
	fault string
}

func (p *payload) fail(what string) {
	if p.fault == "" {
		p.fault = what
	}
	p.data = nil
}

func (p *payload) skip(n int) {
	p.data = p.data[n:]
	p.at += n
}

func (p *payload) uvarint() uint64 {
	v, n := binary.Uvarint(p.data)
	if n <= 0 {
		p.fail("a bad number")
		return 0
	}
	p.skip(n)
	return v
}

func (p *payload) varint() int64 {
	v, n := binary.Varint(p.data)
	if n <= 0 {
		p.fail("a bad number")
		return 0
	}
	p.skip(n)
	return v
}

func (p *payload) uint32() uint32 {
	v := p.uvarint()
	if v > math.MaxUint32 {
		p.fail("a number of more than 32 bits")
		return 0
	}
	return uint32(v)
}

// near reads a number as its distance from another.
func (p *payload) near(from int64) uint32 {
	d := p.varint()
	if d < -1<<33 || d > 1<<33 || from+d < 0 || from+d > math.MaxUint32 {
		p.fail("a number of more than 32 bits")
		return 0
	}
	return uint32(from + d)
}

func (p *payload) fixed64() uint64 {
	if len(p.data) < 8 {
		p.fail("a row is cut off")
		return 0
	}
	v := binary.LittleEndian.Uint64(p.data)
	p.skip(8)
	return v
}

func (p *payload) bytes(n uint64) []byte {
	if n > uint64(len(p.data)) {
		p.fail("a string is cut off")
		return nil
	}
	out := p.data[:n:n]
	p.skip(int(n))
	return out
}

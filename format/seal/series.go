package seal

import (
	"encoding/binary"
	"unicode/utf8"

	"github.com/klauspost/compress/s2"
)

// Definitions give series of a tenant numbers that are never used again. A label
// set is two tuples of labels, which other series share with it; together they
// have each name once.
type Definitions struct {
	Tenant  string
	Strings []string
	// Tuples are labels in order of names: name and value of each, as indexes in
	// Strings.
	Tuples [][]uint32
	Series []Definition // in order of their numbers
}

// Definition is one series. Left and Right are indexes in Tuples plus one; 0 is
// no labels.
type Definition struct {
	Number      uint64
	Hash        uint64 // of the labels, canonical
	Left, Right uint32
}

// Limits of a frame of definitions.
const (
	// SeriesMax bounds the series of a frame.
	SeriesMax = 1 << 16
	// definitionsBytesMax bounds what a frame is decompressed to.
	definitionsBytesMax = 256 << 20
	labelsMax           = 1 << 12
	// definitionBytesMin is what a series takes at least.
	definitionBytesMin = 3 + 8
)

// AppendDefinitions appends the head of a frame of definitions.
func AppendDefinitions(dst []byte, d *Definitions) []byte {
	raw := appendBytes(nil, d.Tenant)
	raw = binary.AppendUvarint(raw, uint64(len(d.Strings)))
	for _, s := range d.Strings {
		raw = appendBytes(raw, s)
	}
	raw = binary.AppendUvarint(raw, uint64(len(d.Tuples)))
	for _, t := range d.Tuples {
		raw = binary.AppendUvarint(raw, uint64(len(t)/2))
		for _, ref := range t {
			raw = binary.AppendUvarint(raw, uint64(ref))
		}
	}
	raw = binary.AppendUvarint(raw, uint64(len(d.Series)))
	var last Definition
	for _, s := range d.Series {
		raw = binary.AppendUvarint(raw, s.Number-last.Number)
		raw = binary.AppendVarint(raw, int64(s.Left)-int64(last.Left))
		raw = binary.AppendVarint(raw, int64(s.Right)-int64(last.Right))
		raw = binary.LittleEndian.AppendUint64(raw, s.Hash)
		last = s
	}
	return append(dst, s2.Encode(nil, raw)...)
}

// ReadDefinitions decodes the head of a frame of definitions. Every index is
// one of something, names are in order, and numbers increase.
func ReadDefinitions(head []byte) (*Definitions, error) {
	n, err := s2.DecodedLen(head)
	if err != nil || n > definitionsBytesMax || n > 256*len(head)+1024 {
		return nil, corrupt(0, "definitions of %d bytes in %d (%v)", n, len(head), err)
	}
	raw, err := s2.Decode(nil, head)
	if err != nil {
		return nil, corrupt(0, "definitions that cannot be decompressed: %v", err)
	}
	r := reader{b: raw}
	d := &Definitions{Tenant: string(r.bytes())}
	d.Strings = make([]string, 0, r.count(len(raw)))
	for range cap(d.Strings) {
		s := string(r.bytes())
		if !utf8.ValidString(s) {
			r.fail("a string that is not UTF-8")
		}
		if r.err != nil {
			return nil, r.err
		}
		d.Strings = append(d.Strings, s)
	}
	d.readTuples(&r)
	d.readSeries(&r)
	if r.err == nil && r.off != len(raw) {
		r.fail("bytes after the end of definitions")
	}
	if r.err != nil {
		return nil, r.err
	}
	return d, nil
}

func (d *Definitions) readTuples(r *reader) {
	for range r.count(len(r.b)) {
		n := r.count(labelsMax)
		if r.err != nil || n > len(r.b)-r.off {
			r.fail("the end in the midst")
			return
		}
		t := make([]uint32, 0, 2*n)
		for i := range 2 * n {
			ref := r.uvarint()
			switch {
			case r.err != nil:
				return
			case ref >= uint64(len(d.Strings)):
				r.fail("string %d of %d", ref, len(d.Strings))
				return
			case d.Strings[ref] == "":
				r.fail("a label with an empty name or value")
				return
			case i >= 2 && i%2 == 0 && d.Strings[ref] <= d.Strings[t[i-2]]:
				r.fail("labels out of order")
				return
			}
			t = append(t, uint32(ref))
		}
		d.Tuples = append(d.Tuples, t)
	}
}

func (d *Definitions) readSeries(r *reader) {
	n := r.count(min(SeriesMax, (len(r.b)-r.off)/definitionBytesMin))
	d.Series = make([]Definition, 0, n)
	var s Definition
	for i := range n {
		by := r.uvarint()
		left, right := int64(s.Left)+r.varint(), int64(s.Right)+r.varint()
		hash := r.uint64()
		most := int64(len(d.Tuples))
		switch {
		case r.err != nil:
			return
		case i > 0 && by == 0:
			r.fail("number %d twice", s.Number)
		case left < 0 || left > most || right < 0 || right > most:
			r.fail("tuples %d and %d of %d", left, right, most)
		}
		if r.err != nil {
			return
		}
		s = Definition{Number: s.Number + by, Hash: hash, Left: uint32(left), Right: uint32(right)}
		d.Series = append(d.Series, s)
	}
}

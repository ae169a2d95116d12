package record

import (
	"encoding/binary"

	"github.com/prometheus/prometheus/model/labels"
)

// Limits that a decoder believes.
const (
	stringMax = 1 << 20 // bytes
	labelsMax = 4096    // labels of one series
)

// reader takes values off the front of data and remembers the first fault.
type reader struct {
	data []byte
	pos  int
	err  error
	said int // bytes of labels that sharedLabels has read
}

func (r *reader) fail(what string) {
	if r.err == nil {
		r.err = &CorruptError{what, r.pos}
		r.pos = len(r.data)
	}
}

func (r *reader) uvarint() uint64 {
	v, n := binary.Uvarint(r.data[r.pos:])
	if n <= 0 {
		r.fail("bad number")
		return 0
	}
	r.pos += n
	return v
}

func (r *reader) varint() int64 {
	v, n := binary.Varint(r.data[r.pos:])
	if n <= 0 {
		r.fail("bad number")
		return 0
	}
	r.pos += n
	return v
}

func (r *reader) byte() byte {
	if r.pos >= len(r.data) {
		r.fail("ends early")
		return 0
	}
	r.pos++
	return r.data[r.pos-1]
}

func (r *reader) uint64() uint64 {
	if len(r.data)-r.pos < 8 {
		r.fail("ends early")
		return 0
	}
	r.pos += 8
	return binary.LittleEndian.Uint64(r.data[r.pos-8:])
}

func (r *reader) bytes() []byte {
	n := r.uvarint()
	if n > stringMax || n > uint64(len(r.data)-r.pos) {
		r.fail("bad length")
		return nil
	}
	r.pos += int(n)
	return r.data[r.pos-int(n) : r.pos]
}

// count reads the number of elements that take at least sizeMin bytes each.
func (r *reader) count(sizeMin int) int { return r.bounded(r.uvarint(), sizeMin) }

// bounded checks that so many elements of at least sizeMin bytes may follow.
func (r *reader) bounded(n uint64, sizeMin int) int {
	if n > uint64((len(r.data)-r.pos)/sizeMin) {
		r.fail("bad count")
		return 0
	}
	return int(n)
}

// slot reads a slot as the distance to the one before; prev is -1 at first.
func (r *reader) slot(prev int64) int64 {
	gap := r.uvarint()
	if gap > 1<<32 || prev+1+int64(gap) >= 1<<32-1 {
		r.fail("bad slot")
		return prev
	}
	return prev + 1 + int64(gap)
}

func appendSlot(dst []byte, prev int64, slot uint32) []byte {
	return binary.AppendUvarint(dst, uint64(int64(slot)-prev-1))
}

// series reads the number of a series that follows one.
func (r *reader) series(prev uint64) uint64 { return prev + 1 + uint64(r.varint()) }

func appendSeries(dst []byte, prev, series uint64) []byte {
	return binary.AppendVarint(dst, int64(series-prev-1))
}

func appendString[S ~string | ~[]byte](dst []byte, s S) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(s)))
	return append(dst, s...)
}

func appendLabels(dst []byte, lset labels.Labels) []byte {
	dst = binary.AppendUvarint(dst, uint64(lset.Len()))
	lset.Range(func(l labels.Label) {
		dst = appendString(dst, l.Name)
		dst = appendString(dst, l.Value)
	})
	return dst
}

// appendSharedLabels appends a label set whose labels are said once: refs has
// those that were, numbered from 1 on.
func appendSharedLabels(dst []byte, lset labels.Labels, refs map[labels.Label]uint64) []byte {
	dst = binary.AppendUvarint(dst, uint64(lset.Len()))
	lset.Range(func(l labels.Label) {
		ref, known := refs[l]
		dst = binary.AppendUvarint(dst, ref)
		if !known {
			refs[l] = uint64(len(refs) + 1)
			dst = appendString(dst, l.Name)
			dst = appendString(dst, l.Value)
		}
	})
	return dst
}

// sharedBytesMax bounds what a byte of a record may stand for in labels.
const sharedBytesMax = 256

// sharedLabels reads what appendSharedLabels has written; known has the labels
// that were said before, and is returned with those that were now.
func (r *reader) sharedLabels(b *labels.ScratchBuilder, known []labels.Label) (labels.Labels, []labels.Label) {
	n := r.count(1)
	if n > labelsMax {
		r.fail("too many labels")
	}
	if r.err != nil {
		return labels.EmptyLabels(), known
	}
	b.Reset()
	for range n {
		ref := r.uvarint()
		if ref > uint64(len(known)) {
			r.fail("a label that was not said before")
		}
		if r.err != nil {
			return labels.EmptyLabels(), known
		}
		if ref == 0 {
			name, value := r.bytes(), r.bytes()
			known = append(known, labels.Label{Name: string(name), Value: string(value)})
			ref = uint64(len(known))
		}
		l := &known[ref-1]
		if r.said += len(l.Name) + len(l.Value); r.said > sharedBytesMax*(len(r.data)+sharedBytesMax) {
			r.fail("labels that are said again too often")
			return labels.EmptyLabels(), known
		}
		b.Add(l.Name, l.Value)
	}
	if r.err != nil {
		return labels.EmptyLabels(), known
	}
	return b.Labels(), known
}

func (r *reader) labels(b *labels.ScratchBuilder) labels.Labels {
	n := r.count(2)
	if n > labelsMax {
		r.fail("too many labels")
		return labels.EmptyLabels()
	}
	b.Reset()
	for range n {
		name, value := r.bytes(), r.bytes()
		b.Add(string(name), string(value))
	}
	if r.err != nil {
		return labels.EmptyLabels()
	}
	return b.Labels()
}

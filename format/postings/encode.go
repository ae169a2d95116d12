package postings

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"

	"github.com/RoaringBitmap/roaring/v2"
)

// The kinds of encodings: the first byte.
const (
	kindRuns    = 0
	kindRoaring = 1
)

// roaringRunsMin is the number of runs from which a roaring bitmap is tried: a
// dense container of 65,536 ordinals takes 8 KiB, which runs undercut below
// about 4,000 of them; small lists are not worth the try.
const roaringRunsMin = 1024

// CorruptError says where encoded postings are not what was written.
type CorruptError struct {
	Offset int
	Reason string
}

// Error names the offset in the list.
func (e *CorruptError) Error() string {
	return fmt.Sprintf("postings damaged at offset %d: %s", e.Offset, e.Reason)
}

// Encoder gathers the ordinals of one set in increasing order, as encoded
// runs: a few bytes a run. The zero Encoder is empty.
type Encoder struct {
	bytes    []byte
	runs     uint32
	from, to uint32 // the open run; none when equal
	last     uint32 // the end of the run before
}

// Add adds an ordinal that is greater than all before.
func (e *Encoder) Add(o uint32) {
	if e.to == o && e.from < e.to {
		e.to++
		return
	}
	e.flush()
	e.from, e.to = o, o+1
}

// flush closes the open run: its distance from the one before, shifted by one,
// with a low bit that says that a length follows.
func (e *Encoder) flush() {
	if e.from == e.to {
		return
	}
	gap := uint64(e.from - e.last)
	if e.runs > 0 {
		gap-- // runs never touch
	}
	if n := e.to - e.from; n == 1 {
		e.bytes = binary.AppendUvarint(e.bytes, gap<<1)
	} else {
		e.bytes = binary.AppendUvarint(e.bytes, gap<<1|1)
		e.bytes = binary.AppendUvarint(e.bytes, uint64(n-2))
	}
	e.runs, e.last, e.from = e.runs+1, e.to, e.to
}

// AppendTo appends the encoding of the set to dst, in the smaller of the
// kinds.
func (e *Encoder) AppendTo(dst []byte) ([]byte, error) {
	e.flush()
	if e.runs >= roaringRunsMin {
		l, err := decodeRuns(e.bytes, math.MaxUint32, 0)
		if err != nil {
			return dst, fmt.Errorf("encode postings: %w", err)
		}
		b := roaring.New()
		for _, r := range l {
			b.AddRange(uint64(r.From), uint64(r.To))
		}
		b.RunOptimize()
		if b.GetSerializedSizeInBytes() < uint64(len(e.bytes)) {
			packed, err := b.ToBytes()
			if err != nil {
				return dst, fmt.Errorf("encode postings: %w", err)
			}
			return append(append(dst, kindRoaring), packed...), nil
		}
	}
	return append(append(dst, kindRuns), e.bytes...), nil
}

// Single returns the run that the set is, if it is one.
func (e *Encoder) Single() (Run, bool) {
	switch {
	case e.runs == 0 && e.from < e.to:
		return Run{e.from, e.to}, true
	case e.runs == 1 && e.from == e.to:
		l, err := decodeRuns(e.bytes, math.MaxUint32, 0)
		return l[0], err == nil
	}
	return Run{}, false
}

// Append appends the encoding of l to dst.
func Append(dst []byte, l List) ([]byte, error) {
	var e Encoder
	for _, r := range l {
		e.flush()
		e.from, e.to = r.From, r.To
	}
	return e.AppendTo(dst)
}

// Decode reads a list that takes all of b; its ordinals are below limit.
func Decode(b []byte, limit uint32) (List, error) {
	if len(b) == 0 {
		return nil, &CorruptError{0, "no kind"}
	}
	switch b[0] {
	case kindRuns:
		return decodeRuns(b[1:], limit, 1)
	case kindRoaring:
		return decodeRoaring(b[1:], limit)
	}
	return nil, &CorruptError{0, fmt.Sprintf("unknown kind %d", b[0])}
}

func decodeRuns(b []byte, limit uint32, base int) (List, error) {
	var l List
	at, last := 0, uint64(0)
	for at < len(b) {
		v, n := binary.Uvarint(b[at:])
		if n <= 0 || v>>1 > uint64(limit) {
			return nil, &CorruptError{base + at, "bad distance"}
		}
		at += n
		from, length := last+v>>1, uint64(1)
		if len(l) > 0 {
			from++
		}
		if v&1 == 1 {
			v, n := binary.Uvarint(b[at:])
			if n <= 0 || v > uint64(limit) {
				return nil, &CorruptError{base + at, "bad length"}
			}
			at += n
			length = v + 2
		}
		last = from + length
		if last > uint64(limit) {
			return nil, &CorruptError{base + at, fmt.Sprintf("ordinal %d, the limit is %d", last-1, limit)}
		}
		if l == nil {
			l = make(List, 0, 1+(len(b)-at)/2)
		}
		l = append(l, Run{uint32(from), uint32(last)})
	}
	return l, nil
}

func decodeRoaring(b []byte, limit uint32) (List, error) {
	bm := roaring.New()
	// ReadFrom copies: FromBuffer would point into bytes that are not aligned.
	n, err := bm.ReadFrom(bytes.NewReader(b))
	if err != nil {
		return nil, &CorruptError{1, err.Error()}
	}
	if n != int64(len(b)) {
		return nil, &CorruptError{1 + int(n), "bytes after the end"}
	}
	if err := bm.Validate(); err != nil {
		return nil, &CorruptError{1, err.Error()}
	}
	// Before anything is unpacked: a few bytes can stand for 2^32 ordinals.
	if !bm.IsEmpty() && bm.Maximum() >= limit {
		return nil, &CorruptError{1, fmt.Sprintf("ordinal %d, the limit is %d", bm.Maximum(), limit)}
	}
	var l List
	it := bm.ManyIterator()
	var buf [512]uint32
	for n := it.NextMany(buf[:]); n > 0; n = it.NextMany(buf[:]) {
		for _, o := range buf[:n] {
			l = l.Append(o)
		}
	}
	return l, nil
}

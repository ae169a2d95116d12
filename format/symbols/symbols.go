// Package symbols is the format of a sorted, front-coded table of distinct
// strings: the names of a block's labels, and the values of each of them. It
// is read in place. FORMAT.md draws it.
//
// A symbol's ordinal is its place in the order of bytes; ordinals compare as
// the strings do.
//
// Invariants:
//
//   - I1: symbols are strictly increasing; every 32nd is stored whole.
//   - I2: a Table over any bytes returns symbols or a *CorruptError. It never
//     panics, and never allocates more than the bytes given justify.
//
// A Table is a value over bytes that it does not own or change; its methods
// are safe for concurrent use as long as the bytes stay.
package symbols

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"sort"
)

// restartEvery is the distance of symbols stored whole: a lookup decodes half
// of it on average after the binary search.
const restartEvery = 32

// SymbolBytesMax is the longest symbol in bytes.
const SymbolBytesMax = 1 << 20

// CorruptError says where a table's bytes are not what was written.
type CorruptError struct {
	Offset int
	Reason string
}

// Error names the offset in the table.
func (e *CorruptError) Error() string {
	return fmt.Sprintf("symbol table damaged at offset %d: %s", e.Offset, e.Reason)
}

// Append appends the table of sorted to dst. It fails when sorted is not
// strictly increasing or has a symbol longer than SymbolBytesMax.
func Append(dst []byte, sorted []string) ([]byte, error) {
	var data []byte
	var restarts []int
	prev := ""
	for i, s := range sorted {
		if i > 0 && s <= prev {
			return dst, fmt.Errorf("encode symbols: %q follows %q", s, prev)
		}
		if len(s) > SymbolBytesMax {
			return dst, fmt.Errorf("encode symbols: one has %d bytes, at most %d are allowed", len(s), SymbolBytesMax)
		}
		shared := 0
		if i%restartEvery == 0 {
			restarts = append(restarts, len(data))
		} else {
			shared = sharedPrefix(prev, s)
		}
		data = binary.AppendUvarint(data, uint64(shared))
		data = binary.AppendUvarint(data, uint64(len(s)-shared))
		data = append(data, s[shared:]...)
		prev = s
	}
	dst = binary.AppendUvarint(dst, uint64(len(sorted)))
	dst = binary.AppendUvarint(dst, uint64(len(data)))
	dst = append(dst, data...)
	w := widthOf(len(data))
	for _, r := range restarts[min(1, len(restarts)):] {
		for k := range w {
			dst = append(dst, byte(r>>(8*k)))
		}
	}
	return dst, nil
}

func sharedPrefix(a, b string) int {
	n := min(len(a), len(b))
	for i := range n {
		if a[i] != b[i] {
			return i
		}
	}
	return n
}

// widthOf is the size of a restart offset into n bytes of data.
func widthOf(n int) int {
	switch {
	case n < 1<<8:
		return 1
	case n < 1<<16:
		return 2
	}
	return 4
}

// Table reads a table in place. The zero Table is empty.
type Table struct {
	count    int
	at       int    // offset of data in what was opened
	data     []byte // entries
	restarts []byte // offsets of entries 32, 64 … of width bytes each
	width    int
}

// Open reads the head of the table that b begins with and returns it with the
// number of bytes it takes. Entries are checked when they are touched.
func Open(b []byte) (Table, int, error) {
	count, n := binary.Uvarint(b)
	if n <= 0 {
		return Table{}, 0, &CorruptError{0, "no count"}
	}
	size, m := binary.Uvarint(b[n:])
	if m <= 0 {
		return Table{}, 0, &CorruptError{n, "no size"}
	}
	at := n + m
	if size > uint64(len(b)-at) || size > 1<<32-1 || count > size {
		return Table{}, 0, &CorruptError{n, fmt.Sprintf("%d symbols in %d bytes, %d are left", count, size, len(b)-at)}
	}
	t := Table{count: int(count), at: at, data: b[at : at+int(size)], width: widthOf(int(size))}
	end := at + int(size)
	restarts := 0
	if count > 0 {
		restarts = (t.count - 1) / restartEvery
	}
	if restarts*t.width > len(b)-end {
		return Table{}, 0, &CorruptError{end, "the restarts are cut off"}
	}
	t.restarts = b[end : end+restarts*t.width]
	return t, end + restarts*t.width, nil
}

// Len is the number of symbols.
func (t Table) Len() int { return t.count }

// restart returns the offset in data of symbol 32·r.
func (t Table) restart(r int) int {
	if r == 0 {
		return 0
	}
	var v uint64
	for k := range t.width {
		v |= uint64(t.restarts[(r-1)*t.width+k]) << (8 * k)
	}
	return int(v)
}

// next decodes the entry at offset off of data onto the one before it, which
// is in buf, and returns the symbol and the offset after it.
func (t Table) next(off int, buf []byte) ([]byte, int, error) {
	if off >= len(t.data) {
		return nil, 0, &CorruptError{t.at + off, "an entry beyond the data"}
	}
	shared, n := binary.Uvarint(t.data[off:])
	if n <= 0 || shared > uint64(len(buf)) {
		return nil, 0, &CorruptError{t.at + off, "bad shared length"}
	}
	off += n
	rest, n := binary.Uvarint(t.data[off:])
	if n <= 0 || rest > uint64(len(t.data)-off-n) || shared+rest > SymbolBytesMax {
		return nil, 0, &CorruptError{t.at + off, "bad length"}
	}
	off += n
	return append(buf[:shared], t.data[off:off+int(rest)]...), off + int(rest), nil
}

// At returns the symbol with ordinal i, in buf's memory where it fits.
func (t Table) At(i int, buf []byte) ([]byte, error) {
	if i < 0 || i >= t.count {
		return nil, &CorruptError{t.at, fmt.Sprintf("symbol %d of %d", i, t.count)}
	}
	off := t.restart(i / restartEvery)
	buf = buf[:0]
	var err error
	for range i%restartEvery + 1 {
		if buf, off, err = t.next(off, buf); err != nil {
			return nil, err
		}
	}
	return buf, nil
}

// Seek returns the ordinal of the first symbol that is not less than s, and
// whether it is s; Len when all are less. O(log n).
func (t Table) Seek(s string) (int, bool, error) {
	if t.count == 0 {
		return 0, false, nil
	}
	var failed error
	var buf []byte
	blocks := (t.count + restartEvery - 1) / restartEvery
	// The last restart that is not greater than s begins the block to look in.
	r := sort.Search(blocks, func(r int) bool {
		sym, _, err := t.next(t.restart(r), buf[:0])
		if err != nil {
			failed = err
			return true
		}
		buf = sym
		return string(sym) > s
	})
	if failed != nil {
		return 0, false, failed
	}
	if r == 0 {
		return 0, false, nil
	}
	i := (r - 1) * restartEvery
	off := t.restart(r - 1)
	buf = buf[:0]
	for end := min(i+restartEvery, t.count); i < end; i++ {
		var err error
		if buf, off, err = t.next(off, buf); err != nil {
			return 0, false, err
		}
		if c := bytes.Compare(buf, []byte(s)); c >= 0 {
			return i, c == 0, nil
		}
	}
	return i, false, nil
}

// Range calls fn with every symbol from ordinal from on, in order, until fn
// returns false. The symbol is valid during the call.
func (t Table) Range(from int, fn func(i int, symbol []byte) bool) error {
	if from < 0 || from >= t.count {
		return nil
	}
	i := from / restartEvery * restartEvery
	off := t.restart(from / restartEvery)
	var buf []byte
	for ; i < t.count; i++ {
		if i%restartEvery == 0 {
			buf = buf[:0]
		}
		var err error
		if buf, off, err = t.next(off, buf); err != nil {
			return err
		}
		if i >= from && !fn(i, buf) {
			return nil
		}
	}
	return nil
}

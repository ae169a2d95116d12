package column

import "fmt"

// CorruptError says that bytes are not what the named part should be: damaged,
// cut short, or written by a newer version.
type CorruptError struct {
	Part   string // "chunk", "time column", "presence runs", "value stream"
	Offset int    // of the first byte that cannot be right
	Reason string
}

// Error names the part, the reason and the offset.
func (e *CorruptError) Error() string {
	return fmt.Sprintf("decode %s: %s at offset %d", e.Part, e.Reason, e.Offset)
}

// reader takes fields from the front of a slice. The first fault sticks: what
// is read after it is zero, so that a parser may check err once a section.
type reader struct {
	part string
	b    []byte
	off  int
	err  error
}

func (r *reader) fail(off int, reason string) {
	if r.err == nil {
		r.err = &CorruptError{Part: r.part, Offset: off, Reason: reason}
	}
}

func (r *reader) byte() byte {
	if r.err != nil || r.off >= len(r.b) {
		r.fail(r.off, "unexpected end")
		return 0
	}
	c := r.b[r.off]
	r.off++
	return c
}

// bytes takes the next n bytes, without copying.
func (r *reader) bytes(n int) []byte {
	if r.err != nil || n < 0 || n > len(r.b)-r.off {
		r.fail(r.off, "unexpected end")
		return nil
	}
	p := r.b[r.off : r.off+n : r.off+n]
	r.off += n
	return p
}

// uvarint takes an unsigned varint of at most 64 bits.
func (r *reader) uvarint() uint64 {
	if r.err == nil && r.off < len(r.b) && r.b[r.off] < 0x80 {
		r.off++
		return uint64(r.b[r.off-1])
	}
	start := r.off
	var x uint64
	for shift := uint(0); shift < 64; shift += 7 {
		c := r.byte()
		if r.err != nil {
			return 0
		}
		if shift == 63 && c > 1 {
			break
		}
		x |= uint64(c&0x7f) << shift
		if c < 0x80 {
			return x
		}
	}
	r.fail(start, "varint of more than 64 bits")
	return 0
}

// varint takes a zigzag varint.
func (r *reader) varint() int64 { return unzigzag(r.uvarint()) }

// count takes a varint that must not exceed most; what names it in the error.
func (r *reader) count(most int, what string) int {
	start := r.off
	x := r.uvarint()
	if x > uint64(most) {
		r.fail(start, fmt.Sprintf("%s of %d exceeds %d", what, x, most))
		return 0
	}
	return int(x)
}

func zigzag(x int64) uint64   { return uint64(x<<1) ^ uint64(x>>63) }
func unzigzag(u uint64) int64 { return int64(u>>1) ^ -int64(u&1) }

package seal

import "encoding/binary"

func appendBytes(dst []byte, s string) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(s))), s...)
}

// reader takes values off bytes. After an error all it returns is zero.
type reader struct {
	b   []byte
	off int
	err error
}

func (r *reader) fail(format string, args ...any) {
	if r.err == nil {
		r.err = corrupt(r.off, format, args...)
	}
}

func (r *reader) uvarint() uint64 {
	if r.err != nil {
		return 0
	}
	v, n := binary.Uvarint(r.b[r.off:])
	if n <= 0 {
		r.fail("a bad number")
		return 0
	}
	r.off += n
	return v
}

func (r *reader) varint() int64 {
	u := r.uvarint()
	return int64(u>>1) ^ -int64(u&1)
}

// count is a number that is at most most.
func (r *reader) count(most int) int {
	v := r.uvarint()
	if v > uint64(most) {
		r.fail("%d where at most %d are allowed", v, most)
		return 0
	}
	return int(v)
}

func (r *reader) byte() byte {
	if r.err == nil && r.off < len(r.b) {
		r.off++
		return r.b[r.off-1]
	}
	r.fail("the end in the midst")
	return 0
}

func (r *reader) uint64() uint64 {
	if r.err == nil && r.off+8 <= len(r.b) {
		r.off += 8
		return binary.LittleEndian.Uint64(r.b[r.off-8:])
	}
	r.fail("the end in the midst")
	return 0
}

func (r *reader) bytes() []byte {
	n := r.count(len(r.b) - min(r.off, len(r.b)))
	if r.err != nil || n > len(r.b)-r.off {
		r.fail("the end in the midst")
		return nil
	}
	r.off += n
	return r.b[r.off-n : r.off]
}

// Package cursor is the file of a durable cursor: who reads the accepted samples
// of a tenant, how far it is, and how much of the log may be kept for it. FORMAT.md
// describes the bytes.
//
// It owns the bytes and nothing else: no file is opened here.
//
// Invariants:
//
//   - I1: a file with any bit changed is not taken for one.
package cursor

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
)

// Cursor is the content of a file.
type Cursor struct {
	Tenant string
	// Budget is how much of the log may be kept for it, bytes.
	Budget uint64
	// Segment and Offset are the place in the log, of what follows the first Skip
	// batches were handed out; everything at times [From, Until), ms, is to be read
	// of what is stored before.
	Segment, Offset, Skip uint64
	From, Until           int64
}

// ErrDamaged: the bytes are not what was written.
var ErrDamaged = errors.New("the cursor is damaged")

// ErrFuture: a newer version has written it.
var ErrFuture = errors.New("the cursor is of a newer version")

const (
	magic      = "NILOCUR"
	version    = '1'
	headerSize = len(magic) + 1 + 4
	tenantMax  = 1 << 10
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Append appends a cursor to dst.
func Append(dst []byte, c Cursor) []byte {
	var body []byte
	body = append(binary.AppendUvarint(body, uint64(len(c.Tenant))), c.Tenant...)
	for _, v := range []uint64{c.Budget, c.Segment, c.Offset, c.Skip} {
		body = binary.AppendUvarint(body, v)
	}
	body = binary.AppendVarint(binary.AppendVarint(body, c.From), c.Until)
	dst = append(append(dst, magic...), version)
	dst = binary.LittleEndian.AppendUint32(dst, crc32.Checksum(body, castagnoli))
	return append(dst, body...)
}

// Read decodes what Append has written. Errors wrap ErrDamaged or ErrFuture.
func Read(b []byte) (Cursor, error) {
	if len(b) < headerSize || string(b[:len(magic)]) != magic {
		return Cursor{}, fmt.Errorf("%w: no header", ErrDamaged)
	}
	if v := b[len(magic)]; v > version && v <= '9' {
		return Cursor{}, fmt.Errorf("%w (format %c, known up to %c)", ErrFuture, v, version)
	} else if v != version {
		return Cursor{}, fmt.Errorf("%w: version %q", ErrDamaged, v)
	}
	body := b[headerSize:]
	if want, got := binary.LittleEndian.Uint32(b[headerSize-4:]), crc32.Checksum(body, castagnoli); got != want {
		return Cursor{}, fmt.Errorf("%w: checksum %08x, the header says %08x", ErrDamaged, got, want)
	}
	r := reader{b: body}
	c := Cursor{Tenant: r.string(), Budget: r.uvarint(), Segment: r.uvarint(), Offset: r.uvarint(), Skip: r.uvarint(), From: r.varint(), Until: r.varint()}
	if r.bad || len(r.b) > 0 {
		return Cursor{}, fmt.Errorf("%w: %d bytes are left", ErrDamaged, len(r.b))
	}
	return c, nil
}

// reader takes values off bytes until something is wrong.
type reader struct {
	b   []byte
	bad bool
}

func (r *reader) uvarint() uint64 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 {
		r.bad, n = true, 0
	}
	r.b = r.b[n:]
	return v
}

func (r *reader) varint() int64 {
	u := r.uvarint()
	return int64(u>>1) ^ -int64(u&1)
}

func (r *reader) string() string {
	n := r.uvarint()
	if n > min(tenantMax, uint64(len(r.b))) {
		r.bad = true
		return ""
	}
	s := string(r.b[:n])
	r.b = r.b[n:]
	return s
}

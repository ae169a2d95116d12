package inflate

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
)

// Errors of data that is no whole gzip. They are wrapped with where.
var (
	ErrFormat   = errors.New("this is not gzip")
	ErrShort    = fmt.Errorf("the data ends too early: %w", io.ErrUnexpectedEOF)
	ErrCorrupt  = errors.New("the data is corrupt")
	ErrChecksum = errors.New("the checksum does not fit the data")
)

// Flags of a member's header (RFC 1952, section 2.3.1).
const (
	flagHeaderCRC = 1 << 1
	flagExtra     = 1 << 2
	flagName      = 1 << 3
	flagComment   = 1 << 4

	headerSize  = 10
	trailerSize = 8
	methodFlate = 8
)

// Decoder holds the tables of a decompression, about 20 kB. It is used again and
// again, by one goroutine at a time.
type Decoder struct {
	literals [1 << literalBits]entry
	dists    [1 << distBits]entry
	// Codes longer than the tables' bits go on in these.
	literalRest []entry
	distRest    []entry
	lengths     [literalsMax + distsMax]uint8
}

// NewDecoder returns a Decoder.
func NewDecoder() *Decoder { return new(Decoder) }

// Grow gives memory: it returns a slice with the bytes of p and room for at
// least n more. Its error ends the decompression.
type Grow func(p []byte, n int) ([]byte, error)

// Gzip appends the decompressed members of src, at least one, to dst. On an
// error it returns what it has.
func (d *Decoder) Gzip(dst, src []byte, grow Grow) ([]byte, error) {
	for member := 1; ; member++ {
		n, err := skipHeader(src)
		if err != nil {
			return dst, fmt.Errorf("header of member %d: %w", member, err)
		}
		start := len(dst)
		out, used, err := d.flate(dst, src[n:], sizeOf(src[n:]), grow)
		dst = out
		if err != nil {
			return dst, fmt.Errorf("member %d, at byte %d of its data: %w", member, used, err)
		}
		if src = src[n+used:]; len(src) < trailerSize {
			return dst, fmt.Errorf("end of member %d: %w", member, ErrShort)
		}
		if binary.LittleEndian.Uint32(src) != crc32.ChecksumIEEE(dst[start:]) ||
			binary.LittleEndian.Uint32(src[4:]) != uint32(len(dst)-start) {
			return dst, fmt.Errorf("member %d: %w", member, ErrChecksum)
		}
		if src = src[trailerSize:]; len(src) == 0 {
			return dst, nil
		}
	}
}

// ratioMax is more than what DEFLATE can reach: 258 bytes by two bits.
const ratioMax = 1032

// sizeOf guesses how much a member's data (its header is gone) comes to: what its
// trailer says, where it is the last member and that is possible.
func sizeOf(src []byte) int {
	if len(src) < trailerSize {
		return 0
	}
	said := int(binary.LittleEndian.Uint32(src[len(src)-4:]))
	if said > len(src)*ratioMax {
		return 0
	}
	return said
}

// skipHeader returns the size of a member's header.
func skipHeader(p []byte) (int, error) {
	switch {
	case len(p) >= 2 && (p[0] != 0x1f || p[1] != 0x8b), len(p) >= 3 && p[2] != methodFlate:
		return 0, ErrFormat
	case len(p) < headerSize:
		return 0, ErrShort
	}
	flags, n := p[3], headerSize
	if flags&flagExtra != 0 {
		if len(p) < n+2 {
			return 0, ErrShort
		}
		n += 2 + int(binary.LittleEndian.Uint16(p[n:]))
	}
	for _, flag := range []byte{flagName, flagComment} {
		if flags&flag == 0 {
			continue
		}
		if n > len(p) {
			return 0, ErrShort
		}
		end := bytes.IndexByte(p[n:], 0)
		if end < 0 {
			return 0, ErrShort
		}
		n += end + 1
	}
	if flags&flagHeaderCRC != 0 {
		if len(p) < n+2 {
			return 0, ErrShort
		}
		if binary.LittleEndian.Uint16(p[n:]) != uint16(crc32.ChecksumIEEE(p[:n])) {
			return 0, ErrChecksum
		}
		n += 2
	}
	if n > len(p) {
		return 0, ErrShort
	}
	return n, nil
}

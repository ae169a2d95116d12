// Package page is the format of a page: the chunks of consecutive series of a
// block in one row of tiles, framed with a checksum. FORMAT.md draws it.
//
// A file of chunks is a sequence of frames; it can be walked from the start
// without the index. A frame's payload is the page's directory (which series
// on which time column, the lengths of the chunks, the positions that are not
// present) and then the chunks of format/chunk.
//
// The usual entry (the next series, on the column of the entry before or the
// one after it, present throughout) costs a quarter of a byte and the length
// of each chunk.
//
// Invariants:
//
//   - I1: entries are in order of series; those of one series in order of time.
//   - I2: an entry has one chunk per tile of its column in the page's row; a
//     tile in which the series has no sample has none.
//   - I3: a decoder given any bytes returns a page or a *CorruptError. It never
//     panics, and never allocates more than the bytes justify.
package page

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"

	"github.com/klauspost/compress/zstd"
)

// Sizes of a frame.
const (
	// HeaderBytes is the size of a frame's header.
	HeaderBytes = 16
	// PadBytes follow the payload, so that a decoder may load whole words.
	PadBytes = 8
	// RawBytesMax bounds a payload after decompression.
	RawBytesMax = 64 << 20
)

// frameVersion is the newest version of a frame that this package knows.
const frameVersion = 1

// A file of pages begins with a header: fileMagic, the version, zeroes.
const (
	// FileHeaderBytes is its size.
	FileHeaderBytes = 16
	fileMagic       = "nilchunk"
	fileVersion     = 1
)

// AppendFileHeader appends the header of a file of pages to dst.
func AppendFileHeader(dst []byte) []byte {
	return append(append(dst, fileMagic...), fileVersion, 0, 0, 0, 0, 0, 0, 0)
}

// CheckFileHeader checks the header that b begins with.
func CheckFileHeader(b []byte) error {
	switch {
	case len(b) < FileHeaderBytes || string(b[:8]) != fileMagic || b[8] == 0:
		return &CorruptError{0, "this is no file of pages"}
	case b[8] > fileVersion:
		return &CorruptError{8, fmt.Sprintf("file version %d, known up to %d: upgrade this program to read it", b[8], fileVersion)}
	case binary.LittleEndian.Uint32(b[9:])|binary.LittleEndian.Uint32(b[12:]) != 0:
		return &CorruptError{9, "unknown flags in the file's header: upgrade this program to read it"}
	}
	return nil
}

// Type says what the chunks of a page are.
type Type uint8

// The types of pages.
const (
	// Chunks: chunks of format/chunk, which explain themselves.
	Chunks Type = 1
)

// The codecs of a payload.
const (
	codecNone = 0
	codecZstd = 1
)

// CorruptError says where a page is not what was written.
type CorruptError struct {
	Offset int // in the frame's header or in the payload
	Reason string
}

// Error names the offset.
func (e *CorruptError) Error() string {
	return fmt.Sprintf("page damaged at offset %d: %s", e.Offset, e.Reason)
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Compressor is implemented by *zstd.Encoder.
type Compressor interface {
	EncodeAll(src, dst []byte) []byte
}

// Decompressor is implemented by *zstd.Decoder.
type Decompressor interface {
	DecodeAll(input, dst []byte) ([]byte, error)
}

var (
	_ Compressor   = (*zstd.Encoder)(nil)
	_ Decompressor = (*zstd.Decoder)(nil)
)

// Header is a frame's header.
type Header struct {
	Stored uint32 // bytes of the payload as it is stored
	Raw    uint32 // bytes of the payload decompressed
	Codec  uint8
	Type   Type
	crc    uint32
}

// FrameBytes is the size of the whole frame.
func (h Header) FrameBytes() int { return HeaderBytes + int(h.Stored) + PadBytes }

// AppendFrame appends the frame of a payload to dst. It is compressed when c
// is not nil and that saves a sixteenth of it or more.
func AppendFrame(dst []byte, t Type, payload []byte, c Compressor) ([]byte, error) {
	if len(payload) > RawBytesMax {
		return dst, fmt.Errorf("encode page: it has %d bytes, at most %d are allowed", len(payload), RawBytesMax)
	}
	stored, codec := payload, byte(codecNone)
	if c != nil {
		if packed := c.EncodeAll(payload, nil); len(packed) <= len(payload)-len(payload)/16 {
			stored, codec = packed, codecZstd
		}
	}
	at := len(dst)
	dst = binary.LittleEndian.AppendUint32(dst, uint32(len(stored)))
	dst = binary.LittleEndian.AppendUint32(dst, uint32(len(payload)))
	dst = append(dst, frameVersion, codec, byte(t), 0)
	crc := crc32.Update(crc32.Checksum(dst[at:], castagnoli), castagnoli, stored)
	dst = binary.LittleEndian.AppendUint32(dst, crc)
	dst = append(dst, stored...)
	return append(dst, make([]byte, PadBytes)...), nil
}

// ReadHeader reads the header that b begins with.
func ReadHeader(b []byte) (Header, error) {
	if len(b) < HeaderBytes {
		return Header{}, &CorruptError{len(b), "the header is cut off"}
	}
	h := Header{
		Stored: binary.LittleEndian.Uint32(b),
		Raw:    binary.LittleEndian.Uint32(b[4:]),
		Codec:  b[9],
		Type:   Type(b[10]),
		crc:    binary.LittleEndian.Uint32(b[12:]),
	}
	switch {
	case b[8] == 0:
		return Header{}, &CorruptError{8, "no version"}
	case b[8] > frameVersion:
		return Header{}, &CorruptError{8, fmt.Sprintf("version %d, known up to %d: upgrade this program to read it", b[8], frameVersion)}
	case h.Codec > codecZstd:
		return Header{}, &CorruptError{9, fmt.Sprintf("unknown codec %d", h.Codec)}
	case h.Type != Chunks:
		return Header{}, &CorruptError{10, fmt.Sprintf("unknown type %d: upgrade this program to read it", h.Type)}
	case b[11] != 0:
		return Header{}, &CorruptError{11, fmt.Sprintf("unknown flags %#x: upgrade this program to read it", b[11])}
	case h.Raw > RawBytesMax || h.Stored > RawBytesMax:
		return Header{}, &CorruptError{0, fmt.Sprintf("%d bytes, %d decompressed", h.Stored, h.Raw)}
	case h.Codec == codecNone && h.Raw != h.Stored:
		return Header{}, &CorruptError{0, fmt.Sprintf("%d bytes, %d without compression", h.Stored, h.Raw)}
	}
	return h, nil
}

// Open verifies the frame that b begins with and returns its header and
// payload: part of b when it is not compressed.
func Open(b []byte, d Decompressor) (Header, []byte, error) {
	h, err := ReadHeader(b)
	if err != nil {
		return h, nil, err
	}
	if len(b) < h.FrameBytes() {
		return h, nil, &CorruptError{len(b), fmt.Sprintf("cut off: the frame has %d bytes", h.FrameBytes())}
	}
	payload := b[HeaderBytes : HeaderBytes+int(h.Stored)]
	if crc := crc32.Update(crc32.Checksum(b[:12], castagnoli), castagnoli, payload); crc != h.crc {
		return h, nil, &CorruptError{12, fmt.Sprintf("checksum %08x, computed %08x", h.crc, crc)}
	}
	if h.Codec == codecNone {
		return h, payload, nil
	}
	raw, err := d.DecodeAll(payload, make([]byte, 0, rawCapacity(h)))
	if err != nil {
		return h, nil, &CorruptError{HeaderBytes, "decompress: " + err.Error()}
	}
	if len(raw) != int(h.Raw) {
		return h, nil, &CorruptError{4, fmt.Sprintf("%d bytes decompressed, the header says %d", len(raw), h.Raw)}
	}
	return h, raw, nil
}

// rawCapacity believes the header up to a ratio that pages have; what is
// better compressed than that grows as it comes.
func rawCapacity(h Header) int {
	return min(int(h.Raw), 64*int(h.Stored)) + PadBytes
}

// Package chunk is one series on one tile as bytes that explain themselves:
// floats or histograms, with start timestamps or without. Pages, seal files and
// whatever else keeps chunks store these bytes and need not know what they are;
// only how many positions are present stands beside them. FORMAT.md draws it.
//
// A chunk of floats without start timestamps is a chunk of format/column as it
// is: the first byte tells. Nothing is copied or decoded here.
//
// Invariants:
//
//   - I1: Parse takes apart what Append put together: the parts come back as
//     they were, as slices of the bytes given.
//   - I2: Parse of any bytes returns a chunk or a *CorruptError, allocates
//     nothing, and does not look into the parts.
package chunk

import (
	"encoding/binary"
	"fmt"
)

// Chunk is a chunk's parts. Without Values there is no chunk: no position is
// present.
type Chunk struct {
	// Values is a chunk of format/column, or of format/histogram when
	// Histograms is set.
	Values     []byte
	Histograms bool
	// Starts is an integer chunk of format/column: the start timestamp of each
	// present position, 0 where there is none. nil without any.
	Starts []byte
}

// The first byte of a chunk. Chunks of format/column begin with 0 to 3 or with
// 0x80 and above.
const (
	kindColumnMax  = 0x03
	kindColumnMin  = 0x80
	kindHistograms = 0x10 // a chunk of format/histogram follows
	kindStarts     = 0x11 // uvarint length, starts; then a chunk without them
)

// CorruptError says that bytes are no chunk: damaged, or written by a newer
// version.
type CorruptError struct {
	Offset int
	Reason string
}

// Error names the reason and the offset.
func (e *CorruptError) Error() string {
	return fmt.Sprintf("decode chunk: %s at offset %d", e.Reason, e.Offset)
}

// Append appends c to dst. Starts without Values are a defect of the caller, and
// panic.
func Append(dst []byte, c Chunk) []byte {
	if len(c.Values) == 0 {
		if len(c.Starts) > 0 || c.Histograms {
			panic("encode chunk: start timestamps or histograms without values")
		}
		return dst
	}
	if len(c.Starts) > 0 {
		dst = binary.AppendUvarint(append(dst, kindStarts), uint64(len(c.Starts)))
		dst = append(dst, c.Starts...)
	}
	if c.Histograms {
		dst = append(dst, kindHistograms)
	}
	return append(dst, c.Values...)
}

// Plain reports whether data is a chunk of format/column and nothing else: what
// nearly all chunks are.
func Plain(data []byte) bool {
	return len(data) > 0 && (data[0] <= kindColumnMax || data[0] >= kindColumnMin)
}

// Parse takes data apart. Empty data is the Chunk without values.
func Parse(data []byte) (Chunk, error) {
	var c Chunk
	rest, at := data, 0
	if len(rest) > 0 && rest[0] == kindStarts {
		n, size := binary.Uvarint(rest[1:])
		if size <= 0 || n == 0 || n > uint64(len(rest)-1-size) {
			return Chunk{}, &CorruptError{1, "start timestamps cut off"}
		}
		at = 1 + size + int(n)
		c.Starts = rest[1+size : at : at]
		rest = rest[at:]
		if len(rest) == 0 {
			return Chunk{}, &CorruptError{at, "start timestamps without values"}
		}
	}
	switch {
	case len(rest) == 0:
		return c, nil
	case Plain(rest):
		c.Values = rest
		return c, nil
	case rest[0] == kindHistograms:
		if len(rest) == 1 {
			return Chunk{}, &CorruptError{at + 1, "no histograms"}
		}
		c.Values, c.Histograms = rest[1:], true
		return c, nil
	}
	return Chunk{}, &CorruptError{at, fmt.Sprintf("unknown kind 0x%02x, of a newer version or damaged", rest[0])}
}

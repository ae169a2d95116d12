// Package record encodes and decodes what the write-ahead log holds: frames
// with checksums, and in them the records of groups. It is pure: bytes in,
// values out; files are tsdb/wal's.
//
// A frame is what one commit wrote; it is whole or damaged. Records carry the
// tenant (a base) or the number of a group that a base of the same segment has
// introduced (a batch).
//
// FORMAT.md draws the bytes.
//
// Invariants:
//
//   - I1: what is decoded has the bits that were encoded.
//   - I2: decoding never panics, reads beyond its input or takes more memory than
//     a constant factor of it; a fault is an error that names the offset.
//   - I3: a record of an unknown type is an error: a newer version wrote it.
package record

import "fmt"

// CorruptError names a fault in encoded bytes.
type CorruptError struct {
	What   string
	Offset int
}

// Error names what was wrong and where.
func (e *CorruptError) Error() string {
	return fmt.Sprintf("damaged record: %s at offset %d", e.What, e.Offset)
}

// Package seal is the format of what a head has put out of memory: stretches,
// which are up to column.TilePositions consecutive positions of a group's time
// column with one chunk for each member, and files of them. FORMAT.md draws
// both.
//
// It owns how a stretch finds a member's chunk in place (a Stretch is a view of
// bytes, usually of a mapped file), and the frames and the table of a file. It
// does not look into chunks: their bytes and value type are the head's. It
// reads and writes no file.
//
// Callers keep the bytes of a Stretch or File unchanged while they use it.
//
// Invariants:
//
//   - I1: every byte of a file is under a checksum, or is checked to be what it
//     must be.
//   - I2: what a file says about its lengths is checked when it is opened, and a
//     stretch by ReadStretch: later reads are in bounds.
package seal

import "fmt"

// CorruptError tells where bytes are not what they must be.
type CorruptError struct {
	Offset int64 // in the bytes given
	Reason string
}

// Error names the offset and the reason.
func (e *CorruptError) Error() string {
	return fmt.Sprintf("corrupt seal at offset %d: %s", e.Offset, e.Reason)
}

func corrupt(offset int, format string, args ...any) error {
	return &CorruptError{Offset: int64(offset), Reason: fmt.Sprintf(format, args...)}
}

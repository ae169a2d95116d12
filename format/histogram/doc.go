// Package histogram turns native histograms into bytes and back: the values of
// one series on one tile, where any of them is a histogram.
//
// A chunk is a sequence of sections, each on consecutive values. A section is
// of floats, or of integer or float histograms that have schema, zero threshold
// and custom bounds in common. Inside of it, spans may change from value to
// value: the section has a column for each bucket that any of them has, and
// says which layout of spans each value has. Columns are encoded by
// format/column. The bytes are described in FORMAT.md.
//
// It does no I/O, keeps no state between calls except the scratch memory of an
// Encoder, and starts no goroutine. Like chunks of format/column, chunks carry
// neither a checksum nor their number of values: both stand beside them.
//
// Invariants:
//
//   - I1: values come back bit for bit: counts of all 64 bits, NaN payloads,
//     hints, spans as they were cut, empty ones included. Only an empty list
//     may come back as nil.
//   - I2: a decoder given any bytes returns values or a *CorruptError. It never
//     panics, and allocates no more than the values asked for, at CellsMax
//     buckets together, and what the bytes justify.
//   - I3: histograms decoded together share spans and custom bounds, and lie in
//     common memory: one of them keeps all of it alive.
package histogram

import (
	"fmt"

	"github.com/nilometer/nilometer/format/column"
)

// Limits of a chunk.
const (
	// ValuesMax is the largest number of values of a chunk.
	ValuesMax = column.ChunkValuesMax
	// UnionMax is the largest number of buckets that layouts of one section
	// have together. A layout that has more by itself makes a section of its
	// own.
	UnionMax = 512
	// BucketsMax is the largest number of buckets of one histogram: 64 times
	// what an exporter's default allows.
	BucketsMax = 10240
	// CellsMax is the largest number of buckets of a section's values together:
	// what UnionMax buckets on a whole tile are.
	CellsMax = ValuesMax * UnionMax
)

// CorruptError says that bytes are not a chunk of histograms: damaged, cut
// short, or written by a newer version.
type CorruptError struct {
	Offset int // of the first byte that cannot be right
	Reason string
}

// Error names the reason and the offset.
func (e *CorruptError) Error() string {
	return fmt.Sprintf("decode histogram chunk: %s at offset %d", e.Reason, e.Offset)
}

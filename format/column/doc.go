// Package column turns columns of samples into bytes and back: the values of
// one series on one tile (a chunk), the time column that the series of a group
// share, the presence of one series on it, and the open stream in which the
// head gathers the values of a tile that is still being written. Beside the values of a chunk stand int64s,
// in integer chunks: start timestamps, and what histograms are made of.
//
// It owns the five encodings, described byte by byte in FORMAT.md. It does no
// I/O, keeps no state between calls except the scratch memory of an Encoder,
// and starts no goroutine. Checksums are the business of whoever frames the
// bytes (pages, WAL records): a decoder here is safe on any bytes, but it
// cannot tell a flipped bit from another value.
//
// A chunk holds the values of present positions only. Stale markers and
// absences are presence runs and never enter a chunk.
//
// Callers keep n, the number of values of a chunk, beside it (it follows from
// the tile and the presence runs). Slices handed in are not kept; slices
// handed out are the caller's dst, extended.
//
// Invariants:
//
//   - I1: values come back bit for bit, whatever the 64 bits are. An encoder
//     verifies every value against the decoder's own arithmetic before it
//     chooses a domain.
//   - I2: a decoder given any bytes returns values or a *CorruptError with the
//     offset of the fault. It never panics, never reads outside the bytes
//     given, and never allocates more than the values asked for.
//   - I3: a decoded time column is strictly increasing, decoded runs satisfy
//     model/column's I2.
//   - I4: a stream's records can be cut anywhere between two of them: bytes up
//     to the end of a record are a whole stream, and the decoder's state there
//     equals the encoder's.
package column

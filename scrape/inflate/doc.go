// Package inflate decompresses gzip (RFC 1952) from memory to memory: a whole
// body that has come goes into a whole body in one pass. Without a stream to
// serve there is no window to copy from and no state to keep between calls, which
// makes it about twice as fast as decompressors that read as they go.
//
// It owns the decoding of DEFLATE (RFC 1951) and gzip's members with their
// checksums.
//
// Invariants:
//
//   - I1: what is accepted is what compress/gzip accepts, with the same bytes:
//     members follow each other, and nothing else follows the last.
//   - I2: memory is asked of the caller before it is filled, so that a body of
//     a few bytes cannot take more than the caller allows.
//   - I3: hostile bytes cost time in proportion to what comes in and goes out, and
//     never a panic.
package inflate

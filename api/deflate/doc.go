// Package deflate compresses answers that are rows of points in JSON, as gzip
// (RFC 1952), several times as fast as a compressor that knows nothing of them.
//
// Of [1732372830,"53.25"],[1732372845,"53.5"] a point repeats the beginning of
// the one before it in two places: from the quote that closes the value up to
// where the times differ, and from the comma before the value up to where the
// values differ. These are the places where a match is looked for, at the place
// of the same kind of the point before; between labels, and for values that come again,
// a small table finds one.
// All else is literals, in one block whose Huffman code is fixed in advance:
// digits take three to four bits.
//
// Any bytes are compressed correctly; those that are no such rows, not well.
//
// It owns nothing. A Writer is used by one goroutine, and has to be closed.
//
// Invariants:
//
//   - D1: what a reader gets is what was written, whatever that is and however it
//     was cut into calls of Write.
//   - D2: what was written is sent with the call that brought it, but for the last
//     byte: nothing waits for more.
package deflate

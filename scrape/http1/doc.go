// Package http1 asks one HTTP/1.1 server over one kept connection: what a scrape
// of a plain target needs of HTTP, and nothing else. One goroutine writes the
// request and reads the answer, straight into the memory in which it stays: no
// goroutine waits on a connection that is idle, and its memory is a few hundred
// bytes.
//
// It owns the framing of answers (RFC 9112): heads, lengths, chunks. It follows
// no redirect, sends no credentials and knows no TLS: those are the caller's, who
// has another client for them.
//
// Invariants:
//
//   - I1: an answer is whole or an error: a connection that ends early, or an
//     answer that contradicts itself, is never a short body.
//   - I2: a connection is used again only after an answer that ended where it
//     said, with nothing behind it.
//   - I3: memory is asked of the caller's Space before it is filled, and heads
//     are at most HeadMax long.
//   - I4: a request is sent a second time only when a kept connection ended
//     before any byte of the answer came.
package http1

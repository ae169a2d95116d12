// Package seriestable is the bytes of a table of series: who they are, what
// labels they have, and where their samples go. FORMAT.md has the drawing.
//
// A table is a sequence of sections, each with a checksum. It is written while
// the table changes, in pieces: a section Begin voids everything before it, and
// only a table that closes with End counts. What a section refers to may follow
// later, since labels only ever come to a table.
//
// Invariants:
//
//   - I1: what Reader.Next returns is in bounds on its own: rows as many as
//     were announced, at most RowsMax.
//   - I2: whether numbers of one section are in another is the caller's to
//     check, when it has both.
package seriestable

// Package late keeps the late samples of one tenant in memory: those that were
// accepted though their series had a later sample already. They come from the
// head, which logs them, and go to blocks when their span is cut, when they are
// too many, or when they have waited for long.
//
// It owns the samples with their acceptance sequences, and a small index of the
// labels that they belong to: a late sample may be of a series that the head
// has forgotten, or never had. What it holds is bounded in bytes; over the
// bound it refuses.
//
// A reader takes a Part: what was published up to a commit of the head, less
// what the reader finds in blocks (Marks). Parts are part.Part like any other.
//
// Callers add samples one commit at a time, log them in order of their
// sequences, and then publish or undo the commit. They drop what has become a
// block when no Part of before that is left.
//
// Invariants:
//
//   - I1: a sequence belongs to one sample for ever, and later samples have
//     higher ones.
//   - I2: a (series, timestamp) is in the buffer at most once: the first one
//     stays.
//   - I3: what a Part shows never changes: samples appear and go by sequences
//     that are outside of its bounds.
//   - I4: nothing that there is one of per sample has a pointer. Histograms and
//     start timestamps cost more: they stand beside the samples.
//
// The buffer's lock is a leaf: nothing else is locked under it.
package late

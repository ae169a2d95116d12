// Package wal is the write-ahead log: numbered segment files of frames
// (format/record), one log for all tenants of a process.
//
// It owns the files, the order of frames, group commit and what happens when
// the disk fails. What the frames mean is tsdb/head's.
//
// A writer holds the segment with Enter, learns its number, builds a payload
// that leans on nothing outside of that segment, gives it to Append, lets the
// segment go with Exit, and then waits for durability with Wait, or does not.
// Everyone who waits at the same time shares one sync.
//
// Invariants:
//
//   - I1: when Wait(p) has returned nil, every payload up to p survives a crash.
//   - I2: a file is never written after a write or sync of it has failed. The
//     log refuses appends with storage.ErrReadOnly until a new segment, which
//     begins with every frame that was not durable, is durable itself.
//   - I3: a process never appends to a segment of another: each start makes its
//     own first segment.
//   - I4: Replay hands out the frames in order, each once per place it stands,
//     and what cannot be read is reported by segment and offset.
//
// Locks, in order: flushing (a semaphore), rotation, mu.
package wal

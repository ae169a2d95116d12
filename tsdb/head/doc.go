// Package head keeps the samples of the last hours in memory: groups with
// shared time columns, one value stream per series, an index of labels, and
// the records of all of it in the write-ahead log.
//
// It owns how samples find their place (groups, slots, private columns), what
// is a repeat or a conflict, what a reader sees of it at one moment
// (Snapshot), and how all of it comes back after a crash (Replay). Blocks are
// written by others from a Cut, which is a part.Part like any other.
//
// # Shape
//
// Heads has one Head per tenant; a Head has an index (series by labels) and
// groups. A group has tiles: at most 480 positions of its time column, never
// across a span (the block range, aligned to the epoch). The last tile is open:
// each member streams its changed values into 32-byte blocks. Every 120 to 240
// positions, and at its end, it is sealed: a stretch with one encoded chunk per
// member. A series
// belongs to one group at a time; what is not in step with its group, or comes
// from two groups, gets a private group of its own. Members that stand in
// another group than the one that is written are foreign there.
//
// Streams and comparisons know values as 64 bits. A native histogram is boxed:
// its bits are the number under which the group keeps it (box.go). Start
// timestamps stand beside the streams (start.go). What is sealed are chunks of
// format/chunk, of any type.
//
// Nothing that there is one of per series has a pointer, but for these two: the
// garbage collector sees some dozen objects per group, whatever the number of
// series. Index, members and streams are in memory of tsdb/arena, which it does
// not see at all.
//
// # Invariants
//
//   - I1: the positions of a group's time column strictly increase; so do the
//     times of each series, over all groups that it has been in.
//   - I2: what Replay makes of the log is what was there when it was written:
//     every decision that depends on more than the log (clock, admission,
//     arrival) is in the records, private samples before the batch that they
//     were part of.
//   - I3: a snapshot sees a commit wholly or not at all: positions carry the
//     number of their commit, and a snapshot the number of the last one.
//   - I4: a sample older than the horizon, whose span is cut already, is never
//     in a tile: it goes to the late buffer (tsdb/late), or is refused.
//   - I5: a group's first record in a segment is its base.
//
// # Coming back
//
// Replay reads the log once, in order, and finds out which series there are and
// in which group. What a group has to apply waits in its backlog: the records of
// different groups do not depend on one another. Whoever takes the lock of a
// group applies its backlog first (groupLock), so that a query after a start
// waits for the groups that it touches; CatchUp does the others.
//
// Lock order: groups by their number (a commit locks all of its own), then
// wal.Log's Enter, then Heads.private, then Head.index, then Heads.publish. A
// private group's own lock is the last of all.
package head

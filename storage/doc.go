// Package storage is the contract between whoever brings or asks for samples
// and the engine that keeps them. It has types and interfaces, and no
// behaviour beyond that of values.
//
// # Writing
//
// Samples are written by groups. A group is a set of series inside one
// placement key that share a time column; a Batch is one position of that
// column: one timestamp and a value for each of many series, which are named
// by slot. A writer resolves label sets to slots once, and then sends slots
// and values only: that is the fast path, and no call in it looks at a label.
//
//   - A closed group has one writer, which knows all its members: a scrape
//     loop or a rule group. A member that a batch does not mention continues
//     with its last value.
//   - An open group is written by anyone (everything pushed, and scraped
//     samples with timestamps of their own). A batch implies nothing about
//     members that it does not mention.
//
// A slot that is rejected never rejects the batch. Whoever must be able to
// drop a whole batch (a parse error in its last line, a hard limit) prepares
// it first, and commits or aborts.
//
// # Reading
//
// A View pins one consistent state of a tenant: every sample acknowledged
// before it was taken, head and blocks together, nothing twice. Select hands
// out column batches: series that share a path of time columns, each with one
// chunk per tile, encoded (format/column) or decoded.
//
// # Invariants
//
//   - N1: (tenant, series, timestamp) has at most one value; a repeat with the
//     same bits is success; of different values the one accepted first wins
//     and the other is rejected as ReasonConflict.
//   - N2: one canonical label set is one series of a tenant.
//   - N3: what Commit acknowledged is durable according to its Durability.
//   - N4: a view is complete, or Select fails with ErrReplaying.
//   - N6: values come back bit for bit, stale markers and NaN payloads
//     included.
package storage

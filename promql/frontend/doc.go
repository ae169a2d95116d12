// Package frontend lets range queries be answered in parts: it knows which steps
// of an answer are there already, and cuts the rest into pieces.
//
// It owns the cache of answers and the order of who computes what; it evaluates
// nothing, reads no data and has no clock. An Extent is an answer for consecutive
// steps; the Cache keeps the newest one of each Key, bounded in bytes. Plan says
// which steps of an extent still hold and which pieces are to be evaluated. What
// holds is known from storage.Reader.Changed alone, so that samples of any age,
// deletions and retention need no rule here.
//
// Flights lets one query of a Key at a time evaluate: those that come meanwhile
// wait, and find what it has found in the cache. They see no older samples for
// it: what has changed since is evaluated again for each.
//
// # Invariants
//
//   - I1: an extent holds for a view if storage says that nothing it looked at has
//     changed since its number was taken, and its number was taken before its view.
//   - I2: pieces and what was kept cover the steps of a query once, in order.
//   - I3: no piece is a single step unless the query is: some functions answer a
//     query of one step in another way.
//   - I4: the bytes of all extents are at most the cache's limit.
package frontend

// Package storagetest is the conformance suite of the storage contract, and
// what tests around that contract share: a slow, obvious Store in memory, a
// loader that writes through groups, and a reader that turns a Scan back into
// samples while it checks every promise of storage.Scan and storage.ColumnBatch.
//
// An engine proves itself with
//
//	storagetest.Run(t, storagetest.Harness{Open: openMyEngine})
//
// Tests of what stands on the contract (the query engine, rules, the API) use
// NewMemory and Load instead of an engine. Memory passes the suite; it keeps
// every sample in a slice per series, under one lock.
//
// What the contract leaves open the suite leaves open too: a sample behind its
// series' last one may be stored or rejected, and what an engine does not
// support yet it may refuse with storage.ErrUnsupported or
// storage.ReasonUnsupported. Start timestamps it may leave out, all of them.
package storagetest

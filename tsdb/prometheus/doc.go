// Package prometheus moves data between data directories of Prometheus and this
// database: Import reads one into blocks, Export writes one.
//
// It owns what is known about Prometheus' directory (blocks, out-of-order
// blocks, tombstones, the head in wal, wbl and chunks_head) and is the only
// package that sees Prometheus' tsdb library, whose readers and writers it
// stands on.
//
// Import goes by ranges of time that are as long as a compacted block. Each is
// read twice: first the chunks' ends and lengths, to find out which series of a
// placement key were scraped together; then the samples, which are put on the
// time columns found. A wrong guess costs bytes and never a sample.
//
// Export goes by ranges of a Prometheus block. Each is a directory that gets its
// name when it is whole and verified.
//
// Callers give Import an open database (tsdb.Open) whose log is replayed by
// its Run, and nobody else uses the source while it is read, or what is
// appended meanwhile is not taken.
//
// Invariants:
//
//   - I1: values, timestamps and start timestamps come over bit for bit, stale
//     markers and native histograms included. The hint of a histogram about a
//     counter reset becomes "unknown" where another one stands before it now; a
//     stale histogram becomes a stale float.
//   - I2: an imported range is in the database whole or not at all: its block is
//     verified against what was read, series by series, and then added by one version of the
//     manifest.
//   - I3: what was in the database first stays (N1): a sample whose series has
//     one at its timestamp already is left out, and counted. So an import that is
//     repeated adds nothing twice, whatever became of its record.
//   - I4: the source is never written to.
//   - I5: memory is bounded by the numbers of series and of distinct time
//     columns of one range (see timesBudget), not by its samples.
package prometheus

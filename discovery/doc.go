// Package discovery finds scrape targets: it runs the mechanisms that a job
// names (static groups, files, …) and hands out, per job, the groups of targets
// that they found last.
//
// It owns the life of the mechanisms and the merging of their answers. The
// mechanisms themselves are github.com/prometheus/prometheus/discovery's, each
// behind a leaf package of its own (discovery/file), so that a heavy one costs
// only who builds it in. Nothing outside this package sees upstream's types.
//
// A caller starts Run once, calls Apply with the wanted state of all jobs as
// often as it likes, and reads Groups whenever Changed fires.
//
// Invariants:
//
//   - I1: Apply is a diff: a mechanism whose options did not change goes on
//     running with what it knows; the others start or end.
//   - I2: a mechanism that fails keeps its last good groups, and the failure is
//     listed by Problems until it has recovered.
//   - I3: Changed holds at most one pending signal; a slow reader sees the
//     newest state, never a queue of old ones.
package discovery

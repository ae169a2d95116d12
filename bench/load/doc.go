// Package load makes the series that the benchmarks scrape and push: simulated
// targets with counters of varied rates, classic histograms, noisy and slow
// gauges, constants and churn, in proportions like those of the recorded
// scrapes in bench/testdata/corpus.
//
// It owns no state that moves: a body is a pure function of (options, target,
// tick), so that any number of systems scrape the same load at the same time,
// and a verifying client computes with Samples what a system must hold.
//
// Targets of one job expose the same families and labels, as replicas do, and
// differ in values. The text around values is rendered once per job; series
// that never change are folded into that text. A scrape therefore costs its
// server one copy and the formatting of what can move.
//
// Invariants:
//
//	I1  AppendBody and Samples are deterministic and safe for concurrent use.
//	I2  The numbers of a body parse to the bits that Samples reports, in the
//	    same order.
//	I3  A counter, a bucket, a _sum never falls between two ticks of one run of
//	    a target and one generation of a churning item; buckets never fall
//	    with le, and the last equals _count.
//	I4  A target exposes exactly Options.Series series at each tick.
package load

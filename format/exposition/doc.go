// Package exposition reads the formats in which programs show their metrics:
// the Prometheus text format 0.0.4 (with UTF-8 names, 1.0.0), OpenMetrics text
// 1.0, and protobuf (io.prometheus.client.MetricFamily, length-delimited).
//
// It owns the grammars, an exact parser for values, and the line memory: what is
// kept of a target between two scrapes so that a line (or in protobuf the labels
// of a metric) seen before costs a hash and a number, and no look at a label.
//
// A Scanner takes a body and a Memory and answers with lists: samples whose line
// the memory knew (a Ref, chosen by the caller, and a value: a float or a native
// histogram), new samples (labels to resolve), exemplars, and metadata. The
// caller gives each new sample a Ref by Remember and makes the result the new
// memory by Commit; without Commit the memory is as it was.
//
// Invariants:
//
//   - I1: a body is accepted with the samples, values (bit for bit) and labels
//     that upstream's model/textparse finds in it, or it is refused as a whole
//     with the line's number, in protobuf the offset; FORMAT.md lists the
//     departures.
//   - I2: the memory only saves time: with any memory the samples of a body are
//     those that an empty memory finds, in the same order within each list.
//   - I3: hostile bytes cost time and memory in proportion to their number, and
//     never a panic.
//
// Values are parsed to the nearest float64, ties to even, as strconv does.
package exposition

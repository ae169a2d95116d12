// Package scrape pulls: it turns discovered targets into scrape loops, fetches
// and parses their expositions, and appends each scrape to storage as one batch
// with one timestamp.
//
// It owns targets, their schedule, their state as shown and persisted, and the
// report series up, scrape_duration_seconds, scrape_samples_scraped,
// scrape_samples_post_metric_relabeling and scrape_series_added, where they are
// asked for also scrape_timeout_seconds, scrape_sample_limit and
// scrape_body_size_bytes. A source inside the process (the server's own
// registry, the host collector) is scraped by the same loop as an HTTP target.
//
// A caller builds a Manager, starts Run once, and calls Apply with the wanted
// state of all pools at start and at each reload. Targets and Metadata answer
// from memory at any time.
//
// # Life of a scrape
//
// the target's own connection (http1), or the client of the configuration →
// whole body, decompressed at once (inflate) → format/exposition with the target's line memory → known lines give a
// slot and a value without looking at a label; unknown lines are parsed,
// relabelled and, when the body was accepted as a whole, resolved → one batch a
// placement key (nearly always one) → Prepare, Commit(Logged).
//
// # Invariants
//
//   - I1: a scrape is stored whole or not at all. When it failed (transport,
//     parse error, a limit), what is stored is "body stale" and the report
//     series with up = 0.
//   - I2: all samples of a scrape without a timestamp of their own carry the
//     scrape's timestamp, which is the scheduled one when the scrape began
//     within the tolerance (10 ms, at most a hundredth of the interval) of it.
//   - I3: of several samples of one series in a body the first is stored, the
//     others are counted. A float counts as before a histogram. Of lines that the
//     store gave one series (a limit took or changed a label) one sample is made:
//     counters are added up, of gauges the last is stored.
//   - I4: Apply changes nothing when it returns an error. A pool whose options
//     did not change keeps its targets, connections and schedule.
//   - I5: scrapes of one target never overlap: the deadline is the timeout, but
//     at most the interval less 5 %.
//   - I6: a target whose lines are remembered is worked on before every target
//     whose lines are not, and of these few wait.
//   - I7: the metadata database is never waited for by a scrape.
package scrape

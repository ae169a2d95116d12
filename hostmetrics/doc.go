// Package hostmetrics reports this machine's CPU, memory, disks, network and
// file systems in the text exposition format, under the metric and label names
// of prometheus-node-exporter, so that dashboards and rules made for it work.
//
// It owns the reading of the operating system's counters (procfs on Linux,
// gopsutil elsewhere) and the writing of the exposition. A Collector is a
// scrape.Source: it is asked by a scrape loop and keeps nothing between two
// calls but buffers and file handles.
//
// Invariants:
//
//   - I1: a part that fails is shown by node_scrape_collector_success 0 and
//     leaves out its own metrics only.
//   - I2: a family is written whole and once, with its TYPE, so that the
//     exposition is valid whatever failed.
package hostmetrics

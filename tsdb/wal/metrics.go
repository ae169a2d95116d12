package wal

import "github.com/prometheus/client_golang/prometheus"

// Metrics are the log's own.
type Metrics struct {
	bytes      prometheus.Counter
	syncs      prometheus.Histogram
	failures   prometheus.Counter
	recoveries prometheus.Counter
}

// NewMetrics registers the metrics; a nil registerer leaves them unregistered.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	m := &Metrics{
		bytes: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "nilometer_wal_appended_bytes_total", Help: "Bytes of frames appended to the write-ahead log.",
		}),
		syncs: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "nilometer_wal_sync_duration_seconds", Help: "Time to write and sync what was pending.",
			Buckets: []float64{.001, .005, .01, .025, .05, .1, .25, 1, 5},
		}),
		failures: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "nilometer_wal_failures_total", Help: "Writes and syncs that failed; the log refuses appends until it recovers.",
		}),
		recoveries: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "nilometer_wal_recoveries_total", Help: "Times the log went on in a new segment after a failure.",
		}),
	}
	if reg != nil {
		reg.MustRegister(m.bytes, m.syncs, m.failures, m.recoveries)
	}
	return m
}

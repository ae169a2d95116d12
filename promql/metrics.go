package promql

import (
	"github.com/prometheus/client_golang/prometheus"
)

// metrics are the engine's own. Every outcome is one of outcomes.
type metrics struct {
	running, waiting       prometheus.Gauge
	runningMax, waitingMax prometheus.Gauge
	duration               prometheus.Histogram
	queued                 prometheus.Histogram
	samples                prometheus.Counter
	queries                *prometheus.CounterVec
}

// The outcomes of a query: the values of the label outcome.
const (
	outcomeOK           = "ok"
	outcomeParse        = "parse_error"
	outcomeTimeout      = "timeout"
	outcomeCanceled     = "canceled"
	outcomeKilled       = "killed"
	outcomeLimit        = "limit"
	outcomeExecution    = "execution_error"
	outcomeStorage      = "storage_error"
	outcomeNotSupported = "not_supported"
)

func newMetrics(reg prometheus.Registerer, o Options) (*metrics, error) {
	buckets := []float64{.001, .005, .025, .1, .5, 2, 10, 60}
	m := &metrics{
		running:    prometheus.NewGauge(prometheus.GaugeOpts{Name: "nilometer_query_running", Help: "Queries being evaluated."}),
		waiting:    prometheus.NewGauge(prometheus.GaugeOpts{Name: "nilometer_query_waiting", Help: "Queries waiting to be evaluated."}),
		runningMax: prometheus.NewGauge(prometheus.GaugeOpts{Name: "nilometer_query_running_max", Help: "Limit on queries being evaluated."}),
		waitingMax: prometheus.NewGauge(prometheus.GaugeOpts{Name: "nilometer_query_waiting_max", Help: "Limit on queries waiting."}),
		duration:   prometheus.NewHistogram(prometheus.HistogramOpts{Name: "nilometer_query_duration_seconds", Help: "Time of a query from call to answer.", Buckets: buckets}),
		queued:     prometheus.NewHistogram(prometheus.HistogramOpts{Name: "nilometer_query_queued_seconds", Help: "Time a query waited to be evaluated.", Buckets: buckets}),
		samples:    prometheus.NewCounter(prometheus.CounterOpts{Name: "nilometer_query_samples_read_total", Help: "Samples decoded for queries."}),
		queries:    prometheus.NewCounterVec(prometheus.CounterOpts{Name: "nilometer_queries_total", Help: "Queries answered, by outcome."}, []string{"outcome"}),
	}
	for _, o := range []string{
		outcomeOK, outcomeParse, outcomeTimeout, outcomeCanceled, outcomeKilled, outcomeLimit, outcomeExecution, outcomeStorage, outcomeNotSupported,
	} {
		m.queries.WithLabelValues(o)
	}
	m.runningMax.Set(float64(o.ConcurrentMax))
	m.waitingMax.Set(float64(o.QueueMax))
	if reg == nil {
		return m, nil
	}
	for _, c := range []prometheus.Collector{
		m.running, m.waiting, m.runningMax, m.waitingMax, m.duration, m.queued, m.samples, m.queries,
	} {
		if err := reg.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}

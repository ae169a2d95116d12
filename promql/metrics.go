package promql

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/nilometer/nilometer/promql/exec"
	"github.com/nilometer/nilometer/promql/frontend"
)

// metrics are the engine's own. Every outcome is one of outcomes.
type metrics struct {
	running, waiting       prometheus.Gauge
	rulesRunning           prometheus.Gauge
	rulesWaiting           prometheus.Gauge
	runningMax, waitingMax prometheus.Gauge
	duration               prometheus.Histogram
	queued                 prometheus.Histogram
	samples, slow          prometheus.Counter
	stepsKept, steps       prometheus.Counter
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

func newMetrics(reg prometheus.Registerer, o Options, pool *exec.Pool, cache *frontend.Cache) (*metrics, error) {
	buckets := []float64{.001, .005, .025, .1, .5, 2, 10, 60}
	m := &metrics{
		running:      prometheus.NewGauge(prometheus.GaugeOpts{Name: "nilometer_query_running", Help: "Queries being evaluated, those of rules aside."}),
		waiting:      prometheus.NewGauge(prometheus.GaugeOpts{Name: "nilometer_query_waiting", Help: "Queries waiting to be evaluated, those of rules aside."}),
		rulesRunning: prometheus.NewGauge(prometheus.GaugeOpts{Name: "nilometer_query_rules_running", Help: "Queries of rules being evaluated."}),
		rulesWaiting: prometheus.NewGauge(prometheus.GaugeOpts{Name: "nilometer_query_rules_waiting", Help: "Queries of rules waiting to be evaluated."}),
		runningMax:   prometheus.NewGauge(prometheus.GaugeOpts{Name: "nilometer_query_running_max", Help: "Limit on queries being evaluated."}),
		waitingMax:   prometheus.NewGauge(prometheus.GaugeOpts{Name: "nilometer_query_waiting_max", Help: "Limit on queries waiting."}),
		duration:     prometheus.NewHistogram(prometheus.HistogramOpts{Name: "nilometer_query_duration_seconds", Help: "Time of a query from call to answer.", Buckets: buckets}),
		queued:       prometheus.NewHistogram(prometheus.HistogramOpts{Name: "nilometer_query_queued_seconds", Help: "Time a query waited to be evaluated.", Buckets: buckets}),
		samples:      prometheus.NewCounter(prometheus.CounterOpts{Name: "nilometer_query_samples_read_total", Help: "Samples decoded for queries."}),
		slow:         prometheus.NewCounter(prometheus.CounterOpts{Name: "nilometer_query_slow_total", Help: "Queries that took longer than nilometer.query.slow_log."}),
		steps:        prometheus.NewCounter(prometheus.CounterOpts{Name: "nilometer_query_steps_total", Help: "Steps of range queries that were asked for."}),
		stepsKept:    prometheus.NewCounter(prometheus.CounterOpts{Name: "nilometer_query_steps_kept_total", Help: "Steps of range queries that were answered from the cache."}),
		queries:      prometheus.NewCounterVec(prometheus.CounterOpts{Name: "nilometer_queries_total", Help: "Queries answered, by outcome."}, []string{"outcome"}),
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
	for _, c := range append(append(poolMetrics(o, pool), cacheMetrics(o, cache)...), []prometheus.Collector{
		m.steps, m.stepsKept, m.running, m.waiting, m.rulesRunning, m.rulesWaiting, m.runningMax, m.waitingMax, m.duration, m.queued, m.samples, m.slow, m.queries,
	}...) {
		if err := reg.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}

// poolMetrics show the memory that all queries share.
func poolMetrics(o Options, pool *exec.Pool) []prometheus.Collector {
	of := func(kind, help string, value func(exec.PoolUsage) int64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "nilometer_query_" + kind, Help: help}, func() float64 { return float64(value(pool.Usage())) })
	}
	fixed := func(kind, help string, value int64) prometheus.Collector {
		return of(kind, help, func(exec.PoolUsage) int64 { return value })
	}
	return []prometheus.Collector{
		of("memory_bytes", "Memory that queries and their answers have, those of rules aside.", func(u exec.PoolUsage) int64 { return u.General }),
		of("rules_memory_bytes", "Memory that the queries of rules have.", func(u exec.PoolUsage) int64 { return u.Essential }),
		fixed("memory_max_bytes", "Limit on the memory of all queries.", o.MemoryMaxBytes),
		fixed("rules_memory_reserved_bytes", "Memory that only the queries of rules get.", o.RulesMemoryBytes),
		prometheus.NewCounterFunc(prometheus.CounterOpts{
			Name: "nilometer_query_memory_refusals_total", Help: "Queries ended because the memory of all queries was taken.",
		}, func() float64 { return float64(pool.Usage().Refused) }),
	}
}

// cacheMetrics show the answers that are kept.
func cacheMetrics(o Options, cache *frontend.Cache) []prometheus.Collector {
	if cache == nil {
		return nil
	}
	gauge := func(name, help string, value func() float64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, value)
	}
	return []prometheus.Collector{
		gauge("nilometer_query_cache_bytes", "Memory of the answers that are kept.", func() float64 { return float64(cache.Usage().Bytes) }),
		gauge("nilometer_query_cache_max_bytes", "Limit on the memory of answers that are kept.", func() float64 { return float64(o.CacheMaxBytes) }),
		gauge("nilometer_query_cache_answers", "Answers that are kept.", func() float64 { return float64(cache.Usage().Extents) }),
		prometheus.NewCounterFunc(prometheus.CounterOpts{
			Name: "nilometer_query_cache_replaced_total", Help: "Answers that went for others.",
		}, func() float64 { return float64(cache.Usage().Replaced) }),
	}
}

package scrape

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/nilometer/nilometer/metadb"
	"github.com/nilometer/nilometer/storage"
)

type metrics struct {
	scrapes    *prometheus.CounterVec // by status
	missed     prometheus.Counter
	samples    prometheus.Counter
	slow       prometheus.Counter
	bytes      prometheus.Counter
	duplicates prometheus.Counter
	exemplars  prometheus.Counter
	refused    *prometheus.CounterVec // by reason
	lag        prometheus.Histogram
	noPlace    prometheus.Counter
	syncs      prometheus.Counter
	state      *prometheus.CounterVec // by outcome

	targets *prometheus.Desc
	status  *prometheus.Desc
	manager *Manager
}

// statuses are the values of the label status.
var statuses = [...]metadb.TargetStatus{
	metadb.TargetUnknown, metadb.TargetUp, metadb.TargetDown,
	metadb.TargetTimeout, metadb.TargetParseError, metadb.TargetOverlimit,
}

func newMetrics(reg prometheus.Registerer, m *Manager) (*metrics, error) {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Namespace: "nilometer", Subsystem: "scrape", Name: name, Help: help})
	}
	vector := func(name, help, label string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "nilometer", Subsystem: "scrape", Name: name, Help: help}, []string{label})
	}
	x := &metrics{
		scrapes:    vector("scrapes_total", "Scrapes that ended, by outcome.", "status"),
		missed:     counter("missed_total", "Scheduled scrapes that did not take place because the one before lasted too long or the machine stood still."),
		samples:    counter("samples_total", "Samples in the bodies of scrapes."),
		slow:       counter("new_lines_total", "Samples whose line was not remembered from the scrape before and took the slow path."),
		bytes:      counter("body_bytes_total", "Uncompressed bytes of bodies."),
		duplicates: counter("duplicates_total", "Samples not stored because their series had one in the same body."),
		exemplars:  counter("exemplars_total", "Exemplars that were new in a body and are stored."),
		refused:    vector("samples_refused_total", "Samples that the store did not take, by reason.", "reason"),
		lag: prometheus.NewHistogram(prometheus.HistogramOpts{
			Namespace: "nilometer", Subsystem: "scrape", Name: "start_lag_seconds",
			Help:    "How long after its scheduled time a scrape began.",
			Buckets: []float64{.0005, .001, .002, .005, .01, .05, .1, .5, 1, 5},
		}),
		noPlace: counter("no_place_total", "Scrapes that failed because the pool's limit of concurrent scrapes was reached until their deadline."),
		syncs:   counter("target_syncs_total", "Times that discovered targets were turned into scraped ones."),
		state:   vector("state_updates_total", "Target states sent to the metadata database, by outcome.", "outcome"),
		targets: prometheus.NewDesc("nilometer_scrape_targets", "Targets of a pool.", []string{"scrape_job"}, nil),
		status:  prometheus.NewDesc("nilometer_target_status", "Targets by the outcome of their last scrape.", []string{"status"}, nil),
		manager: m,
	}
	for _, s := range statuses[1:] {
		x.scrapes.WithLabelValues(string(s))
	}
	for _, r := range storage.Reasons() {
		x.refused.WithLabelValues(r.String())
	}
	memory := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Namespace: "nilometer", Subsystem: "scrape", Name: "body_memory_bytes",
		Help: "Memory that bodies under way have grown to, of the budget for all.",
	}, func() float64 { return float64(m.bodies.budget.used.Load()) })
	for _, c := range []prometheus.Collector{
		memory, x.scrapes, x.missed, x.samples, x.slow, x.bytes, x.duplicates, x.exemplars, x.refused, x.lag, x.noPlace, x.syncs, x.state, x,
	} {
		if err := reg.Register(c); err != nil {
			return nil, fmt.Errorf("register scrape metrics: %w", err)
		}
	}
	return x, nil
}

// Describe sends the gauges that Collect counts.
func (x *metrics) Describe(ch chan<- *prometheus.Desc) {
	ch <- x.targets
	ch <- x.status
}

// Collect counts targets by pool and by status.
func (x *metrics) Collect(ch chan<- prometheus.Metric) {
	byStatus := map[metadb.TargetStatus]int{}
	for job, targets := range x.manager.live() {
		for _, l := range targets {
			byStatus[l.state.get().status]++
		}
		ch <- prometheus.MustNewConstMetric(x.targets, prometheus.GaugeValue, float64(len(targets)), job)
	}
	for _, s := range statuses {
		ch <- prometheus.MustNewConstMetric(x.status, prometheus.GaugeValue, float64(byStatus[s]), string(s))
	}
}

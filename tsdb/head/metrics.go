package head

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/nilometer/nilometer/storage"
)

type metrics struct {
	appended      prometheus.Counter
	refused       *prometheus.CounterVec
	seals         prometheus.Counter
	privateSeries prometheus.Counter
	lateAppended  prometheus.Counter
	sealBytes     prometheus.Counter
}

func newMetrics(reg prometheus.Registerer, s *Heads) *metrics {
	m := &metrics{
		appended: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "nilometer_tsdb_samples_appended_total", Help: "Samples stored, on every path; repeats are not counted.",
		}),
		refused: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "nilometer_tsdb_samples_rejected_total", Help: "Samples and new series refused, by reason.",
		}, []string{"reason"}),
		seals: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "nilometer_tsdb_head_stretches_sealed_total", Help: "Times that a group's positions were encoded and its streams begun anew.",
		}),
		sealBytes: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "nilometer_tsdb_head_seal_bytes_total", Help: "Bytes written to files of seals and of series definitions.",
		}),
		privateSeries: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "nilometer_tsdb_head_series_made_private_total", Help: "Series that got a time column of their own.",
		}),
	}
	m.lateAppended = prometheus.NewCounter(prometheus.CounterOpts{
		Name: "nilometer_tsdb_late_samples_appended_total", Help: "Samples stored that were older than their series' last one.",
	})
	for _, r := range storage.Reasons() {
		m.refused.WithLabelValues(r.String())
	}
	if reg != nil {
		reg.MustRegister(m.appended, m.refused, m.seals, m.privateSeries, m.sealBytes, m.lateAppended, prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "nilometer_tsdb_head_series", Help: "Series in the heads of all tenants.",
		}, func() float64 { return float64(s.Series()) }))
	}
	return m
}

func (m *metrics) rejected(r storage.Reason, n int) {
	m.refused.WithLabelValues(r.String()).Add(float64(n))
}

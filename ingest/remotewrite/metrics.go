package remotewrite

import "github.com/prometheus/client_golang/prometheus"

type metrics struct {
	requests *prometheus.CounterVec
	samples  prometheus.Counter
	rejected *prometheus.CounterVec
}

func newMetrics(reg prometheus.Registerer) metrics {
	m := metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "nilometer_remotewrite_requests_total", Help: "Requests received, by status code.",
		}, []string{"code"}),
		samples: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "nilometer_remotewrite_samples_stored_total", Help: "Samples stored; repeats are not counted.",
		}),
		rejected: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "nilometer_remotewrite_samples_rejected_total", Help: "Samples and exemplars refused, by reason.",
		}, []string{"reason"}),
	}
	if reg != nil {
		reg.MustRegister(m.requests, m.samples, m.rejected)
	}
	return m
}

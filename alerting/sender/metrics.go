package sender

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
)

// Why alerts are lost.
const (
	droppedFull    = "queue_full"
	droppedRefused = "refused"
	droppedNobody  = "no_alertmanager"
	droppedGone    = "gone" // the Alertmanager is no longer there, or another configuration is
	droppedEnd     = "end"
)

type metrics struct {
	sent, failed prometheus.Counter
	dropped      *prometheus.CounterVec
}

func newMetrics(reg prometheus.Registerer, s *Sender) (*metrics, error) {
	m := &metrics{
		sent:   prometheus.NewCounter(prometheus.CounterOpts{Name: "nilometer_alerting_sent_total", Help: "Alerts that Alertmanagers outside took, each counted."}),
		failed: prometheus.NewCounter(prometheus.CounterOpts{Name: "nilometer_alerting_send_failures_total", Help: "Requests to Alertmanagers outside that failed."}),
		dropped: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "nilometer_alerting_dropped_total", Help: "Alerts for Alertmanagers outside that were lost, by reason.",
		}, []string{"reason"}),
	}
	for _, reason := range []string{droppedFull, droppedRefused, droppedNobody, droppedGone, droppedEnd} {
		m.dropped.WithLabelValues(reason)
	}
	for _, c := range []prometheus.Collector{
		m.sent, m.failed, m.dropped,
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "nilometer_alerting_queue_length", Help: "Alerts in the longest queue of an Alertmanager outside.",
		}, func() float64 { return float64(s.waiting()) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "nilometer_alerting_queue_capacity", Help: "Alerts that a queue holds.",
		}, func() float64 { return queueMax }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "nilometer_alerting_alertmanagers", Help: "Alertmanagers outside that alerts are sent to.",
		}, func() float64 { return float64(len(s.Endpoints())) }),
	} {
		if err := reg.Register(c); err != nil {
			return nil, fmt.Errorf("register metrics of sending alerts: %w", err)
		}
	}
	return m, nil
}

package rules

import "github.com/prometheus/client_golang/prometheus"

type metrics struct {
	evaluations  prometheus.Histogram
	failures     prometheus.Counter
	missed       prometheus.Counter
	saveFailures prometheus.Counter
	transitions  *prometheus.CounterVec
	rejected     *prometheus.CounterVec
}

func newMetrics(reg prometheus.Registerer) *metrics {
	m := &metrics{
		evaluations: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "nilometer_rules_group_evaluation_duration_seconds", Help: "Time to evaluate all rules of a group.",
			Buckets: []float64{.001, .005, .025, .1, .5, 2, 10, 60},
		}),
		failures: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "nilometer_rules_evaluation_failures_total", Help: "Evaluations of single rules that failed.",
		}),
		missed: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "nilometer_rules_evaluations_missed_total", Help: "Evaluations of groups left out after a stall.",
		}),
		saveFailures: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "nilometer_rules_state_save_failures_total", Help: "Failed writes of alert states; they are tried again.",
		}),
		transitions: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "nilometer_rules_alert_transitions_total", Help: "Changes of alerts, by the state they came to.",
		}, []string{"to"}),
		rejected: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "nilometer_rules_samples_rejected_total", Help: "Samples of rules that storage refused, by reason.",
		}, []string{"reason"}),
	}
	if reg != nil {
		reg.MustRegister(m.evaluations, m.failures, m.missed, m.saveFailures, m.transitions, m.rejected)
	}
	return m
}

package discovery

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
)

// gauges shows, at the time of asking, what a Manager found.
type gauges struct {
	manager  *Manager
	targets  *prometheus.Desc
	problems *prometheus.Desc
}

func registerMetrics(reg prometheus.Registerer, m *Manager) error {
	g := gauges{
		manager:  m,
		targets:  prometheus.NewDesc("nilometer_discovery_targets", "Targets found for a job, before relabelling.", []string{"scrape_job"}, nil),
		problems: prometheus.NewDesc("nilometer_discovery_problems", "Sources of targets that fail now; what they found last is kept.", nil, nil),
	}
	if err := reg.Register(g); err != nil {
		return fmt.Errorf("register discovery metrics: %w", err)
	}
	return nil
}

func (g gauges) Describe(ch chan<- *prometheus.Desc) {
	ch <- g.targets
	ch <- g.problems
}

func (g gauges) Collect(ch chan<- prometheus.Metric) {
	for job, groups := range g.manager.Groups() {
		n := 0
		for _, group := range groups {
			n += len(group.Targets)
		}
		ch <- prometheus.MustNewConstMetric(g.targets, prometheus.GaugeValue, float64(n), job)
	}
	ch <- prometheus.MustNewConstMetric(g.problems, prometheus.GaugeValue, float64(len(g.manager.Problems())))
}

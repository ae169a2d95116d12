package limits

import (
	"cmp"
	"maps"
	"slices"

	"github.com/prometheus/client_golang/prometheus"
)

// culpritsMax bounds the labels that metrics name: those of which most new
// series had a value too many.
const culpritsMax = 20

// culprits names labels that are over their limit, as series. There are few at a
// time, whatever comes in.
type culprits struct {
	limits *Limits
	desc   *prometheus.Desc
}

func newCulprits(l *Limits) culprits {
	return culprits{l, prometheus.NewDesc("nilometer_limits_label_series_over",
		"New series with a value too many of a label since it was first over its limit, of the 20 labels with most of them.",
		[]string{"tenant", "job", "instance", "metric", "label"}, nil)}
}

// Describe implements prometheus.Collector.
func (c culprits) Describe(out chan<- *prometheus.Desc) { out <- c.desc }

// Collect implements prometheus.Collector.
func (c culprits) Collect(out chan<- prometheus.Metric) {
	for _, x := range c.limits.worst() {
		out <- prometheus.MustNewConstMetric(c.desc, prometheus.GaugeValue, float64(x.Series), string(x.Tenant), x.Job, x.Instance, x.Metric, x.Label)
	}
}

// worst returns the labels of all tenants that most series were over for.
func (l *Limits) worst() []Excess {
	l.mu.Lock()
	defer l.mu.Unlock()
	var out []Excess
	for w, v := range maps.All(l.controller.values) {
		if v.series > 0 {
			out = append(out, w.excess(v))
		}
	}
	slices.SortFunc(out, func(a, b Excess) int {
		return cmp.Or(cmp.Compare(b.Series, a.Series), cmp.Compare(a.Metric, b.Metric), cmp.Compare(a.Label, b.Label), cmp.Compare(a.Instance, b.Instance))
	})
	return out[:min(len(out), culpritsMax)]
}

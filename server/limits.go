package server

import (
	"github.com/nilometer/nilometer/config"
	"github.com/nilometer/nilometer/limits"
	"github.com/nilometer/nilometer/model/tenant"
)

// limitOptions translates the limits.
func limitOptions(c *config.Config) limits.Options {
	l := &c.Nilometer.Limits
	out := limits.Options{SeriesMax: l.SeriesMax, Scoped: scopedLimits(&l.ScopedLimits)}
	for i := range l.Rules {
		r := &l.Rules[i]
		out.Rules = append(out.Rules, limits.Rule{Tenant: tenant.ID(r.Tenant), Job: r.Job, Metric: r.Metric, Scoped: scopedLimits(&r.ScopedLimits)})
	}
	return out
}

func scopedLimits(s *config.ScopedLimits) limits.Scoped {
	return limits.Scoped{
		JobSeriesMax: s.JobSeriesMax, TargetSeriesMax: s.TargetSeriesMax, MetricSeriesMax: s.MetricSeriesMax,
		ValuesMax: s.ValuesMax, TargetValuesMax: s.TargetValuesMax, Policy: limits.Policy(s.Policy), Buckets: s.Buckets,
	}
}

package config

import (
	"fmt"
	"slices"
	"strings"
)

// Limits bound what comes in: known series stay, new ones are refused.
type Limits struct {
	// SeriesMax is the number of active series a tenant may have; 0: no limit.
	SeriesMax uint64 `yaml:"series_max"`
	// ScopedLimits hold for what no rule is about.
	ScopedLimits `yaml:",inline"`
	// Rules are about some series: the first that fits counts.
	Rules []LimitRule `yaml:"rules"`
}

// ScopedLimits may differ between jobs, metrics and tenants. In a rule a 0 means
// what stands outside of the rules.
type ScopedLimits struct {
	// JobSeriesMax, TargetSeriesMax and MetricSeriesMax are active series of a job,
	// a target and a metric; 0: no limit.
	JobSeriesMax    uint64 `yaml:"job_series_max"`
	TargetSeriesMax uint64 `yaml:"target_series_max"`
	MetricSeriesMax uint64 `yaml:"metric_series_max"`
	// ValuesMax is the number of values of a label of a metric (default 10,000),
	// TargetValuesMax of those that one target brings (1,000).
	ValuesMax       uint64 `yaml:"label_values_max"`
	TargetValuesMax uint64 `yaml:"target_label_values_max"`
	// Policy is what becomes of series with a value more: report (the default),
	// refuse, drop_label, replace or hash.
	Policy string `yaml:"label_values_policy"`
	// Buckets is the number of values that hash leaves. Default 64.
	Buckets int `yaml:"label_values_buckets"`
}

// LimitRule are the limits of a tenant, a job, a metric; an empty one is any.
type LimitRule struct {
	Tenant       string `yaml:"tenant"`
	Job          string `yaml:"job"`
	Metric       string `yaml:"metric"`
	ScopedLimits `yaml:",inline"`
}

// limitPolicies are the values of label_values_policy.
var limitPolicies = [...]string{"report", "refuse", "drop_label", "replace", "hash"}

// Bounds of Limits: what limits.Options take.
const (
	limitBucketsMax = 1 << 16
	limitRulesMax   = 10_000
)

func (l *Limits) check(path string, report func(path, text string)) {
	l.ScopedLimits.check(path, report)
	if n := len(l.Rules); n > limitRulesMax {
		report(path+".rules", fmt.Sprintf("there are %d, over the limit of %d: every new series looks through them", n, limitRulesMax))
	}
	for i := range l.Rules {
		at, r := fmt.Sprintf("%s.rules[%d]", path, i), &l.Rules[i]
		if r.Tenant == "" && r.Job == "" && r.Metric == "" {
			report(at, "is about everything: name a tenant, a job or a metric, or set the limits outside of rules")
		}
		r.ScopedLimits.check(at, report)
	}
}

func (s *ScopedLimits) check(path string, report func(path, text string)) {
	if s.Policy != "" && !slices.Contains(limitPolicies[:], s.Policy) {
		report(path+".label_values_policy", fmt.Sprintf("%q is none of %s", s.Policy, strings.Join(limitPolicies[:], ", ")))
	}
	if s.Buckets < 0 || s.Buckets > limitBucketsMax {
		report(path+".label_values_buckets", fmt.Sprintf("%d is not between 1 and %d", s.Buckets, limitBucketsMax))
	}
}

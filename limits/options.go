package limits

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"

	"github.com/nilometer/nilometer/model/tenant"
)

// Defaults of Options: far over what sane exporters have, far under what hurts.
const (
	LabelsMaxDefault    = 128
	NameSizeMaxDefault  = 1 << 10 // bytes
	ValueSizeMaxDefault = 32 << 10

	ValuesMaxDefault       = 10_000
	TargetValuesMaxDefault = 1_000
	BucketsDefault         = 64
	bucketsMax             = 1 << 16
	rulesMax               = 10_000 // each is looked at for every new series
)

// Options are the limits of every tenant. They can be changed while the server
// runs (Apply).
type Options struct {
	// SeriesMax is the number of active series over which a tenant gets no new
	// ones; 0: no limit.
	SeriesMax uint64
	// LabelsMax bounds the labels of a series, its name included. 0 means 128.
	LabelsMax int
	// NameSizeMax and ValueSizeMax bound a label's name and value, in bytes. 0
	// means 1 KiB and 32 KiB.
	NameSizeMax, ValueSizeMax int
	// Scoped are the limits of whatever no rule is about.
	Scoped
	// Rules are the limits of some series: the first rule that is about a series
	// counts, and what it leaves out is that of Scoped.
	Rules []Rule
}

// Scoped are limits that may differ between tenants, jobs and metrics. A 0 is
// what Options say, and there the default.
type Scoped struct {
	// JobSeriesMax, TargetSeriesMax and MetricSeriesMax are numbers of active
	// series of a job, a target (job and instance) and a metric over which there
	// are no new ones; by default there is no limit.
	JobSeriesMax, TargetSeriesMax, MetricSeriesMax uint64
	// ValuesMax is how many distinct values a label of a metric may have, 10,000
	// unless set; TargetValuesMax how many of them from one target, 1,000.
	ValuesMax, TargetValuesMax uint64
	// Policy says what becomes of series with a value more; Report unless set.
	Policy Policy
	// Buckets is the number of values under Hash, 64 unless set.
	Buckets int
}

// Rule are the limits of the series of a tenant, a job, a metric; what is empty
// is any.
type Rule struct {
	Tenant      tenant.ID
	Job, Metric string
	Scoped
}

// Policy is what becomes of a new series whose value of a label is one too many.
type Policy string

// The policies. Those that change labels are for series that have an instance, of
// writers that merge samples; others are refused under them.
const (
	Report    Policy = "report"     // it comes in; event, metric and API name the label
	Refuse    Policy = "refuse"     // it does not
	DropLabel Policy = "drop_label" // it is stored without the label
	Replace   Policy = "replace"    // it is stored with ReplacedValue
	Hash      Policy = "hash"       // it is stored with one of as many values as there are buckets
)

// ReplacedValue stands for all values that are too many, under Replace.
const ReplacedValue = "reassigned_high_cardinality"

// Policies returns all of them.
func Policies() []Policy { return []Policy{Report, Refuse, DropLabel, Replace, Hash} }

// Validate reports every problem of o at once.
func (o Options) Validate() error {
	var errs []error
	for name, v := range map[string]int{"labels": o.LabelsMax, "label name size": o.NameSizeMax, "label value size": o.ValueSizeMax} {
		if v < 0 {
			errs = append(errs, fmt.Errorf("the limit of %s is %d; 0 means the default", name, v))
		}
	}
	if len(o.Rules) > rulesMax {
		errs = append(errs, fmt.Errorf("there are %d rules of limits, over the limit of %d", len(o.Rules), rulesMax))
	}
	errs = append(errs, o.Scoped.Validate())
	for i, r := range o.Rules {
		if err := r.Scoped.Validate(); err != nil {
			errs = append(errs, fmt.Errorf("rule %d: %w", i, err))
		}
	}
	return errors.Join(errs...)
}

// Validate reports every problem of s at once.
func (s Scoped) Validate() error {
	var errs []error
	if s.Policy != "" && !slices.Contains(Policies(), s.Policy) {
		errs = append(errs, fmt.Errorf("%q is none of the policies %v", s.Policy, Policies()))
	}
	if s.Buckets < 0 || s.Buckets > bucketsMax {
		errs = append(errs, fmt.Errorf("%d buckets are not between 1 and %d", s.Buckets, bucketsMax))
	}
	return errors.Join(errs...)
}

func (o Options) withDefaults() Options {
	o.LabelsMax = cmp.Or(o.LabelsMax, LabelsMaxDefault)
	o.NameSizeMax = cmp.Or(o.NameSizeMax, NameSizeMaxDefault)
	o.ValueSizeMax = cmp.Or(o.ValueSizeMax, ValueSizeMaxDefault)
	o.Scoped = o.inherit(Scoped{ValuesMax: ValuesMaxDefault, TargetValuesMax: TargetValuesMaxDefault, Policy: Report, Buckets: BucketsDefault})
	o.Rules = slices.Clone(o.Rules)
	for i := range o.Rules {
		o.Rules[i].Scoped = o.Rules[i].inherit(o.Scoped)
	}
	return o
}

func (s Scoped) inherit(from Scoped) Scoped {
	s.JobSeriesMax = cmp.Or(s.JobSeriesMax, from.JobSeriesMax)
	s.TargetSeriesMax = cmp.Or(s.TargetSeriesMax, from.TargetSeriesMax)
	s.MetricSeriesMax = cmp.Or(s.MetricSeriesMax, from.MetricSeriesMax)
	s.ValuesMax = cmp.Or(s.ValuesMax, from.ValuesMax)
	s.TargetValuesMax = cmp.Or(s.TargetValuesMax, from.TargetValuesMax)
	s.Policy = cmp.Or(s.Policy, from.Policy)
	s.Buckets = cmp.Or(s.Buckets, from.Buckets)
	return s
}

// place says where a series belongs.
type place struct {
	tenant                tenant.ID
	metric, job, instance string
}

func placeOf(id tenant.ID, lset labels.Labels) place {
	return place{id, lset.Get(model.MetricNameLabel), lset.Get(model.JobLabel), lset.Get(model.InstanceLabel)}
}

// scoped returns the limits of the series of a place.
func (o *Options) scoped(p place) *Scoped {
	for i := range o.Rules {
		r := &o.Rules[i]
		if (r.Tenant == "" || r.Tenant == p.tenant) && (r.Job == "" || r.Job == p.job) && (r.Metric == "" || r.Metric == p.metric) {
			return &r.Scoped
		}
	}
	return &o.Scoped
}

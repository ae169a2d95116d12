package limits

import (
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"

	"github.com/nilometer/nilometer/model/tenant"
	"github.com/nilometer/nilometer/storage"
)

// Index is what a store knows about the series that it has. Its methods must be
// quick, wait for nothing, and are called one at a time.
type Index interface {
	// ActiveSeries is the number of a tenant's series.
	ActiveSeries(id tenant.ID) uint64
	// CountSeries is the number of those that have all of some labels, most at most.
	CountSeries(id tenant.ID, most int, ls ...labels.Label) int
	// LabelValues calls do at least once with each value that the label name has
	// among series that have all of some labels.
	LabelValues(id tenant.ID, name string, do func(value string), ls ...labels.Label)
}

// lookEvery is how often the number of active series is asked for at most, and
// lookShare the part of the time that it may take: 1/lookShare.
const (
	lookEvery = time.Second
	lookShare = 100
	// scopesMax bounds the scopes whose number of series is remembered, some 150
	// bytes each. More of them in use are looked at more often.
	scopesMax = 1 << 16
)

// scope is a set of series with a limit of its own: those of a tenant, or of
// one job, target or metric of it.
type scope struct {
	tenant                tenant.ID
	metric, job, instance string
}

// usage is a scope's number of series, as far as is known.
type usage struct {
	next     time.Time // of the next look
	active   uint64    // at the last one
	admitted uint64    // since
}

// limit is a scope and how many series it may have.
type limit struct {
	scope
	max    uint64
	reason storage.Reason
}

// limitsOf appends the limits that a series of a place must keep.
func (o *Options) limitsOf(dst []limit, p place) []limit {
	s := o.scoped(p)
	add := func(applies bool, x scope, most uint64, r storage.Reason) {
		if applies && most > 0 {
			dst = append(dst, limit{x, most, r})
		}
	}
	if isReport(p.metric) {
		add(true, scope{p.tenant, "", "", ""}, o.SeriesMax, storage.ReasonSeriesLimit)
		return dst
	}
	add(p.instance != "", scope{p.tenant, "", p.job, p.instance}, s.TargetSeriesMax, storage.ReasonTargetLimit)
	add(p.metric != "", scope{p.tenant, p.metric, "", ""}, s.MetricSeriesMax, storage.ReasonMetricLimit)
	add(p.job != "", scope{p.tenant, "", p.job, ""}, s.JobSeriesMax, storage.ReasonJobLimit)
	add(true, scope{p.tenant, "", "", ""}, o.SeriesMax, storage.ReasonSeriesLimit)
	return dst
}

// isReport tells whether a metric tells about scrapes themselves: without its
// report a target could not be seen at all, so that these few series keep only
// the tenant's limit.
func isReport(metric string) bool {
	switch metric {
	case "up", "scrape_duration_seconds", "scrape_samples_scraped", "scrape_samples_post_metric_relabeling",
		"scrape_series_added", "scrape_timeout_seconds", "scrape_sample_limit", "scrape_body_size_bytes":
		return true
	}
	return false
}

// labels are what the series of a scope have in common.
func (x scope) labels() []labels.Label {
	var out []labels.Label
	for _, l := range []labels.Label{
		{Name: model.MetricNameLabel, Value: x.metric}, {Name: model.JobLabel, Value: x.job}, {Name: model.InstanceLabel, Value: x.instance},
	} {
		if l.Value != "" {
			out = append(out, l)
		}
	}
	return out
}

// countLocked takes one of the free places in every scope of a series, or in none.
func (l *Limits) countLocked(ls []limit, now time.Time) storage.Reason {
	var taken [4]*usage
	for i, x := range ls {
		u := l.usageLocked(x.scope, now)
		if u.active+u.admitted >= x.max {
			return x.reason
		}
		taken[i] = u
	}
	for _, u := range taken[:len(ls)] {
		u.admitted++
	}
	return storage.ReasonNone
}

// usageLocked returns how many series a scope has, looked up when it is time to.
func (l *Limits) usageLocked(x scope, now time.Time) *usage {
	u := l.scopes[x]
	if u == nil {
		if len(l.scopes) >= scopesMax {
			clear(l.scopes)
		}
		u = &usage{}
		l.scopes[x.clone()] = u
	}
	if l.index == nil || now.Before(u.next) {
		return u
	}
	ls := x.labels()
	if len(ls) == 0 {
		u.active = l.index.ActiveSeries(x.tenant)
	} else {
		u.active = uint64(l.index.CountSeries(x.tenant, countMost, ls...))
	}
	u.admitted = 0
	u.next = now.Add(max(lookEvery, lookShare*time.Since(now)))
	return u
}

// countMost is over what one tenant can have.
const countMost = 1 << 40

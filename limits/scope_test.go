package limits_test

import (
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/nilometer/nilometer/limits"
	"github.com/nilometer/nilometer/model/tenant"
	"github.com/nilometer/nilometer/storage"
)

// counts stands for a store of one tenant: the series that it has.
type counts struct {
	active func(tenant.ID) uint64 // nil: as many as series
	series *[]labels.Labels
}

func (c counts) ActiveSeries(id tenant.ID) uint64 {
	if c.active != nil {
		return c.active(id)
	}
	return uint64(len(*c.series))
}

func (c counts) each(ls []labels.Label, do func(labels.Labels)) {
	for _, lset := range *c.series {
		if !slices.ContainsFunc(ls, func(l labels.Label) bool { return lset.Get(l.Name) != l.Value }) {
			do(lset)
		}
	}
}

func (c counts) CountSeries(_ tenant.ID, most int, ls ...labels.Label) (n int) {
	c.each(ls, func(labels.Labels) { n++ })
	return min(n, most)
}

func (c counts) LabelValues(_ tenant.ID, name string, do func(string), ls ...labels.Label) {
	c.each(ls, func(lset labels.Labels) {
		if v := lset.Get(name); v != "" {
			do(v)
		}
	})
}

func lset(metric, job, instance string, i int) labels.Labels {
	return labels.FromStrings("__name__", metric, "job", job, "instance", instance, "n", fmt.Sprint(i))
}

// TestScopes: each limit refuses what is new in its own scope, and nothing else.
func TestScopes(t *testing.T) {
	for _, c := range []struct {
		name string
		o    limits.Options
		want storage.Reason // of the eleventh series of m, a, 1
		// fresh are series that must come in nevertheless.
		fresh []labels.Labels
	}{
		{"target", limits.Options{Scoped: limits.Scoped{TargetSeriesMax: 10}}, storage.ReasonTargetLimit, []labels.Labels{lset("m", "a", "2", 0), lset("m", "b", "1", 0), lset("up", "a", "1", 0)}},
		{"metric", limits.Options{Scoped: limits.Scoped{MetricSeriesMax: 10}}, storage.ReasonMetricLimit, []labels.Labels{lset("x", "a", "1", 0)}},
		{"job", limits.Options{Scoped: limits.Scoped{JobSeriesMax: 10}}, storage.ReasonJobLimit, []labels.Labels{lset("m", "b", "1", 0), labels.FromStrings("__name__", "m")}},
		{"tenant", limits.Options{SeriesMax: 10}, storage.ReasonSeriesLimit, nil},
		{"rule of a metric", limits.Options{Scoped: limits.Scoped{MetricSeriesMax: 100}, Rules: []limits.Rule{{Metric: "m", Scoped: limits.Scoped{MetricSeriesMax: 10}}}},
			storage.ReasonMetricLimit, []labels.Labels{lset("x", "a", "1", 0)}},
		{"rule of a job", limits.Options{Rules: []limits.Rule{{Job: "b", Scoped: limits.Scoped{JobSeriesMax: 1}}, {Job: "a", Scoped: limits.Scoped{JobSeriesMax: 10}}}},
			storage.ReasonJobLimit, []labels.Labels{lset("m", "b", "1", 0)}},
		{"rule of another tenant", limits.Options{Rules: []limits.Rule{{Tenant: "other", Scoped: limits.Scoped{JobSeriesMax: 1}}}}, storage.ReasonNone, nil},
	} {
		synctest.Test(t, func(t *testing.T) {
			l, _ := open(t, c.o)
			var have []labels.Labels
			l.Follow(counts{series: &have})
			offer := func(s labels.Labels) storage.Reason {
				r := l.Admit(tenant.Default, 0, s)
				if r == storage.ReasonNone {
					have = append(have, s)
				}
				return r
			}
			for i := range 10 {
				if i == 5 {
					time.Sleep(2 * time.Second) // a look in between changes nothing
				}
				if r := offer(lset("m", "a", "1", i)); r != storage.ReasonNone {
					t.Fatalf("%s: series %d: %s", c.name, i, r)
				}
			}
			if r := offer(lset("m", "a", "1", 10)); r != c.want {
				t.Errorf("%s: %s, want %s", c.name, r, c.want)
			}
			for _, s := range c.fresh {
				if r := offer(s); r != storage.ReasonNone {
					t.Errorf("%s: %s: %s", c.name, s, r)
				}
			}
			if c.want == storage.ReasonNone {
				return
			}
			have = have[3:] // three end
			time.Sleep(2 * time.Second)
			if r := offer(lset("m", "a", "1", 11)); r != storage.ReasonNone {
				t.Errorf("%s: no place for a new one after others ended: %s", c.name, r)
			}
		})
	}
}

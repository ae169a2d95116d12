package limits_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/prometheus/prometheus/model/labels"

	"github.com/nilometer/nilometer/limits"
	"github.com/nilometer/nilometer/model/tenant"
	"github.com/nilometer/nilometer/storage"
)

func open(t *testing.T, o limits.Options) (*limits.Limits, *prometheus.Registry) {
	t.Helper()
	reg := prometheus.NewRegistry()
	l, err := limits.New(o, limits.Deps{Registerer: reg})
	if err != nil {
		t.Fatal(err)
	}
	return l, reg
}

func TestShape(t *testing.T) {
	l, _ := open(t, limits.Options{LabelsMax: 2, NameSizeMax: 8, ValueSizeMax: 4})
	for _, c := range []struct {
		name string
		lset labels.Labels
		want storage.Reason
	}{
		{"fits", labels.FromStrings("__name__", "abcd", "a", "b"), storage.ReasonNone},
		{"too many", labels.FromStrings("__name__", "x", "a", "b", "c", "d"), storage.ReasonInvalidLabels},
		{"long name", labels.FromStrings("__name__", "x", "abcdefghi", "b"), storage.ReasonInvalidLabels},
		{"long value", labels.FromStrings("__name__", "x", "a", "12345"), storage.ReasonInvalidLabels},
		{"no UTF-8", labels.FromStrings("__name__", "x", "a", "\xff"), storage.ReasonInvalidLabels},
	} {
		if got := l.Admit(tenant.Default, 0, c.lset); got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}

func TestSeriesLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, reg := open(t, limits.Options{SeriesMax: 10})
		active := map[tenant.ID]uint64{"a": 7, "b": 10}
		l.Follow(counts{active: func(id tenant.ID) uint64 { return active[id] }})
		admitted := func(id tenant.ID) (n int) {
			for range 20 {
				if l.Admit(id, 0, labels.FromStrings("__name__", "x")) == storage.ReasonNone {
					n++
				}
			}
			return n
		}
		if a, b := admitted("a"), admitted("b"); a != 3 || b != 0 {
			t.Errorf("admitted %d and %d, want 3 and 0", a, b)
		}
		time.Sleep(time.Second)
		active["a"], active["b"] = 10, 4 // b's series went away
		if a, b := admitted("a"), admitted("b"); a != 0 || b != 6 {
			t.Errorf("afterwards %d and %d, want 0 and 6", a, b)
		}
		if err := l.Apply(limits.Options{SeriesMax: 0}); err != nil {
			t.Fatal(err)
		}
		if a := admitted("a"); a != 20 {
			t.Errorf("without limit %d of 20", a)
		}
		want := "# HELP nilometer_limits_series_refused_total New series that were not admitted, by reason.\n" +
			"# TYPE nilometer_limits_series_refused_total counter\n" +
			"nilometer_limits_series_refused_total{reason=\"cardinality\"} 0\nnilometer_limits_series_refused_total{reason=\"invalid_labels\"} 0\nnilometer_limits_series_refused_total{reason=\"job_limit\"} 0\n" +
			"nilometer_limits_series_refused_total{reason=\"metric_limit\"} 0\nnilometer_limits_series_refused_total{reason=\"series_limit\"} 71\n" +
			"nilometer_limits_series_refused_total{reason=\"target_limit\"} 0\n"
		if err := testutil.GatherAndCompare(reg, strings.NewReader(want), "nilometer_limits_series_refused_total"); err != nil {
			t.Error(err)
		}
	})
}

func TestBadOptions(t *testing.T) {
	if _, err := limits.New(limits.Options{LabelsMax: -1}, limits.Deps{}); err == nil || !strings.Contains(err.Error(), "labels is -1") {
		t.Errorf("error %v", err)
	}
	l, _ := open(t, limits.Options{LabelsMax: 1})
	if err := l.Apply(limits.Options{ValueSizeMax: -1}); err == nil {
		t.Error("bad limits were applied")
	}
	if l.Admit(tenant.Default, 0, labels.FromStrings("__name__", "x", "a", "b")) == storage.ReasonNone {
		t.Error("the limits changed though they were refused")
	}
}

package limits_test

import (
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/prometheus/model/labels"

	"github.com/nilometer/nilometer/limits"
	"github.com/nilometer/nilometer/model/tenant"
	"github.com/nilometer/nilometer/storage"
)

// shop is a store and what guards it.
type shop struct {
	*limits.Limits
	have    []labels.Labels
	pending []labels.Labels // let in, but not in have yet
}

func newShop(t *testing.T, o limits.Options, have []labels.Labels) (*shop, *strings.Builder) {
	t.Helper()
	var log strings.Builder
	l, err := limits.New(o, limits.Deps{Logger: slog.New(slog.NewTextHandler(&log, nil)), Registerer: prometheus.NewRegistry()})
	if err != nil {
		t.Fatal(err)
	}
	s := &shop{Limits: l, have: have}
	l.Follow(counts{series: &s.have})
	return s, &log
}

// offer returns the labels under which a series came in, "" when it did not.
func (s *shop) offer(lset labels.Labels, merges bool) string {
	as, other, reason := s.Shape(tenant.Default, 0, lset, storage.Offer{Merges: merges, Pending: newestFirst(&s.pending)})
	if reason != storage.ReasonNone {
		return ""
	}
	if other == labels.Equal(as, lset) {
		return fmt.Sprintf("other is %t for %s", other, as)
	}
	for _, h := range s.have {
		if labels.Equal(h, as) {
			return as.String()
		}
	}
	s.have = append(s.have, as.Copy())
	return as.String()
}

func user(metric, instance string, i int) labels.Labels {
	return labels.FromStrings("__name__", metric, "instance", instance, "job", "app", "path", fmt.Sprint("/", i%3), "user", fmt.Sprint("u", i))
}

func TestPolicies(t *testing.T) {
	for _, c := range []struct {
		policy limits.Policy
		merges bool
		want   func(i int, as string) bool // of a series too many
		most   int                         // values of user in the end
	}{
		{limits.Report, true, func(i int, as string) bool { return as == user("hits_total", "a", i).String() }, 1000},
		{limits.Refuse, true, func(_ int, as string) bool { return as == "" }, 110},
		{limits.DropLabel, true, func(_ int, as string) bool { return as != "" && !strings.Contains(as, "user") }, 110},
		{limits.Replace, true, func(_ int, as string) bool { return strings.Contains(as, `user="`+limits.ReplacedValue+`"`) }, 111},
		{limits.Hash, true, func(_ int, as string) bool { return strings.Contains(as, `user="bucket_`) }, 118},
		{limits.Replace, false, func(_ int, as string) bool { return as == "" }, 110},
	} {
		t.Run(fmt.Sprint(c.policy, c.merges), func(t *testing.T) {
			o := limits.Options{Scoped: limits.Scoped{ValuesMax: 100, Policy: c.policy, Buckets: 8}}
			s, log := newShop(t, o, nil)
			for i := range 950 {
				lset := user("hits_total", "a", i)
				switch as := s.offer(lset, c.merges); {
				case i < 85 && as != lset.String():
					t.Fatalf("series %d came in as %q", i, as)
				case i > 115 && !c.want(i, as):
					t.Fatalf("series %d came in as %q", i, as)
				}
			}
			values := map[string]bool{}
			for _, h := range s.have {
				values[h.Get("user")] = true
			}
			delete(values, "")
			if len(values) > c.most || len(values) < 85 {
				t.Errorf("%d values in the end", len(values))
			}
			// A value that is known may have more series; other metrics are as before.
			known := labels.FromStrings("__name__", "hits_total", "instance", "a", "job", "app", "path", "/other", "user", "u7")
			for _, lset := range []labels.Labels{known, user("misses_total", "a", 5000)} {
				if as := s.offer(lset, c.merges); as != lset.String() {
					t.Errorf("%s came in as %q", lset, as)
				}
			}
			x := s.Excesses(tenant.Default)
			if len(x) != 1 || x[0].Metric != "hits_total" || x[0].Label != "user" || x[0].Max != 100 || x[0].Series < 830 || x[0].Policy != c.policy || x[0].Example == "" {
				t.Errorf("excesses %+v", x)
			}
			if n := strings.Count(log.String(), "more values than its limit"); n != 1 {
				t.Errorf("%d events: %s", n, log)
			}
			if c.policy == limits.Report {
				return
			}
			// After a start, what there is counts.
			again, _ := newShop(t, o, s.have)
			if as := again.offer(user("hits_total", "a", 7777), c.merges); !c.want(7777, as) {
				t.Errorf("after a start a series too many came in as %q", as)
			}
		})
	}
}

// TestFirstScrape: of one answer, of which nothing is committed yet, no more comes
// in than of many, whatever else is in it.
func TestFirstScrape(t *testing.T) {
	for _, apart := range []int{0, 3, 2000} { // label sets of others between two of the metric; of 2,000 it is less exact
		s, _ := newShop(t, limits.Options{Scoped: limits.Scoped{TargetValuesMax: 1000, Policy: limits.Refuse}}, nil)
		admitted := 0
		for i := range 2000 {
			lset := user("hits_total", "a", i)
			if as, _, reason := s.Shape(tenant.Default, 0, lset, storage.Offer{Merges: true, Pending: newestFirst(&s.pending)}); reason == storage.ReasonNone {
				admitted++
				s.pending = append(s.pending, as)
			}
			if i%100 == 0 {
				for k := range apart {
					s.pending = append(s.pending, user("others_total", fmt.Sprint("t", k%7), k))
				}
			}
		}
		most := 1100 // the error of the estimate is 3.3 %
		if apart >= 1024 {
			most = 1600
		}
		if admitted < 900 || admitted > most {
			t.Errorf("%d values of a limit of 1000 came in, with %d others in between", admitted, apart)
		}
	}
}

func newestFirst(all *[]labels.Labels) func(func(labels.Labels) bool) {
	return func(yield func(labels.Labels) bool) {
		for _, lset := range slices.Backward(*all) {
			if !yield(lset) {
				return
			}
		}
	}
}

// TestTargetValues: a target over its own limit does not touch another's, and a
// body as of a cluster of 5,000 pods comes in whole where only reports are due.
func TestTargetValues(t *testing.T) {
	s, _ := newShop(t, limits.Options{Scoped: limits.Scoped{TargetValuesMax: 50, Policy: limits.Refuse}}, nil)
	in := map[string]int{}
	for i := range 40 {
		for _, instance := range []string{"a", "b"} {
			for k := range 5 {
				if instance == "b" && k > 0 {
					continue
				}
				if s.offer(user("m", instance, 10_000*k+i), true) != "" {
					in[instance]++
				}
			}
		}
	}
	if in["a"] < 45 || in["a"] > 55 || in["b"] != 40 {
		t.Errorf("series of a and b: %v", in)
	}
	d, _ := newShop(t, limits.Options{}, nil)
	for i := range 5000 {
		lset := labels.FromStrings("__name__", "kube_pod_info", "instance", "k", "job", "k", "pod", fmt.Sprint(i))
		if as, other, reason := d.Shape(tenant.Default, 0, lset, storage.Offer{Merges: true}); other || reason != storage.ReasonNone || !labels.Equal(as, lset) {
			t.Fatalf("pod %d: %s %t %s", i, as, other, reason)
		}
	}
}

// TestTargetTakesNothing: the values that a target over its limit offers in vain
// use up nothing of what others of its metric may have.
func TestTargetTakesNothing(t *testing.T) {
	for _, policy := range []limits.Policy{limits.Refuse, limits.DropLabel, limits.Replace, limits.Hash} {
		s, _ := newShop(t, limits.Options{Scoped: limits.Scoped{TargetValuesMax: 50, ValuesMax: 500, Policy: policy}}, nil)
		for i := range 3000 {
			s.offer(user("m", "a", i), true)
		}
		for i := range 40 {
			if lset := user("m", "b", 10_000+i); s.offer(lset, true) != lset.String() {
				t.Fatalf("%s: value %d of another target is one too many", policy, i)
			}
		}
		x := s.Excesses(tenant.Default)
		if len(x) != 1 || x[0].Instance != "a" || x[0].Job != "app" {
			t.Errorf("%s: excesses %+v", policy, x)
		}
	}
}

// TestCulpritsAreNamed: the metric that names labels has some alone.
func TestCulpritsAreNamed(t *testing.T) {
	reg := prometheus.NewRegistry()
	l, err := limits.New(limits.Options{Scoped: limits.Scoped{ValuesMax: 5}}, limits.Deps{Registerer: reg})
	if err != nil {
		t.Fatal(err)
	}
	s := &shop{Limits: l}
	l.Follow(counts{series: &s.have})
	for metric := range 30 {
		for i := range 20 + metric {
			s.offer(labels.FromStrings("__name__", fmt.Sprint("m", metric), "job", "app\"\n", "user", fmt.Sprint("u", i)), true)
		}
	}
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() != "nilometer_limits_label_series_over" {
			continue
		}
		if n := len(f.Metric); n != 20 {
			t.Errorf("%d labels are named", n)
		}
		for _, m := range f.Metric {
			is := map[string]string{}
			for _, l := range m.Label {
				is[l.GetName()] = l.GetValue()
			}
			if is["job"] != "app\"\n" || is["label"] != "user" || is["tenant"] != "default" || m.Gauge.GetValue() < 20 {
				t.Errorf("named: %v", m)
			}
		}
		return
	}
	t.Error("the metric is missing")
}

// TestRuleOfAMetric: another policy for one metric alone.
func TestRuleOfAMetric(t *testing.T) {
	s, _ := newShop(t, limits.Options{Rules: []limits.Rule{{Metric: "m", Scoped: limits.Scoped{ValuesMax: 20, Policy: limits.Refuse}}}}, nil)
	in := map[string]int{}
	for i := range 200 {
		for _, metric := range []string{"m", "n"} {
			if s.offer(user(metric, "a", i), true) != "" {
				in[metric]++
			}
		}
	}
	if in["m"] > 23 || in["m"] < 17 || in["n"] != 200 {
		t.Errorf("series %v", in)
	}
}

// TestBoundedSketches: more labels than there are sketches take no more memory,
// and what has most values stays watched.
func TestBoundedSketches(t *testing.T) {
	s, _ := newShop(t, limits.Options{Scoped: limits.Scoped{ValuesMax: 2, Policy: limits.Refuse}}, nil)
	for i := range 10_000 {
		lset := labels.FromStrings("__name__", fmt.Sprint("m", i), "a", "1", "b", "2")
		if _, _, reason := s.Shape(tenant.Default, 0, lset, storage.Offer{Merges: true}); reason != storage.ReasonNone {
			t.Fatalf("metric %d: %s", i, reason)
		}
	}
	if n := s.Sketches(); n > 4096 {
		t.Errorf("%d sketches", n)
	}
}

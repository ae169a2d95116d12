package limits_test

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/nilometer/nilometer/limits"
	"github.com/nilometer/nilometer/model/tenant"
)

// TestSurvey: after a start the labels over their limit are known before a new
// series comes, those of metrics and those of targets, and no others.
func TestSurvey(t *testing.T) {
	var have []labels.Labels
	for i := range 300 {
		have = append(have, user("hits_total", "a", i), user("misses_total", fmt.Sprint("t", i%10), i))
	}
	o := limits.Options{Scoped: limits.Scoped{ValuesMax: 250, TargetValuesMax: 100}, Rules: []limits.Rule{{Metric: "misses_total", Scoped: limits.Scoped{Policy: limits.Refuse}}}}
	s, log := newShop(t, o, have)
	suspects := limits.Suspects{
		Metrics: []string{"hits_total", "misses_total", "gone_total"}, Labels: []string{"user", "path", "instance", "nobody_has_it"},
		Targets: []limits.Target{{Job: "app", Instance: "a"}, {Job: "app", Instance: "t1"}, {Job: "other", Instance: "a"}},
	}
	for range 2 { // again changes nothing
		if err := s.Survey(t.Context(), tenant.Default, suspects); err != nil {
			t.Fatal(err)
		}
	}
	found := s.Excesses(tenant.Default)
	slices.SortFunc(found, func(a, b limits.Excess) int {
		return cmp.Or(cmp.Compare(a.Metric, b.Metric), cmp.Compare(a.Instance, b.Instance))
	})
	var text strings.Builder
	for _, x := range found {
		if x.Values < 285 || x.Values > 315 || x.Since.IsZero() || !strings.HasPrefix(x.Example, "u") {
			t.Errorf("%+v", x)
		}
		fmt.Fprintf(&text, "%s %s %q %s max %d, %d new, %s\n", x.Metric, x.Job, x.Instance, x.Label, x.Max, x.Series, x.Policy)
	}
	const want = `hits_total app "" user max 250, 0 new, report
hits_total app "a" user max 100, 0 new, report
misses_total app "" user max 250, 0 new, refuse
`
	if text.String() != want {
		t.Errorf("found\n%swant\n%s", &text, want)
	}
	if n := strings.Count(log.String(), "more values than its limit"); n != 3 {
		t.Errorf("%d events: %s", n, log)
	}
	if as := s.offer(user("misses_total", "t1", 5000), true); as != "" {
		t.Errorf("a series too many came in as %s", as)
	}
	for _, x := range s.Excesses(tenant.Default) {
		if x.Metric == "misses_total" && x.Series != 1 {
			t.Errorf("%+v", x)
		}
	}
	ended, end := context.WithCancel(t.Context())
	end()
	if err := s.Survey(ended, tenant.Default, suspects); err == nil {
		t.Error("a survey that was ended says that it is done")
	}
}

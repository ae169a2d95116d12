package scrape_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/relabel"

	"github.com/nilometer/nilometer/storage/storagetest"
)

// TestRelabelSteps: each rule with its before and after, for targets and for
// metrics.
func TestRelabelSteps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, storagetest.MemoryOptions{}, nil)
		o := one(&exporter{body: "x 1\n"})
		rule := func(from, to string, a relabel.Action) *relabel.Config {
			return &relabel.Config{
				SourceLabels: model.LabelNames{model.LabelName(from)}, Separator: ";", Regex: relabel.MustNewRegexp("(.+)"), TargetLabel: to,
				Replacement: "$1$1", Action: a, NameValidationScheme: model.UTF8Validation,
			}
		}
		o.Relabel = []*relabel.Config{rule("a", "b", relabel.Replace), rule("b", "", relabel.Drop), rule("b", "c", relabel.Replace)}
		o.MetricRelabel = []*relabel.Config{rule("a", "m", relabel.Replace)}
		b.apply(o)
		show := func(ofMetrics bool) string {
			steps, ok := b.RelabelSteps(o.Job, labels.FromStrings("a", "x"), ofMetrics)
			if !ok {
				t.Fatal("no such pool")
			}
			var out []string
			for _, s := range steps {
				out = append(out, fmt.Sprintf("%s: %s > %s %v", s.Rule.Action, s.Input, s.Output, s.Keep))
			}
			return strings.Join(out, "\n")
		}
		if got := show(false); got != `replace: {a="x"} > {a="x", b="xx"} true
drop: {a="x", b="xx"} > {} false
replace: {} > {} false` {
			t.Error(got)
		}
		if got := show(true); got != `replace: {a="x"} > {a="x", m="xx"} true` {
			t.Error(got)
		}
		if _, ok := b.RelabelSteps("nobody", labels.EmptyLabels(), false); ok {
			t.Error("steps of a pool that is not there")
		}
	})
}

package plan_test

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/prometheus/prometheus/promql/parser"

	"github.com/nilometer/nilometer/promql/plan"
)

var rewrite = flag.Bool("rewrite", false, "write what the rules do into the scripts")

func newParser() parser.Parser {
	return parser.NewParser(parser.Options{
		EnableExperimentalFunctions: true, ExperimentalDurationExpr: true,
		EnableExtendedRangeSelectors: true, EnableBinopFillModifiers: true,
	})
}

func params() plan.Params {
	return plan.Params{Start: 1_000_000, End: 2_000_000, Step: 10_000, Lookback: 300_000, SubqueryStep: 60_000}
}

// TestRules runs testdata/<rule>.txt: cases of an expression, the plan before
// the rule (with the rules in front of it applied) and after it.
func TestRules(t *testing.T) {
	for _, rule := range plan.Rules() {
		t.Run(rule.Name, func(t *testing.T) {
			file := filepath.Join("testdata", rule.Name+".txt")
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			var out strings.Builder
			for _, c := range strings.Split(strings.TrimSpace(string(text)), "\n\n") {
				expr, want, _ := strings.Cut(c, "\n")
				got := beforeAndAfter(t, expr, rule.Name)
				if got != strings.TrimSpace(want) && !*rewrite {
					t.Errorf("%s\n%s\nwant\n%s", expr, got, want)
				}
				out.WriteString(expr + "\n" + got + "\n\n")
			}
			if *rewrite {
				if err := os.WriteFile(file, []byte(strings.TrimSpace(out.String())+"\n"), 0o644); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

func beforeAndAfter(t *testing.T, expr, name string) string {
	t.Helper()
	ast, err := newParser().ParseExpr(expr)
	if err != nil {
		t.Fatal(err)
	}
	n, err := plan.Build(ast, params())
	if err != nil {
		t.Fatalf("%s: %v", expr, err)
	}
	for _, rule := range plan.Rules() {
		before := plan.Explain(n)
		n = rule.Apply(n, params())
		if rule.Name == name {
			if after := plan.Explain(n); after != before {
				return "before\n" + before + "after\n" + strings.TrimSpace(after)
			}
			return "unchanged\n" + strings.TrimSpace(before)
		}
	}
	t.Fatalf("no rule %s", name)
	return ""
}

func TestBuildErrors(t *testing.T) {
	for expr, want := range map[string]string{
		`up offset (1m / (step() - 10))`:  "division by zero",
		`up[1m % (step() - 10)]`:          "modulo by zero",
		`up[(1m) * 0]`:                    "duration must be greater than 0",
		`up offset (step() ^ 12)`:         "duration is out of range",
		`up[5m:1m - 1m]`:                  "duration must be greater than 0",
		strings.Repeat("1+", 6000) + "up": "levels of nesting",
	} {
		ast, err := newParser().ParseExpr(expr)
		if err != nil {
			t.Errorf("%.40s: %v", expr, err)
			continue
		}
		if _, err := plan.Build(ast, params()); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.40s: error %v, want %q", expr, err, want)
		}
	}
}

// FuzzPlan: I1, and Explain, on whatever the parser accepts.
func FuzzPlan(f *testing.F) {
	for _, expr := range []string{
		`sum by (job) (rate(x[5m] @ end() offset 1m))`, `max_over_time((a - b)[1h:5m] @ 7) > bool 3`, `topk(scalar(a), b) or c`,
		`x offset (step() * -2 ^ 3)`, `histogram_quantiles(x, "q", 0.1, 1/0)`, `-(+x[5m:])`, `a + on (x) group_left (y) fill (1) b`, `{"a.b", c=~"d"}`,
	} {
		f.Add(expr)
	}
	f.Fuzz(func(t *testing.T, expr string) {
		ast, err := newParser().ParseExpr(expr)
		if err != nil {
			return
		}
		n, err := plan.Build(ast, params())
		if err != nil {
			return
		}
		if plan.Explain(plan.Optimize(n, params())) == "" {
			t.Fatal("empty plan")
		}
	})
}

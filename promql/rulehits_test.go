package promql_test

import (
	"testing"
	"time"

	"github.com/nilometer/nilometer/promql"
	"github.com/nilometer/nilometer/promql/plan"
)

// ruleHits counts how many expressions each rule changed.
type ruleHits map[string]int

func (h ruleHits) see(t *testing.T, expr string, w when) {
	ast, err := promql.NewParser().ParseExpr(expr)
	if err != nil {
		t.Fatalf("%s: %v", expr, err)
	}
	p := plan.Params{Start: w.start.UnixMilli(), End: w.start.UnixMilli(), Lookback: 300_000, SubqueryStep: 60_000}
	if w.step > 0 {
		p.End, p.Step = w.end.UnixMilli(), w.step.Milliseconds()
	}
	n, err := plan.Build(ast, p)
	if err != nil {
		return
	}
	before := plan.Explain(n)
	for _, rule := range plan.Rules() {
		n = rule.Apply(n, p)
		after := plan.Explain(n)
		if after != before {
			h[rule.Name]++
		}
		before = after
	}
}

// check: every rule was of use in one of 200 expressions.
func (h ruleHits) check(t *testing.T, expressions int) {
	t.Helper()
	t.Logf("rules changed so many of %d plans: %v", expressions, h)
	for _, rule := range plan.Rules() {
		if h[rule.Name] < expressions/200 {
			t.Errorf("rule %s changed %d of %d plans: the generator does not test it", rule.Name, h[rule.Name], expressions)
		}
	}
}

// TestRulesAreHit: the comparison with upstream's engine is one of the rules,
// too.
func TestRulesAreHit(t *testing.T) {
	hits := ruleHits{}
	const n = 4000
	for i := range n {
		g := newGenerator(uint64(i))
		g.histograms = i%2 == 0
		hits.see(t, g.vector(1+i%3), when{start: time.UnixMilli(dataStart), end: time.UnixMilli(dataStart + 600_000), step: 15 * time.Second})
	}
	hits.check(t, n)
}

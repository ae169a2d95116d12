package scripts_test

import (
	"cmp"
	"testing"
	"time"

	"github.com/nilometer/nilometer/model/tenant"
	"github.com/nilometer/nilometer/promql"
	"github.com/nilometer/nilometer/storage/storagetest"
)

// TestHeadBlocksAndBothAgree asks a database that has the same samples in the
// head, in blocks, in merged blocks and partly in each.
func TestHeadBlocksAndBothAgree(t *testing.T) {
	const start, hours = 1_700_000_000_000 / 7_200_000 * 7_200_000, 6
	all := estimated(start, hours)
	e, err := promql.NewEngine(promql.Options{CacheMaxBytes: -1}, promql.Deps{})
	if err != nil {
		t.Fatal(err)
	}
	databases := map[string]*database{}
	for name, prepare := range map[string]func(d *database) error{
		"head":          func(*database) error { return nil },
		"blocks":        func(d *database) error { return d.db.Cut(t.Context()) },
		"merged blocks": func(d *database) error { return cmp.Or(d.db.Cut(t.Context()), d.db.Compact(t.Context())) },
	} {
		d := open(t, name != "head") // blocks of half an hour, or spans of two hours
		defer func() { _ = d.Close() }()
		if err := storagetest.Load(t.Context(), d.db, tenant.Default, all...); err != nil {
			t.Fatal(err)
		}
		if err := prepare(d); err != nil {
			t.Fatal(err)
		}
		databases[name] = d
	}
	end := time.UnixMilli(start + hours*3_600_000)
	for _, expr := range []string{
		`requests_total`, `rate(requests_total[5m])`, `sum by (job) (rate(requests_total[5m]))`, `max_over_time(depth[1h])`, `depth offset 100m`,
		`histogram_quantile(0.9, sum by (le) (rate(latency_bucket[5m])))`, `count({job="a"})`, `quantile_over_time(0.5, depth[30m])`, `topk(2, depth)`,
		`stddev by (job) (depth)`, `increase(requests_total{code="500"}[2h])`, `max_over_time(sum by (job) (up)[1h:1m])`,
	} {
		for _, span := range []time.Duration{10 * time.Minute, 3 * time.Hour, 6 * time.Hour} {
			q := promql.Query{Expr: expr, Start: end.Add(-span), End: end, Step: span / 100}
			answers := map[string]*promql.Result{}
			for name, d := range databases {
				if answers[name], err = e.Range(t.Context(), d.db, tenant.Default, q); err != nil {
					t.Fatalf("%s over %s: %v", expr, name, err)
				}
			}
			for name, a := range answers {
				if text := different(a, answers["head"]); text != "" {
					t.Errorf("%s over %s of %s: %s", expr, span, name, text)
				}
			}
		}
	}
}

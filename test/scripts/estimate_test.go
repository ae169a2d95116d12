package scripts_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/nilometer/nilometer/model/column"
	"github.com/nilometer/nilometer/model/tenant"
	"github.com/nilometer/nilometer/promql"
	"github.com/nilometer/nilometer/storage/storagetest"
)

// TestEstimates holds the estimates of queries' costs against what the queries
// read, over blocks and the head: 95 % are to be within a factor of two.
func TestEstimates(t *testing.T) {
	const start, hours = 1_700_000_000_000 / 7_200_000 * 7_200_000, 5
	d := open(t, false)
	defer func() { _ = d.Close() }()
	if err := storagetest.Load(t.Context(), d.db, tenant.Default, estimated(start, hours)...); err != nil {
		t.Fatal(err)
	}
	if err := d.db.Cut(t.Context()); err != nil {
		t.Fatal(err)
	}
	e, err := promql.NewEngine(promql.Options{}, promql.Deps{})
	if err != nil {
		t.Fatal(err)
	}
	end := time.UnixMilli(start + hours*3_600_000)
	asked, good := 0, 0
	for _, expr := range []string{
		`sum by (job) (rate(requests_total[5m]))`, `requests_total`, `up`, `up == 0`, `sum(requests_total)`, `rate(requests_total{code="500"}[5m])`,
		`sum by (code) (increase(requests_total[1h]))`, `max_over_time(depth[30m])`, `avg_over_time(depth[10m:1m])`, `topk(3, rate(requests_total[2m]))`,
		`requests_total offset 1h`, `rate(requests_total{job="a"}[5m]) / rate(requests_total{job="a"}[10m])`, `count({job="b"})`,
		`histogram_quantile(0.9, sum by (le) (rate(latency_bucket[5m])))`, `depth * on (instance) group_left () up`, `absent(up{job="a"})`,
	} {
		for _, q := range []promql.Query{
			{Time: end}, {Start: end.Add(-time.Hour), End: end, Step: 15 * time.Second}, {Start: end.Add(-5 * time.Hour), End: end, Step: time.Minute},
		} {
			q.Expr = expr
			x, err := e.Plan(t.Context(), d.db, tenant.Default, q)
			if err != nil {
				t.Fatalf("%s: %v", expr, err)
			}
			ask := e.Range
			if q.Step == 0 {
				ask = e.Instant
			}
			res, err := ask(t.Context(), d.db, tenant.Default, q)
			if err != nil {
				t.Fatalf("%s: %v", expr, err)
			}
			asked++
			read, about := res.Stats.SamplesRead, x.Estimate.Samples
			if about <= 2*read && read <= 2*about {
				good++
			} else {
				t.Logf("%s over %s: %d samples estimated, %d read", expr, q.End.Sub(q.Start), about, read)
			}
			res.Close()
		}
	}
	if asked < 40 || good*100 < asked*95 {
		t.Errorf("%d of %d estimates are within a factor of two", good, asked)
	}
}

// estimated are targets of two jobs, scraped every 15 s.
func estimated(start int64, hours int) []storagetest.Series {
	rnd := rand.New(rand.NewPCG(1, 1))
	var all []storagetest.Series
	for target := range 20 {
		phase := rnd.Int64N(15_000)
		add := func(name string, more ...string) {
			lset := append([]string{"__name__", name, "job", []string{"a", "b"}[target%2], "instance", fmt.Sprint(target)}, more...)
			s := storagetest.Series{Labels: labels.FromStrings(lset...)}
			v := 0.0
			for at := start + phase; at < start+int64(hours)*3_600_000; at += 15_000 {
				v += float64(rnd.IntN(5))
				s.Samples = append(s.Samples, column.Sample{T: at, V: v})
			}
			all = append(all, s)
		}
		add("up")
		add("depth")
		for _, code := range []string{"200", "404", "500"} {
			for path := range 3 {
				add("requests_total", "code", code, "path", fmt.Sprint(path))
			}
		}
		for _, le := range []string{"0.1", "1", "+Inf"} {
			add("latency_bucket", "le", le)
		}
	}
	return all
}

package scripts_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/nilometer/nilometer/model/tenant"
	"github.com/nilometer/nilometer/promql"
	"github.com/nilometer/nilometer/storage/storagetest"
)

// TestKeptAnswersOnTSDB asks the same range queries again and again over a
// database to which samples come, in order and late, in which some are deleted,
// and that cuts and compacts: what is put together of kept steps and parts is
// what is evaluated at once.
func TestKeptAnswersOnTSDB(t *testing.T) {
	const start, hours = 1_700_000_000_000 / 7_200_000 * 7_200_000, 3
	d := open(t, true)
	defer func() { _ = d.Close() }()
	parts, err := promql.NewEngine(promql.Options{SplitInterval: 20 * time.Minute}, promql.Deps{})
	if err != nil {
		t.Fatal(err)
	}
	whole, err := promql.NewEngine(promql.Options{CacheMaxBytes: -1, SplitInterval: -1}, promql.Deps{})
	if err != nil {
		t.Fatal(err)
	}
	rnd := rand.New(rand.NewPCG(3, 4))
	all := estimated(start, hours)
	exprs := []string{
		`sum by (job) (rate(requests_total[5m]))`, `requests_total{code="500"}`, `up == 1`, `max_over_time(depth[10m:1m])`, `requests_total offset 10m > 3`,
		`histogram_quantile(0.9, sum by (le) (rate(latency_bucket[5m])))`, `depth * on (instance) group_left () up`, `topk(3, depth)`, `absent(up{job="a"})`,
	}
	kept, steps := 0, 0
	at := int64(start)
	for at < start+hours*3_600_000 {
		from := at
		at += 60_000 + rnd.Int64N(600_000)
		change(t, d, rnd, all, start, from, at)
		for range 10 {
			q := promql.Query{Expr: exprs[rnd.IntN(len(exprs))], Step: 15 * time.Second, End: time.UnixMilli(at / 15_000 * 15_000)}
			q.Start = q.End.Add(-time.Duration(rnd.IntN(240)) * q.Step)
			want, werr := whole.Range(t.Context(), d.db, tenant.Default, q)
			got, gerr := parts.Range(t.Context(), d.db, tenant.Default, q)
			if werr != nil || gerr != nil {
				t.Fatalf("%s: %v and %v", q.Expr, werr, gerr)
			}
			if text := different(got, want); text != "" {
				t.Fatalf("%s from %d to %d, %d of %d steps kept: %s", q.Expr, q.Start.UnixMilli(), q.End.UnixMilli(), got.Stats.StepsKept, got.Stats.Steps, text)
			}
			kept, steps = kept+got.Stats.StepsKept, steps+got.Stats.Steps
			got.Close()
			want.Close()
		}
	}
	if kept*4 < steps {
		t.Errorf("%d of %d steps were kept: the test holds nothing", kept, steps)
	}
}

// change brings the samples between two times, some of them and of those before
// late, and now and then deletes, cuts and compacts.
func change(t *testing.T, d *database, rnd *rand.Rand, all []storagetest.Series, start, from, to int64) {
	t.Helper()
	var now, late []storagetest.Series
	for _, s := range all {
		between := func(a, b int64) []storagetest.Sample {
			i, _ := slices.BinarySearchFunc(s.Samples, a, func(x storagetest.Sample, t int64) int { return int(x.T - t) })
			j, _ := slices.BinarySearchFunc(s.Samples, b, func(x storagetest.Sample, t int64) int { return int(x.T - t) })
			return s.Samples[i:j]
		}
		if rnd.IntN(10) > 0 { // else it comes late, or never
			now = append(now, storagetest.Series{Labels: s.Labels, Samples: between(from, to)})
		}
		if t0 := start + rnd.Int64N(from-start+1); rnd.IntN(10) == 0 {
			late = append(late, storagetest.Series{Labels: s.Labels, Samples: between(t0, min(from, t0+200_000))})
		}
	}
	for _, series := range [][]storagetest.Series{now, late} {
		if err := storagetest.Load(t.Context(), d.db, tenant.Default, series...); err != nil {
			t.Fatal(err)
		}
	}
	var err error
	switch rnd.IntN(6) {
	case 0:
		mint := start + rnd.Int64N(to-start)
		err = d.db.Delete(t.Context(), tenant.Default, mint, mint+300_000, labels.MustNewMatcher(labels.MatchRegexp, "__name__", "depth|up"))
	case 1:
		err = d.db.Cut(t.Context())
	case 2:
		err = d.db.Compact(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
}

// different tells where two answers differ by more than the order of additions.
func different(a, b *promql.Result) string {
	if len(a.Matrix) != len(b.Matrix) {
		return fmt.Sprintf("%d series, want %d", len(a.Matrix), len(b.Matrix))
	}
	for i, s := range b.Matrix {
		o := a.Matrix[i]
		if !labels.Equal(s.Labels, o.Labels) || s.Points.Len() != o.Points.Len() {
			return fmt.Sprintf("%s with %d points, want %s with %d", o.Labels, o.Points.Len(), s.Labels, s.Points.Len())
		}
		others := slices.Collect(o.Points.All())
		for j, p := range slices.Collect(s.Points.All()) {
			q := others[j]
			if p.T != q.T || p.V != q.V && !(math.Abs(p.V-q.V) <= 1e-12*math.Abs(p.V)) && !(math.IsNaN(p.V) && math.IsNaN(q.V)) {
				return fmt.Sprintf("%s: %v, want %v", s.Labels, q, p)
			}
		}
	}
	return ""
}

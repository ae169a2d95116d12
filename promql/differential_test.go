package promql_test

import (
	"errors"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/nilometer/nilometer/promql"
	"github.com/nilometer/nilometer/storage/storagetest"
)

func isNotSupported(err error) bool {
	var missing *promql.NotSupportedError
	return errors.As(err, &missing)
}

// expressions are the shapes that dashboards and alerts are made of, and the
// corners of each operator and function.
func expressions() []string {
	return []string{
		`1`, `-1`, `1 + 2 * 3 ^ 2 % 5`, `"text"`, `time()`, `pi()`, `1 > bool 2`, `-(1)`, `Inf`, `NaN`, `start()`, `end()`, `step()`, `range()`,
		`up`, `up{job="api"}`, `{__name__=~"up|depth"}`, `up offset 5m`, `up offset -5m`, `up @ 1700000600`, `up @ start()`, `up @ end() offset 1m`, `nothing`,
		`requests_total[5m]`, `odd[2m] offset 1m`, `requests_total[5m:1m]`, `rate(requests_total[5m])[10m:]`,
		`rate(requests_total[5m])`, `rate(requests_total[1m])`, `rate(requests_total[1h])`, `increase(requests_total[3m])`, `rate(depth[5m])`,
		`delta(depth[5m])`, `irate(requests_total[5m])`, `idelta(depth[5m])`, `deriv(depth[10m])`, `predict_linear(depth[10m], 600)`,
		`predict_linear(depth[10m] @ 1700000900, 600)`, `changes(depth[10m])`, `resets(requests_total[1h])`,
		`double_exponential_smoothing(depth[10m], 0.5, 0.3)`, `double_exponential_smoothing(depth[10m], 2, 0.3)`,
		`sum_over_time(odd[5m])`, `avg_over_time(odd[5m])`, `min_over_time(odd[5m])`, `max_over_time(odd[5m])`, `count_over_time(odd[5m])`,
		`stddev_over_time(depth[5m])`, `stdvar_over_time(odd[5m])`, `quantile_over_time(0.9, odd[10m])`, `quantile_over_time(2, odd[10m])`,
		`quantile_over_time(scalar(depth{instance="host-0:9100"}), depth[10m])`, `mad_over_time(odd[10m])`, `last_over_time(odd[5m])`,
		`first_over_time(odd[5m])`, `present_over_time(odd[5m])`, `absent_over_time(odd[5m])`, `absent_over_time(nothing{a="b",c!="d"}[5m])`,
		`ts_of_min_over_time(odd[5m])`, `ts_of_max_over_time(odd[5m])`, `ts_of_first_over_time(odd[5m])`, `ts_of_last_over_time(odd[5m])`,
		`rate({__name__=~"requests_total|depth"}[5m])`, `sum(rate({__name__=~"cpu_seconds_total|requests_total"}[5m]))`, `last_over_time({__name__=~"requests_total|depth"}[5m])`,
		`rate(requests_total[5m] @ 1700000900)`, `rate(requests_total[5m] offset 3m)`, `rate(requests_total[5m:30s])`, `max_over_time(rate(requests_total[2m])[10m:1m])`,
		`avg_over_time((depth > 0)[10m:1m])`, `sum_over_time(up[10m:1m] @ 1700000900)`, `min_over_time(up[5m:1m] offset 2m)`, `sum_over_time(vector(1)[5m:30s])`,
		`sum(requests_total)`, `sum by (job) (requests_total)`, `sum without (path) (requests_total)`, `avg by (job, path) (requests_total)`, `min by (job) (odd)`, `max without (instance) (odd)`,
		`count(up)`, `count by (job) (up)`, `group by (job) (up)`, `stddev by (job) (depth)`, `stdvar(temperature)`, `sum(odd)`, `avg(odd)`, `avg by (job) (odd)`,
		`sum by (job) (rate(requests_total[5m]))`, `sum(rate(cpu_seconds_total[2m]))`, `avg by (mode) (rate(cpu_seconds_total[5m]))`, `sum by (__name__) (rate(requests_total[5m]))`,
		`max by (job) (max_over_time(odd[5m]))`, `count(rate(requests_total[5m]) > 1)`, `sum by (job) (requests_total @ 1700000900)`, `sum by (missing) (up)`,
		`sum(odd > 0)`, `sum(0 > odd)`, `avg by (job) (odd >= 0)`, `min by (job) (0 <= odd)`, `max(odd != 0)`, `count by (job) (odd == 0)`, `group by (instance) (odd < 1)`, `sum by (__name__) (up == 1)`, `stddev(odd > 0)`, `sum(odd > NaN)`, `count(odd != NaN)`, `count(odd > -Inf)`,
		`count by (job, path) (rate(requests_total[5m]) > 0.5)`, `sum without (instance) (rate(requests_total[5m]) <= 1)`, `avg(0.5 < rate(depth[5m]))`, `count(rate({__name__=~"requests_total|depth"}[5m]) > 1e9)`, `sum(rate({__name__=~"cpu_seconds_total|requests_total"}[5m]) > 1)`, `count(count_over_time(odd[5m]) > 3)`,
		`count(quantile_over_time(2, odd[10m]) > 0)`, `sum(rate(requests_total[5m]) > 1) / sum(rate(requests_total[5m]))`, `topk(2, odd > 0)`, `count(requests_total > bool 1000)`, `sum((odd > 0) > 1)`,
		`topk(3, requests_total)`, `bottomk(3, requests_total)`, `topk(2, odd)`, `bottomk by (job) (2, odd)`, `topk by (job) (1, rate(requests_total[5m]))`, `topk(0, up)`, `topk(scalar(limit{instance="host-1:9100"}), up)`, `topk(NaN, up)`, `topk(1e30, up)`,
		`limitk(3, requests_total)`, `limitk by (job) (1, up)`, `limit_ratio(0.5, requests_total)`, `limit_ratio(-0.5, requests_total)`, `limit_ratio(2, up)`, `quantile(0.9, requests_total)`, `quantile by (job) (-1, depth)`, `quantile(NaN, depth)`,
		`count_values("value", limit)`, `count_values by (job) ("value", limit)`, `count_values without (instance) ("value", odd)`, `count_values("not valid\xff", up)`,
		`info(requests_total)`, `info(requests_total, {__name__="build_info"})`, `info(rate(requests_total[5m]), {__name__=~".+_info", version="1.1"})`, `info(build_info @ 1700000900 offset 1m, {__name__="build_info"})`, `info(depth @ 1700000900 or vector(1), {__name__="build_info"})`,
		`requests_total + 1`, `1 - requests_total`, `requests_total > 1000`, `1000 < requests_total`, `requests_total > bool 1000`, `odd == odd`, `odd != bool odd`, `depth % 7`, `depth ^ 2`, `depth atan2 3`, `-depth`, `+depth`,
		`depth / limit`, `depth * on (instance) group_right () requests_total`, `requests_total * on (instance) group_left (version) build_info`, `requests_total / ignoring (path) group_left () sum without (path) (requests_total)`,
		`requests_total * on (job) build_info`, `depth + requests_total`, `requests_total + ignoring (path) depth`, `depth > limit`, `depth >= bool limit`, `sum by (job) (up) == on (job) count by (job) (up)`,
		`up and depth > 0`, `depth > 0 or up`, `up unless depth > 0`, `up and on (job) depth`, `depth or on (instance) temperature`, `requests_total unless on () nothing`, `requests_total and on () nothing`, `depth < 0 or depth >= 0`,
		`depth + on (instance) fill (0) temperature{sensor="1"}`, `depth </ 3`, `depth >/ limit`,
		`abs(depth)`, `ceil(temperature)`, `floor(temperature)`, `exp(temperature)`, `sqrt(depth)`, `ln(depth)`, `log2(depth)`, `log10(depth)`, `sgn(odd)`, `round(temperature)`, `round(temperature, 0.25)`, `clamp(odd, -1, 1)`, `clamp_min(odd, 0)`, `clamp_max(odd, 0)`, `clamp(odd, 1, -1)`,
		`sin(depth)`, `acosh(depth)`, `rad(depth)`, `deg(depth)`, `abs({__name__=~"up|depth"})`, `timestamp(up)`, `timestamp(up @ 1700000900)`, `timestamp(up + 0)`, `timestamp({__name__=~"up|depth"})`,
		`hour()`, `minute(time())`, `minute(vector(time()))`, `day_of_week(requests_total)`, `days_in_month(vector(1700000000))`, `month()`, `year()`, `day_of_year()`, `day_of_month()`,
		`absent(up)`, `absent(nothing)`, `absent(nothing{a="b"})`, `absent(+nothing{a="b"})`, `absent(depth > 1e9)`, `scalar(up)`, `scalar(up{instance="host-0:9100"})`, `vector(1)`, `vector(time())`, `min_of(1, 2)`, `max_of(time(), 3)`,
		`sort(depth)`, `sort_desc(odd)`, `sort(odd)`, `sort_by_label(temperature, "sensor")`, `sort_by_label_desc(temperature, "sensor", "instance")`,
		`label_replace(up, "host", "$1", "instance", "(.*):.*")`, `label_replace(up, "instance", "", "instance", ".*")`, `label_replace(up, "x", "$1", "instance", "(")`, `label_replace(up, "a\xff", "$1", "instance", "")`, `label_join(up, "both", "-", "job", "instance")`, `label_join(up, "instance", "-", "job")`, `label_replace(depth, "__name__", "renamed", "", "")`,
		`histogram_quantile(0.9, latency_bucket)`, `histogram_quantile(0.9, rate(latency_bucket[5m]))`, `histogram_quantile(0.5, sum by (le, job) (rate(latency_bucket[5m])))`, `histogram_quantile(2, latency_bucket)`, `histogram_quantile(NaN, latency_bucket)`, `histogram_quantile(0.9, up)`, `histogram_quantile(0.9, {__name__=~"latency_bucket|up"})`, `histogram_fraction(0.1, 0.7, latency_bucket)`, `histogram_quantiles(rate(latency_bucket[5m]), "q", 0.1, 0.9)`,
		`max_over_time(requests_total[5m + 1m])`, `up offset (1m * 2)`, `rate(requests_total[step() + 4m])`, `rate(requests_total[0m - 1m])`, `start_timestamp(up)`,
	}
}

func moments() []when {
	at := func(seconds int64) time.Time { return time.UnixMilli(dataStart + seconds*1000) }
	return []when{
		{start: at(900)},
		{start: at(1800)},
		{start: at(600), end: at(1800), step: 15 * time.Second},
		{start: at(-100), end: at(7200), step: 67 * time.Second},
		{start: at(1000), end: at(1100), step: 7 * time.Second},
	}
}

func TestExpressionsAsUpstream(t *testing.T) {
	all := generate(7, 4, 200)
	theirs, ours := stores(t, all, storagetest.MemoryOptions{})
	for _, delayed := range []bool{false, true} {
		p := newPair(t, theirs, ours, promql.Options{DelayedNameRemoval: delayed, Workers: 2})
		for _, expr := range expressions() {
			for _, w := range moments() {
				if d, answered := p.compare(expr, w); d != "" {
					t.Errorf("%s %s (delayed names: %v): %s", expr, w, delayed, d)
				} else if !answered {
					t.Errorf("%s %s is not supported", expr, w)
				}
			}
		}
	}
}

// TestComparisonsOfMany: of so many points that aggregations take rows as they
// come, in lanes.
func TestComparisonsOfMany(t *testing.T) {
	theirs, ours := stores(t, generate(7, 4, 200), storagetest.MemoryOptions{BatchSeries: 5})
	w := when{start: time.UnixMilli(dataStart - 10_000), end: time.UnixMilli(dataStart + 2_900_000), step: 190 * time.Millisecond}
	for _, workers := range []int{1, 3} {
		p := newPair(t, theirs, ours, whole(promql.Options{Workers: workers, StepsMax: 20_000}))
		for _, expr := range []string{
			`sum by (job) (rate(requests_total[1m]) > 1)`, `count(requests_total > 1000)`, `avg without (path) (1000 >= requests_total)`,
			`min by (instance) (requests_total != 0)`, `max(rate(requests_total[1m]) < 2)`, `count by (path) (rate(requests_total[1m]) > 1e9)`,
		} {
			if d, answered := p.compare(expr, w); d != "" || !answered {
				t.Errorf("%s, %d workers: %s", expr, workers, d)
			}
		}
	}
}

// TestRandomExpressionsAsUpstream takes the number of expressions from the
// environment variable NILOMETER_PROMQL_EXPRESSIONS and the seed from
// NILOMETER_PROMQL_SEED.
func TestRandomExpressionsAsUpstream(t *testing.T) {
	n, seed := fromEnvironment(t, "NILOMETER_PROMQL_EXPRESSIONS", 3000), fromEnvironment(t, "NILOMETER_PROMQL_SEED", 1)
	const perData = 1500
	answered, failures := 0, 0
	for done := 0; done < n; done += perData {
		seed := uint64(seed + done)
		all := generate(seed, 3, 120)
		theirs, ours := stores(t, all, storagetest.MemoryOptions{BatchSeries: 5, TilePositions: 50})
		rnd := rand.New(rand.NewPCG(seed, 2))
		off := newPair(t, theirs, ours, promql.Options{Workers: 2})
		on := newPair(t, theirs, ours, promql.Options{Workers: 1, DelayedNameRemoval: true})
		for range min(perData, n-done) {
			g := &generator{rnd: rnd}
			expr := g.vector(1 + rnd.IntN(3))
			w := g.when()
			p := off
			if rnd.IntN(3) == 0 {
				p = on
			}
			d, ok := p.compare(expr, w)
			if ok {
				answered++
			}
			if d != "" {
				t.Errorf("seed %d, %s %s (delayed names: %v): %s", seed, expr, w, p == on, d)
				if failures++; failures > 20 {
					t.Fatal("stopping")
				}
			}
		}
	}
	t.Logf("%d of %d expressions answered", answered, n)
	if answered < n*9/10 {
		t.Errorf("%d of %d expressions answered: the generator asks for what is not supported", answered, n)
	}
}

func fromEnvironment(t *testing.T, name string, otherwise int) int {
	text := os.Getenv(name)
	if text == "" {
		return otherwise
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return n
}

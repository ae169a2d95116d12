package main

import (
	"context"
	"fmt"
	"math"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/nilometer/nilometer/bench/report"
)

// dashboards is the scenario of that name: a day of 10,000 series of one
// counter and some others, and what dashboards and alerts ask of it.
func (r *runner) dashboards(ctx context.Context) error {
	targets, samples := 100, int(24*time.Hour/dashboardInterval)
	if r.settings.quick {
		targets, samples = 20, int(2*time.Hour/dashboardInterval)
	}
	end := time.Now().Add(-time.Minute).Truncate(dashboardInterval)
	begin := end.Add(-time.Duration(samples) * dashboardInterval)
	title := fmt.Sprintf("dashboards: %d targets × 127 series × %d samples every %s by remote write", targets, samples, dashboardInterval)
	ps, _, err := r.fill(ctx, "dashboards", title, float64(targets*127), func(ctx context.Context, client *http.Client, url string) (int64, error) {
		return pushDashboards(ctx, client, url, begin, targets, samples)
	})
	defer stopAll(ps)
	if err != nil {
		return err
	}
	return r.dashboardQueries(ctx, ps, end.Sub(begin), end)
}

// dashboardQuery is one of the set: over the last span of the data with that
// step, or at its end (no span).
type dashboardQuery struct {
	text       string
	span, step time.Duration
}

func (q dashboardQuery) name() string {
	if q.span == 0 {
		return "`" + q.text + "`"
	}
	return fmt.Sprintf("`%s` %s/%s", q.text, short(q.span), short(q.step))
}

func short(d time.Duration) string {
	return strings.NewReplacer("h0m0s", "h", "m0s", "m").Replace(d.String())
}

// dashboardSet has what dashboards and alerts of the field ask: short and long,
// wide and narrow. The first is the yardstick: all samples of the day.
func dashboardSet(all time.Duration) []dashboardQuery {
	const (
		rate     = `rate(http_requests_total[5m])`
		byJob    = `sum by (job) (rate(http_requests_total[5m]))`
		quantile = `histogram_quantile(0.99, sum by (le, job) (rate(latency_seconds_bucket[5m])))`
		errors   = `sum by (job) (rate(http_requests_total{code=~"5.."}[5m])) / ` + byJob
	)
	h, m, s := time.Hour, time.Minute, time.Second
	short, hour, day := min(15*m, all), min(h, all), all
	return []dashboardQuery{
		{byJob, day, 15 * s},
		{byJob, day, m},
		{byJob, hour, 15 * s},
		{byJob, short, 5 * s},
		{byJob, 0, 0},
		{`sum(` + rate + `)`, day, m},
		{`sum by (instance) (` + rate + `)`, day, 5 * m},
		{`sum by (path, code) (` + rate + `)`, 6 * hour, m},
		{`sum without (path) (` + rate + `)`, hour, 15 * s},
		{`topk(10, sum by (path) (` + rate + `))`, 6 * hour, m},
		{`topk(10, ` + rate + `)`, 0, 0},
		{`sum by (job) (increase(http_requests_total[1h]))`, day, 5 * m},
		{`sum by (job) (irate(http_requests_total[2m]))`, 6 * hour, m},
		{`max by (job) (` + rate + `)`, 6 * hour, m},
		{`avg by (zone) (` + rate + `)`, 6 * hour, m},
		{`count by (code) (` + rate + ` > 0.5)`, hour, m},
		{errors, day, m},
		{errors, 0, 0},
		{errors + ` > 0.05`, 0, 0},
		{quantile, day, m},
		{quantile, hour, 15 * s},
		{quantile, 0, 0},
		{`histogram_quantile(0.5, sum by (le) (rate(latency_seconds_bucket{job="api"}[5m])))`, 6 * hour, 30 * s},
		{`sum by (job) (rate(latency_seconds_sum[5m])) / sum by (job) (rate(latency_seconds_count[5m]))`, 6 * hour, 30 * s},
		{`memory_bytes{job="api"}`, day, m},
		{`memory_bytes{instance="10.0.0.0:9100"}`, day, 15 * s},
		{`sum by (instance) (memory_bytes{area!="free"}) / sum by (instance) (memory_bytes)`, 6 * hour, m},
		{`max_over_time(memory_bytes[1h])`, day, 5 * m},
		{`avg_over_time(temperature_celsius[10m])`, 6 * hour, m},
		{`quantile_over_time(0.95, queue_length[30m])`, 6 * hour, 5 * m},
		{`quantile by (job) (0.9, temperature_celsius)`, 6 * hour, m},
		{`stddev_over_time(temperature_celsius[1h]) > 3`, hour, m},
		{`predict_linear(memory_bytes{area="free"}[1h], 4 * 3600) < 0`, 0, 0},
		{`deriv(queue_length[10m])`, hour, 15 * s},
		{`changes(alive[1h])`, 6 * hour, 5 * m},
		{`resets(cpu_seconds_total[6h])`, day, 15 * m},
		{`100 - avg by (instance) (rate(cpu_seconds_total{mode="idle"}[5m])) * 100`, 6 * hour, 30 * s},
		{`sum by (mode) (rate(cpu_seconds_total[5m]))`, day, m},
		{`count({__name__=~".+"})`, 0, 0},
		{`count by (__name__) ({job="api"})`, 0, 0},
		{`count(http_requests_total)`, day, m},
		{`alive == 0`, 0, 0},
		{`sum by (job) (alive) / count by (job) (alive) < 0.9`, 0, 0},
		{`alive * on (instance) group_left (version) build_info`, hour, m},
		{`absent(alive{job="api"})`, 0, 0},
		{`max_over_time(sum by (job) (rate(http_requests_total{code="500"}[5m]))[1h:1m])`, 0, 0},
		{`http_requests_total{instance="10.0.0.1:9100"}`, hour, 15 * s},
		{`sum by (job) (http_requests_total)`, 6 * hour, m},
		{`sum(http_requests_total offset 1h)`, 0, 0},
		{`label_replace(alive, "host", "$1", "instance", "(.*):.*")`, hour, m},
	}
}

// query is q at the end of the data, as one of the common kind.
func (q dashboardQuery) query() query {
	return query{name: q.name(), text: q.text, overRange: q.span > 0}
}

// dashboardQueries runs the set in rounds, systems taking turns query by query,
// and reports wall time, CPU time and the peak of memory over all.
func (r *runner) dashboardQueries(ctx context.Context, ps []*process, all time.Duration, end time.Time) error {
	set := dashboardSet(all)
	rounds := min(r.settings.rounds, 7)
	wall, cpu, memory := r.table(fmt.Sprintf("dashboards, median wall time of %d rounds", rounds)),
		r.table(fmt.Sprintf("dashboards, mean CPU time of %d rounds", rounds)), r.table("dashboards, memory while they ran")
	for _, p := range ps {
		if err := p.resetPeak(); err != nil {
			return err
		}
	}
	for i, q := range set {
		w := window{from: end.Add(-q.span), to: end, step: q.step}
		r.compare(ctx, q.query(), ps, w)
		times, spent := map[string][]float64{}, map[string]float64{}
		for round := range rounds {
			for turn := range ps {
				p := ps[(turn+round+i)%len(ps)]
				one, err := p.measure(ctx, q.query().path(w, p.system.queryExtra))
				if ctx.Err() != nil {
					return context.Cause(ctx)
				}
				if err != nil {
					continue // compare has noted it
				}
				name := p.system.name
				times[name] = append(times[name], one.wall)
				spent[name] += one.cpu / float64(rounds)
			}
		}
		row := map[string]float64{}
		for name, t := range times {
			row[name] = report.Median(t)
		}
		wall.Add(q.name(), "ms", row)
		cpu.Add(q.name(), "ms", spent)
	}
	peak := map[string]float64{}
	for _, p := range ps {
		n, err := p.statusBytes("VmHWM")
		if err != nil {
			return err
		}
		peak[p.system.name] = float64(n) / (1 << 20)
	}
	memory.Add("resident, peak", "MiB", peak)
	r.summarize(wall, set)
	return r.clientsAtOnce(ctx, ps, set, end)
}

// heavyMs is from which wall time of Prometheus on a query counts as heavy.
const heavyMs = 50

// summarize notes the geometric means of the ratios, heavy and light apart, and
// the queries in which a peer is faster.
func (r *runner) summarize(wall *report.Table, set []dashboardQuery) {
	for _, peer := range []string{prometheus, victoria} {
		logs := map[bool][]float64{}
		for _, q := range set {
			ours, theirs, reference := wall.Value(q.name(), nilometer), wall.Value(q.name(), peer), wall.Value(q.name(), prometheus)
			if math.IsNaN(ours) || math.IsNaN(theirs) {
				continue
			}
			heavy := reference >= heavyMs
			logs[heavy] = append(logs[heavy], math.Log(theirs/ours))
			if theirs < ours {
				r.note("%s is faster in %s: %.3g ms against %.3g ms", peer, q.name(), theirs, ours)
			}
		}
		for heavy, what := range map[bool]string{true: "heavy", false: "light"} {
			if n := len(logs[heavy]); n > 0 {
				sum := 0.0
				for _, v := range logs[heavy] {
					sum += v
				}
				r.note("%s / nilometer, geometric mean over %d %s queries: %.2f", peer, n, what, math.Exp(sum/float64(n)))
			}
		}
	}
}

// measurement is one query: wall and CPU time in ms.
type measurement struct{ wall, cpu float64 }

func (p *process) measure(ctx context.Context, path string) (measurement, error) {
	before, err := p.cpu()
	if err != nil {
		return measurement{}, err
	}
	began := time.Now()
	if err := p.take(ctx, path); err != nil {
		return measurement{}, err
	}
	m := measurement{wall: time.Since(began).Seconds() * 1000}
	after, err := p.cpu()
	if err != nil {
		return measurement{}, err
	}
	m.cpu = (after - before).Seconds() * 1000
	return m, nil
}

// resetPeak makes the kernel forget the largest resident size so far.
func (p *process) resetPeak() error {
	if err := os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", p.pid()), []byte("5"), 0); err != nil {
		return fmt.Errorf("reset the peak of %s: %w", p.system.name, err)
	}
	return nil
}

// statusBytes reads a size from /proc/PID/status.
func (p *process) statusBytes(field string) (int64, error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.pid()))
	if err != nil {
		return 0, fmt.Errorf("read the memory of %s: %w", p.system.name, err)
	}
	for line := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(line, field+":"); ok {
			kb, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(rest), "kB")), 10, 64)
			return kb << 10, err
		}
	}
	return 0, fmt.Errorf("no %s of %s", field, p.system.name)
}

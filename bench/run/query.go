package main

import (
	"context"
	"fmt"
	"net/url"
	"strconv"
	"time"

	"github.com/nilometer/nilometer/bench/answer"
	"github.com/nilometer/nilometer/bench/report"
)

// window is the time that queries look at: instant ones at its end.
type window struct {
	from, to time.Time
	step     time.Duration
}

// query is one of the set.
type query struct {
	name, text string
	overRange  bool
	// labelValues asks for the values of the label text instead.
	labelValues bool
}

// querySet are what dashboards and rules ask, over families that every job of
// a load has.
func querySet() []query {
	const rate = `rate(http_requests_total[5m])`
	const quantile = `histogram_quantile(0.99, sum by (le, job) (rate(http_request_duration_seconds_bucket[5m])))`
	return []query{
		{name: "instant, one series a target", text: `build_info`},
		{name: "instant, sum(rate)", text: `sum(` + rate + `)`},
		{name: "instant, sum by (job) (rate)", text: `sum by (job) (` + rate + `)`},
		{name: "instant, p99 of a histogram by job", text: quantile},
		{name: "instant, topk(10, rate)", text: `topk(10, ` + rate + `)`},
		{name: "instant, count by name of a job", text: `count by (__name__) ({job="api", namespace!=""})`},
		{name: "instant, avg by (zone)", text: `avg by (zone) (memory_usage_bytes)`},
		{name: "range, sum by (job) (rate)", text: `sum by (job) (` + rate + `)`, overRange: true},
		{name: "range, p99 of a histogram by job", text: quantile, overRange: true},
		{name: "range, raw gauges of a job", text: `memory_usage_bytes{job="api"}`, overRange: true},
		{name: "range, max_over_time by instance", text: `max by (instance) (max_over_time(memory_usage_bytes[5m]))`, overRange: true},
		{name: "range, share of errors by instance", text: `sum by (instance) (rate(http_requests_total{code="500"}[5m])) / sum by (instance) (` + rate + `)`, overRange: true},
		{name: "range, rate of every counter by job", text: `sum by (job) (rate({__name__=~".+_total"}[5m]))`, overRange: true},
		{name: "label values", text: "__name__", labelValues: true},
	}
}

// path is the query as a request to a system.
func (q query) path(w window, extra string) string {
	at := func(t time.Time) string { return strconv.FormatFloat(float64(t.UnixMilli())/1000, 'f', 3, 64) }
	switch {
	case q.labelValues:
		return fmt.Sprintf("/api/v1/label/%s/values?start=%s&end=%s", q.text, at(w.from), at(w.to))
	case q.overRange:
		return fmt.Sprintf("/api/v1/query_range?query=%s&start=%s&end=%s&step=%g%s", url.QueryEscape(q.text), at(w.from), at(w.to), w.step.Seconds(), extra)
	}
	return fmt.Sprintf("/api/v1/query?query=%s&time=%s%s", url.QueryEscape(q.text), at(w.to), extra)
}

// queries runs the set in rounds, query by query through all systems, each
// round beginning with another one, and reports latencies in milliseconds. The
// first answers are compared with those of Prometheus.
func (r *runner) queries(ctx context.Context, title string, ps []*process, w window) error {
	set := querySet()
	latencies := make([]map[string][]float64, len(set))
	for i, q := range set {
		latencies[i] = map[string][]float64{}
		r.compare(ctx, q, ps, w)
	}
	for round := range r.settings.rounds {
		for i, q := range set {
			for turn := range ps {
				p := ps[(turn+round+i)%len(ps)]
				began := time.Now()
				err := p.take(ctx, q.path(w, p.system.queryExtra))
				if ctx.Err() != nil {
					return context.Cause(ctx)
				}
				if err == nil {
					latencies[i][p.system.name] = append(latencies[i][p.system.name], time.Since(began).Seconds()*1000)
				}
			}
		}
	}
	r.logf("%s: %d rounds of %d queries", title, r.settings.rounds, len(set))
	for _, figure := range []struct {
		name string
		of   func([]float64) float64
	}{
		{"median", report.Median},
		{"p99", func(v []float64) float64 { return report.Quantile(0.99, v) }},
	} {
		t := r.table(fmt.Sprintf("%s, %s of %d rounds", title, figure.name, r.settings.rounds))
		for i, q := range set {
			row := map[string]float64{}
			for name, values := range latencies[i] {
				row[name] = figure.of(values)
			}
			t.Add(q.name, "ms", row)
		}
	}
	return nil
}

// compare notes where answers differ from those of Prometheus: failures and
// numbers of series for all, values only for nilometer, because VictoriaMetrics
// means other things by rate and by step.
func (r *runner) compare(ctx context.Context, q query, ps []*process, w window) {
	answers := map[string]answer.Answer{}
	for _, p := range ps {
		body, err := p.get(ctx, q.path(w, p.system.queryExtra))
		var a answer.Answer
		if err == nil && !q.labelValues {
			a, err = answer.Parse(body)
		}
		if err != nil {
			r.note("%q fails: %v", q.text, err)
			continue
		}
		answers[p.system.name] = a
	}
	want, ok := answers[prometheus]
	if !ok || q.labelValues {
		return
	}
	if len(want) == 0 {
		r.note("%q (%s) has no result at prometheus: its latency means nothing", q.text, kindOf(q))
	}
	for _, p := range ps {
		got, ok := answers[p.system.name]
		if !ok {
			continue
		}
		if len(got) != len(want) {
			r.note("%q (%s) has %d series at %s, %d at prometheus", q.text, kindOf(q), len(got), p.system.name, len(want))
		} else if p.system.name == nilometer && w.comparable() {
			if difference := got.Difference(want); difference > 1e-9 {
				r.note("%q (%s) differs from prometheus by up to %.2g, relatively", q.text, kindOf(q), difference)
			}
		}
	}
}

// comparable: only what was pushed is the same in every system.
func (w window) comparable() bool { return w.to.Sub(w.from) > time.Hour }

func kindOf(q query) string {
	if q.overRange {
		return "range"
	}
	return "instant"
}

// scalar evaluates a query of one value now.
func (p *process) scalar(ctx context.Context, text string) (float64, error) {
	q := query{text: text}
	now := time.Now()
	body, err := p.get(ctx, q.path(window{from: now, to: now}, p.system.queryExtra))
	if err != nil {
		return 0, err
	}
	a, err := answer.Parse(body)
	if err != nil {
		return 0, err
	}
	for _, points := range a {
		return points[0].Value, nil
	}
	return 0, fmt.Errorf("%q has no value", text)
}

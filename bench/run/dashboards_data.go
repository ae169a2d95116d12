package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/nilometer/nilometer/bench/load"
)

// The data of the scenario dashboards: targets with 100 series of one counter
// and 26 others each, a sample every 15 s with phases of their own, one scrape
// in fifty late, and a restart of every target every eight hours.
const (
	dashboardInterval = 15 * time.Second
	dashboardRestart  = 8 * time.Hour
	// sliceSamples is how many samples of a series go into one request.
	sliceSamples = 40
)

// dashboardTarget is one target: its labels, series and where they stand.
type dashboardTarget struct {
	labels []labels.Label
	phase  time.Duration
	rnd    *rand.Rand
	series []dashboardSeries
}

type dashboardSeries struct {
	labels []labels.Label
	// next moves the value by one sample.
	next  func(v float64) float64
	value float64
	// counts: the value is lost when the target restarts.
	counts bool
	points []load.Point
}

func dashboardTargets(n int) []*dashboardTarget {
	out := make([]*dashboardTarget, n)
	for i := range out {
		t := &dashboardTarget{
			labels: []labels.Label{
				{Name: "instance", Value: fmt.Sprintf("10.0.%d.%d:9100", i/50, i%50)},
				{Name: "job", Value: []string{"api", "web", "db", "queue", "cache", "auth", "mail", "search", "billing", "edge"}[i%10]},
				{Name: "zone", Value: []string{"a", "b", "c"}[i%3]},
			},
			rnd: rand.New(rand.NewPCG(uint64(i), 7)),
		}
		t.phase = time.Duration(t.rnd.Int64N(int64(dashboardInterval))).Truncate(time.Millisecond)
		t.fill()
		out[i] = t
	}
	return out
}

func (t *dashboardTarget) fill() {
	rnd := t.rnd
	counter := func(mean int) func(float64) float64 {
		return func(v float64) float64 { return v + float64(rnd.IntN(2*mean+1)) }
	}
	add := func(counts bool, next func(float64) float64, start float64, name string, more ...string) {
		s := dashboardSeries{next: next, value: start, counts: counts}
		s.labels = append(s.labels, labels.Label{Name: "__name__", Value: name})
		for i := 0; i < len(more); i += 2 {
			s.labels = append(s.labels, labels.Label{Name: more[i], Value: more[i+1]})
		}
		t.series = append(t.series, s)
	}
	for path := range 25 {
		for i, code := range []string{"200", "404", "500", "503"} {
			next := counter([]int{20, 2, 1, 1}[i])
			if path%4 == 3 { // rarely asked for
				next = func(v float64) float64 {
					if rnd.IntN(50) == 0 {
						return v + 1
					}
					return v
				}
			}
			add(true, next, 0, "http_requests_total", "code", code, "path", fmt.Sprintf("/api/v1/items/%d", path))
		}
	}
	for _, mode := range []string{"user", "system", "idle", "iowait"} {
		add(true, func(v float64) float64 { return v + float64(rnd.IntN(1500))/100 }, 0, "cpu_seconds_total", "mode", mode)
	}
	for _, area := range []string{"heap", "stack", "cache", "free"} {
		add(false, func(v float64) float64 { return max(0, v+float64(rnd.IntN(2001)-1000)*4096) }, 4e8, "memory_bytes", "area", area)
	}
	for i, le := range []string{"0.005", "0.01", "0.025", "0.05", "0.1", "0.25", "0.5", "1", "2.5", "5", "10", "+Inf"} {
		// Cumulative: each bucket rises by what all below it rise by, too.
		add(true, counter(3*(i+1)), 0, "latency_seconds_bucket", "le", le)
	}
	add(true, func(v float64) float64 { return v + rnd.Float64()*3 }, 0, "latency_seconds_sum")
	add(true, counter(36), 0, "latency_seconds_count")
	add(false, func(v float64) float64 { return max(20, min(90, v+rnd.NormFloat64())) }, 50, "temperature_celsius")
	add(false, func(float64) float64 { return 1 }, 1, "alive")
	add(false, func(v float64) float64 { return v }, 1, "build_info", "version", "1."+strconv.Itoa(rnd.IntN(3)))
	add(false, func(v float64) float64 { return max(0, v+float64(rnd.IntN(11)-5)) }, 100, "queue_length")
}

// advance makes the points of a slice of time.
func (t *dashboardTarget) advance(begin time.Time, first, samples int) {
	for i := range t.series {
		t.series[i].points = t.series[i].points[:0]
	}
	for n := first; n < first+samples; n++ {
		at := begin.Add(time.Duration(n)*dashboardInterval + t.phase)
		if t.rnd.IntN(50) == 0 {
			at = at.Add(time.Duration(t.rnd.IntN(3000)) * time.Millisecond)
		}
		restarts := (time.Duration(n)*dashboardInterval+t.phase*500)%dashboardRestart < dashboardInterval
		for i := range t.series {
			s := &t.series[i]
			if restarts && s.counts {
				s.value = 0
			}
			s.value = s.next(s.value)
			s.points = append(s.points, load.Point{UnixMs: at.UnixMilli(), Value: s.value})
		}
	}
}

// pushDashboards pushes the samples of all targets from begin on, in slices of
// time.
func pushDashboards(ctx context.Context, client *http.Client, url string, begin time.Time, targets, samples int) (int64, error) {
	all := dashboardTargets(targets)
	var request load.WriteRequest
	var compressed []byte
	total := int64(0)
	for first := 0; first < samples; first += sliceSamples {
		n := min(sliceSamples, samples-first)
		for _, t := range all {
			t.advance(begin, first, n)
			for i := range t.series {
				request.Add(t.labels, t.series[i].labels, t.series[i].points...)
			}
			total += int64(request.Samples())
			if _, _, err := load.Send(ctx, client, url, &request, &compressed); err != nil {
				return total, err
			}
		}
	}
	return total, nil
}

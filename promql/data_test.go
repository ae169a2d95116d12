package promql_test

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/util/teststorage"

	"github.com/nilometer/nilometer/model/column"
	"github.com/nilometer/nilometer/model/tenant"
	"github.com/nilometer/nilometer/storage/storagetest"
)

// dataStart is the time of the first sample, ms: late enough that no window
// reaches negative times, which nobody scrapes at.
const dataStart = 1_700_000_000_000

// generate makes what scrapes of a few targets leave behind: time columns with
// phases and intervals of their own, late scrapes, gaps, stale markers, series
// that come and go, counters with resets, gauges with NaN and infinities,
// classic histograms, constants.
func generate(seed uint64, targets, positions int) []storagetest.Series {
	rnd := rand.New(rand.NewPCG(seed, 1))
	var all []storagetest.Series
	for target := range targets {
		interval := []int64{15_000, 15_000, 30_000, 10_000}[rnd.IntN(4)]
		times := make([]int64, 0, positions)
		t := dataStart + rnd.Int64N(interval)
		for range positions {
			late := int64(0)
			if rnd.IntN(40) == 0 {
				late = rnd.Int64N(interval / 2)
			}
			times = append(times, t+late)
			t += interval
			if rnd.IntN(60) == 0 {
				t += interval * rnd.Int64N(30) // the target was away
			}
		}
		base := []string{"job", []string{"api", "db"}[target%2], "instance", fmt.Sprintf("host-%d:9100", target)}
		add := func(name string, value func(i int) float64, more ...string) {
			lset := labels.FromStrings(append(append([]string{"__name__", name}, base...), more...)...)
			all = append(all, storagetest.Series{Labels: lset, Samples: live(rnd, times, value)})
		}
		for _, path := range []string{"/", "/login", "/search"} {
			add("requests_total", counter(rnd, 1), "path", path)
		}
		add("cpu_seconds_total", counter(rnd, 0.01), "mode", "idle")
		add("cpu_seconds_total", counter(rnd, 0.01), "mode", "user")
		add("depth", gauge(rnd, 10))
		add("temperature", gauge(rnd, 0.1), "sensor", "1")
		add("temperature", gauge(rnd, 0.1), "sensor", "10")
		add("odd", odd(rnd))
		add("up", func(int) float64 { return 1 })
		add("build_info", func(int) float64 { return 1 }, "version", fmt.Sprintf("1.%d", target%2))
		add("limit", func(int) float64 { return float64(10 * target) })
		buckets := make([]func(int) float64, 4)
		for i := range buckets {
			buckets[i] = counter(rnd, float64(i+1))
		}
		sums := make([]float64, positions)
		for i, le := range []string{"0.1", "0.5", "1", "+Inf"} {
			b := buckets[i]
			add("latency_bucket", func(j int) float64 { sums[j] += b(j); return sums[j] }, "le", le)
		}
	}
	slices.SortFunc(all, func(a, b storagetest.Series) int { return labels.Compare(a.Labels, b.Labels) })
	return slices.DeleteFunc(all, func(s storagetest.Series) bool { return len(s.Samples) == 0 })
}

// live gives a series its part of the times: most have all, some begin late,
// end early with a stale marker, or pause.
func live(rnd *rand.Rand, times []int64, value func(int) float64) []storagetest.Sample {
	from, to := 0, len(times)
	switch rnd.IntN(6) {
	case 0:
		from = rnd.IntN(len(times))
	case 1:
		to = rnd.IntN(len(times)) + 1
	}
	var out []storagetest.Sample
	away := 0
	for i, t := range times {
		v := value(i)
		if i < from || i > to {
			continue
		}
		if i == to {
			out = append(out, storagetest.Sample{T: t, V: column.StaleNaN()})
			continue
		}
		if away > 0 {
			away--
			continue
		}
		if rnd.IntN(200) == 0 {
			away = rnd.IntN(40)
			if rnd.IntN(2) == 0 {
				out = append(out, storagetest.Sample{T: t, V: column.StaleNaN()})
				continue
			}
		}
		out = append(out, storagetest.Sample{T: t, V: v})
	}
	return out
}

func counter(rnd *rand.Rand, unit float64) func(int) float64 {
	n := 0.0
	if rnd.IntN(2) == 0 {
		n = float64(rnd.IntN(100_000))
	}
	return func(int) float64 {
		if rnd.IntN(3) > 0 {
			n += float64(rnd.IntN(50))
		}
		if rnd.IntN(100) == 0 {
			n = float64(rnd.IntN(3))
		}
		return n * unit
	}
}

func gauge(rnd *rand.Rand, unit float64) func(int) float64 {
	n := 0
	return func(int) float64 {
		n += rnd.IntN(21) - 10
		return float64(n) * unit
	}
}

// odd is a gauge among whose values are those that arithmetic trips over.
func odd(rnd *rand.Rand) func(int) float64 {
	return func(int) float64 {
		switch rnd.IntN(12) {
		case 0:
			return math.NaN()
		case 1:
			return math.Inf(1)
		case 2:
			return math.Inf(-1)
		case 3:
			return math.Copysign(0, -1)
		case 4:
			return 1e300
		}
		return rnd.NormFloat64()
	}
}

// stores loads series into upstream's storage and into ours.
func stores(tb testing.TB, all []storagetest.Series, o storagetest.MemoryOptions) (*teststorage.TestStorage, *storagetest.Memory) {
	tb.Helper()
	theirs := teststorage.New(tb)
	app := theirs.Appender(context.Background())
	// Series after series: upstream's head hands series out in the order in
	// which it met them, and ties in topk go by that; ours by labels.
	for _, series := range all {
		for _, x := range series.Samples {
			if _, err := app.Append(0, series.Labels, x.T, x.V); err != nil {
				tb.Fatal(err)
			}
		}
	}
	if err := app.Commit(); err != nil {
		tb.Fatal(err)
	}
	return theirs, memory(tb, all, o)
}

func memory(tb testing.TB, all []storagetest.Series, o storagetest.MemoryOptions) *storagetest.Memory {
	tb.Helper()
	ours := storagetest.NewMemory(o)
	if err := storagetest.Load(context.Background(), ours, tenant.Default, all...); err != nil {
		tb.Fatal(err)
	}
	return ours
}

package parttest

import (
	"fmt"
	"math"
	"math/rand/v2"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/nilometer/nilometer/model/column"
)

// RandomOptions bound what Random makes.
type RandomOptions struct {
	Targets, Metrics int
	// Start and Interval (ms) of every target's column, up to some jitter, and
	// its number of positions.
	Start, Interval int64
	Positions       int
	// Gaps makes series absent and stale for stretches.
	Gaps bool
}

// Random returns a part of targets, each with a column of its own that its
// series share, and a series of every metric: constants, counters, gauges and
// odd bits.
func Random(rng *rand.Rand, name string, o RandomOptions) *Part {
	p := New(name)
	for target := range o.Targets {
		phase := rng.Int64N(o.Interval)
		times := make([]int64, o.Positions)
		for i := range times {
			times[i] = o.Start + phase + int64(i)*o.Interval
			if rng.IntN(4) == 0 && i > 0 {
				times[i] += rng.Int64N(max(1, o.Interval/100))
			}
		}
		id := p.AddColumn(times...)
		for metric := range o.Metrics {
			lset := labels.FromStrings("__name__", fmt.Sprintf("metric_%d", metric), "instance", fmt.Sprintf("host-%d:9100", target), "job", "node")
			p.Samples(lset, id, randomSamples(rng, times, metric, o.Gaps)...)
		}
	}
	return p
}

func randomSamples(rng *rand.Rand, times []int64, kind int, gaps bool) []column.Sample {
	var out []column.Sample
	v, skip := float64(rng.IntN(1000)), 0
	for _, t := range times {
		switch kind % 4 {
		case 1:
			v += float64(rng.IntN(50))
		case 2:
			v = math.Round(rng.NormFloat64()*1e4) / 1e3
		case 3:
			v = math.Float64frombits(rng.Uint64())
		}
		if skip > 0 {
			skip--
			continue
		}
		if gaps && rng.IntN(40) == 0 {
			skip = rng.IntN(60)
			if rng.IntN(2) == 0 {
				out = append(out, column.Sample{T: t, V: column.StaleNaN()})
			}
			continue
		}
		if column.IsStale(v) {
			v = 0
		}
		out = append(out, column.Sample{T: t, V: v})
	}
	if len(out) == 0 {
		out = append(out, column.Sample{T: times[0], V: v})
	}
	return out
}

package parttest

import (
	"fmt"
	"math"
	"math/rand/v2"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/nilometer/nilometer/model/column"
	"github.com/nilometer/nilometer/storage/storagetest"
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
// series share, and a series of every metric: constants, counters, gauges, odd
// bits, native histograms (alone and among floats), and counters with start
// timestamps.
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
	var h column.Histogram
	start := int64(0)
	for _, t := range times {
		switch kind % 7 {
		case 1:
			v += float64(rng.IntN(50))
		case 2:
			v = math.Round(rng.NormFloat64()*1e4) / 1e3
		case 3:
			v = math.Float64frombits(rng.Uint64())
		case 4:
			h = randomHistogram(rng, h)
		case 5:
			if h = randomHistogram(rng, h); rng.IntN(3) == 0 {
				h = column.Histogram{}
			}
		case 6:
			if v += float64(rng.IntN(50)); rng.IntN(40) == 0 {
				start = t * rng.Int64N(2)
			}
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
		s := column.Sample{T: t, V: v, H: h, Start: start}
		if !h.IsZero() {
			s.V = 0
		}
		out = append(out, s)
	}
	if len(out) == 0 {
		out = append(out, column.Sample{T: times[0], V: v})
	}
	return out
}

// randomHistogram returns what may follow h: the same with more observations,
// or another kind.
func randomHistogram(rng *rand.Rand, h column.Histogram) column.Histogram {
	switch rng.IntN(60) {
	case 0:
		return storagetest.FloatHistogram(rng.Int64N(50))
	case 1:
		return storagetest.CustomHistogram(rng.Int64N(50))
	case 2:
		return storagetest.GaugeHistogram(rng.Int64N(50))
	}
	if h = h.Copy(); h.Int == nil {
		return storagetest.IntHistogram(rng.Int64N(50))
	}
	n := rng.Int64N(5)
	h.Int.PositiveBuckets[0] += n
	h.Int.Count += uint64(n) * 4
	h.Int.Sum += float64(n)
	return h
}

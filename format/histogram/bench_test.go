package histogram_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/tsdb/chunkenc"

	format "github.com/nilometer/nilometer/format/histogram"
	"github.com/nilometer/nilometer/model/column"
)

// latencies is a server's histogram as a client library keeps it: schema 3
// (factor 1.1), rate requests in 15 s, log-normal around 30 ms, the rate and the
// median moving slowly. Buckets appear as they are first hit.
type latencies struct {
	rng    *rand.Rand
	rate   float64
	counts map[int64]uint64
	count  uint64
	sum    float64
	median float64
}

func newLatencies(seed uint64, rate float64) *latencies {
	return &latencies{rng: rand.New(rand.NewPCG(seed, 1)), rate: rate, median: 0.03, counts: map[int64]uint64{}}
}

// next observes for 15 s and returns the histogram.
func (l *latencies) next() *histogram.Histogram {
	l.median *= math.Exp(l.rng.NormFloat64() * 0.02)
	n := int(l.rate*(1+0.2*l.rng.NormFloat64()) + l.rng.Float64())
	for range max(n, 0) {
		v := l.median * math.Exp(0.8*l.rng.NormFloat64())
		if l.rng.IntN(200) == 0 {
			v *= 30
		}
		l.counts[int64(math.Ceil(math.Log2(v)*8))]++
		l.count++
		l.sum += math.Round(v*1e9) / 1e9 // durations are whole nanoseconds
	}
	h := &histogram.Histogram{Schema: 3, ZeroThreshold: 0x1p-128, Count: l.count, Sum: l.sum}
	var at []int64
	for i := range l.counts {
		at = append(at, i)
	}
	slices.Sort(at)
	next, last := int64(0), int64(0)
	add := func(c uint64) {
		h.PositiveBuckets = append(h.PositiveBuckets, int64(c)-last)
		h.PositiveSpans[len(h.PositiveSpans)-1].Length++
		last = int64(c)
		next++
	}
	for k, i := range at {
		if gap := i - next; k == 0 || gap > 2 {
			h.PositiveSpans = append(h.PositiveSpans, histogram.Span{Offset: int32(gap)})
			next = i
		}
		for next < i {
			add(0)
		}
		add(l.counts[i])
	}
	return h
}

// upstreamBytes is what upstream's chunks take for hs, cut and recoded as its
// head does it: at least 10 histograms and 1 KiB a chunk.
func upstreamBytes(b *testing.B, hs []column.Histogram) int {
	total := 0
	var c chunkenc.Chunk = chunkenc.NewHistogramChunk()
	app, err := c.Appender()
	if err != nil {
		b.Fatal(err)
	}
	for i, h := range hs {
		if len(c.Bytes()) >= 1024 && c.NumSamples() >= 10 {
			total += len(c.Bytes())
			next := chunkenc.NewHistogramChunk()
			nextApp, err := next.Appender()
			if err != nil {
				b.Fatal(err)
			}
			c, app = next, nextApp
		}
		next, recoded, nextApp, err := app.AppendHistogram(nil, 0, int64(i)*15000, h.Int, false)
		if err != nil {
			b.Fatal(err)
		}
		if next != nil {
			if !recoded {
				total += len(c.Bytes())
			}
			c = next
		}
		app = nextApp
	}
	return total + len(c.Bytes())
}

// BenchmarkChunk tells bytes a histogram of whole tiles (after a warm-up of 100
// scrapes, so that most buckets are there), beside upstream's chunks.
func BenchmarkChunk(b *testing.B) {
	for _, rate := range []float64{1, 15, 150, 1500} {
		var hs, floats []column.Histogram
		l := newLatencies(1, rate)
		buckets := 0
		for i := range 100 + format.ValuesMax {
			if h := l.next(); i >= 100 {
				hs = append(hs, column.Histogram{Int: h})
				floats = append(floats, column.Histogram{Float: h.ToFloat(nil)})
				buckets = len(h.PositiveBuckets)
			}
		}
		upstream := float64(upstreamBytes(b, hs)) / float64(len(hs))
		for _, c := range []struct {
			name string
			hs   []column.Histogram
		}{{"integer", hs}, {"float", floats}} {
			var enc format.Encoder
			data := enc.Append(nil, c.hs, nil)
			name := fmt.Sprintf("%s/rate=%g", c.name, rate)
			b.Run(name+"/encode", func(b *testing.B) {
				for b.Loop() {
					data = enc.Append(data[:0], c.hs, nil)
				}
				b.ReportMetric(float64(len(data))/float64(len(c.hs)), "B/histogram")
				if c.name == "integer" {
					b.ReportMetric(upstream, "upstream-B/histogram")
				}
				b.ReportMetric(float64(buckets), "buckets")
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(c.hs)), "ns/histogram")
			})
			b.Run(name+"/decode", func(b *testing.B) {
				var out []column.Histogram
				for b.Loop() {
					var err error
					if out, _, err = format.Decode(out[:0], nil, data, len(c.hs)); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(c.hs)), "ns/histogram")
			})
		}
	}
}

package promql_test

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	oracle "github.com/prometheus/prometheus/promql"
	upstream "github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
	"github.com/prometheus/prometheus/util/teststorage"

	"github.com/nilometer/nilometer/model/column"
	"github.com/nilometer/nilometer/promql"
	"github.com/nilometer/nilometer/storage/storagetest"
)

// TestRandomHistogramsAsUpstream compares the engines on native histograms of
// every kind, beside floats, with gaps, resets and start timestamps. Both read
// upstream's storage, since hints about resets come from there. The environment
// variables are those of TestRandomExpressionsAsUpstream.
func TestRandomHistogramsAsUpstream(t *testing.T) {
	compareHistograms(t, fromEnvironment(t, "NILOMETER_PROMQL_EXPRESSIONS", 3000), fromEnvironment(t, "NILOMETER_PROMQL_SEED", 1))
}

// TestHistogramsThatDiffered are seeds with steps longer than windows: of counts
// and sums upstream forgets then what lies before a window, and sees no reset.
func TestHistogramsThatDiffered(t *testing.T) {
	for _, seed := range []int{950501, 971501} {
		compareHistograms(t, 1500, seed)
	}
}

func compareHistograms(t *testing.T, n, seed int) {
	t.Helper()
	const perData = 1500
	failures, twice := 0, 0
	for done := 0; done < n; done += perData {
		seed := uint64(seed + done)
		theirs := storeHistograms(t, generateHistograms(seed, 3, 100))
		rnd := rand.New(rand.NewPCG(seed, 3))
		options := []promql.Options{
			{Workers: 2}, {Workers: 1, DelayedNameRemoval: true}, {Workers: 2, StartTimestamps: true},
			{Workers: 1, DelayedNameRemoval: true, StartTimestamps: true, TypeAndUnitLabels: true},
		}
		var pairs []*pair
		for _, o := range options {
			pairs = append(pairs, newPair(t, theirs, upstreamReader{q: theirs}, o))
		}
		for range min(perData, n-done) {
			g := &generator{rnd: rnd, histograms: true}
			expr, w, i := g.vector(1+rnd.IntN(3)), g.when(), rnd.IntN(len(pairs))
			d, _ := pairs[i].compare(expr, w)
			if strings.HasPrefix(d, `error "vector cannot contain metrics with the same labelset"`) {
				// A float and a histogram of the same labels and time: upstream makes
				// two values of one series of them, or panics.
				twice++
				continue
			}
			if d != "" {
				t.Errorf("seed %d, %s %s (%+v): %s", seed, expr, w, options[i], d)
				if failures++; failures > 20 {
					t.Fatal("stopping")
				}
			}
		}
	}
	if twice > n/100 {
		t.Errorf("%d of %d expressions end in a conflict of kinds", twice, n)
	}
}

// generateHistograms makes series of native histograms and of floats that
// resemble them.
func generateHistograms(seed uint64, targets, positions int) []storagetest.Series {
	rnd := rand.New(rand.NewPCG(seed, 4))
	var all []storagetest.Series
	for target := range targets {
		interval := []int64{15_000, 30_000, 10_000}[rnd.IntN(3)]
		times := make([]int64, positions)
		t := dataStart + rnd.Int64N(interval)
		for i := range times {
			times[i] = t
			t += interval
			if rnd.IntN(60) == 0 {
				t += interval * rnd.Int64N(30)
			}
		}
		base := []string{"job", []string{"api", "db"}[target%2], "instance", fmt.Sprintf("host-%d:9100", target)}
		add := func(name string, value func(i int) column.Sample, more ...string) {
			lset := labels.FromStrings(append(append([]string{"__name__", name}, base...), more...)...)
			s := storagetest.Series{Labels: lset}
			for i, x := range live(rnd, times, func(int) float64 { return 0 }) {
				if !column.IsStale(x.V) {
					v := value(i)
					x.V, x.H, x.Start = v.V, v.H, v.Start
				}
				s.Samples = append(s.Samples, x)
			}
			if len(s.Samples) > 0 {
				all = append(all, s)
			}
		}
		for _, path := range []string{"/", "/login"} {
			add("sizes", growing(rnd, exponential(rnd, int32(rnd.IntN(3)))), "path", path)
		}
		add("custom", growing(rnd, custom(rnd, rnd.IntN(3))))
		add("level", standing(rnd))
		add("requests_total", started(rnd, times))
		add("depth", floats(gauge(rnd, 10)))
		grown, count := growing(rnd, exponential(rnd, 1)), floats(counter(rnd, 1))
		other := growing(rnd, custom(rnd, 0))
		which := 0
		add("mixed", func(i int) column.Sample {
			if rnd.IntN(12) == 0 {
				which = rnd.IntN(3)
			}
			return []func(int) column.Sample{grown, count, other}[which](i)
		})
		for _, le := range []string{"1", "2", "+Inf"} {
			add("sizes", floats(counter(rnd, 1)), "le", le, "path", "/")
		}
	}
	slices.SortFunc(all, func(a, b storagetest.Series) int { return labels.Compare(a.Labels, b.Labels) })
	return all
}

func floats(f func(int) float64) func(int) column.Sample {
	return func(i int) column.Sample { return column.Sample{V: f(i)} }
}

// started is a counter that knows when it began.
func started(rnd *rand.Rand, times []int64) func(int) column.Sample {
	v, start := 0.0, times[0]-5000
	return func(i int) column.Sample {
		v += float64(rnd.IntN(20))
		if rnd.IntN(25) == 0 {
			v = float64(rnd.IntN(10))
			start = times[i] - rnd.Int64N(8000)
		}
		s := column.Sample{V: v, Start: start}
		switch rnd.IntN(30) {
		case 0:
			s.Start = 0
		case 1:
			s.Start = times[i]
		case 2:
			s.Start = times[max(i-1, 0)]
		case 3:
			s.Start = times[max(i-3, 0)]
		}
		return s
	}
}

// growing is a counter of histograms: grow adds observations to it.
func growing(rnd *rand.Rand, grow func(h *histogram.FloatHistogram) *histogram.FloatHistogram) func(int) column.Sample {
	h := grow(nil)
	return func(int) column.Sample {
		if rnd.IntN(40) == 0 {
			h = nil
		}
		h = grow(h)
		out := h.Copy()
		if rnd.IntN(80) == 0 {
			out.Sum = math.NaN()
			out.Count += 3
		}
		return column.Sample{H: column.Histogram{Float: out}}
	}
}

func exponential(rnd *rand.Rand, schema int32) func(*histogram.FloatHistogram) *histogram.FloatHistogram {
	width := 1 + rnd.IntN(4)
	return func(h *histogram.FloatHistogram) *histogram.FloatHistogram {
		if h == nil {
			h = &histogram.FloatHistogram{
				Schema: schema, ZeroThreshold: 0.001,
				PositiveSpans: []histogram.Span{{Offset: int32(rnd.IntN(3)), Length: uint32(width)}, {Offset: 2, Length: 1}}, PositiveBuckets: make([]float64, width+1),
				NegativeSpans: []histogram.Span{{Offset: 1, Length: 2}}, NegativeBuckets: make([]float64, 2),
			}
			if rnd.IntN(2) == 0 {
				h.NegativeSpans, h.NegativeBuckets = nil, nil
			}
		}
		h = h.Copy()
		for i := range h.PositiveBuckets {
			n := float64(rnd.IntN(4))
			h.PositiveBuckets[i] += n
			h.Count += n
			h.Sum += n * 1.5
		}
		for i := range h.NegativeBuckets {
			n := float64(rnd.IntN(2))
			h.NegativeBuckets[i] += n
			h.Count += n
			h.Sum -= n
		}
		if rnd.IntN(3) == 0 {
			h.ZeroCount++
			h.Count++
		}
		return h
	}
}

func custom(rnd *rand.Rand, kind int) func(*histogram.FloatHistogram) *histogram.FloatHistogram {
	bounds := [][]float64{{1, 2, 5}, {1, 3, 5}, {-1, 0.5, 1, 2}}[kind]
	return func(h *histogram.FloatHistogram) *histogram.FloatHistogram {
		if h == nil {
			h = &histogram.FloatHistogram{
				Schema: histogram.CustomBucketsSchema, CustomValues: bounds,
				PositiveSpans: []histogram.Span{{Length: uint32(len(bounds) + 1)}}, PositiveBuckets: make([]float64, len(bounds)+1),
			}
		}
		h = h.Copy()
		for i := range h.PositiveBuckets {
			n := float64(rnd.IntN(4))
			h.PositiveBuckets[i] += n
			h.Count += n
			h.Sum += n
		}
		return h
	}
}

// standing is a gauge of histograms.
func standing(rnd *rand.Rand) func(int) column.Sample {
	grow := exponential(rnd, 0)
	return func(int) column.Sample {
		h := grow(nil)
		if rnd.IntN(20) > 0 {
			h.CounterResetHint = histogram.GaugeType
		}
		return column.Sample{H: column.Histogram{Float: h}}
	}
}

// storeHistograms loads series into upstream's storage.
func storeHistograms(tb testing.TB, all []storagetest.Series) *teststorage.TestStorage {
	tb.Helper()
	theirs := teststorage.New(tb, func(o *tsdb.Options) {
		o.EnableSTStorage, o.FloatChunkEncoding, o.EnableHistogramSTEncoding = true, chunkenc.EncXOR2, true
	})
	app := theirs.AppenderV2(context.Background())
	for _, s := range all {
		for _, x := range s.Samples {
			if _, err := app.Append(0, s.Labels, x.Start, x.T, x.V, nil, x.H.Float, upstream.AppendV2Options{}); err != nil {
				tb.Fatal(err)
			}
		}
	}
	if err := app.Commit(); err != nil {
		tb.Fatal(err)
	}
	return theirs
}

// differentHistograms compares two points' histograms. Upstream forgets that a
// histogram is no reset at the start of a chunk; ours looks.
func differentHistograms(got, want *histogram.FloatHistogram) bool {
	if (got == nil) != (want == nil) {
		return true
	}
	if got == nil {
		return false
	}
	if got.CounterResetHint == histogram.NotCounterReset && want.CounterResetHint == histogram.UnknownCounterReset {
		forgotten := *want
		forgotten.CounterResetHint = histogram.NotCounterReset
		want = &forgotten
	}
	if got.CounterResetHint == want.CounterResetHint && (got.Equals(want) || math.IsNaN(got.Sum) && got.String() == want.String()) {
		return false
	}
	if got.CounterResetHint != want.CounterResetHint || got.Schema != want.Schema || !same(got.Sum, want.Sum) || !same(got.Count, want.Count) || !same(got.ZeroCount, want.ZeroCount) {
		return true
	}
	a, b := got.AllBucketIterator(), want.AllBucketIterator()
	for b.Next() {
		if !a.Next() {
			return true
		}
		x, y := a.At(), b.At()
		if x.Lower != y.Lower || x.Upper != y.Upper || !same(x.Count, y.Count) {
			return true
		}
	}
	return a.Next()
}

func histogramsOf(s oracle.Series) map[int64]*histogram.FloatHistogram {
	out := make(map[int64]*histogram.FloatHistogram, len(s.Histograms))
	for _, p := range s.Histograms {
		out[p.T] = p.H
	}
	return out
}

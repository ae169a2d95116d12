package function_test

import (
	"errors"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/prometheus/prometheus/model/histogram"
	oracle "github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser/posrange"
	"github.com/prometheus/prometheus/util/annotations"

	"github.com/nilometer/nilometer/promql/function"
)

var (
	inf = math.Inf(+1)
	nan = math.NaN()
)

// exponentialOf is a histogram of schema 0 with at most one bucket a side, each
// next to 1: [-2,-1), the zero bucket up to 1, (1,2].
func exponentialOf(negative, zero, positive, count, sum float64) *histogram.FloatHistogram {
	h := &histogram.FloatHistogram{ZeroThreshold: 1, ZeroCount: zero, Count: count, Sum: sum}
	if negative != 0 {
		h.NegativeSpans, h.NegativeBuckets = []histogram.Span{{Offset: 1, Length: 1}}, []float64{negative}
	}
	if positive != 0 {
		h.PositiveSpans, h.PositiveBuckets = []histogram.Span{{Offset: 1, Length: 1}}, []float64{positive}
	}
	return h
}

func customOf(bounds, counts []float64, count, sum float64) *histogram.FloatHistogram {
	return &histogram.FloatHistogram{
		Schema: histogram.CustomBucketsSchema, CustomValues: bounds, Count: count, Sum: sum,
		PositiveSpans: []histogram.Span{{Length: uint32(len(counts))}}, PositiveBuckets: counts,
	}
}

func TestNativeQuantile(t *testing.T) {
	spread := customOf([]float64{10, 20}, []float64{1, 2, 1}, 4, 60)
	for name, c := range map[string]struct {
		q    float64
		h    *histogram.FloatHistogram
		want float64
		note function.NativeNote
	}{
		"empty":                        {0.5, exponentialOf(0, 0, 0, 0, 0), nan, function.NativeFine},
		"below 0, even of nothing":     {-1, exponentialOf(0, 0, 0, 0, 0), -inf, function.NativeFine},
		"above 1":                      {1.1, spread, inf, function.NativeFine},
		"of NaN":                       {nan, spread, nan, function.NativeFine},
		"logarithmic":                  {0.5, exponentialOf(0, 0, 4, 4, 6), math.Sqrt2, function.NativeFine},
		"logarithmic and negative":     {0.5, exponentialOf(4, 0, 0, 4, -6), -math.Sqrt2, function.NativeFine},
		"zero bucket":                  {0.5, exponentialOf(1, 2, 1, 4, 0), 0, function.NativeFine},
		"zero bucket begins at 0":      {0.25, exponentialOf(0, 2, 2, 4, 4), 0.5, function.NativeFine},
		"zero bucket ends at 0":        {0.75, exponentialOf(2, 2, 0, 4, -4), -0.5, function.NativeFine},
		"custom":                       {0.5, spread, 15, function.NativeFine},
		"custom, in the first":         {0.125, spread, 5, function.NativeFine},
		"custom, in the last":          {1, spread, 20, function.NativeFine},
		"custom, first is negative":    {0.1, customOf([]float64{-3, 7}, []float64{2, 2}, 4, 0), -3, function.NativeFine},
		"among the NaNs":               {0.9, exponentialOf(0, 0, 4, 5, nan), nan, function.NativeNaNResult},
		"below the NaNs":               {0.4, exponentialOf(0, 0, 4, 5, nan), math.Sqrt2, function.NativeNaNSkew},
		"sum of NaN, nothing is NaN":   {0.5, exponentialOf(0, 0, 4, 4, nan), math.Sqrt2, function.NativeFine},
		"count too high, nothing NaN":  {0, exponentialOf(0, 0, 4, 5, 6), 1, function.NativeFine},
		"count too high, from the top": {1, exponentialOf(0, 0, 4, 5, 6), 2, function.NativeFine},
	} {
		got, note := function.NativeQuantile(c.q, c.h)
		if !near(got, c.want) || note != c.note {
			t.Errorf("%s: %v, note %d; want %v, note %d", name, got, note, c.want, c.note)
		}
	}
}

func TestNativeFraction(t *testing.T) {
	spread := customOf([]float64{10, 20}, []float64{1, 2, 1}, 4, 60)
	for name, c := range map[string]struct {
		lower, upper float64
		h            *histogram.FloatHistogram
		want         float64
		note         function.NativeNote
	}{
		"empty":                   {0, 1, exponentialOf(0, 0, 0, 0, 0), nan, function.NativeFine},
		"from NaN":                {nan, 1, spread, nan, function.NativeFine},
		"to NaN":                  {1, nan, spread, nan, function.NativeFine},
		"nothing between":         {2, 2, spread, 0, function.NativeFine},
		"upside down":             {3, 2, spread, 0, function.NativeFine},
		"all":                     {-inf, inf, spread, 1, function.NativeFine},
		"custom":                  {-inf, 15, spread, 0.5, function.NativeFine},
		"custom, above the last":  {25, inf, spread, 0.25, function.NativeFine},
		"logarithmic":             {math.Sqrt2, 2, exponentialOf(0, 0, 4, 4, 6), 0.5, function.NativeFine},
		"zero bucket":             {-0.5, 0.5, exponentialOf(1, 2, 1, 4, 0), 0.25, function.NativeFine},
		"zero bucket begins at 0": {-inf, 0.5, exponentialOf(0, 2, 2, 4, 4), 0.25, function.NativeFine},
		"zero bucket ends at 0":   {-0.5, inf, exponentialOf(2, 2, 0, 4, -4), 0.25, function.NativeFine},
		"NaNs are in no range":    {-inf, inf, exponentialOf(0, 0, 4, 5, nan), 0.8, function.NativeFractionNaNs},
		"sum of NaN, none is NaN": {-inf, inf, exponentialOf(0, 0, 4, 4, nan), 1, function.NativeFine},
	} {
		got, note := function.NativeFraction(c.lower, c.upper, c.h)
		if !near(got, c.want) || note != c.note {
			t.Errorf("%s: %v, note %d; want %v, note %d", name, got, note, c.want, c.note)
		}
	}
}

func TestNativeVariance(t *testing.T) {
	for name, c := range map[string]struct {
		h    *histogram.FloatHistogram
		want float64
	}{
		"empty":              {exponentialOf(0, 0, 0, 0, 0), nan},
		"at the mean":        {customOf([]float64{10, 20}, []float64{0, 4}, 4, 60), 0},
		"custom":             {customOf([]float64{0, 10, 20}, []float64{0, 2, 2}, 4, 40), 25},
		"zero bucket is 0":   {exponentialOf(0, 4, 0, 4, 8), 4},
		"last custom bucket": {customOf([]float64{10}, []float64{0, 1}, 1, 15), inf},
		"NaN was observed":   {exponentialOf(0, 0, 4, 5, nan), nan},
	} {
		if got := function.NativeVariance(c.h); !near(got, c.want) {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}

// TestNativeAsUpstream: the same bits, and the same remarks, as upstream's
// functions of native histograms; and the histogram stays as it was.
func TestNativeAsUpstream(t *testing.T) {
	const seed, histograms = 20261123, 30_000
	rnd := rand.New(rand.NewPCG(seed, 1))
	stdvar, stddev := oracle.FunctionCalls["histogram_stdvar"], oracle.FunctionCalls["histogram_stddev"]
	seen := map[function.NativeNote]int{}
	numbers := 0
	for i := range histograms {
		h := randomNative(rnd)
		before := h.Copy()
		check := func(what string, got, want float64, note, wantNote function.NativeNote) {
			t.Helper()
			if !same(got, want) || note != wantNote {
				t.Fatalf("histogram %d of seed %d, schema %d, %v: %s is %v, note %d; want %v, note %d",
					i, seed, h.Schema, h, what, got, note, want, wantNote)
			}
			seen[note]++
			if !math.IsNaN(got) && !math.IsInf(got, 0) {
				numbers++
			}
		}
		for range 4 {
			q := randomQuantile(rnd)
			got, note := function.NativeQuantile(q, h)
			want, annos := oracle.HistogramQuantile(q, h, "h", posrange.PositionRange{})
			check("quantile", got, want, note, noteOf(t, annos))

			lower, upper := randomEdge(rnd, h), randomEdge(rnd, h)
			if lower > upper && rnd.IntN(8) > 0 {
				lower, upper = upper, lower
			}
			got, note = function.NativeFraction(lower, upper, h)
			want, annos = oracle.HistogramFraction(lower, upper, h, "h", posrange.PositionRange{})
			check("fraction", got, want, note, noteOf(t, annos))
		}
		variance := function.NativeVariance(h)
		for what, c := range map[string]struct {
			got  float64
			call oracle.FunctionCall
		}{
			"variance": {variance, stdvar}, "deviation": {math.Sqrt(variance), stddev},
		} {
			want, _ := c.call([]oracle.Vector{{{H: h}}}, nil, nil, &oracle.EvalNodeHelper{})
			check(what, c.got, want[0].F, function.NativeFine, function.NativeFine)
		}
		if !h.Equals(before) {
			t.Fatalf("histogram %d of seed %d was changed from %v to %v", i, seed, before, h)
		}
	}
	for _, note := range []function.NativeNote{
		function.NativeFine, function.NativeNaNResult, function.NativeNaNSkew, function.NativeFractionNaNs,
	} {
		if seen[note] < 1000 {
			t.Errorf("note %d was seen %d times: the histograms do not ask for it", note, seen[note])
		}
	}
	if numbers < 5*histograms {
		t.Errorf("%d of %d results are numbers: the histograms ask too little", numbers, 10*histograms)
	}
}

// same bits, where one NaN is as good as another.
func same(a, b float64) bool {
	return math.Float64bits(a) == math.Float64bits(b) || math.IsNaN(a) && math.IsNaN(b)
}

// near is for what a hand computes: logarithms leave the last bits open.
func near(got, want float64) bool {
	return same(got, want) || math.Abs(got-want) <= 1e-12
}

func noteOf(t *testing.T, annos annotations.Annotations) function.NativeNote {
	t.Helper()
	note := function.NativeFine
	for _, err := range annos.AsErrors() {
		switch {
		case note != function.NativeFine:
			t.Fatalf("more than one annotation: %v", annos)
		case errors.Is(err, annotations.NativeHistogramQuantileNaNResultInfo):
			note = function.NativeNaNResult
		case errors.Is(err, annotations.NativeHistogramQuantileNaNSkewInfo):
			note = function.NativeNaNSkew
		case errors.Is(err, annotations.NativeHistogramFractionNaNsInfo):
			note = function.NativeFractionNaNs
		default:
			t.Fatalf("an annotation without a note: %v", err)
		}
	}
	return note
}

// randomNative is any histogram that arithmetic may bring about: mostly a sound
// one, at times with negative, infinite or NaN counts.
func randomNative(rnd *rand.Rand) *histogram.FloatHistogram {
	h := &histogram.FloatHistogram{Schema: int32(rnd.IntN(13) - 4), Sum: rnd.NormFloat64() * 100}
	count := randomCount(rnd)
	if rnd.IntN(3) == 0 {
		h.Schema = histogram.CustomBucketsSchema
		at := float64(rnd.IntN(40) - 20)
		for range 1 + rnd.IntN(8) {
			h.CustomValues = append(h.CustomValues, at)
			at += 0.5 + float64(rnd.IntN(20))/2
		}
		h.PositiveSpans, h.PositiveBuckets = randomSpans(rnd, 0, len(h.CustomValues)+1, count)
	} else {
		// Around 1, around the zero threshold, or out where bounds are infinite.
		first := []int{rnd.IntN(30) - 15, -(20 << max(h.Schema, 0)), (1020 << max(h.Schema, 0)) >> max(-h.Schema, 0)}[min(rnd.IntN(12)/5, 2)]
		if rnd.IntN(4) > 0 {
			h.PositiveSpans, h.PositiveBuckets = randomSpans(rnd, first, 12, count)
		}
		if rnd.IntN(2) > 0 {
			h.NegativeSpans, h.NegativeBuckets = randomSpans(rnd, first, 12, count)
		}
		h.ZeroThreshold = []float64{0, 0x1p-128, 1e-6, 0.3, 1, 5}[rnd.IntN(6)]
		if rnd.IntN(2) > 0 {
			h.ZeroCount = count()
		}
	}
	for it := h.AllBucketIterator(); it.Next(); {
		h.Count += it.At().Count
	}
	switch rnd.IntN(8) {
	case 0, 1: // NaNs were observed
		h.Sum = nan
		h.Count += float64(1 + rnd.IntN(20))
	case 2: // both infinities were
		h.Sum = nan
	case 3: // rounding
		h.Count *= 1 + (rnd.Float64()-0.5)*1e-14
	case 4: // scrapes that do not fit together
		h.Count += rnd.NormFloat64() * 5
	}
	return h
}

// randomCount returns what makes a histogram's counts.
func randomCount(rnd *rand.Rand) func() float64 {
	whole := func() float64 { return float64(rnd.IntN(12)) }
	switch rnd.IntN(12) {
	case 0, 1, 2: // a rate's
		return func() float64 { return rnd.ExpFloat64() / 3 }
	case 3: // a difference's
		return func() float64 { return float64(rnd.IntN(16) - 4) }
	case 4: // of a multiplication with anything
		return func() float64 { return []float64{0, 1, 3, -2, 1e308, inf, -inf, nan}[rnd.IntN(8)] }
	case 5: // nothing
		return func() float64 { return 0 }
	}
	return whole
}

// randomSpans fills some of the indexes from first to first+n, in spans.
func randomSpans(rnd *rand.Rand, first, n int, count func() float64) ([]histogram.Span, []float64) {
	var spans []histogram.Span
	var counts []float64
	next := 0 // the index after the last span
	for i := first; i < first+n; i++ {
		if rnd.IntN(3) == 0 {
			continue
		}
		if len(spans) == 0 || i != next {
			spans = append(spans, histogram.Span{Offset: int32(i - next)})
		}
		spans[len(spans)-1].Length++
		counts = append(counts, count())
		next = i + 1
	}
	return spans, counts
}

func randomQuantile(rnd *rand.Rand) float64 {
	if rnd.IntN(4) == 0 {
		return []float64{0, 0.5, 1, math.Nextafter(0.5, 0), -0.1, 1.1, nan, -inf, inf}[rnd.IntN(9)]
	}
	return rnd.Float64()
}

// randomEdge is a bound of a range: a bucket's, one inside of a bucket, or any.
func randomEdge(rnd *rand.Rand, h *histogram.FloatHistogram) float64 {
	var bounds []float64
	for it := h.AllBucketIterator(); it.Next(); {
		bounds = append(bounds, it.At().Lower, it.At().Upper)
	}
	switch k := rnd.IntN(10); {
	case k < 3 && len(bounds) > 0:
		return bounds[rnd.IntN(len(bounds))]
	case k < 7 && len(bounds) > 0:
		i := rnd.IntN(len(bounds)/2) * 2
		return bounds[i] + (bounds[i+1]-bounds[i])*rnd.Float64()
	case k < 9:
		return rnd.NormFloat64() * 20
	}
	return []float64{0, -inf, inf, nan}[rnd.IntN(4)]
}

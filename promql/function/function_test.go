package function_test

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/nilometer/nilometer/promql/function"
)

func TestAddEachHasTheBitsOfAdd(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		var sum, c float64 = math.Copysign(0, -1), 0
		sums, cs := []float64{sum}, []float64{c}
		for range 100 {
			x := rnd.NormFloat64() * math.Pow(10, float64(rnd.IntN(40)-20))
			sum, c = function.Add(x, sum, c)
			function.AddEach(sums, cs, []float64{x})
			if math.Float64bits(sum) != math.Float64bits(sums[0]) || math.Float64bits(c) != math.Float64bits(cs[0]) {
				t.Fatalf("after %v: %v %v, want %v %v", x, sums[0], cs[0], sum, c)
			}
		}
	}
}

func TestTotalOfInfiniteSums(t *testing.T) {
	for _, c := range []struct {
		x    []float64
		want float64
	}{
		{[]float64{1, math.Inf(1), 2}, math.Inf(1)},
		{[]float64{math.MaxFloat64, math.MaxFloat64, -math.MaxFloat64}, math.Inf(1)},
		{[]float64{math.Inf(1), math.Inf(-1)}, math.NaN()},
		{[]float64{1e100, 1, -1e100}, 1},
	} {
		sum, corr := []float64{math.Copysign(0, -1)}, []float64{0}
		for _, x := range c.x {
			function.AddEach(sum, corr, []float64{x})
		}
		if got := function.Total(sum[0], corr[0]); got != c.want && !(math.IsNaN(got) && math.IsNaN(c.want)) {
			t.Errorf("%v add up to %v, want %v", c.x, got, c.want)
		}
	}
}

// TestKernelsInPieces: a kernel gives the same for all steps at once and in
// pieces of any length.
func TestKernelsInPieces(t *testing.T) {
	rnd := rand.New(rand.NewPCG(3, 4))
	s := function.Samples{}
	at, n := int64(0), 0.0
	for range 400 {
		at += 1000 + rnd.Int64N(20_000)
		if n += float64(rnd.IntN(5)); rnd.IntN(50) == 0 {
			n = 0
		}
		s.T, s.V = append(s.T, at), append(s.V, n)
	}
	for i := 1; i < len(s.V); i++ {
		if s.V[i] < s.V[i-1] {
			s.Resets = append(s.Resets, int32(i))
		}
	}
	w := function.Windows{Grid: function.NewGrid(-50_000, at+50_000, 7_000), RangeMs: 60_000}
	w.Reference = w.Grid.At
	w.Locate(s.T)
	params := [][]float64{make([]float64, w.Grid.Steps), make([]float64, w.Grid.Steps)}
	for i := range w.Grid.Steps {
		params[0][i], params[1][i] = 0.3, 0.7
	}
	for _, name := range []string{
		"rate", "increase", "delta", "irate", "idelta", "deriv", "predict_linear", "double_exponential_smoothing", "resets", "changes",
		"sum_over_time", "avg_over_time", "min_over_time", "max_over_time", "ts_of_min_over_time", "ts_of_max_over_time", "stddev_over_time",
		"stdvar_over_time", "count_over_time", "present_over_time", "first_over_time", "last_over_time", "ts_of_first_over_time",
		"ts_of_last_over_time", "quantile_over_time", "mad_over_time",
	} {
		f, ok := function.Range(name)
		if !ok {
			t.Errorf("no function %s", name)
			continue
		}
		if f.Prepare != nil {
			f.Prepare(&w)
		}
		var sc function.Scratch
		whole := make([]float64, w.Grid.Steps)
		f.Kernel(whole, &s, &w, params, &sc, 0, w.Grid.Steps)
		for from := 0; from < w.Grid.Steps; {
			to := min(from+1+rnd.IntN(60), w.Grid.Steps)
			piece := make([]float64, to-from)
			f.Kernel(piece, &s, &w, params, &sc, from, to)
			for i, v := range piece {
				if math.Float64bits(v) != math.Float64bits(whole[from+i]) {
					t.Fatalf("%s, step %d: %v in a piece from %d, %v at once", name, from+i, v, from, whole[from+i])
				}
			}
			from = to
		}
	}
}

func TestBucketQuantile(t *testing.T) {
	inf := math.Inf(1)
	for _, c := range []struct {
		name    string
		q       float64
		buckets []function.Bucket
		want    float64
		forced  bool
	}{
		{"middle", 0.5, []function.Bucket{{1, 10}, {2, 20}, {inf, 20}}, 1, false},
		{"unsorted", 0.75, []function.Bucket{{inf, 20}, {2, 20}, {1, 10}}, 1.5, false},
		{"no infinite bucket", 0.5, []function.Bucket{{1, 10}, {2, 20}}, math.NaN(), false},
		{"one bucket", 0.5, []function.Bucket{{inf, 20}}, math.NaN(), false},
		{"empty", 0.5, []function.Bucket{{1, 0}, {inf, 0}}, math.NaN(), false},
		{"last bucket", 0.99, []function.Bucket{{1, 1}, {2, 1}, {inf, 100}}, 2, false},
		{"negative bound", 0.1, []function.Bucket{{-1, 50}, {inf, 100}}, -1, false},
		{"falling counts", 0.5, []function.Bucket{{1, 10}, {2, 5}, {inf, 20}}, 1, true},
		{"same bounds", 0.5, []function.Bucket{{1, 5}, {1, 5}, {2, 20}, {inf, 20}}, 1, false},
	} {
		got, forced := function.BucketQuantile(c.q, c.buckets)
		if (got != c.want && !(math.IsNaN(got) && math.IsNaN(c.want))) || forced.Any != c.forced {
			t.Errorf("%s: %v, forced %v; want %v, %v", c.name, got, forced, c.want, c.forced)
		}
	}
}

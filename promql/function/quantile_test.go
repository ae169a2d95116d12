package function_test

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/nilometer/nilometer/promql/function"
)

// sortedQuantile is Quantile by its definition.
func sortedQuantile(q float64, values []float64) float64 {
	v := slices.Clone(values)
	slices.Sort(v)
	rank := q * float64(len(v)-1)
	lower := int(math.Floor(rank))
	weight := rank - math.Floor(rank)
	return float64(v[lower]*(1-weight)) + float64(v[min(lower+1, len(v)-1)]*weight)
}

// TestQuantile: whatever order values come in, and however many are equal, the
// quantile is that of the sorted ones.
func TestQuantile(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	orders := map[string]func(i, n int) float64{
		"random":     func(int, int) float64 { return rng.NormFloat64() },
		"few values": func(int, int) float64 { return float64(rng.IntN(3)) },
		"equal":      func(int, int) float64 { return 7 },
		"rising":     func(i, _ int) float64 { return float64(i) },
		"falling":    func(i, _ int) float64 { return float64(-i) },
		"up and down": func(i, n int) float64 {
			return float64(min(i, n-i))
		},
		"sawtooth": func(i, _ int) float64 { return float64(i % 17) },
		"infinite": func(i, _ int) float64 { return []float64{math.Inf(1), 1, math.Inf(-1)}[rng.IntN(3)] },
		"no number": func(i, _ int) float64 {
			if rng.IntN(5) == 0 {
				return math.NaN()
			}
			return float64(i)
		},
	}
	for name, next := range orders {
		for _, n := range []int{1, 2, 3, 5, 12, 13, 14, 50, 240, 1000, 5000} {
			values := make([]float64, n)
			for i := range values {
				values[i] = next(i, n)
			}
			for _, q := range []float64{0, 0.01, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.999, 1, rng.Float64()} {
				want := sortedQuantile(q, values)
				if got := function.Quantile(q, slices.Clone(values)); got != want && !(math.IsNaN(got) && math.IsNaN(want)) {
					t.Errorf("%s, %d values, q %v: %v, want %v", name, n, q, got, want)
				}
			}
		}
	}
	for q, want := range map[float64]float64{-0.1: math.Inf(-1), 1.1: math.Inf(1)} {
		if got := function.Quantile(q, []float64{1, 2}); got != want {
			t.Errorf("q %v: %v, want %v", q, got, want)
		}
	}
	for _, v := range []float64{function.Quantile(0.5, nil), function.Quantile(math.NaN(), []float64{1})} {
		if !math.IsNaN(v) {
			t.Errorf("%v, want NaN", v)
		}
	}
}

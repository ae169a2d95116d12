package function

import (
	"math"
	"slices"
)

// Quantile sorts values and returns the q-quantile, interpolated linearly
// between two of them. It is NaN for no values or q = NaN, -Inf for q < 0,
// +Inf for q > 1. NaN sorts first.
func Quantile(q float64, values []float64) float64 {
	switch {
	case len(values) == 0 || math.IsNaN(q):
		return math.NaN()
	case q < 0:
		return math.Inf(-1)
	case q > 1:
		return math.Inf(+1)
	}
	slices.Sort(values)
	n := float64(len(values))
	rank := q * (n - 1)
	lower := math.Max(0, math.Floor(rank))
	upper := math.Min(n-1, lower+1)
	weight := rank - math.Floor(rank)
	return float64(values[int(lower)]*(1-weight)) + float64(values[int(upper)]*weight)
}

package function

import (
	"math"
	"math/bits"
	"slices"
)

// Quantile puts values into another order and returns the q-quantile, interpolated linearly
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
	n := float64(len(values))
	rank := q * (n - 1)
	lower := math.Max(0, math.Floor(rank))
	upper := math.Min(n-1, lower+1)
	weight := rank - math.Floor(rank)
	at, above := neighbours(values, int(lower))
	if upper == lower {
		above = at
	}
	return float64(at*(1-weight)) + float64(above*weight)
}

// neighbours returns what is at k and behind it when values are sorted, NaN first;
// of the last one, itself. It sorts no more than it has to; with a NaN, that is the
// first afterwards.
func neighbours(values []float64, k int) (at, above float64) {
	if slices.ContainsFunc(values, func(x float64) bool { return x != x }) {
		slices.Sort(values)
		return values[k], values[min(k+1, len(values)-1)]
	}
	// What is sought lies in [from, to); what is before is not larger, what is behind
	// not smaller.
	from, to := 0, len(values)
	rest := 2 * bits.Len(uint(len(values))) // an order that halves badly is sorted in the end
	for ; to-from > sortedMax && rest > 0; rest-- {
		if i := from + partition(values[from:to]); k < i {
			to = i
		} else {
			from = i
		}
	}
	slices.Sort(values[from:to])
	at, above = values[k], math.Inf(+1)
	for _, x := range values[k+1:] {
		if x < above {
			above = x
		}
	}
	if k+1 == len(values) {
		above = at
	}
	return at, above
}

// sortedMax is how many values are sorted at once.
const sortedMax = 12

// partition parts values, more than two, into those before a place, not larger
// than those from it on; both are not empty.
func partition(v []float64) int {
	a, b, c := v[0], v[len(v)/2], v[len(v)-1]
	pivot := max(min(a, b), min(max(a, b), c))
	i, j := 0, len(v)-1
	for {
		for v[i] < pivot {
			i++
		}
		for v[j] > pivot {
			j--
		}
		if i >= j {
			return max(i, 1)
		}
		v[i], v[j] = v[j], v[i]
		i++
		j--
	}
}

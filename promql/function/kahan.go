package function

import (
	"math"

	"github.com/nilometer/nilometer/model/simd"
)

// Add is one step of Neumaier's compensated summation: it adds x to the sum
// with the correction c. (A. Neumaier, "Rundungsfehleranalyse einiger
// Verfahren zur Summation endlicher Summen", 1974.) A sum that became infinite
// has no correction.
func Add(x, sum, c float64) (newSum, newC float64) {
	x, sum, c = float64(x), float64(sum), float64(c)
	t := sum + x
	switch {
	case math.IsInf(t, 0):
		c = 0
	case math.Abs(sum) >= math.Abs(x):
		c += (sum - t) + x
	default:
		c += (x - t) + sum
	}
	return t, c
}

// AddEach adds x[i] to sum[i] with the correction c[i], without a branch: the
// error term of Knuth's TwoSum is the one that Add finds, as long as the sum is
// finite. Once it is not, c means nothing: see Total.
func AddEach(sum, c, x []float64) { simd.AddEach(sum, c, x) }

// addAll adds v to a sum with the correction c, one after another, as Add does
// and without its branches. Once the sum is not finite, neither means anything:
// finite tells.
func addAll(v []float64, sum, c float64) (newSum, newC float64) {
	for _, x := range v {
		t := sum + x
		b := t - sum
		c += (sum - (t - b)) + (x - b)
		sum = t
	}
	return sum, c
}

// addOne is one step of addAll.
func addOne(x, sum, c float64) (newSum, newC float64) {
	t := sum + x
	b := t - sum
	return t, c + ((sum - (t - b)) + (x - b))
}

// finite: neither infinite nor NaN.
func finite(v float64) bool { return v-v == 0 }

// Total is what a compensated sum amounts to. A sum that left the finite
// numbers stays outside, and its correction is left out.
func Total(sum, c float64) float64 {
	if math.IsInf(sum, 0) || math.IsNaN(sum) {
		return sum
	}
	return sum + c
}

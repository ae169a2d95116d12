package function

import "math"

// variances is the kernel of stdvar_over_time; then is applied to each. Every
// sample of a window waits for the one before it, for some fifty cycles; so four
// windows are gone through side by side.
func variances(then func(float64) float64) kernel {
	return func(dst []float64, s *Samples, w *Windows, _ [][]float64, _ *Scratch, from, to int) {
		i := from
		for ; i+4 <= to; i += 4 {
			four := [4][]float64{s.V[w.Lo[i]:w.Hi[i]], s.V[w.Lo[i+1]:w.Hi[i+1]], s.V[w.Lo[i+2]:w.Hi[i+2]], s.V[w.Lo[i+3]:w.Hi[i+3]]}
			got := variance4(&four)
			for k, v := range got {
				dst[i+k-from] = then(v)
			}
		}
		for ; i < to; i++ {
			var m moments
			dst[i-from] = then(m.variance(s.V[w.Lo[i]:w.Hi[i]]))
		}
	}
}

// moments are Welford's sums: the mean of n values and the sum of the squares of
// their distances from it, each with its correction.
type moments struct{ n, mu, cMu, sum, c float64 }

// variance returns the population variance of v, of which m has seen the first n
// values; 0 of none.
func (m *moments) variance(v []float64) float64 {
	if len(v) == 0 {
		return 0
	}
	for _, x := range v[int(m.n):] {
		m.n++
		m.mu, m.cMu, m.sum, m.c = moment(x, m.n, m.mu, m.cMu, m.sum, m.c)
	}
	if finite(m.mu) && finite(m.sum) {
		return (m.sum + m.c) / m.n
	}
	return carefulVariance(v)
}

// moment adds the n-th value.
func moment(x, n, mu, cMu, sum, c float64) (newMu, newCMu, newSum, newC float64) {
	delta := x - (mu + cMu)
	mu, cMu = addOne(delta/n, mu, cMu)
	sum, c = addOne(float64(delta*(x-(mu+cMu))), sum, c)
	return mu, cMu, sum, c
}

// variance4 is moments.variance of four windows.
func variance4(v *[4][]float64) (out [4]float64) {
	short := min(len(v[0]), len(v[1]), len(v[2]), len(v[3]))
	v0, v1, v2, v3 := v[0][:short], v[1][:short], v[2][:short], v[3][:short]
	var a, b, c, d moments
	n := 0.0
	for i, x := range v0 {
		n++
		a.mu, a.cMu, a.sum, a.c = moment(x, n, a.mu, a.cMu, a.sum, a.c)
		b.mu, b.cMu, b.sum, b.c = moment(v1[i], n, b.mu, b.cMu, b.sum, b.c)
		c.mu, c.cMu, c.sum, c.c = moment(v2[i], n, c.mu, c.cMu, c.sum, c.c)
		d.mu, d.cMu, d.sum, d.c = moment(v3[i], n, d.mu, d.cMu, d.sum, d.c)
	}
	for k, m := range []*moments{&a, &b, &c, &d} {
		m.n = n
		out[k] = m.variance(v[k])
	}
	return out
}

// deviation is the standard deviation of a variance.
func deviation(variance float64) float64 { return math.Sqrt(variance) }

func itself(v float64) float64 { return v }

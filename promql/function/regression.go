package function

import (
	"fmt"
	"math"
)

// regression fits a line through the samples by least squares. It returns the
// slope per second and the value at intercept (ms).
func regression(t []int64, v []float64, intercept int64) (slope, value float64) {
	var sumX, cX, sumY, cY, sumXY, cXY, sumX2, cX2 float64
	first, differs := v[0], false
	for i, y := range v {
		differs = differs || y != first
		x := float64(t[i]-intercept) / 1e3
		sumX, cX = addOne(x, sumX, cX)
		sumY, cY = addOne(y, sumY, cY)
		sumXY, cXY = addOne(float64(x*y), sumXY, cXY)
		sumX2, cX2 = addOne(float64(x*x), sumX2, cX2)
	}
	if !differs || !finite(sumY) || !finite(sumXY) {
		return carefulRegression(t, v, intercept)
	}
	return line(float64(len(v)), sumX+cX, sumY+cY, sumXY+cXY, sumX2+cX2)
}

// line is what the sums of a regression over n samples amount to.
func line(n, sumX, sumY, sumXY, sumX2 float64) (slope, value float64) {
	covariance := sumXY - float64(sumX*sumY)/n
	slope = covariance / (sumX2 - float64(sumX*sumX)/n)
	return slope, sumY/n - float64(slope*sumX)/n
}

// carefulRegression is regression of what is constant, or not finite.
func carefulRegression(t []int64, v []float64, intercept int64) (slope, value float64) {
	var n, sumX, cX, sumY, cY, sumXY, cXY, sumX2, cX2 float64
	constant := true
	for i, y := range v {
		if y != v[0] && i > 0 {
			constant = false
		}
		n++
		x := float64(t[i]-intercept) / 1e3
		sumX, cX = Add(x, sumX, cX)
		sumY, cY = Add(y, sumY, cY)
		sumXY, cXY = Add(x*y, sumXY, cXY)
		sumX2, cX2 = Add(x*x, sumX2, cX2)
	}
	if constant {
		if math.IsInf(v[0], 0) {
			return math.NaN(), math.NaN()
		}
		return 0, v[0]
	}
	return line(n, sumX+cX, sumY+cY, sumXY+cXY, sumX2+cX2)
}

func derivative(dst []float64, s *Samples, w *Windows, _ [][]float64, _ *Scratch, from, to int) {
	for i := from; i < to; i++ {
		dst[i-from] = 0
		if lo, hi := w.Lo[i], w.Hi[i]; hi-lo >= 2 {
			// The first sample's time is near the others: small numbers lose less.
			dst[i-from], _ = regression(s.T[lo:hi], s.V[lo:hi], s.T[lo])
		}
	}
}

func predictLinear(dst []float64, s *Samples, w *Windows, params [][]float64, _ *Scratch, from, to int) {
	for i := from; i < to; i++ {
		dst[i-from] = 0
		if lo, hi := w.Lo[i], w.Hi[i]; hi-lo >= 2 {
			slope, value := regression(s.T[lo:hi], s.V[lo:hi], w.Grid.At(i))
			dst[i-from] = float64(slope*params[0][i]) + value
		}
	}
}

// smooth is Holt's double exponential smoothing: level and trend.
func smooth(dst []float64, s *Samples, w *Windows, params [][]float64, _ *Scratch, from, to int) {
	for i := from; i < to; i++ {
		dst[i-from] = 0
		if lo, hi := w.Lo[i], w.Hi[i]; hi-lo >= 2 {
			dst[i-from] = smoothed(s.V[lo:hi], params[0][i], params[1][i])
		}
	}
}

func smoothed(v []float64, level, trend float64) float64 {
	var before float64
	now, slope := v[0], v[1]-v[0]
	for i, x := range v[1:] {
		if i > 0 {
			slope = float64(trend*(now-before)) + float64((1-trend)*slope)
		}
		before, now = now, float64(level*x)+float64((1-level)*(now+slope))
	}
	return now
}

func checkSmooth(params [][]float64, step int) error {
	if sf := params[0][step]; sf <= 0 || sf >= 1 {
		return fmt.Errorf("invalid smoothing factor. Expected: 0 < sf < 1, got: %f", sf)
	}
	if tf := params[1][step]; tf <= 0 || tf >= 1 {
		return fmt.Errorf("invalid trend factor. Expected: 0 < tf < 1, got: %f", tf)
	}
	return nil
}

package function

import (
	"math"

	"github.com/prometheus/prometheus/model/histogram"
)

// NativeNote is what upstream remarks about a number that was taken from a
// native histogram. Each but NativeFine stands for one info annotation.
type NativeNote uint8

// The notes.
const (
	// NativeFine: nothing.
	NativeFine NativeNote = iota
	// NativeNaNResult: the quantile lies among observations that are NaN
	// (NativeHistogramQuantileNaNResultInfo).
	NativeNaNResult
	// NativeNaNSkew: observations that are NaN push the quantile up
	// (NativeHistogramQuantileNaNSkewInfo).
	NativeNaNSkew
	// NativeFractionNaNs: observations that are NaN are in no range
	// (NativeHistogramFractionNaNsInfo).
	NativeFractionNaNs
)

// NativeQuantile estimates the q-quantile of a native histogram's
// observations, as histogram_quantile does: linearly inside of custom buckets
// and of the zero bucket, else on a logarithmic scale. It is NaN for an empty
// histogram and for q of NaN, and infinite for q outside of 0 to 1.
func NativeQuantile(q float64, h *histogram.FloatHistogram) (float64, NativeNote) {
	switch {
	case q < 0:
		return math.Inf(-1), NativeFine
	case q > 1:
		return math.Inf(+1), NativeFine
	case h.Count == 0 || math.IsNaN(q):
		return math.NaN(), NativeFine
	}
	// From the nearer end; but observations that are NaN are in no bucket, so
	// that with them only the way from below counts right.
	upwards := math.IsNaN(h.Sum) || q < 0.5
	rank := (1 - q) * h.Count
	it := h.AllReverseBucketIterator()
	if upwards {
		rank, it = q*h.Count, h.AllBucketIterator()
	}
	var b histogram.Bucket[float64]
	seen := 0.0
	for it.Next() {
		b = it.At()
		if b.Count == 0 {
			continue
		}
		if seen += b.Count; seen >= rank {
			break
		}
	}
	custom := h.UsesCustomBuckets()
	switch {
	case custom && math.IsInf(b.Lower, -1):
		if b.Upper <= 0 {
			return b.Upper, NativeFine
		}
		b.Lower = 0
	case custom && math.IsInf(b.Upper, +1):
		return b.Lower, NativeFine
	case !custom && b.Lower < 0 && b.Upper > 0:
		oneSided(h, &b)
	}
	seen = min(seen, h.Count) // rounding may have carried it above
	if seen < rank {
		if math.IsNaN(h.Sum) {
			return math.NaN(), NativeNaNResult
		}
		return b.Upper, NativeFine
	}
	into := seen - rank
	if upwards {
		into = rank - (seen - b.Count)
	}
	note := NativeFine
	if math.IsNaN(h.Sum) && countRest(it, seen, &b) < h.Count {
		note = NativeNaNSkew
	}
	share := into / b.Count
	if custom || b.Lower <= 0 && b.Upper >= 0 {
		return b.Lower + (b.Upper-b.Lower)*share, note
	}
	lower, upper := math.Log2(math.Abs(b.Lower)), math.Log2(math.Abs(b.Upper))
	if b.Lower > 0 {
		return math.Exp2(lower + (upper-lower)*share), note
	}
	return -math.Exp2(upper + (lower-upper)*(1-share)), note
}

// countRest adds the buckets that are left to n. Like upstream it leaves the
// last of them in b.
func countRest(it histogram.BucketIterator[float64], n float64, b *histogram.Bucket[float64]) float64 {
	for it.Next() {
		*b = it.At()
		n += b.Count
	}
	return n
}

// oneSided cuts the zero bucket at 0 where all other buckets are on one side of
// it.
func oneSided(h *histogram.FloatHistogram, b *histogram.Bucket[float64]) {
	negative, positive := len(h.NegativeBuckets) > 0, len(h.PositiveBuckets) > 0
	switch {
	case positive && !negative:
		b.Lower = 0
	case negative && !positive:
		b.Upper = 0
	}
}

// NativeFraction estimates which fraction of a native histogram's observations
// lies between lower and upper, as histogram_fraction does. It is NaN for an
// empty histogram and for a bound that is NaN.
func NativeFraction(lower, upper float64, h *histogram.FloatHistogram) (float64, NativeNote) {
	switch {
	case h.Count == 0 || math.IsNaN(lower) || math.IsNaN(upper):
		return math.NaN(), NativeFine
	case lower >= upper:
		return 0, NativeFine
	}
	from, to := edge{at: lower}, edge{at: upper}
	below, seen := 0.0, 0.0 // observations below this bucket, and with it
	it := h.AllBucketIterator()
	for it.Next() {
		b := it.At()
		seen += b.Count
		zero := b.Lower <= 0 && b.Upper >= 0
		if zero {
			oneSided(h, &b)
		}
		linear := zero || h.UsesCustomBuckets()
		from.meet(&b, below, linear)
		to.meet(&b, below, linear)
		if from.found && to.found {
			break
		}
		below += b.Count
	}
	note, count := NativeFine, h.Count
	if math.IsNaN(h.Sum) {
		var b histogram.Bucket[float64]
		if count = countRest(it, seen, &b); count < h.Count {
			note = NativeFractionNaNs
		}
	}
	return (to.within(count) - from.within(count)) / h.Count, note
}

// edge is a bound of a range, and how many observations are below it.
type edge struct {
	at, rank float64
	found    bool
}

// meet looks at the next bucket, above below observations.
func (e *edge) meet(b *histogram.Bucket[float64], below float64, linear bool) {
	switch {
	case e.found:
	case b.Lower >= e.at:
		e.rank, e.found = below, true
	case b.Lower < e.at && b.Upper > e.at:
		e.found = true
		if linear && math.IsInf(b.Lower, -1) {
			// Nothing can be interpolated: the bucket counts whole.
			e.rank = b.Count
			return
		}
		e.rank = below + b.Count*b.FractionBelow(e.at, linear)
	}
}

// within is the rank, at most count.
func (e *edge) within(count float64) float64 {
	if !e.found || e.rank > count {
		return count
	}
	return e.rank
}

// NativeVariance estimates the variance of a native histogram's observations:
// each is taken for its bucket's middle, the geometric one of exponential
// buckets.
func NativeVariance(h *histogram.FloatHistogram) float64 {
	mean := h.Sum / h.Count
	var sum, c float64
	for it := h.AllBucketIterator(); it.Next(); {
		b := it.At()
		if b.Count == 0 {
			continue
		}
		delta := middle(h, b) - mean
		sum, c = Add(b.Count*delta*delta, sum, c)
	}
	return (sum + c) / h.Count
}

func middle(h *histogram.FloatHistogram, b histogram.Bucket[float64]) float64 {
	switch {
	case h.UsesCustomBuckets():
		return (b.Upper + b.Lower) / 2
	case b.Lower <= 0 && b.Upper >= 0:
		return 0
	case b.Upper < 0:
		return -math.Sqrt(b.Upper * b.Lower)
	}
	return math.Sqrt(b.Upper * b.Lower)
}

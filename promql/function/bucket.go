package function

import (
	"cmp"
	"math"
	"slices"
	"sort"

	"github.com/prometheus/prometheus/util/almost"
)

// Bucket is one bucket of a classic histogram: how many observations were at
// most UpperBound.
type Bucket struct {
	UpperBound float64
	Count      float64
}

// Forced says where counts of buckets fell with a rising bound and were
// raised, beyond rounding: between the bounds Min and Max, by at most Diff.
type Forced struct {
	Any            bool
	Min, Max, Diff float64
}

// deltaTolerance is the relative difference of two neighbouring counts below
// which it is taken for rounding: 1e12 observations in a bucket would be needed
// to make one of them disappear.
const deltaTolerance = 1e-12

// BucketQuantile returns the q-quantile of a classic histogram, interpolated
// linearly within a bucket. It reorders and changes buckets, of which there
// must be one.
func BucketQuantile(q float64, buckets []Bucket) (float64, Forced) {
	switch {
	case math.IsNaN(q):
		return math.NaN(), Forced{}
	case q < 0:
		return math.Inf(-1), Forced{}
	case q > 1:
		return math.Inf(+1), Forced{}
	}
	buckets, ok := prepareBuckets(buckets)
	if !ok {
		return math.NaN(), Forced{}
	}
	forced := makeMonotonic(buckets)
	last := len(buckets) - 1
	if last < 1 || buckets[last].Count == 0 {
		return math.NaN(), forced
	}
	rank := q * buckets[last].Count
	b := sort.Search(last, func(i int) bool { return buckets[i].Count >= rank })
	switch {
	case b == last:
		return buckets[last-1].UpperBound, forced
	case b == 0 && buckets[0].UpperBound <= 0:
		return buckets[0].UpperBound, forced
	}
	start, end, count := 0.0, buckets[b].UpperBound, buckets[b].Count
	if b > 0 {
		start = buckets[b-1].UpperBound
		count -= buckets[b-1].Count
		rank -= buckets[b-1].Count
	}
	return start + float64((end-start)*(rank/count)), forced
}

// prepareBuckets sorts buckets and merges those of one bound. It reports false
// when the highest bound is not +Inf.
func prepareBuckets(buckets []Bucket) ([]Bucket, bool) {
	slices.SortFunc(buckets, func(a, b Bucket) int { return cmp.Compare(a.UpperBound, b.UpperBound) })
	if !math.IsInf(buckets[len(buckets)-1].UpperBound, +1) {
		return nil, false
	}
	kept := buckets[:1]
	for _, b := range buckets[1:] {
		if last := &kept[len(kept)-1]; last.UpperBound == b.UpperBound {
			last.Count += b.Count
			continue
		}
		kept = append(kept, b)
	}
	return kept, true
}

// makeMonotonic raises counts that are smaller than the one before. What can be
// rounding is evened out in both directions, without saying so.
func makeMonotonic(buckets []Bucket) Forced {
	f := Forced{Min: math.Inf(+1), Max: math.Inf(-1)}
	before := buckets[0].Count
	for i := 1; i < len(buckets); i++ {
		b := &buckets[i]
		switch {
		case b.Count == before:
		case almost.Equal(before, b.Count, deltaTolerance):
			b.Count = before
		case b.Count < before:
			f.Any = true
			f.Min = min(f.Min, b.UpperBound)
			f.Max = max(f.Max, b.UpperBound)
			if d := before - b.Count; d > f.Diff {
				f.Diff = d
			}
			b.Count = before
		default:
			before = b.Count
		}
	}
	return f
}

// BucketFraction returns the fraction of a classic histogram's observations
// between lower and upper, interpolated linearly within a bucket. It reorders
// buckets, of which there must be one.
func BucketFraction(lower, upper float64, buckets []Bucket) float64 {
	buckets, ok := prepareBuckets(buckets)
	if !ok {
		return math.NaN()
	}
	count := buckets[len(buckets)-1].Count
	switch {
	case count == 0 || math.IsNaN(lower) || math.IsNaN(upper):
		return math.NaN()
	case lower >= upper:
		return 0
	}
	lowerRank, upperRank := bucketRank(lower, buckets), bucketRank(upper, buckets)
	return (upperRank - lowerRank) / count
}

// bucketRank returns how many observations are below v, at most the total.
func bucketRank(v float64, buckets []Bucket) float64 {
	total := buckets[len(buckets)-1].Count
	start, rank := 0.0, 0.0
	if buckets[0].UpperBound <= 0 {
		start = math.Inf(-1)
	}
	for i, b := range buckets {
		if i > 0 {
			start = buckets[i-1].UpperBound
		}
		if start >= v {
			return atMost(rank, total)
		}
		if b.UpperBound > v {
			if math.IsInf(start, -1) {
				return atMost(b.Count, total)
			}
			return atMost(rank+float64((b.Count-rank)*(v-start))/(b.UpperBound-start), total)
		}
		rank = b.Count
	}
	return total
}

// atMost returns v, or total when v is larger; a NaN stays.
func atMost(v, total float64) float64 {
	if v > total {
		return total
	}
	return v
}

package load

import "math"

// kind is what an item measures.
type kind uint8

const (
	kindCounter   kind = iota // events, bytes: integers
	kindSeconds               // CPU seconds: hundredths
	kindHistogram             // buckets, _sum and _count
	kindBytes                 // memory: multiples of 4096
	kindPercent               // hundredths
	kindRatio                 // all bits of the mantissa in use
	kindInfo                  // 1
)

// pace is how often an item moves.
type pace uint8

const (
	paceIdle   pace = iota // never: the same at all targets of the job
	paceSlow               // every few minutes
	paceActive             // at every scrape
)

const (
	finiteBuckets = 11
	// histogramSeries are 11 finite buckets, +Inf, _sum and _count.
	histogramSeries = finiteBuckets + 3
)

// item is what moves as one: one series, or the series of one histogram.
type item struct {
	kind kind
	pace pace
	// key selects the item's draws, before the target is mixed in.
	key uint64
	// rate is events (hundredths, for kindSeconds) a tick; of gauges the scale.
	rate float64
	// hold is the ticks that a slow gauge rests between two values.
	hold int64
	// weights are the shares of the buckets, meanNs their mean observations.
	weights [finiteBuckets + 1]float64
	meanNs  [finiteBuckets + 1]int64
	// lifetime is the ticks between two generations of the churn label, 0
	// without churn; phase shifts them.
	lifetime, phase int64
}

func (it *item) seriesCount() int {
	if it.kind == kindHistogram {
		return histogramSeries
	}
	return 1
}

// generation tells label values of a churning item apart, and the tick at
// which the current one began.
func (it *item) generation(tick int64) (number, since int64) {
	if it.lifetime == 0 {
		return 0, math.MinInt64
	}
	number = (tick + it.phase) / it.lifetime
	return number, number*it.lifetime - it.phase
}

// values writes the item's values at age ticks since its counters began,
// under key (which carries target, run and generation), with the target's
// factor on rates. It returns how many it wrote.
func (it *item) values(dst *[histogramSeries]float64, key uint64, age int64, factor float64) int {
	if it.pace == paceIdle {
		factor = 1 // the text around the values, idle ones included, serves all targets
	}
	switch it.kind {
	case kindCounter:
		dst[0] = it.count(key, age, it.rate*factor)
	case kindSeconds:
		dst[0] = it.count(key, age, it.rate*factor) / 100
	case kindHistogram:
		it.histogram(dst, key, age, factor)
		return histogramSeries
	case kindBytes:
		dst[0] = 4096 * math.Floor(it.level(key, age)*factor*it.rate)
	case kindPercent:
		dst[0] = math.Floor(it.level(key, age)*10_000) / 100
	case kindRatio:
		dst[0] = it.level(key, age) * it.rate
	case kindInfo:
		dst[0] = 1
	}
	return 1
}

// count is the events after age ticks at a rate.
func (it *item) count(key uint64, age int64, rate float64) float64 {
	if it.pace == paceIdle {
		// Half of the counters that do not move have never moved.
		if mix(it.key, 7)&1 == 0 {
			return 0
		}
		return math.Floor(logBetween(it.key, 8, 1, 1e6))
	}
	return math.Floor(rate*progress(key, age) + unit(key, 9))
}

// level is the height of a gauge, in [0.05, 1).
func (it *item) level(key uint64, age int64) float64 {
	switch it.pace {
	case paceIdle:
		return 0.05 + 0.95*unit(it.key, 10)
	case paceSlow:
		return 0.05 + 0.95*unit(key, uint64(age/it.hold))
	}
	return 0.05 + 0.95*wander(key, age)
}

func (it *item) histogram(dst *[histogramSeries]float64, key uint64, age int64, factor float64) {
	var total float64
	var sumNs int64
	for i := range it.weights {
		observed := it.count(mix(key, uint64(i)), age, it.rate*factor*it.weights[i])
		if it.pace == paceIdle {
			observed = math.Floor(observed * it.weights[i])
		}
		total += observed
		sumNs += int64(observed) * it.meanNs[i]
		dst[i] = total
	}
	dst[finiteBuckets+1] = sum(sumNs)
	dst[finiteBuckets+2] = total
}

// sum turns nanoseconds into the seconds of a _sum, which is a sum of floats
// and therefore some units in the last place off the quotient. How far is
// drawn from the nanoseconds, so that an unchanged sum keeps its bits.
func sum(ns int64) float64 {
	if ns == 0 {
		return 0
	}
	return math.Float64frombits(math.Float64bits(float64(ns)/1e9) + mix(uint64(ns), 11)%5)
}

package prometheus

import (
	"github.com/prometheus/prometheus/model/histogram"

	"github.com/nilometer/nilometer/model/column"
)

// samples are samples of one series in order of time, by columns. values has a
// zero at a histogram; hists and starts are empty, or as long as times.
type samples struct {
	times  []int64
	values []float64
	hists  []column.Histogram
	starts []int64
}

func (s *samples) len() int { return len(s.times) }

func (s *samples) truncate(n int) {
	s.times, s.values = s.times[:n], s.values[:n]
	s.hists, s.starts = s.hists[:min(n, len(s.hists))], s.starts[:min(n, len(s.starts))]
}

// at returns the i-th sample.
func (s *samples) at(i int) column.Sample {
	out := column.Sample{T: s.times[i], V: s.values[i]}
	if len(s.hists) > 0 {
		out.H = s.hists[i]
	}
	if len(s.starts) > 0 {
		out.Start = s.starts[i]
	}
	return out
}

// add appends a sample.
func (s *samples) add(x column.Sample) {
	s.times, s.values = append(s.times, x.T), append(s.values, x.V)
	if len(s.hists) > 0 || !x.H.IsZero() {
		s.hists = append(grown(s.hists, len(s.times)-1), x.H)
	}
	if len(s.starts) > 0 || x.Start != 0 {
		s.starts = append(grown(s.starts, len(s.times)-1), x.Start)
	}
}

// addFloat is add of a float without a start timestamp.
func (s *samples) addFloat(t int64, v float64) {
	if len(s.hists) > 0 || len(s.starts) > 0 {
		s.add(column.Sample{T: t, V: v})
		return
	}
	s.times, s.values = append(s.times, t), append(s.values, v)
}

// grown fills a list that begins late with zeros.
func grown[T any](list []T, n int) []T {
	if len(list) < n {
		list = append(list, make([]T, n-len(list))...)
	}
	return list
}

// isStale reports whether the i-th sample is a stale marker.
func (s *samples) isStale(i int) bool {
	return column.IsStale(s.values[i]) || len(s.hists) > 0 && s.hists[i].IsStale()
}

// loosen says of a histogram that nothing is known about the one before it,
// because another stands there now than when it was stored. A gauge has no
// resets.
func loosen(h column.Histogram) {
	switch {
	case h.Int != nil && h.Int.CounterResetHint != histogram.GaugeType:
		h.Int.CounterResetHint = histogram.UnknownCounterReset
	case h.Float != nil && h.Float.CounterResetHint != histogram.GaugeType:
		h.Float.CounterResetHint = histogram.UnknownCounterReset
	}
}

// merge overwrites s with the union of two sorted lists; where both have a
// timestamp, first's value stays, and a different one is counted.
func (s *samples) merge(first, second *samples) (conflicts uint64) {
	s.truncate(0)
	i, k, from := 0, 0, 0
	take := func(src *samples, at, list int) {
		x := src.at(at)
		if list != from {
			loosen(x.H)
		}
		from = list
		s.add(x)
	}
	for i < first.len() || k < second.len() {
		switch {
		case k == second.len() || i < first.len() && first.times[i] < second.times[k]:
			take(first, i, 1)
			i++
		case i == first.len() || second.times[k] < first.times[i]:
			take(second, k, 2)
			k++
		default:
			if !first.at(i).SameValue(second.at(k)) {
				conflicts++
			}
			take(first, i, 1)
			i, k = i+1, k+1
		}
	}
	return conflicts
}

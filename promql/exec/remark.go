package exec

import (
	"math/bits"

	"github.com/prometheus/prometheus/promql/parser/posrange"
	"github.com/prometheus/prometheus/util/annotations"

	"github.com/nilometer/nilometer/promql/function"
)

// noted are the remarks about one series.
type noted struct {
	remarks function.Remarks
	// overlaps is the number of windows with function.OverlappingStarts: the one
	// remark that upstream counts.
	overlaps int
}

func (n *noted) add(set function.Remarks) {
	n.remarks |= set
	if set&function.OverlappingStarts != 0 {
		n.overlaps++
	}
}

// remark adds upstream's annotations for what was noted about the series
// called name. pos is the place of the range, first that of the function's
// first argument.
func (r *Run) remark(n noted, name string, pos, first posrange.PositionRange) {
	if n.remarks == 0 {
		return
	}
	for _, a := range []struct {
		bit function.Remarks
		err func() error
	}{
		{function.MixedKinds, func() error { return annotations.NewMixedFloatsHistogramsWarning(name, pos) }},
		{function.MixedSchemas, func() error { return annotations.NewMixedExponentialCustomHistogramsWarning(name, pos) }},
		{function.NotCounter, func() error { return annotations.NewNativeHistogramNotCounterWarning(name, pos) }},
		{function.NotGauge, func() error { return annotations.NewNativeHistogramNotGaugeWarning(name, pos) }},
		{function.OverlappingStarts, func() error {
			return counted(n.overlaps, func() error { return annotations.NewStartTimeOverlapWarning(name, pos) })
		}},
		{function.ResetCollision, func() error {
			return annotations.NewHistogramCounterResetCollisionWarning(pos, annotations.HistogramAgg)
		}},
		{function.ReconciledAdd, func() error {
			return annotations.NewMismatchedCustomBucketsHistogramsInfo(pos, annotations.HistogramAdd)
		}},
		{function.ReconciledSub, func() error {
			return annotations.NewMismatchedCustomBucketsHistogramsInfo(pos, annotations.HistogramSub)
		}},
		{function.ReconciledSum, func() error {
			return annotations.NewMismatchedCustomBucketsHistogramsInfo(pos, annotations.HistogramAgg)
		}},
		{function.HistogramsIgnored, func() error { return annotations.NewHistogramIgnoredInMixedRangeInfo(name, first) }},
	} {
		if n.remarks&a.bit != 0 {
			r.annotate(a.err())
		}
	}
}

// counted is an annotation that counts, as if it had been made n ≥ 1 times: an
// annotation that is merged with itself counts double.
func counted(n int, one func() error) error {
	type merger interface{ Merge(other error) error }
	all := one()
	for bit := bits.Len(uint(n)) - 2; bit >= 0; bit-- {
		m, ok := all.(merger)
		if !ok {
			return all
		}
		all = m.Merge(all)
		if n>>bit&1 == 1 {
			if m, ok = all.(merger); ok {
				all = m.Merge(one())
			}
		}
	}
	return all
}

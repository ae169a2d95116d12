package scrape

import (
	"fmt"
	"math"

	"github.com/prometheus/prometheus/model/histogram"

	"github.com/nilometer/nilometer/format/exposition"
	"github.com/nilometer/nilometer/storage"
)

// addHistogram puts a native histogram into its group's work, with no more
// resolution than the job's options allow.
func (s *sink) addHistogram(w *work, g *groupWork, slot storage.Slot, h *exposition.Histogram) error {
	if err := s.options.reduce(h); err != nil {
		return err
	}
	t := s.timeOf(w, h.Time, h.Timed)
	x := storage.HistogramSample{Slot: slot, Histogram: h.Value}
	if h.Start <= t { // one after its sample is none
		x.Start = h.Start
	}
	if s.kindOf(h.Timed) == storage.Open {
		g.histTimes = append(g.histTimes, t)
	}
	g.hists = append(g.hists, x)
	return nil
}

// reduce lowers the resolution of a native histogram to what the options allow,
// and fails when it has too many buckets still.
func (o *PoolOptions) reduce(h *exposition.Histogram) error {
	buckets, schema, lower := resolution(h)
	if largest := schemaMax(o.BucketFactorMin); histogram.IsExponentialSchemaReserved(schema()) && schema() > largest {
		if err := lower(largest); err != nil {
			return fmt.Errorf("lower the resolution of a native histogram to %s: %w", "native_histogram_min_bucket_factor", err)
		}
	}
	if o.BucketMax == 0 {
		return nil
	}
	for buckets() > o.BucketMax {
		if !histogram.IsExponentialSchema(schema()) || schema() <= histogram.ExponentialSchemaMin {
			return &limitError{what: "native_histogram_bucket_limit", max: int64(o.BucketMax), seen: int64(buckets()), more: " in one histogram"}
		}
		if err := lower(schema() - 1); err != nil {
			return fmt.Errorf("lower the resolution of a native histogram to %s: %w", "native_histogram_bucket_limit", err)
		}
	}
	return nil
}

// resolution gives one face to both kinds of histograms.
func resolution(h *exposition.Histogram) (buckets func() int, schema func() int32, lower func(int32) error) {
	if i := h.Value.Int; i != nil {
		return func() int { return len(i.PositiveBuckets) + len(i.NegativeBuckets) }, func() int32 { return i.Schema }, i.ReduceResolution
	}
	f := h.Value.Float
	return func() int { return len(f.PositiveBuckets) + len(f.NegativeBuckets) }, func() int32 { return f.Schema }, f.ReduceResolution
}

// schemaMax returns the finest schema whose buckets grow by at least factor,
// the finest of all for a factor up to 1.
func schemaMax(factor float64) int32 {
	if factor <= 1 {
		return histogram.ExponentialSchemaMax
	}
	floor := math.Floor(-math.Log2(math.Log2(factor)))
	return int32(max(float64(histogram.ExponentialSchemaMin), min(float64(histogram.ExponentialSchemaMax), floor)))
}

package storagetest

import (
	"context"
	"fmt"
	"slices"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/nilometer/nilometer/model/series"
	"github.com/nilometer/nilometer/model/tenant"
	"github.com/nilometer/nilometer/storage"
)

// Load writes series through open groups, one for each placement key: a batch
// for every timestamp that occurs in the group, in order of time, each
// acknowledged as durable. Each series' samples are in order of time. A sample
// that is refused is an error.
func Load(ctx context.Context, w storage.Writer, id tenant.ID, all ...Series) error {
	byKey := map[series.Key][]Series{}
	var order []series.Key
	for _, s := range all {
		key, _ := series.KeyOf(s.Labels, nil)
		if byKey[key] == nil {
			order = append(order, key)
		}
		byKey[key] = append(byKey[key], s)
	}
	for _, key := range order {
		if err := loadGroup(ctx, w, id, key, byKey[key]); err != nil {
			return err
		}
	}
	return nil
}

func loadGroup(ctx context.Context, w storage.Writer, id tenant.ID, key series.Key, all []Series) error {
	g, err := w.OpenGroup(ctx, id, storage.GroupSpec{Kind: storage.Open, Key: key, Name: "load"})
	if err != nil {
		return err
	}
	defer g.Close()
	lsets := make([]labels.Labels, len(all))
	for i, s := range all {
		lsets[i] = s.Labels
	}
	slots := make([]storage.Resolution, len(all))
	version, err := g.Resolve(ctx, lsets, slots)
	if err != nil {
		return err
	}
	for i, r := range slots {
		if r.Reason != storage.ReasonNone {
			return &storage.RejectedError{Reason: r.Reason, Series: lsets[i].String()}
		}
	}
	for _, b := range batches(all, slots) {
		b.Version = version
		res, err := g.Append(ctx, &b, storage.Synced)
		if err != nil {
			return fmt.Errorf("load samples at %d: %w", b.Time, err)
		}
		for _, r := range res.Rejected {
			at := slices.IndexFunc(slots, func(s storage.Resolution) bool { return s.Slot == r.Slot })
			return fmt.Errorf("load a sample at %d: %w", b.Time, &storage.RejectedError{Reason: r.Reason, Series: lsets[at].String()})
		}
	}
	return nil
}

// batches transposes series into one batch for each timestamp.
func batches(all []Series, slots []storage.Resolution) []storage.Batch {
	byTime := map[int64]*storage.Batch{}
	var times []int64
	for i, s := range all {
		for _, x := range s.Samples {
			b := byTime[x.T]
			if b == nil {
				b = &storage.Batch{Time: x.T}
				byTime[x.T] = b
				times = append(times, x.T)
			}
			if !x.H.IsZero() {
				b.Histograms = append(b.Histograms, storage.HistogramSample{Slot: slots[i].Slot, Histogram: x.H, Start: x.Start})
				continue
			}
			b.Slots = append(b.Slots, slots[i].Slot)
			b.Values = append(b.Values, x.V)
			b.Starts = append(b.Starts, x.Start)
		}
	}
	slices.Sort(times)
	out := make([]storage.Batch, len(times))
	for i, t := range times {
		b := *byTime[t]
		if !slices.ContainsFunc(b.Starts, func(s int64) bool { return s != 0 }) {
			b.Starts = nil
		}
		out[i] = b
	}
	return out
}

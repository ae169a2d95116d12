package rules

import (
	"context"
	"errors"
	"fmt"
	"sort"
	"time"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/nilometer/nilometer/model/series"
	"github.com/nilometer/nilometer/model/tenant"
	"github.com/nilometer/nilometer/storage"
)

// resolveAttemptsMax bounds how often samples are resolved again because their
// group's membership changed.
const resolveAttemptsMax = 3

// writer stores the samples of a rule group. The label sets that rules produce
// belong to any placement key, and a rule that failed says nothing about its
// series: so they go to open groups, one a key.
type writer struct {
	store storage.Writer
	id    tenant.ID
	name  string // of the groups, names the writer in reports
}

// write stores samples at one time as one unit and returns how many were not
// stored, by reason.
func (w *writer) write(ctx context.Context, at time.Time, samples []sample) (map[storage.Reason]int, error) {
	if len(samples) == 0 {
		return nil, nil
	}
	for attempt := 1; ; attempt++ {
		rejected, err := w.writeOnce(ctx, at.UnixMilli(), samples)
		if errors.Is(err, storage.ErrVersion) && attempt < resolveAttemptsMax {
			continue
		}
		return rejected, err
	}
}

func (w *writer) writeOnce(ctx context.Context, at int64, samples []sample) (map[storage.Reason]int, error) {
	rejected := map[storage.Reason]int{}
	var groups []storage.Group
	var prepared []storage.Prepared
	defer func() {
		for _, p := range prepared {
			p.Abort() // does nothing after a commit
		}
		for _, g := range groups {
			_ = g.Close() // a shared handle: this gives back a reference
		}
	}()
	for _, part := range byKey(samples) {
		g, err := w.store.OpenGroup(ctx, w.id, storage.GroupSpec{Kind: storage.Open, Key: part.key, Name: w.name})
		if err != nil {
			return nil, fmt.Errorf("open group: %w", err)
		}
		groups = append(groups, g)
		b, err := batchOf(ctx, g, at, part.samples, rejected)
		if err != nil {
			return nil, err
		}
		p, err := g.Prepare(ctx, b)
		if err != nil {
			return nil, fmt.Errorf("prepare samples: %w", err)
		}
		prepared = append(prepared, p)
	}
	if err := w.store.Commit(ctx, storage.Logged, prepared...); err != nil {
		return nil, fmt.Errorf("store samples: %w", err)
	}
	for _, p := range prepared {
		for _, r := range p.Result().Rejected {
			rejected[r.Reason]++
		}
	}
	return rejected, nil
}

func batchOf(ctx context.Context, g storage.Group, at int64, samples []sample, rejected map[storage.Reason]int) (*storage.Batch, error) {
	lsets := make([]labels.Labels, len(samples))
	for i, s := range samples {
		lsets[i] = s.lset
	}
	resolved := make([]storage.Resolution, len(samples))
	version, err := g.Resolve(ctx, lsets, resolved)
	if err != nil {
		return nil, fmt.Errorf("resolve series: %w", err)
	}
	b := &storage.Batch{Time: at, Version: version}
	for i, r := range resolved {
		if r.Reason != storage.ReasonNone {
			rejected[r.Reason]++
			continue
		}
		if h := samples[i].h; h != nil {
			b.Histograms = append(b.Histograms, storage.HistogramSample{Slot: r.Slot, Histogram: storage.Histogram{Float: h}})
			continue
		}
		b.Slots = append(b.Slots, r.Slot)
		b.Values = append(b.Values, samples[i].v)
	}
	return b, nil
}

type keyed struct {
	key     series.Key
	samples []sample
}

// byKey splits samples by placement key, in order of keys.
func byKey(samples []sample) []keyed {
	index := map[series.Key]int{}
	var out []keyed
	var scratch []byte
	for _, s := range samples {
		var key series.Key
		key, scratch = series.KeyOf(s.lset, scratch)
		i, ok := index[key]
		if !ok {
			i = len(out)
			index[key] = i
			out = append(out, keyed{key: key})
		}
		out[i].samples = append(out[i].samples, s)
	}
	sort.Slice(out, func(i, j int) bool { return out[i].key < out[j].key })
	return out
}

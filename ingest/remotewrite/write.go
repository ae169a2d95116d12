package remotewrite

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sort"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"

	"github.com/nilometer/nilometer/model/column"
	"github.com/nilometer/nilometer/model/series"
	"github.com/nilometer/nilometer/model/tenant"
	"github.com/nilometer/nilometer/storage"
)

// groupName is the name of the open group of a placement key that every pushing
// protocol shares.
const groupName = "push"

// attemptsMax bounds how often a request resolves its members again because
// their group changed under it.
const attemptsMax = 5

// outcome counts what became of a request's samples.
type outcome struct {
	appended int
	rejected map[storage.Reason]int
	example  storage.RejectedError // the first rejection
	// What was not rejected, what was there before included.
	floats, hists, exemplars int
	rejectedExemplars        map[storage.Reason]int
}

func (o *outcome) reject(reason storage.Reason, floats, hists int, lset func() labels.Labels) {
	n := floats + hists
	if n == 0 {
		return
	}
	o.floats, o.hists = o.floats-floats, o.hists-hists
	if len(o.rejected) == 0 {
		o.rejected = map[storage.Reason]int{}
		o.example = storage.RejectedError{Reason: reason, Series: lset().String()}
	}
	o.rejected[reason] += n
}

// member is one series of a request on its way into a group.
type member struct {
	key   series.Key
	entry int // index in request.series
	lset  labels.Labels
}

// write stores a decoded request: transposed into one batch per group and
// timestamp, committed as one unit, durable when it returns.
func write(ctx context.Context, w storage.Writer, id tenant.ID, r *request) (outcome, error) {
	for attempt := 1; ; attempt++ {
		o, err := writeOnce(ctx, w, id, r)
		if errors.Is(err, storage.ErrVersion) && attempt < attemptsMax {
			continue // the membership moved on between Resolve and Prepare
		}
		return o, err
	}
}

func writeOnce(ctx context.Context, w storage.Writer, id tenant.ID, r *request) (outcome, error) {
	o := outcome{floats: len(r.samples), hists: len(r.hists), exemplars: len(r.exemplars)}
	members := r.members(&o)
	var groups []storage.Group
	var prepared []storage.Prepared
	var sent []sentBatch
	defer func() {
		for _, p := range prepared {
			p.Abort() // does nothing after a commit
		}
		for _, g := range groups {
			_ = g.Close() // a shared handle: this gives back a reference
		}
	}()
	for from := 0; from < len(members); {
		to := from
		for to < len(members) && members[to].key == members[from].key {
			to++
		}
		g, err := w.OpenGroup(ctx, id, storage.GroupSpec{Kind: storage.Open, Key: members[from].key, Name: groupName, Merges: true})
		if err != nil {
			return o, fmt.Errorf("open group: %w", err)
		}
		groups = append(groups, g)
		batches, err := r.batches(ctx, g, members[from:to], &o)
		if err != nil {
			return o, err
		}
		for _, b := range batches {
			p, err := g.Prepare(ctx, b.batch)
			if err != nil {
				return o, fmt.Errorf("prepare batch: %w", err)
			}
			prepared = append(prepared, p)
			sent = append(sent, b)
		}
		from = to
	}
	if len(prepared) == 0 {
		return o, nil
	}
	if err := w.Commit(ctx, storage.Synced, prepared...); err != nil {
		return o, fmt.Errorf("commit: %w", err)
	}
	for i, p := range prepared {
		res := p.Result()
		o.appended += res.Appended
		for _, rej := range res.Rejected {
			b := sent[i].batch
			if rej.Index >= len(b.Slots)+len(b.Histograms) {
				o.rejectExemplars(rej.Reason, 1)
				continue
			}
			floats, hists := 1, 0
			if rej.Index >= len(b.Slots) {
				floats, hists = 0, 1
			}
			o.reject(rej.Reason, floats, hists, func() labels.Labels { return sent[i].lsets[rej.Index] })
		}
	}
	return o, nil
}

// members decodes the label sets and sorts them by placement key, in the order
// of the request within one.
func (r *request) members(o *outcome) []member {
	members := make([]member, 0, len(r.series))
	var scratch []byte
	builder := labels.NewScratchBuilder(16)
	for i, s := range r.series {
		builder.Reset()
		for _, l := range r.labels[s.labelsFrom:s.labelsTo] {
			if len(l.value) > 0 { // an empty label is no label, as Prometheus has it
				builder.Add(string(l.name), string(l.value))
			}
		}
		builder.Sort()
		m := member{entry: i, lset: builder.Labels()}
		if s.values()+s.exemplars() == 0 {
			continue
		}
		if !valid(m.lset) {
			o.rejectExemplars(storage.ReasonInvalidLabels, s.exemplars())
			o.reject(storage.ReasonInvalidLabels, s.floats(), s.histograms(), func() labels.Labels { return m.lset })
			continue
		}
		m.key, scratch = series.KeyOf(m.lset, scratch)
		members = append(members, m)
	}
	sort.SliceStable(members, func(i, j int) bool { return members[i].key < members[j].key })
	return members
}

// valid refuses what no engine could give back: no labels, a name twice.
func valid(lset labels.Labels) bool {
	if lset.IsEmpty() || lset.Get(model.MetricNameLabel) == "" {
		return false
	}
	_, dup := lset.HasDuplicateLabelNames()
	return !dup
}

// sentBatch is a batch with the label set of each of its entries, floats, then
// histograms.
type sentBatch struct {
	batch *storage.Batch
	lsets []labels.Labels
	hists []labels.Labels // until all entries are there
	// shared is where samples of slots of several series are.
	shared map[storage.Slot]int
}

// addStart notes the start timestamp of the last float.
func (b *sentBatch) addStart(start int64) {
	x := b.batch
	if start != 0 && x.Starts == nil {
		x.Starts = make([]int64, len(x.Slots)-1)
	}
	if x.Starts != nil {
		x.Starts = append(x.Starts, start)
	}
}

// batches resolves the members of one group and transposes their samples: one
// batch per timestamp, in order of time.
func (r *request) batches(ctx context.Context, g storage.Group, members []member, o *outcome) ([]sentBatch, error) {
	lsets := make([]labels.Labels, len(members))
	for i := range members {
		lsets[i] = members[i].lset
	}
	resolved := make([]storage.Resolution, len(members))
	version, err := g.Resolve(ctx, lsets, resolved)
	if err != nil {
		return nil, fmt.Errorf("resolve series: %w", err)
	}
	byTime := map[int64]*sentBatch{}
	shared := mergingOf(members, resolved)
	repeats := r.repeats(members, resolved)
	var times []int64
	var exemplars []storage.ExemplarSample
	for i, m := range members {
		s := r.series[m.entry]
		if resolved[i].Reason != storage.ReasonNone {
			o.rejectExemplars(resolved[i].Reason, s.exemplars())
			o.reject(resolved[i].Reason, s.floats(), s.histograms(), func() labels.Labels { return m.lset })
			continue
		}
		at := func(t int64) *sentBatch {
			b := byTime[t]
			if b == nil {
				b = &sentBatch{batch: &storage.Batch{Time: t, Version: version}}
				byTime[t] = b
				times = append(times, t)
			}
			return b
		}
		for _, smp := range r.samples[s.samplesFrom:s.samplesTo] {
			b := at(smp.t)
			if shared.shares(resolved[i].Slot) {
				if again, same := shared.repeats(m.lset, smp); again {
					if !same {
						o.reject(storage.ReasonConflict, 1, 0, func() labels.Labels { return m.lset })
					}
					continue
				}
				if b.put(resolved[i].Slot, smp.v, shared.sums[resolved[i].Slot]) {
					continue
				}
			} else if repeats && b.repeat(resolved[i].Slot, column.Sample{V: smp.v}, m.lset, o) {
				continue
			}
			b.batch.Slots = append(b.batch.Slots, resolved[i].Slot)
			b.batch.Values = append(b.batch.Values, smp.v)
			b.addStart(smp.start)
			b.lsets = append(b.lsets, m.lset)
		}
		for _, x := range r.hists[s.histsFrom:s.histsTo] {
			b := at(x.t)
			if repeats && (shared.shares(resolved[i].Slot) && b.has(resolved[i].Slot) || b.repeat(resolved[i].Slot, column.Sample{H: x.h}, m.lset, o)) {
				continue
			}
			b.batch.Histograms = append(b.batch.Histograms, storage.HistogramSample{Slot: resolved[i].Slot, Histogram: x.h, Start: x.start})
			b.hists = append(b.hists, m.lset)
		}
		exemplars = r.exemplarsOf(&s, resolved[i].Slot, exemplars)
	}
	if len(exemplars) > 0 && len(times) == 0 {
		byTime[exemplars[0].Exemplar.Ts] = &sentBatch{batch: &storage.Batch{Time: exemplars[0].Exemplar.Ts, Version: version}}
		times = append(times, exemplars[0].Exemplar.Ts)
	}
	slices.Sort(times)
	if len(exemplars) > 0 { // they have times of their own
		byTime[times[len(times)-1]].batch.Exemplars = exemplars
	}
	out := make([]sentBatch, len(times))
	for i, t := range times {
		out[i] = *byTime[t]
		out[i].lsets = append(out[i].lsets, out[i].hists...)
	}
	return out, nil
}

// repeats reports whether a (series, timestamp) may occur twice among members:
// one series in two entries, or timestamps that do not increase in one.
func (r *request) repeats(members []member, resolved []storage.Resolution) bool {
	seen := make(map[storage.Slot]struct{}, len(members))
	for i, m := range members {
		if resolved[i].Reason != storage.ReasonNone {
			continue
		}
		if _, twice := seen[resolved[i].Slot]; twice {
			return true
		}
		seen[resolved[i].Slot] = struct{}{}
		s := &r.series[m.entry]
		samples, hists := r.samples[s.samplesFrom:s.samplesTo], r.hists[s.histsFrom:s.histsTo]
		if len(samples) > 0 && len(hists) > 0 {
			return true
		}
		for k := 1; k < len(hists); k++ {
			if hists[k].t <= hists[k-1].t {
				return true
			}
		}
		for k := 1; k < len(samples); k++ {
			if samples[k].t <= samples[k-1].t {
				return true
			}
		}
	}
	return false
}

// repeat handles a sample whose slot may be in the batch already: the first
// value stands, the same value again is success, another one a conflict (N1).
func (b *sentBatch) repeat(slot storage.Slot, x column.Sample, lset labels.Labels, o *outcome) bool {
	var have column.Sample
	if at := slices.Index(b.batch.Slots, slot); at >= 0 {
		have.V = b.batch.Values[at]
	} else if at := slices.IndexFunc(b.batch.Histograms, func(h storage.HistogramSample) bool { return h.Slot == slot }); at >= 0 {
		have.H = b.batch.Histograms[at].Histogram
	} else {
		return false
	}
	if !have.SameValue(x) {
		floats, hists := 1, 0
		if !x.H.IsZero() {
			floats, hists = 0, 1
		}
		o.reject(storage.ReasonConflict, floats, hists, func() labels.Labels { return lset })
	}
	return true
}

package remotewrite

import (
	"slices"
	"strings"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"

	"github.com/nilometer/nilometer/model/column"
	"github.com/nilometer/nilometer/storage"
)

// Several series of a request may have one slot: those that a limit gave other
// labels than they came with (storage.Shaper). Of one time they make one sample
// as those of a scrape do: what counts is added up, of other values the last
// stays, of native histograms the first. What was committed by another request
// is not added to: the first stands, another value is a conflict (N1).

// merging is about the shared slots of one group in one request.
type merging struct {
	sums map[storage.Slot]bool // the shared slots; true: samples are added up
	seen map[contribution]float64
}

// contribution is a sample of a series under the labels that it came with.
type contribution struct {
	lset uint64 // their hash
	t    int64
}

// mergingOf finds the slots that were given to others than their own labels.
func mergingOf(members []member, resolved []storage.Resolution) merging {
	var m merging
	for i, r := range resolved {
		if !r.Merged || r.Reason != storage.ReasonNone {
			continue
		}
		if m.sums == nil {
			m = merging{sums: map[storage.Slot]bool{}, seen: map[contribution]float64{}}
		}
		m.sums[r.Slot] = addsUp(members[i].lset.Get(model.MetricNameLabel))
	}
	return m
}

// addsUp tells by a metric's name whether it counts: requests of version 1.0 say
// no types, and those of 2.0 need not.
func addsUp(name string) bool {
	for _, suffix := range [...]string{"_total", "_sum", "_count", "_bucket"} {
		if strings.HasSuffix(name, suffix) {
			return true
		}
	}
	return false
}

// shares tells whether a slot is one of several series.
func (m *merging) shares(slot storage.Slot) bool {
	_, ok := m.sums[slot]
	return ok
}

// repeats tells whether a series has brought a sample of this time already; the
// first stands, as without merging.
func (m *merging) repeats(lset labels.Labels, smp sampleEntry) (again, same bool) {
	c := contribution{lset.Hash(), smp.t}
	had, again := m.seen[c]
	if !again {
		m.seen[c] = smp.v
		return false, false
	}
	return true, column.Sample{V: had}.SameValue(column.Sample{V: smp.v})
}

// put makes one sample of those of a shared slot: it returns false for the first.
// A stale marker ends nothing while another series of the slot has a value.
func (b *sentBatch) put(slot storage.Slot, v float64, sum bool) bool {
	at, ok := b.shared[slot]
	if !ok {
		if b.has(slot) { // a histogram was the first
			return true
		}
		if b.shared == nil {
			b.shared = map[storage.Slot]int{}
		}
		b.shared[slot] = len(b.batch.Slots)
		return false
	}
	have := &b.batch.Values[at]
	switch {
	case column.IsStale(v):
	case sum && !column.IsStale(*have):
		*have += v
	default:
		*have = v
	}
	return true
}

// has tells whether the batch has a sample of the slot.
func (b *sentBatch) has(slot storage.Slot) bool {
	_, ok := b.shared[slot]
	return ok || slices.ContainsFunc(b.batch.Histograms, func(h storage.HistogramSample) bool { return h.Slot == slot })
}

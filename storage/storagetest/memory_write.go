package storagetest

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/nilometer/nilometer/format/histogram"
	"github.com/nilometer/nilometer/model/column"
	"github.com/nilometer/nilometer/model/tenant"
	"github.com/nilometer/nilometer/storage"
)

// memGroup is a group. Slots are indexes into members and never used again.
type memGroup struct {
	store  *Memory
	id     tenant.ID
	tenant *memTenant
	spec   storage.GroupSpec

	members []*memMember // nil where a member was forgotten
	byKey   map[string]storage.Slot
	version uint64
	last    int64 // the last position, when begun
	begun   bool
	gone    bool // another writer has opened the group
}

type memMember struct {
	key    string
	labels labels.Labels
	series *memSeries // nil until the first committed sample
	last   Sample     // what a closed group continues with
}

// memHandle is one opening of a group.
type memHandle struct {
	g      *memGroup
	closed bool
}

func (h *memHandle) usableLocked() error {
	if h.closed || h.g.gone {
		return fmt.Errorf("group %q: %w", h.g.spec.Name, storage.ErrGroupClosed)
	}
	return nil
}

func (h *memHandle) Resolve(ctx context.Context, lsets []labels.Labels, out []storage.Resolution) (uint64, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	g := h.g
	g.store.mu.Lock()
	defer g.store.mu.Unlock()
	if err := h.usableLocked(); err != nil {
		return 0, err
	}
	for i, lset := range lsets {
		out[i] = g.resolveLocked(lset)
	}
	return g.version, nil
}

func (g *memGroup) resolveLocked(lset labels.Labels) storage.Resolution {
	if !valid(lset) {
		return storage.Resolution{Slot: storage.NoSlot, Reason: storage.ReasonInvalidLabels}
	}
	key := canonical(lset)
	if slot, ok := g.byKey[key]; ok {
		return storage.Resolution{Slot: slot}
	}
	merged := false
	if g.tenant.series[key] == nil {
		if shaper, ok := g.store.opts.Admitter.(storage.Shaper); ok {
			as, other, r := shaper.Shape(g.id, g.spec.Key, lset, storage.Offer{Merges: g.spec.Merges, Pending: g.pendingLocked})
			if r != storage.ReasonNone {
				return storage.Resolution{Slot: storage.NoSlot, Reason: r}
			}
			if lset, merged = as, other; other {
				key = canonical(as)
			}
			if slot, ok := g.byKey[key]; ok {
				return storage.Resolution{Slot: slot, Merged: merged}
			}
		}
	}
	if g.tenant.series[key] == nil {
		if r := g.store.opts.Admitter.Admit(g.id, g.spec.Key, lset); r != storage.ReasonNone {
			return storage.Resolution{Slot: storage.NoSlot, Reason: r}
		}
	}
	slot := storage.Slot(len(g.members))
	g.members = append(g.members, &memMember{key: key, labels: clone(lset)})
	g.byKey[key] = slot
	return storage.Resolution{Slot: slot, Merged: merged}
}

// pendingLocked gives the members that are no series yet.
func (g *memGroup) pendingLocked(yield func(labels.Labels) bool) {
	for _, m := range slices.Backward(g.members) {
		if g.tenant.series[m.key] == nil && !yield(m.labels) {
			return
		}
	}
}

func (h *memHandle) Prepare(ctx context.Context, b *storage.Batch) (storage.Prepared, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	h.g.store.mu.Lock()
	defer h.g.store.mu.Unlock()
	if err := h.usableLocked(); err != nil {
		return nil, err
	}
	if b.Version != h.g.version {
		return nil, fmt.Errorf("group %q: %w", h.g.spec.Name, storage.ErrVersion)
	}
	if len(b.Slots) != len(b.Values) || (b.Starts != nil && len(b.Starts) != len(b.Slots)) {
		return nil, fmt.Errorf("group %q: a batch of %d slots has %d values and %d start timestamps",
			h.g.spec.Name, len(b.Slots), len(b.Values), len(b.Starts))
	}
	if b.BodyStale && h.g.spec.Kind != storage.Closed {
		return nil, fmt.Errorf("group %q: only a closed group's body can be stale", h.g.spec.Name)
	}
	return &memPrepared{h: h, batch: b}, nil
}

func (h *memHandle) Append(ctx context.Context, b *storage.Batch, d storage.Durability) (storage.Result, error) {
	p, err := h.Prepare(ctx, b)
	if err != nil {
		return storage.Result{}, err
	}
	if err := h.g.store.Commit(ctx, d, p); err != nil {
		return storage.Result{}, err
	}
	return p.Result(), nil
}

func (h *memHandle) Close() error {
	h.g.store.mu.Lock()
	defer h.g.store.mu.Unlock()
	if !h.closed {
		h.closed = true
		h.g.forgetLocked()
	}
	return nil
}

// forgetLocked drops the members that were never written.
func (g *memGroup) forgetLocked() {
	forgotten := false
	for slot, m := range g.members {
		if m != nil && m.series == nil {
			delete(g.byKey, m.key)
			g.members[slot] = nil
			forgotten = true
		}
	}
	if forgotten {
		g.version++
	}
}

// memPrepared is a batch before its commit; batch is nil after it.
type memPrepared struct {
	h      *memHandle
	batch  *storage.Batch
	result storage.Result
}

func (p *memPrepared) Result() storage.Result { return p.result }

func (p *memPrepared) Abort() {
	p.h.g.store.mu.Lock()
	defer p.h.g.store.mu.Unlock()
	if p.batch != nil {
		p.batch = nil
		p.h.g.forgetLocked()
	}
}

// applyLocked stores a batch: first what it mentions, then what it implies.
func (g *memGroup) applyLocked(b *storage.Batch) storage.Result {
	var res storage.Result
	reject := func(index int, slot storage.Slot, r storage.Reason) {
		res.Rejected = append(res.Rejected, storage.Rejection{Index: index, Slot: slot, Reason: r})
	}
	mentioned := make(map[storage.Slot]bool, len(b.Slots))
	mention := func(i int, slot storage.Slot, x Sample) {
		if int(slot) >= len(g.members) || g.members[slot] == nil {
			reject(i, slot, storage.ReasonUnknownSlot)
			return
		}
		mentioned[slot] = true
		if x.IsStale() {
			x = Sample{T: x.T, V: column.StaleNaN()}
		}
		stored, r := g.mentionLocked(g.members[slot], x)
		if r != storage.ReasonNone {
			reject(i, slot, r)
		} else if stored {
			res.Appended++
		}
	}
	for i, slot := range b.Slots {
		x := Sample{T: b.Time, V: b.Values[i]}
		if b.Starts != nil {
			x.Start = b.Starts[i]
		}
		mention(i, slot, x)
	}
	for i, h := range b.Histograms {
		if histogram.Validate(h.Histogram) != nil {
			reject(len(b.Slots)+i, h.Slot, storage.ReasonInvalidHistogram)
			continue
		}
		mention(len(b.Slots)+i, h.Slot, Sample{T: b.Time, H: h.Copy(), Start: h.Start})
	}
	for i, e := range b.Exemplars {
		reject(len(b.Slots)+len(b.Histograms)+i, e.Slot, storage.ReasonUnsupported)
	}
	for _, md := range b.Metadata {
		if md.SizeBytes() <= storage.MetadataSizeMax {
			g.tenant.metadata[md.Family] = md
		}
	}
	if !g.begun || b.Time > g.last {
		if g.spec.Kind == storage.Closed {
			res.Appended += g.implyLocked(b, mentioned)
		}
		g.last, g.begun = b.Time, true
	}
	return res
}

// mentionLocked stores one sample of a batch and reports whether it was new.
func (g *memGroup) mentionLocked(m *memMember, x Sample) (bool, storage.Reason) {
	s := m.series
	if s == nil {
		s = g.tenant.series[m.key]
	}
	if s == nil {
		s = &memSeries{labels: m.labels, owner: g}
		g.tenant.series[m.key] = s
	}
	m.series = s
	if s.begun && s.last >= x.T {
		for _, have := range s.samples {
			if have.T == x.T && have.SameValue(x) {
				return false, storage.ReasonNone
			} else if have.T == x.T {
				return false, storage.ReasonConflict
			}
		}
		return g.lateLocked(s, x)
	}
	s.mixed = s.mixed || s.owner != g
	s.owner = g
	s.samples = append(s.samples, x)
	s.last, s.begun = x.T, true
	m.last = x
	g.tenant.newest = max(g.tenant.newest, x.T)
	return true, storage.ReasonNone
}

// lateLocked stores a sample that is older than its series' last one, and that
// the series does not have.
func (g *memGroup) lateLocked(s *memSeries, x Sample) (bool, storage.Reason) {
	window := g.store.opts.LateWindow.Milliseconds()
	if window == 0 || g.spec.Kind != storage.Open || g.spec.Scraped || x.T < g.tenant.newest-window {
		return false, storage.ReasonOutOfOrder
	}
	at, _ := slices.BinarySearchFunc(s.samples, x.T, func(have Sample, t int64) int { return cmp.Compare(have.T, t) })
	s.samples = slices.Insert(slices.Clone(s.samples), at, x)
	return true, storage.ReasonNone
}

// implyLocked continues the members that the batch does not mention, or ends
// them, and returns how many samples that were.
func (g *memGroup) implyLocked(b *storage.Batch, mentioned map[storage.Slot]bool) int {
	n := 0
	for slot, m := range g.members {
		if m == nil || m.series == nil || m.series.owner != g || mentioned[storage.Slot(slot)] || m.last.IsStale() {
			continue
		}
		if m.series.begun && m.series.last >= b.Time {
			continue
		}
		x := m.last
		x.T = b.Time
		if b.BodyStale {
			x = Sample{T: b.Time, V: column.StaleNaN()}
			m.last = x
		}
		m.series.samples = append(m.series.samples, x)
		m.series.last = x.T
		g.tenant.newest = max(g.tenant.newest, x.T)
		n++
	}
	return n
}

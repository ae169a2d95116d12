package storagetest_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"unicode/utf8"

	"github.com/prometheus/prometheus/model/labels"
	prometheus "github.com/prometheus/prometheus/storage"

	"github.com/nilometer/nilometer/model/column"
	"github.com/nilometer/nilometer/model/series"
	"github.com/nilometer/nilometer/model/tenant"
	"github.com/nilometer/nilometer/storage"
)

// upstreamGroup is the notion of groups that Prometheus does not have.
type upstreamGroup struct {
	store  *upstream
	tenant *upstreamTenant
	id     tenant.ID
	spec   storage.GroupSpec

	members []*upstreamMember // nil where one was forgotten
	slots   map[string]storage.Slot
	version uint64
	last    int64
	begun   bool
	gone    bool // another writer has opened it
}

type upstreamMember struct {
	key    string
	labels labels.Labels
	series *upstreamSeries // nil until its first sample
	value  float64         // what it continues with
}

type upstreamHandle struct {
	*upstreamGroup
	closed bool
}

func (h *upstreamHandle) usableLocked() error {
	switch {
	case h.store.closed:
		return storage.ErrClosed
	case h.closed || h.gone:
		return fmt.Errorf("group %q: %w", h.spec.Name, storage.ErrGroupClosed)
	}
	return nil
}

// Resolve implements storage.Group.
func (h *upstreamHandle) Resolve(ctx context.Context, lsets []labels.Labels, out []storage.Resolution) (uint64, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	h.store.mu.Lock()
	defer h.store.mu.Unlock()
	if err := h.usableLocked(); err != nil {
		return 0, err
	}
	for i, lset := range lsets {
		out[i] = h.resolveLocked(lset)
	}
	return h.version, nil
}

func (h *upstreamHandle) resolveLocked(lset labels.Labels) storage.Resolution {
	if !acceptable(lset) {
		return storage.Resolution{Slot: storage.NoSlot, Reason: storage.ReasonInvalidLabels}
	}
	key := string(series.AppendCanonical(nil, lset))
	if slot, ok := h.slots[key]; ok {
		return storage.Resolution{Slot: slot}
	}
	merged := false
	if shaper, ok := h.store.admitter.(storage.Shaper); ok && h.tenant.series[key] == nil {
		as, other, reason := shaper.Shape(h.id, h.spec.Key, lset, storage.Offer{Merges: h.spec.Merges, Pending: h.pendingLocked})
		if reason != storage.ReasonNone {
			return storage.Resolution{Slot: storage.NoSlot, Reason: reason}
		}
		if lset, merged = as, other; merged {
			key = string(series.AppendCanonical(nil, lset))
		}
		if slot, ok := h.slots[key]; ok {
			return storage.Resolution{Slot: slot, Merged: merged}
		}
	}
	if h.tenant.series[key] == nil {
		if reason := h.store.admitter.Admit(h.id, h.spec.Key, lset); reason != storage.ReasonNone {
			return storage.Resolution{Slot: storage.NoSlot, Reason: reason}
		}
	}
	slot := storage.Slot(len(h.members))
	b := labels.NewScratchBuilder(lset.Len())
	lset.Range(func(l labels.Label) { b.Add(l.Name, l.Value) })
	h.members = append(h.members, &upstreamMember{key: key, labels: b.Labels()})
	h.slots[key] = slot
	return storage.Resolution{Slot: slot, Merged: merged}
}

// pendingLocked gives the members that are no series yet.
func (h *upstreamHandle) pendingLocked(yield func(labels.Labels) bool) {
	for _, m := range slices.Backward(h.members) {
		if h.tenant.series[m.key] == nil && !yield(m.labels) {
			return
		}
	}
}

// acceptable is what Prometheus expects of its callers, which validate.
func acceptable(lset labels.Labels) bool {
	last, ok := "", !lset.IsEmpty()
	lset.Range(func(l labels.Label) {
		ok = ok && l.Name > last && l.Value != "" && utf8.ValidString(l.Name+l.Value)
		last = l.Name
	})
	return ok
}

// Prepare implements storage.Group.
func (h *upstreamHandle) Prepare(ctx context.Context, b *storage.Batch) (storage.Prepared, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	h.store.mu.Lock()
	defer h.store.mu.Unlock()
	if err := h.usableLocked(); err != nil {
		return nil, err
	}
	if b.Version != h.version {
		return nil, fmt.Errorf("group %q: %w", h.spec.Name, storage.ErrVersion)
	}
	if len(b.Slots) != len(b.Values) || b.Starts != nil && len(b.Starts) != len(b.Slots) || b.BodyStale && h.spec.Kind != storage.Closed {
		return nil, fmt.Errorf("group %q: a batch that cannot be", h.spec.Name)
	}
	return &upstreamPrepared{handle: h, batch: b}, nil
}

// Append implements storage.Group.
func (h *upstreamHandle) Append(ctx context.Context, b *storage.Batch, d storage.Durability) (storage.Result, error) {
	p, err := h.Prepare(ctx, b)
	if err == nil {
		err = h.store.Commit(ctx, d, p)
	}
	if err != nil {
		return storage.Result{}, err
	}
	return p.Result(), nil
}

// Close implements storage.Group.
func (h *upstreamHandle) Close() error {
	h.store.mu.Lock()
	defer h.store.mu.Unlock()
	if !h.closed {
		h.closed = true
		h.forgetLocked()
	}
	return nil
}

func (g *upstreamGroup) forgetLocked() {
	changed := false
	for slot, m := range g.members {
		if m != nil && m.series == nil {
			delete(g.slots, m.key)
			g.members[slot] = nil
			changed = true
		}
	}
	if changed {
		g.version++
	}
}

type upstreamPrepared struct {
	handle *upstreamHandle
	batch  *storage.Batch // nil when it is over
	result storage.Result
}

// Result implements storage.Prepared.
func (p *upstreamPrepared) Result() storage.Result { return p.result }

// Abort implements storage.Prepared.
func (p *upstreamPrepared) Abort() {
	p.handle.store.mu.Lock()
	defer p.handle.store.mu.Unlock()
	if p.batch != nil {
		p.batch = nil
		p.handle.forgetLocked()
	}
}

// applyLocked writes a batch with one appender: what it mentions, then what it
// implies.
func (g *upstreamGroup) applyLocked(p *upstreamPrepared) error {
	b := p.batch
	app := g.tenant.db.Appender(context.Background())
	mentioned := map[storage.Slot]bool{}
	for i, slot := range b.Slots {
		if int(slot) >= len(g.members) || g.members[slot] == nil {
			p.reject(i, slot, storage.ReasonUnknownSlot)
			continue
		}
		mentioned[slot] = true
		m := g.members[slot]
		if m.series == nil {
			m.series = g.tenant.series[m.key]
		}
		stored, reason, err := g.tenant.append(app, m, b.Time, b.Values[i])
		switch {
		case err != nil:
			return errors.Join(err, app.Rollback())
		case reason != storage.ReasonNone:
			p.reject(i, slot, reason)
		case stored:
			m.series.owner, m.value = g, b.Values[i]
			p.result.Appended++
		}
	}
	for i, h := range b.Histograms {
		p.reject(len(b.Slots)+i, h.Slot, storage.ReasonUnsupported)
	}
	for i, e := range b.Exemplars {
		p.reject(len(b.Slots)+len(b.Histograms)+i, e.Slot, storage.ReasonUnsupported)
	}
	if !g.begun || b.Time > g.last {
		if g.spec.Kind == storage.Closed {
			if err := g.implyLocked(app, p, mentioned); err != nil {
				return errors.Join(err, app.Rollback())
			}
		}
		g.last, g.begun = b.Time, true
	}
	g.tenant.changes = append(g.tenant.changes, [2]int64{b.Time, b.Time})
	return app.Commit()
}

func (g *upstreamGroup) implyLocked(app prometheus.Appender, p *upstreamPrepared, mentioned map[storage.Slot]bool) error {
	for slot, m := range g.members {
		if m == nil || m.series == nil || m.series.owner != g || mentioned[storage.Slot(slot)] || column.IsStale(m.value) || m.series.last >= p.batch.Time {
			continue
		}
		if p.batch.BodyStale {
			m.value = column.StaleNaN()
		}
		if _, _, err := g.tenant.append(app, m, p.batch.Time, m.value); err != nil {
			return err
		}
		p.result.Appended++
	}
	return nil
}

func (p *upstreamPrepared) reject(index int, slot storage.Slot, r storage.Reason) {
	p.result.Rejected = append(p.result.Rejected, storage.Rejection{Index: index, Slot: slot, Reason: r})
}

// append lets Prometheus judge one sample.
func (t *upstreamTenant) append(app prometheus.Appender, m *upstreamMember, at int64, v float64) (stored bool, r storage.Reason, err error) {
	if m.series != nil && at <= m.series.last && at <= t.deleted {
		return false, storage.ReasonOutOfOrder, nil
	}
	_, err = app.Append(0, m.labels, at, v)
	switch {
	case errors.Is(err, prometheus.ErrDuplicateSampleForTimestamp):
		return false, storage.ReasonConflict, nil
	case errors.Is(err, prometheus.ErrOutOfOrderSample), errors.Is(err, prometheus.ErrOutOfBounds):
		return false, storage.ReasonOutOfOrder, nil
	case err != nil:
		return false, 0, err
	}
	if m.series == nil {
		m.series = &upstreamSeries{labels: m.labels, last: math.MinInt64}
		t.series[m.key] = m.series
	}
	if at <= m.series.last { // the same sample once more
		return false, storage.ReasonNone, nil
	}
	m.series.last = at
	return true, storage.ReasonNone, nil
}

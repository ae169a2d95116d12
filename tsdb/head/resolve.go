package head

import (
	"context"
	"fmt"
	"sync/atomic"
	"unicode/utf8"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/nilometer/nilometer/model/series"
	"github.com/nilometer/nilometer/storage"
)

// handle is one opening of a group.
type handle struct {
	group  *group
	token  uint64 // of a closed group's writer
	merges bool   // as storage.GroupSpec
	closed atomic.Bool
}

var _ storage.Group = (*handle)(nil)

// checkLocked tells whether the handle may still be used.
func (hd *handle) checkLocked() error {
	if hd.closed.Load() || hd.token != 0 && hd.group.writer != hd.token {
		return fmt.Errorf("group %q: %w", hd.group.name, storage.ErrGroupClosed)
	}
	return nil
}

// Resolve implements storage.Group.
func (hd *handle) Resolve(ctx context.Context, lsets []labels.Labels, out []storage.Resolution) (uint64, error) {
	g := hd.group
	g.mu.Lock()
	defer g.mu.Unlock()
	if err := hd.checkLocked(); err != nil {
		return 0, err
	}
	g.reserveLocked(len(lsets))
	var scratch []byte
	var byHash map[series.Hash][]uint32 // of provisional members, made when there are any
	var offer storage.Offer
	for i, lset := range lsets {
		if i%1024 == 0 && ctx.Err() != nil {
			return 0, context.Cause(ctx)
		}
		if !valid(lset) {
			out[i] = storage.Resolution{Slot: storage.NoSlot, Reason: storage.ReasonInvalidLabels}
			continue
		}
		var hash series.Hash
		hash, scratch = series.HashOf(lset, scratch)
		if slot, ok := g.settledLocked(hash, lset); ok {
			out[i] = storage.Resolution{Slot: storage.Slot(slot)}
			continue
		}
		if byHash == nil {
			byHash = g.pendingByHashLocked()
			offer = storage.Offer{Merges: hd.merges, Pending: g.pendingLocked}
		}
		if slot, ok := g.pendingSlotLocked(byHash[hash], lset); ok {
			out[i] = storage.Resolution{Slot: storage.Slot(slot)}
			continue
		}
		as, merged, reason := g.head.shape(g.key, lset, offer)
		if merged && reason == storage.ReasonNone {
			if hash, scratch = series.HashOf(as, scratch); g.knownLocked(hash, as, byHash, &out[i]) {
				continue
			}
			lset = as
		}
		if reason == storage.ReasonNone {
			reason = g.head.admit(g.key, lset)
		}
		if reason != storage.ReasonNone {
			g.head.set.metrics.rejected(reason, 1)
			out[i] = storage.Resolution{Slot: storage.NoSlot, Reason: reason}
			continue
		}
		slot := g.addMemberLocked(member{state: provisional, series: noSeries})
		if g.pending == nil {
			g.pending = map[uint32]labels.Labels{}
		}
		g.pending[slot] = lset.Copy()
		g.irregular++
		byHash[hash] = append(byHash[hash], slot)
		out[i] = storage.Resolution{Slot: storage.Slot(slot), Merged: merged}
	}
	return g.version, nil
}

// knownLocked answers with the series, settled or pending, that has labels which
// were given to another.
func (g *group) knownLocked(hash series.Hash, lset labels.Labels, byHash map[series.Hash][]uint32, out *storage.Resolution) bool {
	slot, ok := g.settledLocked(hash, lset)
	if !ok {
		slot, ok = g.pendingSlotLocked(byHash[hash], lset)
	}
	if ok {
		*out = storage.Resolution{Slot: storage.Slot(slot), Merged: true}
	}
	return ok
}

// valid refuses label sets that could not be given back or found.
func valid(lset labels.Labels) bool {
	ok, last, n := !lset.IsEmpty(), "", 0
	lset.Range(func(l labels.Label) {
		n++
		ok = ok && max(len(l.Name), len(l.Value)) <= storage.LabelSizeMax && l.Name > last && l.Value != "" && utf8.ValidString(l.Name) && utf8.ValidString(l.Value)
		last = l.Name
	})
	return ok && n <= storage.LabelsMax
}

// settledLocked finds the slot of a series that exists: an own or foreign
// member, made foreign when it is new to this group.
func (g *group) settledLocked(hash series.Hash, lset labels.Labels) (uint32, bool) {
	x := &g.head.index
	x.mu.RLock()
	id, ok := x.findLocked(hash, lset)
	var at owner
	if ok {
		at = x.ownerLocked(id)
	}
	x.mu.RUnlock()
	if !ok {
		return 0, false
	}
	if at.group == g.index {
		return at.slot, true
	}
	if slot, ok := g.slots[id]; ok {
		return slot, true
	}
	slot := g.addMemberLocked(member{state: foreign, series: id})
	if g.slots == nil {
		g.slots = map[seriesID]uint32{}
	}
	g.slots[id] = slot
	g.irregular++
	return slot, true
}

// addMemberLocked gives a member the next slot.
func (g *group) addMemberLocked(m member) uint32 {
	if k := len(g.free) - 1; k >= 0 {
		slot := g.free[k]
		g.free = g.free[:k]
		g.members[slot] = m
		g.irregular-- // as a dead one
		return slot
	}
	g.appendMemberLocked(m)
	return uint32(len(g.members) - 1)
}

// pendingLookMax is the number of slots, from the last on, in which pendingLocked
// looks for provisional members.
const pendingLookMax = 1 << 16

// pendingLocked is a storage.Offer's Pending: new members get the last slots, but
// for those that take a gone one's.
func (g *group) pendingLocked(yield func(labels.Labels) bool) {
	end := max(0, len(g.members)-pendingLookMax)
	for slot := len(g.members) - 1; slot >= end && len(g.pending) > 0; slot-- {
		if g.members[slot].state == provisional && !yield(g.pending[uint32(slot)]) {
			return
		}
	}
}

func (g *group) pendingByHashLocked() map[series.Hash][]uint32 {
	out := make(map[series.Hash][]uint32, len(g.pending))
	var scratch []byte
	for slot, lset := range g.pending {
		var h series.Hash
		h, scratch = series.HashOf(lset, scratch)
		out[h] = append(out[h], slot)
	}
	return out
}

func (g *group) pendingSlotLocked(candidates []uint32, lset labels.Labels) (uint32, bool) {
	for _, slot := range candidates {
		if labels.Equal(g.pending[slot], lset) {
			return slot, true
		}
	}
	return 0, false
}

// Prepare implements storage.Group.
func (hd *handle) Prepare(_ context.Context, b *storage.Batch) (storage.Prepared, error) {
	g := hd.group
	g.mu.RLock()
	defer g.mu.RUnlock()
	if err := hd.checkLocked(); err != nil {
		return nil, err
	}
	if b.Version != g.version {
		return nil, fmt.Errorf("group %q: %w", g.name, storage.ErrVersion)
	}
	if len(b.Slots) != len(b.Values) || b.Starts != nil && len(b.Starts) != len(b.Slots) {
		return nil, fmt.Errorf("group %q: a batch of %d slots has %d values and %d start timestamps", g.name, len(b.Slots), len(b.Values), len(b.Starts))
	}
	if b.BodyStale && g.kind != storage.Closed {
		return nil, fmt.Errorf("group %q: only a closed group's body can be stale", g.name)
	}
	return &prepared{handle: hd, batch: b}, nil
}

// Append implements storage.Group.
func (hd *handle) Append(ctx context.Context, b *storage.Batch, d storage.Durability) (storage.Result, error) {
	p, err := hd.Prepare(ctx, b)
	if err != nil {
		return storage.Result{}, err
	}
	if err := hd.group.head.set.Commit(ctx, d, p); err != nil {
		return storage.Result{}, err
	}
	return p.Result(), nil
}

// Close implements storage.Group.
func (hd *handle) Close() error {
	if hd.closed.Swap(true) {
		return nil
	}
	g := hd.group
	g.mu.Lock()
	defer g.mu.Unlock()
	g.handles--
	g.forgetPendingLocked()
	return nil
}

// forgetPendingLocked drops provisional members. Of an open group they may be
// another sender's, who finds them again by their labels.
func (g *group) forgetPendingLocked() {
	if len(g.pending) == 0 || g.kind != storage.Closed && g.handles > 0 {
		return
	}
	for slot := range g.pending {
		g.freeLocked(slot)
	}
	g.pending = nil
	g.version++
}

// prepared is a batch on its way.
type prepared struct {
	handle *handle
	batch  *storage.Batch
	result storage.Result
	done   bool
}

// Result implements storage.Prepared.
func (p *prepared) Result() storage.Result { return p.result }

// Abort implements storage.Prepared.
func (p *prepared) Abort() {
	if p.done {
		return
	}
	p.done = true
	g := p.handle.group
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.kind == storage.Closed {
		g.forgetPendingLocked()
	}
}

package head

import (
	"slices"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/nilometer/nilometer/model/series"
)

// grow makes the slots of a group reach to slot.
func (p *replayed) grow(slot uint32) *place {
	for int(slot) >= len(p.slots) {
		p.slots = append(p.slots, place{series: noSeries, state: dead})
	}
	return &p.slots[slot]
}

// adopt gives a slot of a group the series of a label set: the log says that it
// is there now, wherever it was before. t is the time of a sample of it.
func (r *replay) adopt(p *replayed, slot uint32, lset labels.Labels, t int64) seriesID {
	hash, _ := series.HashOf(lset, nil)
	return r.adoptHashed(p, slot, hash, lset, t)
}

func (r *replay) adoptHashed(p *replayed, slot uint32, hash series.Hash, lset labels.Labels, t int64) seriesID {
	at := p.grow(slot)
	x := &p.group.head.index
	x.mu.Lock()
	id, ok := x.findLocked(hash, lset)
	x.mu.Unlock()
	if at.series != noSeries && (!ok || at.series != id) {
		r.vacate(p, slot, t)
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	here, was := owner{p.group.index, slot}, nowhere
	if ok {
		was = x.ownerLocked(id)
	}
	elsewhere := was != nowhere && r.restoredElsewhere(p, id, was, t)
	switch {
	case !ok:
		id = x.addLocked(hash, lset, here)
	case was == nowhere:
		x.owners.All()[id] = here
	case elsewhere && p.group.kind != private:
		x.wasAtLocked(id, here)
		*at = place{series: id, state: foreign}
		return id
	case elsewhere && r.ownedAt(p.group.head, was, id) != nil:
		r.claims = append(r.claims, claim{p, slot, id})
	case was != here:
		r.giveLocked(p.group.head, id, here)
	}
	*at = place{series: id, state: own}
	return id
}

// giveLocked gives a series, with the index locked, to a place; where it was it
// is foreign from now on.
func (r *replay) giveLocked(h *Head, id seriesID, to owner) {
	if from := r.ownedAt(h, h.index.ownerLocked(id), id); from != nil {
		from.state = foreign
	}
	h.index.moveLocked(id, to)
}

// restoredElsewhere tells whether a file of seals gives a series another owner
// than a record of the log does that has a sample of it at t. Either the series
// left for that owner later, or one of the two had forgotten it before it came
// anew to the other: then the one with the later sample has it.
func (r *replay) restoredElsewhere(p *replayed, id seriesID, at owner, t int64) bool {
	g := p.group.head.groupAt(at.group)
	if last, idle := r.idle[p.group.head][id]; idle && t > last {
		return false
	}
	return g != nil && g != p.group && r.groups[g.number] != nil && r.groups[g.number].restored
}

// claim is a private group that the log gives a series which the files of seals
// give to another one.
type claim struct {
	p    *replayed
	slot uint32
	id   seriesID
}

// settleClaims gives the series to the private groups that have samples of it
// outside of blocks. The others were forgotten before the seal was made.
func (r *replay) settleClaims() {
	for _, c := range r.claims {
		h := c.p.group.head
		if at := c.p.slots[c.slot]; at.state != own || at.series != c.id {
			continue
		}
		has := c.p.has(c.id, c.slot)
		if c.p.last < h.horizon.Load() {
			c.p.slots[c.slot] = place{series: noSeries, state: dead}
			if has { // the other one has left it
				r.forget(h, c.id)
			}
			continue
		}
		if has {
			continue
		}
		h.index.mu.Lock()
		r.giveLocked(h, c.id, owner{c.p.group.index, c.slot})
		h.index.mu.Unlock()
	}
}

// claimed tells whether a private group claims a series, and gives the series to
// it: who had it has it no more.
func (r *replay) claimed(h *Head, id seriesID, by owner) bool {
	for _, c := range r.claims {
		if at := c.p.slots[c.slot]; c.p.group.head != h || c.id != id || at.state != own || at.series != id {
			continue
		}
		r.leave(h, id, by)
		here := owner{c.p.group.index, c.slot}
		x := &h.index
		x.mu.Lock()
		defer x.mu.Unlock()
		x.notAtLocked(id, func(at owner) bool { return at == here })
		x.owners.All()[id] = here
		return true
	}
	return false
}

// dropClaims ends the claims to a series that was forgotten: vacate sees to who
// has it.
func (r *replay) dropClaims(h *Head, id seriesID) {
	for _, c := range r.claims {
		if at := &c.p.slots[c.slot]; c.p.group.head == h && c.id == id && at.series == id && !c.p.has(id, c.slot) {
			*at = place{series: noSeries, state: dead}
		}
	}
}

// ownedAt returns the place of a series whose owner is at, when it is still there:
// the log has not told yet that it left. Else it returns nil.
func (r *replay) ownedAt(h *Head, at owner, id seriesID) *place {
	g := h.groupAt(at.group)
	if g == nil {
		return nil
	}
	p := r.groups[g.number]
	if p == nil || int(at.slot) >= len(p.slots) {
		return nil
	}
	if is := &p.slots[at.slot]; is.series == id && is.state == own {
		return is
	}
	return nil
}

// renew gives a slot a series that was new when the log was written: what the
// head has under these labels was forgotten then, perhaps in this very slot.
func (r *replay) renew(p *replayed, slot uint32, lset labels.Labels, t int64) seriesID {
	if at := p.grow(slot); at.series != noSeries {
		r.vacate(p, slot, t)
	}
	x := &p.group.head.index
	hash, _ := series.HashOf(lset, nil)
	x.mu.Lock()
	id, ok := x.findLocked(hash, lset)
	var at owner
	if ok {
		at = x.ownerLocked(id)
	}
	x.mu.Unlock()
	if ok && !r.sealedLater(p.group.head, id, t) && !r.restoredElsewhere(p, id, at, t) {
		r.dropClaims(p.group.head, id)
		if g := p.group.head.groupAt(at.group); g != nil && r.groups[g.number] != nil {
			r.vacate(r.groups[g.number], at.slot, t)
		} else {
			r.forget(p.group.head, id)
		}
	}
	return r.adoptHashed(p, slot, hash, lset, t)
}

// sealedLater tells whether a file of seals names a series at or after t. What
// the log of before says of it is of the same series, or of one that was
// forgotten and had the same labels: of that one all is in blocks.
func (r *replay) sealedLater(h *Head, id seriesID, t int64) bool {
	seen := r.seen[h]
	return int(id) < len(seen) && t <= seen[id]
}

// vacate ends a slot that the log gives another series at t: all that it stood
// for was in blocks when that was written. A seal that a start has made may say
// that the slot still had a series which another place has by then.
func (r *replay) vacate(p *replayed, slot uint32, t int64) {
	if int(slot) >= len(p.slots) {
		return
	}
	was, here := p.slots[slot], owner{p.group.index, slot}
	p.slots[slot] = place{series: noSeries, state: dead}
	switch {
	case was.state == own && p.has(was.series, slot) && !r.sealedLater(p.group.head, was.series, t):
		if !r.claimed(p.group.head, was.series, here) {
			r.forget(p.group.head, was.series)
		}
	case was.state == own, was.state == foreign:
		r.leave(p.group.head, was.series, here)
	}
}

// has tells whether the index says that a slot has a series.
func (p *replayed) has(id seriesID, slot uint32) bool {
	x := &p.group.head.index
	x.mu.RLock()
	defer x.mu.RUnlock()
	return x.ownerLocked(id) == owner{p.group.index, slot}
}

// leave takes a series out of a place that it is no more in, where it is not to
// be forgotten.
func (r *replay) leave(h *Head, id seriesID, here owner) {
	x := &h.index
	x.mu.Lock()
	defer x.mu.Unlock()
	x.notAtLocked(id, func(at owner) bool { return at == here })
	if x.ownerLocked(id) == here {
		x.owners.All()[id] = nowhere
	}
}

// forget drops a series that no group has any more.
func (r *replay) forget(h *Head, id seriesID) {
	r.noteGone(h, id)
	h.defs.undefine([]seriesID{id})
	h.index.mu.Lock()
	defer h.index.mu.Unlock()
	h.index.hideLocked(id)
	h.index.unpostLocked([]seriesID{id}, 0)
}

// noteGone lets backlogs know that a series was forgotten.
func (r *replay) noteGone(h *Head, id seriesID) {
	if r.gone[h] == nil {
		r.gone[h] = map[seriesID]bool{}
	}
	r.gone[h][id] = true
}

// notAtLocked takes places out of those that a series was in before.
func (x *index) notAtLocked(id seriesID, not func(owner) bool) {
	places := slices.DeleteFunc(slices.Clone(x.former[id]), not)
	if x.former[id] = places; len(places) == 0 {
		delete(x.former, id)
	}
}

// empty makes a group as it was when it was new. It was dropped when the log
// was written, so all that it had lies before the horizon.
func (r *replay) empty(g *group) {
	if p := r.groups[g.number]; p != nil {
		for slot, at := range p.slots {
			switch {
			case at.state != own:
			case r.sealedLater(g.head, at.series, minTime), !p.has(at.series, uint32(slot)):
				r.leave(g.head, at.series, owner{g.index, uint32(slot)})
			default:
				r.forget(g.head, at.series)
			}
		}
	}
	x := &g.head.index
	x.mu.Lock()
	for id := range x.former { // they name slots that get other series now
		x.notAtLocked(id, func(at owner) bool { return at.group == g.index })
	}
	x.mu.Unlock()
	g.mu.hold(nil)
	g.mu.Lock()
	defer g.mu.Unlock()
	g.releaseLocked()
	g.slots, g.free, g.irregular, g.presents = nil, nil, 0, 0
	g.open, g.sealedTiles = nil, nil
	g.lastTime, g.hasTime = 0, false
}

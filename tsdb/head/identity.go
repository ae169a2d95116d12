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
	at := p.grow(slot)
	hash, _ := series.HashOf(lset, nil)
	x := &p.group.head.index
	x.mu.Lock()
	id, ok := x.findLocked(hash, lset)
	x.mu.Unlock()
	if at.series != noSeries && (!ok || at.series != id) {
		r.vacate(p, slot, t)
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	here := owner{p.group.index, slot}
	switch {
	case !ok:
		id = x.addLocked(hash, lset, here)
	case x.ownerLocked(id) == nowhere:
		x.owners.All()[id] = here
	case r.restoredElsewhere(p, id, x.ownerLocked(id), t) && p.group.kind != private:
		x.wasAtLocked(id, here)
		*at = place{series: id, state: foreign}
		return id
	case r.restoredElsewhere(p, id, x.ownerLocked(id), t) && r.has(p.group.head, x.ownerLocked(id), id):
		r.claims = append(r.claims, claim{p, slot, id})
	case x.ownerLocked(id) != here:
		if from := r.at(p.group.head, x.ownerLocked(id)); from != nil && from.series == id && from.state == own {
			from.state = foreign
		}
		x.moveLocked(id, here)
	}
	*at = place{series: id, state: own}
	return id
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
		if c.p.last < h.horizon.Load() {
			c.p.slots[c.slot] = place{series: noSeries, state: dead}
			continue
		}
		x := &h.index
		x.mu.Lock()
		if from := r.at(h, x.ownerLocked(c.id)); from != nil && from.series == c.id && from.state == own {
			from.state = foreign
		}
		x.moveLocked(c.id, owner{c.p.group.index, c.slot})
		x.mu.Unlock()
	}
}

// at is what the log says about the slot of an owner.
func (r *replay) at(h *Head, o owner) *place {
	g := h.groupAt(o.group)
	if g == nil {
		return nil
	}
	if p := r.groups[g.number]; p != nil && int(o.slot) < len(p.slots) {
		return &p.slots[o.slot]
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
		if g := p.group.head.groupAt(at.group); g != nil && r.groups[g.number] != nil {
			r.vacate(r.groups[g.number], at.slot, t)
		} else {
			r.forget(p.group.head, id)
		}
	}
	return r.adopt(p, slot, lset, t)
}

// has tells whether a series is still where its owner says: the log has not told
// yet that it left.
func (r *replay) has(h *Head, at owner, id seriesID) bool {
	place := r.at(h, at)
	return place != nil && place.series == id && place.state == own
}

// sealedLater tells whether a file of seals names a series at or after t. What
// the log of before says of it is of the same series, or of one that was
// forgotten and had the same labels: of that one all is in blocks.
func (r *replay) sealedLater(h *Head, id seriesID, t int64) bool {
	seen := r.seen[h]
	return int(id) < len(seen) && t <= seen[id]
}

// vacate ends a slot that the log gives another series at t: all that it stood
// for was in blocks when that was written.
func (r *replay) vacate(p *replayed, slot uint32, t int64) {
	if int(slot) >= len(p.slots) {
		return
	}
	was := p.slots[slot]
	p.slots[slot] = place{series: noSeries, state: dead}
	switch was.state {
	case own:
		if r.sealedLater(p.group.head, was.series, t) {
			r.leaveNowhere(p.group.head, was.series, owner{p.group.index, slot})
			return
		}
		r.forget(p.group.head, was.series)
	case foreign:
		x := &p.group.head.index
		x.mu.Lock()
		defer x.mu.Unlock()
		x.notAtLocked(was.series, func(at owner) bool { return at == owner{p.group.index, slot} })
	}
}

// leaveNowhere takes a series out of a place that it is no more in, where it is
// not to be forgotten.
func (r *replay) leaveNowhere(h *Head, id seriesID, here owner) {
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
	if r.gone[h] == nil {
		r.gone[h] = map[seriesID]bool{}
	}
	r.gone[h][id] = true
	h.defs.undefine([]seriesID{id})
	h.index.mu.Lock()
	defer h.index.mu.Unlock()
	h.index.hideLocked(id)
	h.index.unpostLocked([]seriesID{id}, 0)
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
			case r.sealedLater(g.head, at.series, minTime):
				r.leaveNowhere(g.head, at.series, owner{g.index, uint32(slot)})
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

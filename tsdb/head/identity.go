package head

import (
	"fmt"
	"slices"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/nilometer/nilometer/format/record"
	"github.com/nilometer/nilometer/model/series"
)

// grow makes the slots of a group reach to slot.
func (p *replayed) grow(slot uint32) *place {
	for int(slot) >= len(p.slots) {
		p.slots = append(p.slots, place{series: noSeries, state: dead})
	}
	return &p.slots[slot]
}

// adopt gives a slot of a group a series: a record says that it is there. It
// returns noSeries for one that was forgotten: all that it had is in blocks, and
// another one has its labels.
func (r *replay) adopt(p *replayed, m *record.Member) (seriesID, error) {
	id, err := r.series(p.group.head, m.Series, m.Labels)
	if err != nil {
		return noSeries, err
	}
	if at := p.grow(m.Slot); at.series != noSeries && at.series != id {
		r.vacate(p, m.Slot)
	}
	if id != noSeries {
		x := &p.group.head.index
		x.mu.Lock()
		defer x.mu.Unlock()
		p.slots[m.Slot] = place{id, r.seatLocked(p, m.Slot, id)}
	}
	return id, nil
}

// series returns the series of a number, made when there is none. The labels
// were given to one number after the other: an older one was forgotten when the
// newer one came.
func (r *replay) series(h *Head, number uint64, lset labels.Labels) (seriesID, error) {
	hash, _ := series.HashOf(lset, nil)
	numbers, x := r.numbersOf(h), &h.index
	x.mu.Lock()
	id, known := numbers.of(number)
	same := known && x.hashes.All()[id] == hash && x.equalLocked(id, lset)
	if !known {
		id, same = x.findLocked(hash, lset)
	}
	newer := same && x.numberLocked(id) > number
	x.mu.Unlock()
	switch {
	case number == 0 || known && !same:
		return noSeries, &record.CorruptError{What: fmt.Sprintf("series %d is %s, and something else before", number, lset)}
	case known:
		return id, nil
	case newer:
		return noSeries, nil
	case same:
		r.forget(h, id)
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	id = x.addLocked(hash, lset, nowhere, number)
	numbers.set(number, id)
	return id, nil
}

// seatLocked makes a slot one of the places of a series, and tells whether it is
// there or was there before; where it was until now it is foreign, which agree
// says. The index is locked. A series moves to private groups alone, each made
// after the ones before, so that it does not matter what is read first.
func (r *replay) seatLocked(p *replayed, slot uint32, id seriesID) memberState {
	h := p.group.head
	x := &h.index
	here, was := owner{p.group.index, slot}, x.ownerLocked(id)
	switch g := h.groupAt(was.group); {
	case was == here:
	case g == nil:
		x.owners.All()[id] = here
		x.notAtLocked(id, func(at owner) bool { return at == here })
	case g.kind == private && (p.group.kind != private || p.group.number < g.number):
		x.wasAtLocked(id, here)
		return foreign
	default:
		x.moveLocked(id, here)
	}
	return own
}

// vacate ends a slot that the log gives another series: what it had was forgotten
// before, or is elsewhere.
func (r *replay) vacate(p *replayed, slot uint32) {
	was := p.slots[slot]
	p.slots[slot] = place{series: noSeries, state: dead}
	if was.state == own && p.has(was.series, slot) {
		r.forget(p.group.head, was.series)
	} else if was.series != noSeries {
		r.leave(p.group.head, was.series, owner{p.group.index, slot})
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
	r.numbersOf(h).unset(h.index.numberLocked(id))
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
			if at.series != noSeries {
				r.vacate(p, uint32(slot))
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

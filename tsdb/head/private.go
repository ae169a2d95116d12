package head

import (
	"math"

	"github.com/nilometer/nilometer/format/record"
	"github.com/nilometer/nilometer/model/column"
	"github.com/nilometer/nilometer/storage"
)

// privately stores entry i of a batch, a slot of g, as a sample with a time of
// its own: a repeat is recognised, an older one is late, and a later one makes
// the series private unless it is already.
func (c *commit) privately(g *group, i int, slot uint32, b *storage.Batch, res *storage.Result) {
	reason, stored := c.single(g, slot, b.Time, sampleOf(b, i))
	if reason != storage.ReasonNone {
		res.Rejected = append(res.Rejected, storage.Rejection{Index: i, Slot: storage.Slot(slot), Reason: reason})
	}
	if stored {
		res.Appended++
	}
}

func (c *commit) single(g *group, slot uint32, t int64, x sample) (reason storage.Reason, stored bool) {
	m := &g.members[slot]
	h := g.head
	c.lockPrivate()
	h.index.mu.RLock()
	at := h.index.ownerLocked(m.series)
	h.index.mu.RUnlock()
	home := h.groupAt(at.group)
	if home == nil {
		return storage.ReasonUnknownSlot, false // a cut has just forgotten the series
	}
	if home.kind == private {
		home.mu.Lock()
		defer home.mu.Unlock()
	}
	last, ok := home.lastSampleLocked(at.slot)
	if ok && t <= last || h.outOfRange(t, g.kind) == storage.ReasonTooOld {
		reason = c.again(h, m.series, home, x.at(t))
		switch {
		case reason != storage.ReasonOutOfOrder:
			return reason, false
		case ok && t > last && h.continues(home, at.slot):
			return storage.ReasonTooOld, false
		}
		return c.takeLate(g, m.series, t, x)
	}
	if home.kind != private {
		home = c.leave(home, at.slot)
		home.mu.Lock()
		defer home.mu.Unlock()
	}
	c.alone(home, t, x)
	home.lastWriter = g.number
	return storage.ReasonNone, true
}

// imply goes on with the foreign members of a closed group that a batch does
// not mention and that nobody else has written since: they continue with their
// last value, or end with the body, like the group's own.
func (c *commit) imply(g *group, b *storage.Batch, res *storage.Result) {
	for id, slot := range g.slots {
		if g.members[slot].mention == g.mentions {
			continue
		}
		c.lockPrivate()
		x := &g.head.index
		x.mu.RLock()
		at := x.ownerLocked(id)
		x.mu.RUnlock()
		if home := g.head.groupAt(at.group); home != nil && home.kind == private && c.continues(g, home, b) {
			res.Appended++
		}
	}
}

// continues appends to a private group what a batch of g implies, and tells
// whether that was anything.
func (c *commit) continues(g, home *group, b *storage.Batch) bool {
	home.mu.Lock()
	defer home.mu.Unlock()
	m := &home.members[0]
	switch {
	case home.lastWriter != g.number || !m.present || m.lastTime >= b.Time:
		return false
	case g.takeover: // a new writer implies nothing of the one before
		home.lastWriter = 0
		return false
	}
	x := home.unboxLocked(m.bits)
	x.start = home.startLocked(0)
	if b.BodyStale {
		x = sample{bits: math.Float64bits(column.StaleNaN())}
	}
	c.alone(home, b.Time, x)
	return true
}

// again judges a sample that is not later than its series' last: the same value
// at the same time is success, another a conflict, a time without a sample out
// of order (N1). home is the series' present group, which is locked.
func (c *commit) again(h *Head, id seriesID, home *group, x column.Sample) storage.Reason {
	if h.deleted(id, x.T) { // there is no such sample any more
		return storage.ReasonOutOfOrder
	}
	h.index.mu.RLock()
	places := h.index.placesLocked(nil, id)
	h.index.mu.RUnlock()
	for _, at := range places {
		g := h.groupAt(at.group)
		if g == nil {
			continue
		}
		have, ok := c.lookup(g, home, at.slot, x.T)
		switch {
		case ok && have.SameValue(x):
			return storage.ReasonNone
		case ok:
			return storage.ReasonConflict
		}
	}
	return storage.ReasonOutOfOrder
}

// lookup finds a sample of a slot in a place where its series is or was. Groups
// that others write to are locked since check; home is locked too.
func (c *commit) lookup(g, home *group, slot uint32, t int64) (column.Sample, bool) {
	if g.kind == private && g != home {
		g.mu.RLock()
		defer g.mu.RUnlock()
	}
	return g.sampleAtLocked(slot, t)
}

// leave moves the series of a slot out of its group, which is locked, into a
// private group of its own. The group's records follow with the first sample.
func (c *commit) leave(from *group, slot uint32) *group {
	h := from.head
	id := from.members[slot].series
	bits, has := from.members[slot].bits, from.members[slot].hasValue
	last, _ := from.lastSampleLocked(slot)
	if m := &from.members[slot]; m.unlogged { // the log has never heard of it
		m.unlogged = false
		from.leaveLocked(slot)
	} else {
		c.base(from) // a segment without it could not tell that the series was there
		from.leaveLocked(slot)
		from.seq++
		c.body = record.AppendLeave(c.body[:0], record.Leave{Group: from.number, Seq: from.seq, Slot: slot})
		c.payload = record.AppendRecord(c.payload, record.TypeLeave, c.body)
	}
	h.mu.Lock()
	p := h.addGroupLocked(groupName{private, from.key, ""}, h.set.numbers.Add(1))
	h.mu.Unlock()
	bits = from.moveBoxLocked(p, bits)
	p.firstStartLocked(0, from.startLocked(slot))
	p.appendMemberLocked(member{series: id, state: own, bits: bits, hasValue: has, lastTime: last})
	h.index.mu.Lock()
	h.index.moveLocked(id, owner{p.index, 0})
	h.index.mu.Unlock()
	h.set.metrics.privateSeries.Inc()
	return p
}

// alone appends a sample to a private group.
func (c *commit) alone(p *group, t int64, x sample) {
	c.base(p)
	before := p.open
	pos := p.openPositionLocked(t)
	if p.open != before && before != nil {
		before.forgetOld(c.set)
	}
	c.publish = append(c.publish, publication{group: p, tile: p.open, pos: pos})
	saved, starts := c.entries, c.starts
	c.entries, c.starts = nil, nil
	var fresh, stale []uint32
	if p.members[0].unlogged {
		p.members[0].unlogged = false
		fresh = []uint32{0}
	}
	if x.stale() {
		p.setStaleLocked(0, pos, t)
		stale = []uint32{0}
	} else {
		bits := p.boxLocked(&p.members[0], x)
		c.noteStart(p, 0, pos, x.start)
		c.entries = []entry{{0, p.members[0].bits, bits}}
		p.setValueLocked(0, pos, t, bits)
	}
	c.log(p, t, 0, fresh, stale)
	c.entries, c.starts = saved, starts
}

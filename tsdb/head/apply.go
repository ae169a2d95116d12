package head

import (
	"math"
	"sort"

	"github.com/nilometer/nilometer/format/record"
	"github.com/nilometer/nilometer/model/column"
	"github.com/nilometer/nilometer/storage"
)

// batch applies one batch to its group, whose lock is held, and adds its
// records to the payload.
func (c *commit) batch(g *group, b *storage.Batch) storage.Result {
	var res storage.Result
	reject := func(i int, slot storage.Slot, r storage.Reason) {
		res.Rejected = append(res.Rejected, storage.Rejection{Index: i, Slot: slot, Reason: r})
	}
	c.checkHistograms(b, &res)
	c.aside(g, b, reject)
	reason := g.head.outOfRange(b.Time, g.kind)
	if reason == storage.ReasonTooOld && b.Time >= g.windowStart() {
		c.beforeHorizon(g, b, &res)
		return res
	}
	if reason != storage.ReasonNone {
		for i, slot := range b.Slots {
			reject(i, slot, reason)
		}
		for _, i := range c.hists {
			reject(i, slotOf(b, i), reason)
		}
		return res
	}
	c.base(g)
	if g.hasTime && b.Time <= g.lastTime {
		c.behind(g, b, &res)
		return res
	}
	c.position(g, b, &res)
	return res
}

// beforeHorizon applies a batch whose span is cut: what is no repeat is late.
func (c *commit) beforeHorizon(g *group, b *storage.Batch, res *storage.Result) {
	for i := range len(b.Slots) + len(c.hists) {
		if i >= len(b.Slots) {
			i = c.hists[i-len(b.Slots)]
		}
		s := slotOf(b, i)
		if int(s) >= len(g.members) || g.members[s].state == dead {
			res.Rejected = append(res.Rejected, storage.Rejection{Index: i, Slot: s, Reason: storage.ReasonUnknownSlot})
			continue
		}
		c.privately(g, i, uint32(s), b, res)
	}
}

// outOfRange tells why a time can have no sample in the head. What says its own
// time may be of any age, also to a head that has no horizon yet.
func (h *Head) outOfRange(t int64, kind storage.GroupKind) storage.Reason {
	now := h.set.deps.Now().UnixMilli()
	switch {
	case t < h.horizon.Load(), kind == storage.Open && h.set.tooOld(t, now):
		return storage.ReasonTooOld
	case t > now+h.set.opts.AheadMax.Milliseconds():
		return storage.ReasonTooFarAhead
	}
	return storage.ReasonNone
}

// position applies a batch that is later than all the group has: it opens a
// position, unless an open group has nothing to put there.
func (c *commit) position(g *group, b *storage.Batch, res *storage.Result) {
	g.mentions++
	c.thinOut(g, b.Time)
	steady := g.steadyLocked(b)
	if !steady {
		if mine := c.elsewhere(g, b, res); g.kind == storage.Open && mine == 0 {
			return
		}
	}
	takeover, last := g.takeover, g.lastTime
	g.takeover = false
	before := g.open
	pos := g.openPositionLocked(b.Time)
	g.sparse.positions++
	if g.open != before && before != nil {
		before.forgetOld(c.set)
	}
	c.publish = append(c.publish, publication{group: g, tile: g.open, pos: pos})
	flags := byte(0)
	if takeover {
		flags |= record.FlagTakeover
		for slot := range g.members {
			if g.members[slot].state == own {
				g.endLocked(uint32(slot), pos, last)
			}
		}
	}
	if b.BodyStale {
		flags |= record.FlagBodyStale
	}
	if steady {
		c.steady(g, b, pos, flags, res)
		return
	}
	logAll := g.kind == storage.Open || b.BodyStale
	c.entries, c.starts = c.entries[:0], c.starts[:0]
	fresh, stale := c.fresh[:0], c.stale[:0]
	for i := range len(b.Slots) + len(c.hists) {
		s, hist := storage.NoSlot, 0
		if i < len(b.Slots) {
			s = b.Slots[i]
		} else {
			hist = c.hists[i-len(b.Slots)]
			s = slotOf(b, hist)
		}
		slot := uint32(s)
		if int(s) >= len(g.members) || g.members[slot].state != own || g.members[slot].mention == g.mentions {
			continue // rejected or stored elsewhere; or named twice, and the first stands
		}
		m := &g.members[slot]
		m.mention = g.mentions
		if g.kind == storage.Open {
			g.sparse.add(slot, m.unlogged)
		}
		if m.unlogged {
			m.unlogged = false
			fresh = append(fresh, slot)
		}
		var bits uint64
		if i < len(b.Slots) && b.Starts == nil && g.boxes == nil && g.starts == nil && !isBoxed(math.Float64bits(b.Values[i])) {
			bits = math.Float64bits(b.Values[i])
		} else {
			x := sampleOf(b, max(i, hist))
			if bits = x.bits; !x.stale() {
				bits = g.boxLocked(m, x)
				c.noteStart(g, slot, pos, x.start)
			}
		}
		if column.IsStale(math.Float64frombits(bits)) {
			g.setStaleLocked(slot, pos, b.Time)
			stale = append(stale, slot)
			res.Appended++
			continue
		}
		if logAll || !m.present || !m.hasValue || bits != m.bits {
			c.entries = append(c.entries, entry{slot, m.bits, bits})
			g.setValueLocked(slot, pos, b.Time, bits)
		}
		if g.kind == storage.Open {
			res.Appended++
		}
	}
	if b.BodyStale {
		res.Appended += g.staleBodyLocked(pos, b.Time)
	}
	if g.kind == storage.Closed {
		res.Appended += g.presents
	}
	c.fresh, c.stale = fresh, stale
	c.log(g, b.Time, flags, fresh, stale)
}

// staleBodyLocked ends every present member that the batch did not mention.
func (g *group) staleBodyLocked(pos int, t int64) (n int) {
	for slot := range g.members {
		if m := &g.members[slot]; m.state == own && m.present && m.mention != g.mentions {
			g.setStaleLocked(uint32(slot), pos, t)
			n++
		}
	}
	return n
}

// elsewhere stores what belongs to other groups in private ones, rejects slots
// that stand for nothing, and counts what is the group's own. It runs before
// the group gets its position: the log has private samples first (I2).
func (c *commit) elsewhere(g *group, b *storage.Batch, res *storage.Result) (mine int) {
	if g.irregular == 0 && g.sparse.marked == 0 && len(c.hists) == 0 && !anyBeyond(b.Slots, len(g.members)) {
		return len(b.Slots)
	}
	for i := range len(b.Slots) + len(c.hists) {
		if i >= len(b.Slots) {
			i = c.hists[i-len(b.Slots)]
		}
		switch s := slotOf(b, i); {
		case int(s) >= len(g.members) || g.members[s].state == dead:
			res.Rejected = append(res.Rejected, storage.Rejection{Index: i, Slot: s, Reason: storage.ReasonUnknownSlot})
		case g.members[s].state == own && g.sparse.isAlone(uint32(s)) && g.members[s].mention != g.mentions:
			g.sparse.unmark(uint32(s))
			g.members[s].mention = g.mentions
			c.privately(g, i, uint32(s), b, res)
		case g.members[s].state == own:
			mine++
		case g.members[s].state == foreign:
			g.members[s].mention = g.mentions
			c.privately(g, i, uint32(s), b, res)
		}
	}
	if g.kind == storage.Closed && (!g.hasTime || b.Time > g.lastTime) {
		c.imply(g, b, res)
	}
	return mine
}

func anyBeyond(slots []storage.Slot, n int) bool {
	for _, s := range slots {
		if int(s) >= n {
			return true
		}
	}
	return false
}

// behind applies a batch that is not later than all the group has, value by
// value: repeats, fills of a position of the open tile, samples that only a
// private column can take, and late ones.
func (c *commit) behind(g *group, b *storage.Batch, res *storage.Result) {
	g.mentions++
	if c.elsewhere(g, b, res) == 0 {
		return
	}
	pos := -1 // what is sealed takes no more
	if g.open != nil {
		times := g.open.times
		if i := sort.Search(len(times), func(i int) bool { return times[i] >= b.Time }); i < len(times) && times[i] == b.Time && i >= g.open.from {
			pos = i
		}
	}
	c.entries, c.starts = c.entries[:0], c.starts[:0]
	fresh, stale := c.fresh[:0], c.stale[:0]
	type alone struct {
		index int
		slot  uint32
	}
	var singles []alone
	for i := range len(b.Slots) + len(c.hists) {
		if i >= len(b.Slots) {
			i = c.hists[i-len(b.Slots)]
		}
		s := slotOf(b, i)
		slot := uint32(s)
		if int(s) >= len(g.members) || g.members[slot].state != own || g.members[slot].mention == g.mentions {
			continue
		}
		m := &g.members[slot]
		m.mention = g.mentions
		if g.kind == storage.Open {
			g.sparse.add(slot, m.unlogged)
		}
		if m.unlogged {
			m.unlogged = false
			fresh = append(fresh, slot)
		}
		if pos < 0 || int(m.absentFrom) > pos {
			singles = append(singles, alone{i, slot})
			continue
		}
		c.publish = append(c.publish, publication{group: g, tile: g.open, pos: pos, slot: slot, fill: true})
		res.Appended++
		x := sampleOf(b, i)
		if x.stale() {
			g.setStaleLocked(slot, pos, b.Time)
			stale = append(stale, slot)
			continue
		}
		bits := g.boxLocked(m, x)
		c.noteStart(g, slot, pos, x.start)
		c.entries = append(c.entries, entry{slot, m.bits, bits})
		g.setValueLocked(slot, pos, b.Time, bits)
		if g.kind == storage.Closed && pos < len(g.open.times)-1 {
			m.absentFrom = uint16(pos + 1)
			m.present = false
			g.presents--
		}
	}
	c.fresh, c.stale = fresh, stale
	if len(c.entries)+len(stale)+len(fresh) > 0 {
		c.log(g, b.Time, 0, fresh, stale)
	}
	for _, a := range singles {
		c.privately(g, a.index, a.slot, b, res)
	}
}

// forgetOld drops what only readers of long ago need: which commit brought a
// position of a sealed tile.
func (t *tile) forgetOld(s *Heads) {
	if !t.sealed || len(t.stamps) == 0 {
		return
	}
	if oldest := s.oldest(); t.stamps[len(t.stamps)-1] <= oldest && t.filled <= oldest {
		t.stamps, t.fills = nil, nil
	}
}

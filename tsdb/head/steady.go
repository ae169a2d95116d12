package head

import (
	"math"

	"github.com/nilometer/nilometer/model/column"
	"github.com/nilometer/nilometer/storage"
)

// steadyLocked tells whether a batch is the usual one: floats for slots of a
// closed group in their order, all members its own. So none is named twice or
// belongs elsewhere, and nothing need be noted of those that stand still.
func (g *group) steadyLocked(b *storage.Batch) bool {
	if g.kind != storage.Closed || b.BodyStale || b.Starts != nil || len(b.Histograms) > 0 || g.irregular > 0 || g.boxes != nil || g.starts != nil {
		return false
	}
	next := storage.Slot(0)
	for _, s := range b.Slots {
		if s < next {
			return false
		}
		next = s + 1
	}
	return int(next) <= len(g.members)
}

// steady applies such a batch to a position, and logs it. Most of its values are
// those before: of their members it reads one word or two, and writes nothing.
func (c *commit) steady(g *group, b *storage.Batch, pos int, flags byte, res *storage.Result) {
	c.begin(g, b.Time, flags)
	fresh, stale := c.fresh[:0], c.stale[:0]
	members, values := g.members, b.Values[:len(b.Slots)]
	for i, slot := range b.Slots {
		m, bits := &members[slot], math.Float64bits(values[i])
		if bits == m.bits && m.present && m.hasValue {
			continue
		}
		if m.moves() && !isBoxed(bits) && !column.IsStale(values[i]) {
			c.step(g, uint32(slot), pos-g.open.from, bits)
			m.bits, m.lastTime = bits, b.Time
			continue
		}
		if m.unlogged {
			m.unlogged = false
			fresh = append(fresh, uint32(slot))
		}
		if column.IsStale(values[i]) {
			g.setStaleLocked(uint32(slot), pos, b.Time)
			stale = append(stale, uint32(slot))
			res.Appended++
			continue
		}
		prev := m.bits
		if isBoxed(bits) {
			bits = g.boxLocked(m, sample{bits: bits})
		}
		c.logEntry(g, entry{uint32(slot), prev, bits})
		g.setValueLocked(uint32(slot), pos, b.Time, bits)
	}
	res.Appended += g.presents
	c.fresh, c.stale = fresh, stale
	c.end(g, b.Time, fresh, stale)
}

// moves tells whether the member is present, and has changed before in what is not
// sealed: then a change is one more record of its stream.
func (m *member) moves() bool {
	return m.stream != 0 && m.carried && m.present && m.absentFrom == neverAbsent && !m.unlogged
}

// step adds a value to the stream of a member that moves, and to the record of the
// batch: mostly as the integers that the stream has found.
func (c *commit) step(g *group, slot uint32, pos int, bits uint64) {
	m := &g.members[slot]
	s := g.streamOfLocked(m)
	counts, from := s.state.Counts(m.bits), s.state.Integer()
	r := s.state.Record(pos, math.Float64frombits(bits))
	g.blocks.add(&g.head.memory, s, r)
	if !counts || !r.Counted() || !c.writer.AddStep(slot, s.state.Exponent(), from, s.state.Integer()) {
		c.writer.AddValue(slot, m.bits, bits, &m.hint)
	}
}

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

package head

import (
	"slices"

	"github.com/nilometer/nilometer/storage"
)

// Horizon is the time before which samples are refused.
func (h *Head) Horizon() int64 { return h.horizon.Load() }

// SetHorizon raises the horizon: what is older is in blocks. It never sinks.
func (h *Head) SetHorizon(t int64) {
	for {
		now := h.horizon.Load()
		if t <= now || h.horizon.CompareAndSwap(now, t) {
			return
		}
	}
}

// Spans returns the starts of the spans that have samples and end at or before
// a time, oldest first.
func (h *Head) Spans(before int64) []int64 {
	seen := map[int64]bool{}
	for _, g := range h.allGroups() {
		g.mu.RLock()
		for _, t := range g.tilesLocked() {
			if t.span+h.set.spanMs <= before {
				seen[t.span] = true
			}
		}
		g.mu.RUnlock()
	}
	out := make([]int64, 0, len(seen))
	for span := range seen {
		out = append(out, span)
	}
	slices.Sort(out)
	return out
}

// Cut ends a span: samples before its end are refused from now on, and what it
// has is final. The snapshot returned is the part to write as a block; it is
// released by the caller.
func (h *Head) Cut(span int64) *Snapshot {
	end := span + h.set.spanMs
	h.SetHorizon(end)
	for _, g := range h.allGroups() {
		g.mu.Lock()
		if o := g.open; o != nil && o.span < end {
			g.endTileLocked()
		}
		g.mu.Unlock()
	}
	// A commit that wrote private samples before has published them when its
	// lock can be had.
	h.set.private.Lock()
	h.set.private.Unlock() //lint:ignore SA2001 waiting is all
	return h.snapshot(span, end)
}

// Drop frees what lies in spans before end, and forgets series that have
// nothing left. No snapshot that sees these spans is alive.
func (h *Head) Drop(end int64) {
	var gone []seriesID
	all := h.allGroups()
	closed := map[uint64]bool{} // the numbers of closed groups: these imply
	for _, g := range all {
		closed[g.number] = g.kind == storage.Closed
	}
	for _, g := range all {
		gone = h.dropFrom(g, end, closed, gone)
	}
	slices.Sort(gone)
	h.forgetForeign(gone)
	h.defs.undefine(gone)
	h.index.remove(gone, h.set.visible.Load())
	h.dropSeries()
	h.dropGroups()
	h.ForgetDeletions(end)
}

// dropFrom frees the tiles of a group, and adds the series that have nothing
// left to gone. One that is present and that a closed group wrote last stays:
// the group's next batch may imply that it goes on.
func (h *Head) dropFrom(g *group, end int64, closed map[uint64]bool, gone []seriesID) []seriesID {
	g.mu.Lock()
	defer g.mu.Unlock()
	n := 0
	for n < len(g.sealedTiles) && g.sealedTiles[n].span < end {
		n++
	}
	if n > 0 {
		h.tiles.mu.Lock()
		for _, t := range g.sealedTiles[:n] {
			delete(h.tiles.of, t.id)
			t.dropped = true
		}
		h.tiles.mu.Unlock()
		for _, t := range g.sealedTiles[:n] {
			for i := range t.stretches {
				if f := t.stretches[i].file; f != nil {
					h.set.unuse(f)
				}
			}
			t.stretches = nil
		}
		g.sealedTiles = slices.Delete(g.sealedTiles, 0, n)
	}
	evicted := false
	for slot := range g.members {
		m := &g.members[slot]
		implied := g.kind == storage.Closed || g.kind == private && closed[g.lastWriter]
		if m.state != own || implied && m.present {
			continue
		}
		if last, ok := g.lastSampleLocked(uint32(slot)); !ok || last < end {
			gone = append(gone, m.series)
			h.index.mu.Lock()
			h.index.hideLocked(m.series)
			h.index.mu.Unlock()
			g.freeLocked(uint32(slot))
			evicted = true
		}
	}
	if evicted {
		g.version++
	}
	return gone
}

// forgetForeign drops the slots of forgotten series in groups that do not own
// them.
func (h *Head) forgetForeign(gone []seriesID) {
	if len(gone) == 0 {
		return
	}
	for _, g := range h.allGroups() {
		g.mu.Lock()
		for id, slot := range g.slots {
			if _, ok := slices.BinarySearch(gone, id); ok {
				delete(g.slots, id)
				g.freeLocked(slot)
				g.version++
			}
		}
		g.mu.Unlock()
	}
}

// dropGroups removes groups that have neither members nor a writer. A group
// whose lock is held is in use, and by somebody who may wait for h.mu: it is
// looked at again at the next drop.
func (h *Head) dropGroups() {
	h.mu.Lock()
	defer h.mu.Unlock()
	for i, g := range h.groups {
		if g == nil || !g.mu.TryLock() {
			continue
		}
		if g.handles == 0 && g.emptyLocked() {
			g.handles = -1
			g.releaseLocked()
			h.groups[i] = nil
			if g.kind != private {
				delete(h.byName, groupName{g.kind, g.key, g.name})
			}
		}
		g.mu.Unlock()
	}
}

func (g *group) emptyLocked() bool {
	if g.open != nil || len(g.sealedTiles) > 0 {
		return false
	}
	for slot := range g.members {
		if g.members[slot].state == own {
			return false
		}
	}
	return true
}

// NeededSegment is the oldest segment of the log with a sample that is neither
// in a block nor in a file of seals, or current when there is none.
func (h *Head) NeededSegment(current uint64) uint64 {
	sealed := current
	for _, g := range h.allGroups() {
		g.mu.RLock()
		if g.open != nil || len(g.sealedTiles) > 0 {
			sealed = min(sealed, g.need)
		}
		g.mu.RUnlock()
	}
	return min(max(sealed, h.neededByTime(current)), h.late.NeededSegment(current))
}

// neededByTime is the oldest segment with a sample that is not in a block.
func (h *Head) neededByTime(current uint64) uint64 {
	horizon := h.horizon.Load()
	h.mu.Lock()
	defer h.mu.Unlock()
	needed := current
	for segment, last := range h.logged {
		if last >= horizon {
			needed = min(needed, segment)
		}
	}
	for segment := range h.logged {
		if segment < needed {
			delete(h.logged, segment)
		}
	}
	return needed
}

func (h *Head) allGroups() []*group {
	h.mu.RLock()
	defer h.mu.RUnlock()
	return slices.DeleteFunc(slices.Clone(h.groups), func(g *group) bool { return g == nil })
}

// Empty tells whether the head has no sample at or after a time.
func (h *Head) Empty(from int64) bool {
	for _, g := range h.allGroups() {
		g.mu.RLock()
		for _, t := range g.tilesLocked() {
			if t.span >= from {
				g.mu.RUnlock()
				return false
			}
		}
		g.mu.RUnlock()
	}
	return true
}

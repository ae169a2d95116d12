package head

// lockPrivate takes the lock under which series leave groups and private ones
// are written, until the commit is over. From then on no series moves.
func (c *commit) lockPrivate() {
	if !c.private {
		c.set.private.Lock()
		c.private = true
	}
}

// lackedLocked appends the groups, private ones aside, that a slot of a batch
// of g at t makes necessary and that are not locked: of a foreign slot the one
// that has its series, and, where the sample may be there already, those that
// had it. A provisional slot gets its series first: this is the last moment at
// which somebody else's lock can still be taken.
//
// behind says that the batch is not later than g: only then can an own slot's
// sample be a repeat.
func (c *commit) lackedLocked(dst []*group, g *group, slot uint32, t int64, behind bool) []*group {
	m := &g.members[slot]
	if m.state == provisional {
		g.settleLocked(slot)
	}
	if m.state != foreign && (m.state != own || !behind) {
		return dst
	}
	c.lockPrivate() // so that what is found stays true
	var buf [4]owner
	x := &g.head.index
	x.mu.RLock()
	places := x.placesLocked(buf[:0], m.series)
	x.mu.RUnlock()
	now := places[len(places)-1]
	if home := g.head.groupAt(now.group); home != nil && home.kind == private && home.before(now.slot, t) {
		return dst
	}
	for _, at := range places {
		h := g.head.groupAt(at.group)
		if h == nil || h.kind == private || c.holds(h) || len(dst) > 0 && dst[len(dst)-1] == h {
			continue
		}
		dst = append(dst, h)
	}
	return dst
}

// before tells whether a member's last sample is before t.
func (g *group) before(slot uint32, t int64) bool {
	g.mu.RLock()
	defer g.mu.RUnlock()
	last, ok := g.lastSampleLocked(slot)
	return ok && last < t
}

// anyFormer tells whether there is a series that was in another group before.
func (x *index) anyFormer() bool {
	x.mu.RLock()
	defer x.mu.RUnlock()
	return len(x.former) > 0
}

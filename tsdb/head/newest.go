package head

// Newest returns the time of the newest position of any group, false without
// one.
func (h *Head) Newest() (t int64, ok bool) {
	for _, g := range h.allGroups() {
		g.mu.RLock()
		if g.hasTime && (!ok || g.lastTime > t) {
			t, ok = g.lastTime, true
		}
		g.mu.RUnlock()
	}
	return t, ok
}

package scrape

// workShare is what the work on a large body takes beside it, as a multiple of
// its size: values, places and the batch are some 60 bytes a line, and so are
// short lines (docs/design/limits.md).
const workShare = 1

// WorkBytes is what the two largest scrapes take, in bytes, each time that they
// are made and not in between: bodies that no buffer is kept for, as far as the
// budget for bodies lets them grow, and the work on those that came whole. It is
// about what is known of the last scrapes, and 0 where bodies are small.
func (m *Manager) WorkBytes() int64 {
	if !m.mu.TryLock() { // a reload takes its time: whoever asks must not
		return m.workBytes.Load()
	}
	defer m.mu.Unlock()
	var first, second aside
	for _, p := range m.pools {
		for _, l := range p.loops {
			if a := (aside{l.grown.Load(), l.worked.Load()}); a.sum() > first.sum() {
				first, second = a, first
			} else if a.sum() > second.sum() {
				second = a
			}
		}
	}
	n := min(first.body+second.body, m.bodies.budget.max) + first.work + second.work
	m.workBytes.Store(n)
	return n
}

// aside is what one scrape takes, in bytes: its body, and the work on it.
type aside struct{ body, work int64 }

func (a aside) sum() int64 { return a.body + a.work }

package scrape

// workShare is what the work on a large body takes beside it, as a multiple of
// its size: values, places and the batch are some 60 bytes a line, and so are
// short lines (docs/design/limits.md).
const workShare = 1

// WorkBytes is what the two largest scrapes take, in bytes, each time that they
// are made and not in between: bodies that no buffer is kept for, and the work on
// them. It is about what is known of the last scrapes, and 0 where bodies are
// small.
func (m *Manager) WorkBytes() int64 {
	if !m.mu.TryLock() { // a reload takes its time: whoever asks must not
		return m.workBytes.Load()
	}
	defer m.mu.Unlock()
	var first, second int64
	for _, p := range m.pools {
		for _, l := range p.loops {
			if n := l.grown.Load(); n > first {
				first, second = n, first
			} else if n > second {
				second = n
			}
		}
	}
	n := (first + second) * (1 + workShare)
	m.workBytes.Store(n)
	return n
}

package head

// Sizes counts what a head has allotted; what is forgotten is used again, so
// that none of them grows where the number of series does not.
type Sizes struct {
	Series    int // that live
	SeriesMax int // numbers in use, forgotten ones included
	Slots     int // of all groups, dead ones included
	Groups    int
	Labels    int // of the tuples of all series, those of forgotten ones until they are compacted
	Symbols   int // strings of labels, likewise
	Bytes     int // outside of the Go heap
}

// Sizes returns the present numbers.
func (h *Head) Sizes() Sizes {
	var s Sizes
	groups := h.allGroups()
	s.Groups = len(groups)
	for _, g := range groups {
		g.mu.RLock()
		s.Slots += len(g.members)
		g.mu.RUnlock()
	}
	s.Bytes = int(h.memory.owner.Bytes())
	x := &h.index
	x.mu.RLock()
	defer x.mu.RUnlock()
	s.Series, s.SeriesMax, s.Labels, s.Symbols = x.liveLocked(), x.hashes.Len(), x.tuples.labels.Len(), x.tuples.symbols.at.Len()
	return s
}

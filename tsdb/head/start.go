package head

import "slices"

// starts are a member's start timestamps on what is not sealed yet.
type starts struct {
	first int64 // before the first change
	runs  []startRun
}

// startRun: from this position of the open tile on, samples have this start.
type startRun struct {
	pos   uint16
	start int64
}

// last is the start of the member's newest sample.
func (s *starts) last() int64 {
	if k := len(s.runs); k > 0 {
		return s.runs[k-1].start
	}
	return s.first
}

// startEntry is a start timestamp to log.
type startEntry struct {
	slot  uint32
	start int64
}

// startLocked is the start timestamp that a member's newest sample has.
func (g *group) startLocked(slot uint32) int64 {
	if s := g.starts[slot]; s != nil {
		return s.last()
	}
	return 0
}

// setStartLocked gives a member's samples a start timestamp from a position of
// the open tile on. Positions come in order.
func (g *group) setStartLocked(slot uint32, pos int, start int64) {
	s := g.starts[slot]
	if s == nil {
		s = g.makeStartsLocked(slot)
	}
	if s.last() != start {
		s.runs = append(s.runs, startRun{uint16(pos), start})
	}
}

// firstStartLocked sets what a member's samples have from now on, wherever they
// will lie.
func (g *group) firstStartLocked(slot uint32, start int64) {
	if start == 0 {
		delete(g.starts, slot)
		return
	}
	*g.makeStartsLocked(slot) = starts{first: start}
}

func (g *group) makeStartsLocked(slot uint32) *starts {
	if g.starts == nil {
		g.starts = map[uint32]*starts{}
	}
	s := &starts{}
	g.starts[slot] = s
	return s
}

// foldStartsLocked forgets the changes before a position of the open tile, all
// when the tile ends.
func (g *group) foldStartsLocked(to int, ends bool) {
	for slot, s := range g.starts {
		n := 0
		for n < len(s.runs) && (ends || int(s.runs[n].pos) < to) {
			s.first = s.runs[n].start
			n++
		}
		if s.runs = slices.Delete(s.runs, 0, n); len(s.runs) == 0 {
			if s.runs = nil; s.first == 0 {
				delete(g.starts, slot)
			}
		}
	}
}

// appendStarts appends the start of every position [from, to) of the open tile.
func (s *starts) append(dst []int64, from, to int) []int64 {
	start, k := s.first, 0
	for pos := from; pos < to; pos++ {
		for k < len(s.runs) && int(s.runs[k].pos) <= pos {
			start = s.runs[k].start
			k++
		}
		dst = append(dst, start)
	}
	return dst
}

// noteStart makes a sample's start timestamp that of its member from a position
// on, and logs it where it is another one.
func (c *commit) noteStart(g *group, slot uint32, pos int, start int64) {
	if g.startLocked(slot) == start {
		return
	}
	g.setStartLocked(slot, pos, start)
	c.starts = append(c.starts, startEntry{slot, start})
}

package head

import "github.com/nilometer/nilometer/storage"

// sparse finds the members of an open group that most of its positions say
// nothing of: samples with timestamps of their own, which have few positions in
// common. Each position and each stretch would have to say of all the others
// that they are absent; alone, such a series costs its own times.
//
// It counts in memory only: what it leads to is in the log.
type sparse struct {
	seen      []uint16 // positions with a sample, by slot; or alone
	positions int      // that were counted
	marked    int      // slots that are alone
}

const (
	// sparseShare is one by the share of the positions that a member has at least.
	sparseShare = 2
	// alone marks a slot whose next sample makes its series private.
	alone = 1<<16 - 1
)

// add counts a sample at the newest position, or at one before.
func (s *sparse) add(slot uint32, fresh bool) {
	for int(slot) >= len(s.seen) {
		s.seen = append(s.seen, 0)
	}
	switch n := &s.seen[slot]; {
	case fresh: // nothing is known against it
		s.unmark(slot)
		*n = uint16(s.positions)
	case *n < alone-1:
		*n++
	}
}

// isAlone tells whether a slot's series is to go.
func (s *sparse) isAlone(slot uint32) bool {
	return s.marked > 0 && int(slot) < len(s.seen) && s.seen[slot] == alone
}

// unmark lets a slot stand for something else.
func (s *sparse) unmark(slot uint32) {
	if s.isAlone(slot) {
		s.seen[slot] = 0
		s.marked--
	}
}

// endTile begins anew, and marks which members had few positions of at least so
// many.
func (s *sparse) endTile(least int) {
	for slot, n := range s.seen {
		switch {
		case n == alone:
		case n > 0 && s.positions >= least && int(n)*sparseShare < s.positions:
			s.seen[slot] = alone
			s.marked++
		default:
			s.seen[slot] = 0
		}
	}
	s.positions = 0
}

// thinOut looks, at the end of a tile of an open group, which members are to be
// private. Those go with their next sample, at t or later.
func (c *commit) thinOut(g *group, t int64) {
	if g.kind == storage.Open && g.endsTileLocked(t) {
		g.sparse.endTile(c.set.opts.SealEvery)
	}
}

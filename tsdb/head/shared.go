package head

import "slices"

// sharing divides label sets into what the series of one group have in common
// and the rest. It learns from the sets as they come: group by group, in the
// order of the scrape. Where it is wrong, labels take more memory and are as
// right as ever.
type sharing struct {
	group uint32
	seen  int      // label sets of this group so far
	run   []pairID // the labels that all of them have
	names []symbolID
	left  []pairID // the memory of the last answer
	right []pairID
}

// learnt is how many label sets of a group tell which of their labels all will
// have. Until then the names of the group before are taken.
const learnt = 8

// split returns the labels of a set that its group shares and the others, both
// in their order and valid until the next call.
func (s *sharing) split(t *tuples, group uint32, ps []pairID, metricName symbolID) (shared, rest []pairID) {
	pairs := t.pairs.All()
	if s.seen == 0 || s.group != group {
		if s.seen >= learnt {
			s.names = s.names[:0]
			for _, p := range s.run {
				s.names = append(s.names, pairs[p].name)
			}
		}
		s.group, s.seen, s.run = group, 0, s.run[:0]
		for _, p := range ps {
			if pairs[p].name != metricName {
				s.run = append(s.run, p)
			}
		}
	} else {
		s.run = slices.DeleteFunc(s.run, func(p pairID) bool { return !slices.Contains(ps, p) })
	}
	s.seen++
	s.left, s.right = s.left[:0], s.right[:0]
	for _, p := range ps {
		in := slices.Contains(s.run, p)
		if s.seen < learnt {
			in = slices.Contains(s.names, pairs[p].name)
		}
		if in {
			s.left = append(s.left, p)
		} else {
			s.right = append(s.right, p)
		}
	}
	return s.left, s.right
}

// forget begins anew, as when labels get other numbers.
func (s *sharing) forget() { *s = sharing{} }

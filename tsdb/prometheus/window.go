package prometheus

// span is a range of time, from included, to not; ms.
type span struct {
	From, To int64
}

// spansOf cuts [from, to] into the ranges that blocks have after compaction at
// now: the longest of ranges (the levels of tsdb/planner) that are closed, so
// that the planner finds nothing left to do, and shorter ones up to the
// present. Ranges are aligned to the epoch.
func spansOf(from, to, now int64, ranges []int64) []span {
	closed := now - 2*ranges[0]
	var out []span
	for t := from; t <= to; {
		s := span{}
		for i := len(ranges) - 1; i >= 0; i-- {
			r := ranges[i]
			s = span{From: floor(t, r), To: floor(t, r) + r}
			if s.To <= closed {
				break
			}
		}
		t = s.To
		s.From, s.To = max(s.From, from), min(s.To, to+1)
		out = append(out, s)
	}
	return out
}

// split cuts a range into those of the next shorter level; ok is false when it
// is one of the shortest.
func (s span) split(ranges []int64) (parts []span, ok bool) {
	for i := len(ranges) - 1; i >= 0; i-- {
		r := ranges[i]
		if floor(s.From, r) == floor(s.To-1, r) {
			continue
		}
		for t := s.From; t < s.To; {
			end := min(floor(t, r)+r, s.To)
			parts = append(parts, span{From: t, To: end})
			t = end
		}
		return parts, true
	}
	return nil, false
}

// level is the level of a block of this range. It is compacted: 2 is the least.
func (s span) level(ranges []int64) int {
	for i, r := range ranges {
		if floor(s.From, r) == floor(s.To-1, r) {
			return i + 2
		}
	}
	return len(ranges) + 1
}

// floor rounds t down to a multiple of r.
func floor(t, r int64) int64 {
	if t%r < 0 {
		return t - t%r - r
	}
	return t - t%r
}

package head

import (
	"io"
	"math"
)

// DumpSeries writes which series the head has, with their labels and places: a
// table of format/seriestable. What changes meanwhile is in it as it was or as
// it is: the log from before the call on brings it up to date. Writers wait for
// no more than some thousand series at a time.
func (h *Head) DumpSeries(w io.Writer) error {
	const none = math.MaxUint64
	h.mu.RLock()
	numbers := make([]uint64, len(h.groups))
	for i, g := range h.groups {
		if numbers[i] = none; g != nil {
			numbers[i] = g.number
		}
	}
	h.mu.RUnlock()
	return h.index.dump(w, func(group uint32) (uint64, bool) {
		if int(group) >= len(numbers) || numbers[group] == none {
			return 0, false
		}
		return numbers[group], true
	})
}

// LoadSeries gives a head without series those of DumpSeries. Series whose
// group the head does not have can be found, and are nowhere until a group
// takes them. On an error the head has no series.
func (h *Head) LoadSeries(data []byte) error {
	h.mu.RLock()
	byNumber := make(map[uint64]uint32, len(h.groups))
	for i, g := range h.groups {
		if g != nil {
			byNumber[g.number] = uint32(i)
		}
	}
	h.mu.RUnlock()
	return h.index.load(data, func(number uint64) (uint32, bool) {
		group, ok := byNumber[number]
		return group, ok
	})
}

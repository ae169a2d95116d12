package scrape

import (
	"math/bits"

	"github.com/nilometer/nilometer/storage"
)

// sort brings the samples of a closed group into the order of their slots, which
// stores take the fastest. A target that shows its series in the order in which
// they were resolved has them in it already, but for the report. No slot is
// there twice, and no sample has a start timestamp of its own.
func (g *groupWork) sort() {
	if ascending(g.slots) {
		return
	}
	clear(g.order)
	for i, slot := range g.slots {
		g.order.set(uint32(slot))
		for int(slot) >= len(g.bySlot) {
			g.bySlot = append(g.bySlot, 0)
		}
		g.bySlot[slot] = g.values[i]
	}
	n := 0
	for i, word := range g.order {
		for ; word != 0; word &= word - 1 {
			slot := i<<6 + bits.TrailingZeros64(word)
			g.slots[n], g.values[n] = storage.Slot(slot), g.bySlot[slot]
			n++
		}
	}
}

func ascending(slots []storage.Slot) bool {
	for i := 1; i < len(slots); i++ {
		if slots[i] < slots[i-1] {
			return false
		}
	}
	return true
}

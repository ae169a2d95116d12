package head

import (
	"fmt"

	"github.com/nilometer/nilometer/format/record"
)

// eachValueLocked reads a batch's values and histograms, as the bits that stand
// for them in the group.
func (g *group) eachValueLocked(b *record.Batch, set func(slot uint32, bits uint64)) error {
	err := g.eachSlotLocked(b, b.Next, func(slot uint32) error {
		m := &g.members[slot]
		bits, err := b.Bits(g.plainLocked(m.bits))
		if err == nil {
			set(slot, g.boxLocked(m, sample{bits: bits}))
		}
		return err
	})
	if err != nil || !b.Histograms {
		return err
	}
	return g.eachSlotLocked(b, b.NextHistogram, func(slot uint32) error {
		m := &g.members[slot]
		h, err := b.Histogram(g.histogramLocked(m.bits))
		if err == nil {
			set(slot, g.boxLocked(m, sample{hist: h}))
		}
		return err
	})
}

// eachStartLocked reads a batch's start timestamps, after its values.
func (g *group) eachStartLocked(b *record.Batch, set func(slot uint32, start int64)) error {
	if !b.Starts {
		return nil
	}
	if !b.Histograms { // there are none
		if _, _, err := b.NextHistogram(); err != nil {
			return fmt.Errorf("batch of group %d: %w", g.number, err)
		}
	}
	return g.eachSlotLocked(b, b.NextStart, func(slot uint32) error {
		start, err := b.Start()
		if err == nil {
			set(slot, start)
		}
		return err
	})
}

func (g *group) eachSlotLocked(b *record.Batch, next func() (uint32, bool, error), read func(slot uint32) error) error {
	for {
		slot, ok, err := next()
		if err == nil && ok {
			if int(slot) >= len(g.members) {
				return &record.CorruptError{What: fmt.Sprintf("group %d has no slot %d", g.number, slot)}
			}
			err = read(slot)
		}
		if err != nil {
			return fmt.Errorf("batch of group %d: %w", g.number, err)
		}
		if !ok {
			return nil
		}
	}
}

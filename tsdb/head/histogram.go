package head

import (
	"github.com/nilometer/nilometer/format/histogram"
	"github.com/nilometer/nilometer/storage"
)

// checkHistograms rejects the histograms of a batch that are none, and notes
// which ones are left.
func (c *commit) checkHistograms(b *storage.Batch, res *storage.Result) {
	c.hists = c.hists[:0]
	for i := range b.Histograms {
		h := &b.Histograms[i]
		if err := histogram.Validate(h.Histogram); err != nil {
			res.Rejected = append(res.Rejected, storage.Rejection{Index: len(b.Slots) + i, Slot: h.Slot, Reason: storage.ReasonInvalidHistogram})
			continue
		}
		c.hists = append(c.hists, len(b.Slots)+i)
	}
}

// slotOf returns the slot of entry i of a batch.
func slotOf(b *storage.Batch, i int) storage.Slot {
	if i < len(b.Slots) {
		return b.Slots[i]
	}
	return b.Histograms[i-len(b.Slots)].Slot
}

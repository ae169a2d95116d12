package head

import (
	"math"
	"slices"

	"github.com/nilometer/nilometer/format/record"
	"github.com/nilometer/nilometer/model/column"
	"github.com/nilometer/nilometer/storage"
)

// Streams, members and comparisons know values as 64 bits. A histogram is there
// as a box: bits with a prefix that no other value has, and a number under which
// the group keeps it. A float that has the prefix itself is boxed too. So
// whatever moves, repeats or compares values need not know histograms; only
// what reads a chunk out or writes a record does.
const (
	boxPrefix = uint64(0x7ffd) << 48
	boxMask   = uint64(0xffff) << 48
)

func isBoxed(bits uint64) bool { return bits&boxMask == boxPrefix }

// boxes are the boxed values of a group: those in streams, and the last ones of
// members. A seal throws the others away.
type boxes struct {
	last uint64 // the number of the newest
	of   map[uint64]box
}

// box is a value. Of a member's newest one the value is here, of those before it
// in streams a record against the one before.
type box struct {
	value column.Histogram // zero: data has it
	data  []byte           // of record.AppendHistogram
	prev  uint64           // the box that data is against, 0: none
	float bool             // bits is the value
	bits  uint64
}

// sample is one value on its way into a group, with its start timestamp.
type sample struct {
	bits  uint64
	hist  column.Histogram // zero: bits is the value
	start int64
}

// sampleOf returns entry i of a batch, counted through values, then histograms.
func sampleOf(b *storage.Batch, i int) sample {
	if i < len(b.Slots) {
		x := sample{bits: math.Float64bits(b.Values[i])}
		if b.Starts != nil {
			x.start = b.Starts[i]
		}
		return x
	}
	h := &b.Histograms[i-len(b.Slots)]
	if h.IsStale() {
		return sample{bits: math.Float64bits(column.StaleNaN()), start: h.Start}
	}
	return sample{hist: h.Histogram, start: h.Start}
}

func (x sample) stale() bool {
	return x.hist.IsZero() && column.IsStale(math.Float64frombits(x.bits))
}

func (x sample) at(t int64) column.Sample {
	return column.Sample{T: t, V: math.Float64frombits(x.bits), H: x.hist, Start: x.start}
}

// boxLocked returns the bits that stand for a value of a member: those of its
// last value if it is the same.
func (g *group) boxLocked(m *member, x sample) uint64 {
	if x.hist.IsZero() && !isBoxed(x.bits) {
		return x.bits
	}
	var prev box
	last := uint64(0)
	if m.hasValue && isBoxed(m.bits) {
		last, prev = m.bits, g.boxes.of[m.bits]
	}
	if x.hist.IsZero() {
		if prev.float && prev.bits == x.bits {
			return last
		}
		return g.newBoxLocked(box{float: true, bits: x.bits})
	}
	if last == 0 || prev.float {
		return g.newBoxLocked(box{value: ownCopy(x.hist), data: record.AppendHistogram(nil, column.Histogram{}, x.hist)})
	}
	if prev.value.Equal(x.hist) {
		return last
	}
	next := box{value: ownCopy(x.hist), data: record.AppendHistogram(nil, prev.value, x.hist), prev: last}
	if prev.data == nil {
		prev.data, prev.prev = record.AppendHistogram(nil, column.Histogram{}, prev.value), 0
	}
	prev.value = column.Histogram{}
	g.boxes.of[last] = prev
	return g.newBoxLocked(next)
}

// ownCopy copies a histogram, its bounds included: the writer may change them.
func ownCopy(h column.Histogram) column.Histogram {
	h = h.Copy()
	switch {
	case h.Int != nil:
		h.Int.CustomValues = slices.Clone(h.Int.CustomValues)
	case h.Float != nil:
		h.Float.CustomValues = slices.Clone(h.Float.CustomValues)
	}
	return h
}

func (g *group) newBoxLocked(b box) uint64 {
	if g.boxes == nil {
		g.boxes = &boxes{of: map[uint64]box{}}
	}
	g.boxes.last++
	bits := boxPrefix | g.boxes.last
	g.boxes.of[bits] = b
	return bits
}

// unboxer opens boxes of one group. Opened one after another as they came, each
// costs one record.
type unboxer struct {
	bits uint64
	hist column.Histogram
	way  []uint64
}

// open returns the value that bits stand for.
func (u *unboxer) open(g *group, bits uint64) sample {
	if !isBoxed(bits) {
		return sample{bits: bits}
	}
	b := g.boxes.of[bits]
	if b.float {
		return sample{bits: b.bits}
	}
	if bits == u.bits && !u.hist.IsZero() {
		return sample{hist: u.hist}
	}
	u.way = u.way[:0]
	at := bits
	var h column.Histogram
	for {
		if at == u.bits && !u.hist.IsZero() {
			h = u.hist
			break
		}
		if b = g.boxes.of[at]; !b.value.IsZero() {
			h = b.value
			break
		}
		u.way = append(u.way, at)
		if at = b.prev; at == 0 {
			break
		}
	}
	for _, at := range slices.Backward(u.way) {
		var err error
		if h, _, err = record.ReadHistogram(g.boxes.of[at].data, h); err != nil { // our own memory
			panic("head: a boxed histogram cannot be read: " + err.Error())
		}
	}
	u.bits, u.hist = bits, h
	return sample{hist: h}
}

// unboxLocked returns what bits stand for.
func (g *group) unboxLocked(bits uint64) sample {
	var u unboxer
	return u.open(g, bits)
}

// plainLocked returns the bits that a float is logged against: none after a
// histogram.
func (g *group) plainLocked(bits uint64) uint64 {
	if !isBoxed(bits) {
		return bits
	}
	if b := g.boxes.of[bits]; b.float {
		return b.bits
	}
	return 0
}

// histogramLocked returns the histogram that one is logged against, if bits
// stand for one.
func (g *group) histogramLocked(bits uint64) column.Histogram {
	if !isBoxed(bits) {
		return column.Histogram{}
	}
	return g.unboxLocked(bits).hist
}

// keepBoxesLocked throws all boxes away but those given, and what members have
// as their last value.
func (g *group) keepBoxesLocked(keep []uint64) {
	if g.boxes == nil {
		return
	}
	for slot := range g.members {
		if m := &g.members[slot]; isBoxed(m.bits) {
			keep = append(keep, m.bits)
		}
	}
	old := g.boxes
	if len(keep) == 0 {
		g.boxes = nil
		return
	}
	of := make(map[uint64]box, len(keep))
	var u unboxer
	for _, bits := range keep {
		b := old.of[bits]
		if !b.float {
			b = box{value: u.open(g, bits).hist}
		}
		of[bits] = b
	}
	g.boxes = &boxes{last: old.last, of: of}
}

// moveBoxLocked makes the value of a member known to the group that its series
// moves to.
func (g *group) moveBoxLocked(to *group, bits uint64) uint64 {
	if !isBoxed(bits) {
		return bits
	}
	x := g.unboxLocked(bits)
	return to.newBoxLocked(box{value: x.hist, float: x.hist.IsZero(), bits: x.bits})
}

// logValue adds a member's value to the batch that is being written. The newest
// box of a member has been made by this commit, or is the one before again.
func (c *commit) logValue(g *group, e entry) {
	if !isBoxed(e.bits) {
		c.writer.AddValue(e.slot, g.plainLocked(e.prev), e.bits, &g.members[e.slot].hint)
		return
	}
	switch b := g.boxes.of[e.bits]; {
	case b.float:
		c.writer.AddValue(e.slot, g.plainLocked(e.prev), b.bits, &g.members[e.slot].hint)
	case e.prev != e.bits && b.data != nil:
		c.writer.AddHistogram(e.slot, b.data)
	default:
		h := g.unboxLocked(e.bits).hist
		c.more = record.AppendHistogram(c.more[:0], g.histogramLocked(e.prev), h)
		c.writer.AddHistogram(e.slot, c.more)
	}
}

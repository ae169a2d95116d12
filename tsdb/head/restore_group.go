package head

import (
	"fmt"
	"math"
	"slices"

	"github.com/nilometer/nilometer/format/seal"
	"github.com/nilometer/nilometer/model/column"
	"github.com/nilometer/nilometer/storage"
	"github.com/nilometer/nilometer/tsdb/part"
)

// restoreLocked makes the group's tiles and members of its frames: all of the
// oldest ones, and what the newest says about the members.
func (g *group) restoreLocked(rs *restored) error {
	var t *tile
	origin := 0 // of the tile's positions in those of the frames
	for i := range rs.frames {
		f := &rs.frames[i]
		body, err := f.frame.ReadBody(f.file.mapping.Bytes())
		var st, more seal.Stretch
		if err == nil {
			st, err = seal.ReadStretch(body[:f.StretchBytes], f.To-f.From)
		}
		last := i == len(rs.frames)-1
		if err == nil && last && f.End > f.To {
			more, err = seal.ReadStretch(body[f.StretchBytes:], f.End-f.To)
		}
		if err != nil {
			err = fmt.Errorf("seals %d: %w", f.file.number, err)
			g.head.set.unuse(f.file)
			if last {
				return err // what follows in the log leans on it
			}
			g.head.set.lost.add(Loss{Tenant: g.head.id, Group: fmt.Sprintf("%s (%v)", g.name, err), From: f.Times[0], To: f.Times[f.To-f.From-1]})
			t = nil
			continue
		}
		if t == nil || t.span != f.Span || f.From-origin != len(t.times) {
			t, origin = g.restoreTileLocked(f.Span), f.From
		}
		t.addStretch(f, st, origin)
		if last {
			g.open = t
			g.sealedTiles = g.sealedTiles[:len(g.sealedTiles)-1]
			t.sealed = false
			g.restoreMembersLocked(rs, f, &st, &more)
		}
	}
	return nil
}

// restoreTileLocked adds a tile to the sealed ones.
func (g *group) restoreTileLocked(span int64) *tile {
	t := g.head.newTile(g, span)
	t.sealed = true
	g.sealedTiles = append(g.sealedTiles, t)
	return t
}

// addStretch appends a frame's first stretch.
func (t *tile) addStretch(f *restoredFrame, st seal.Stretch, origin int) {
	t.times = append(t.times, f.Times[:f.To-f.From]...)
	t.stamps = append(t.stamps, make([]uint64, f.To-f.From)...)
	t.stretches = append(t.stretches, stretch{from: f.From - origin, to: f.To - origin, file: f.file, Stretch: st})
	t.from = f.To - origin
}

// restoreMembersLocked gives the slots what they stood for after the newest
// seal, and the open tile what stood in streams.
func (g *group) restoreMembersLocked(rs *restored, f *restoredFrame, st, more *seal.Stretch) {
	t := g.open
	t.times = append(t.times, f.Times[f.To-f.From:]...)
	t.stamps = append(t.stamps, make([]uint64, f.End-f.To)...)
	g.lastTime, g.hasTime = f.Last, true
	s := g.head.set.sealers.Get().(*sealer)
	defer g.head.set.sealers.Put(s)
	s.streams, s.records = s.streams[:0], s.records[:0]
	if n := len(f.Members); n > 0 {
		last := &f.Members[n-1]
		g.reserveLocked(int(last.Slot + last.Count))
	}
	ids := rs.ids
	for i := range f.Members {
		x := &f.Members[i]
		for k := range x.Count {
			if ids[k] != noSeries {
				g.restoreMemberLocked(s, x, x.Slot+k, ids[k], f, st, more)
			}
		}
		ids = ids[x.Count:]
	}
	if n := len(f.Members); n > 0 { // the last ones may be forgotten; the log says of them what is in blocks
		last := &f.Members[n-1]
		for len(g.members) < int(last.Slot+last.Count) {
			g.appendMemberLocked(member{state: dead, series: noSeries})
		}
	}
	g.resumeLocked(s.streams, s.records)
}

// restoreMemberLocked gives one slot what it stood for after the newest seal.
func (g *group) restoreMemberLocked(s *sealer, x *seal.Member, slot uint32, id seriesID, f *restoredFrame, st, more *seal.Stretch) {
	m := g.seatLocked(slot, id)
	m.absentFrom = uint16(g.open.from)
	if x.Foreign {
		m.state = foreign
		if g.slots == nil {
			g.slots = map[seriesID]uint32{}
		}
		g.slots[m.series] = slot
	}
	m.present = x.Present
	m.bits = g.boxLocked(m, sample{bits: x.Bits, hist: x.Histogram})
	m.hasValue, m.lastTime = x.HasValue, x.Time
	g.firstStartLocked(slot, x.Start)
	_, chunk, runs := st.Entry(int(slot), nil)
	if values := g.restoreValue(x, m, chunk, runs, f.Times[:f.To-f.From]); values != nil {
		g.restoreLast(slot, values)
	}
	if f.End > f.To {
		g.restoreStream(s, x, slot, m, more, f)
	}
	if g.kind == storage.Closed && m.present {
		m.carried, m.absentFrom, m.lastTime = true, neverAbsent, f.Last
	}
}

// restoreValue takes a member's last value and time from an entry, where there
// are any. It returns the values of the present positions.
func (g *group) restoreValue(x *seal.Member, m *member, chunk []byte, runs []column.Run, times []int64) *storage.Values {
	n := len(times)
	if x.Explicit || column.SampleCount(runs, n) == 0 || len(chunk)+len(runs) == 0 {
		return nil
	}
	for at := n - 1; at >= 0; at-- {
		if column.StateAt(runs, at) != column.Absent {
			m.lastTime = times[at]
			break
		}
	}
	if len(chunk) == 0 {
		return nil
	}
	c, err := part.Unpack(chunk, runs)
	values := &storage.Values{}
	if err == nil {
		err = values.Decode(&c, n)
	}
	if err != nil {
		g.head.set.lost.add(Loss{Tenant: g.head.id, Group: fmt.Sprintf("%s (a chunk of a seal: %v)", g.name, err), From: times[0], To: times[n-1]})
		return nil
	}
	return values
}

// restoreLast makes the last of values the member's.
func (g *group) restoreLast(slot uint32, values *storage.Values) {
	if n := max(len(values.Floats), len(values.Histograms)); n > 0 {
		x := g.restoreSample(slot, values, n-1)
		g.firstStartLocked(slot, x.start)
	}
}

// restoreSample makes the i-th of values the member's, and returns it.
func (g *group) restoreSample(slot uint32, values *storage.Values, i int) sample {
	v := values.At(i, 0)
	x := sample{bits: math.Float64bits(v.V), hist: v.H, start: v.Start}
	m := &g.members[slot]
	m.bits = g.boxLocked(m, x)
	m.hasValue = true
	return x
}

// restoreStream puts what stood in streams back into one.
func (g *group) restoreStream(s *sealer, x *seal.Member, slot uint32, m *member, more *seal.Stretch, f *restoredFrame) {
	t, n := g.open, f.End-f.To
	_, chunk, runs := more.Entry(int(slot), nil)
	if len(chunk)+len(runs) == 0 {
		return
	}
	present := g.restoreValue(x, m, chunk, runs, f.Times[f.To-f.From:])
	values := make([]float64, 0, n)
	if next := 0; present != nil {
		for at := range n {
			if column.StateAt(runs, at) == column.Present {
				v := g.restoreSample(slot, present, next)
				if v.start != g.startLocked(slot) {
					g.setStartLocked(slot, t.from+at, v.start)
				}
				if !m.carried { // what is before is not read
					m.carried = true
					for i := range values {
						values[i] = math.Float64frombits(m.bits)
					}
				}
				next++
			}
			values = append(values, math.Float64frombits(m.bits))
		}
	}
	if m.carried {
		s.restart(slot, m, values)
	}
	end := n
	if k := len(runs) - 1; k >= 0 && runs[k].State == column.Absent && runs[k].End() == n {
		end, runs = int(runs[k].At), runs[:k]
	}
	m.absentFrom = uint16(t.from + end)
	if len(runs) == 0 {
		return
	}
	own := slices.Clone(runs)
	for i := range own {
		own[i].At += uint16(t.from)
	}
	if t.runs == nil {
		t.runs = map[uint32][]column.Run{}
	}
	t.runs[slot] = own
}

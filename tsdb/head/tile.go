package head

import (
	"math"
	"slices"

	format "github.com/nilometer/nilometer/format/column"
	"github.com/nilometer/nilometer/model/column"
	"github.com/nilometer/nilometer/tsdb/part"
)

// unpublished is the commit of a position that no reader may see yet.
const unpublished = uint64(math.MaxUint64)

// tile is up to column.TilePositions positions of a group's time column. While
// it is open, the values are in the streams of the group's members.
type tile struct {
	id    part.ColumnID
	span  int64 // its start, ms
	times []int64
	// stamps are the commits of the positions; nil when every reader sees all.
	stamps []uint64
	// runs are the exceptions to "present" by slot. In an open tile the absence
	// at the end is in member.absentFrom.
	runs map[uint32][]column.Run
	// fills are values that came for positions that were published before.
	fills  map[uint32][]fill
	filled uint64 // the commit of the last fill

	// stretches hold values of an open tile that are in no stream any more.
	stretches []stretch

	sealed  bool
	offsets []uint32 // by slot, and one more: the chunk is data[offsets[i]:offsets[i+1]]
	data    []byte
}

// fill is a position that a member got with a later commit than the others.
type fill struct {
	pos    uint16
	commit uint64
}

// visible is the number of positions that a reader of commit sees.
func (t *tile) visible(commit uint64) int {
	if t.stamps == nil {
		return len(t.times)
	}
	n, _ := slices.BinarySearchFunc(t.stamps, commit, func(stamp, c uint64) int {
		if stamp <= c {
			return -1
		}
		return 1
	})
	return n
}

// visibleOf is visible for one member: it ends before the first fill that came
// later.
func (t *tile) visibleOf(slot uint32, commit uint64) int {
	n := t.visible(commit)
	for _, f := range t.fills[slot] {
		if f.commit > commit {
			return min(n, int(f.pos))
		}
	}
	return n
}

// chunk returns a member's encoded chunk in a sealed tile.
func (t *tile) chunk(slot uint32) []byte {
	if int(slot)+1 >= len(t.offsets) {
		return nil
	}
	return t.data[t.offsets[slot]:t.offsets[slot+1]]
}

// has tells whether a member has any sample in a sealed tile.
func (t *tile) has(slot uint32) bool { return len(t.chunk(slot)) > 0 || len(t.runs[slot]) > 0 }

// cutRuns returns runs as they are on the first n positions.
func cutRuns(runs []column.Run, n int) []column.Run {
	for i, r := range runs {
		if int(r.At) >= n {
			return runs[:i:i]
		}
		if r.End() > n {
			out := slices.Clone(runs[:i+1])
			out[i].Len = uint16(n - int(r.At))
			return out
		}
	}
	return runs
}

// addRun appends positions [from, to) of one state.
func addRun(runs []column.Run, from, to int, s column.State) []column.Run {
	if from >= to {
		return runs
	}
	if k := len(runs) - 1; k >= 0 && runs[k].State == s && runs[k].End() == from {
		runs[k].Len += uint16(to - from)
		return runs
	}
	return append(runs, column.Run{At: uint16(from), Len: uint16(to - from), State: s})
}

// scratch is the memory that decoding an open tile takes.
type scratch struct {
	bytes  []byte
	chunk  []float64
	values []float64
}

// sealer encodes what is in open tiles.
type sealer struct {
	enc format.Encoder
	scratch
	present []float64
	out     []byte
	kept    []byte
	slots   []uint32
	starts  []uint16
	offsets []uint32
}

// sealLocked encodes the group's open tile, in place. The caller holds the group's
// lock.
func (g *group) sealLocked() {
	t := g.open
	if t == nil {
		return
	}
	g.open = nil
	n := len(t.times)
	s := g.head.set.sealers.Get().(*sealer)
	defer g.head.set.sealers.Put(s)
	t.offsets = make([]uint32, 1, len(g.members)+1)
	data := s.out[:0]
	for slot := range g.members {
		m := &g.members[slot]
		runs := g.runsLocked(t, uint32(slot), n)
		if column.PresentCount(runs, n) > 0 {
			s.present = g.valuesLocked(t, s.present[:0], &s.scratch, uint32(slot), runs, n)
			data = s.enc.Append(data, s.present)
		}
		t.offsets = append(t.offsets, uint32(len(data)))
		switch {
		case column.SampleCount(runs, n) == 0:
			delete(t.runs, uint32(slot))
		case len(runs) > 0:
			if t.runs == nil {
				t.runs = map[uint32][]column.Run{}
			}
			t.runs[uint32(slot)] = slices.Clone(runs)
		}
		m.stream, m.carried = stream{}, false
	}
	t.stretches = nil
	t.data = slices.Clone(data)
	s.out = data
	t.times = slices.Clip(t.times)
	g.blocks = nil
	t.sealed = true
	g.head.set.metrics.seals.Inc()
}

// runsLocked returns the exceptions of a member on the first n positions of the
// open tile t (or of one that is being sealed).
func (g *group) runsLocked(t *tile, slot uint32, n int) []column.Run {
	m := &g.members[slot]
	runs := t.runs[slot]
	if from := int(m.absentFrom); m.absentFrom != neverAbsent && from < n {
		runs = addRun(slices.Clone(runs), from, n, column.Absent)
	}
	return cutRuns(runs, n)
}

// valuesLocked appends a member's values at the present ones of the first n
// positions of the open tile t.
func (g *group) valuesLocked(t *tile, dst []float64, s *scratch, slot uint32, runs []column.Run, n int) []float64 {
	m := &g.members[slot]
	if !m.changed() {
		return appendRepeated(dst, math.Float64frombits(m.bits), column.PresentCount(runs, n))
	}
	values := g.everyLocked(t, s, slot, n)
	next := 0
	for _, r := range runs {
		dst = append(dst, values[next:r.At]...)
		next = r.End()
	}
	return append(dst, values[next:n]...)
}

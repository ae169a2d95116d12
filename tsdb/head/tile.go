package head

import (
	"math"
	"slices"

	"github.com/nilometer/nilometer/format/seal"
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
	// runs are the exceptions to "present" by slot, on positions that are in
	// streams. The absence at the end is in member.absentFrom.
	runs map[uint32][]column.Run
	// fills are values that came for positions that were published before.
	fills  map[uint32][]fill
	filled uint64 // the commit of the last fill

	// stretches hold the positions before from; those after it are in the
	// streams of the members.
	stretches []stretch
	from      int
	sealed    bool // nothing is in streams any more
	dropped   bool // it is in a block, and not in its group any more
}

// stretch is a run of positions, [from, to) of a tile, that are encoded: at two
// to three bytes a change, streams of a whole tile would be most of the head's
// memory.
type stretch struct {
	from, to int
	// made is the last commit that was visible when it was sealed. What older
	// snapshots see of the positions is one piece with all that follow.
	made uint64
	file *sealFile // that has its bytes, nil while they are in memory
	seal.Stretch
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

// clipRuns appends the parts of runs on [from, to), counted from origin.
func clipRuns(dst, runs []column.Run, from, to, origin int) []column.Run {
	for _, r := range runs {
		if a, b := max(from, int(r.At)), min(to, r.End()); a < b {
			dst = append(dst, column.Run{At: uint16(a - origin), Len: uint16(b - a), State: r.State})
		}
	}
	return dst
}

// runsLocked returns the exceptions of a member on positions before n of the
// open tile t, those in stretches aside.
func (g *group) runsLocked(t *tile, slot uint32, n int) []column.Run {
	m := &g.members[slot]
	runs := t.runs[slot]
	if from := max(int(m.absentFrom), t.from); m.absentFrom != neverAbsent && from < n {
		runs = addRun(slices.Clone(runs), from, n, column.Absent)
	}
	return cutRuns(runs, n)
}

package planner

import (
	"cmp"
	"slices"

	"github.com/nilometer/nilometer/format/manifest"
)

// Overlapping is the number of blocks that overlap others of their resolution,
// beyond one of each set that is connected by overlaps: how far compaction is
// behind with late samples.
func Overlapping(blocks []manifest.Block) int {
	n := 0
	end := map[int64]int64{} // by resolution, of the set at hand
	sorted := slices.Clone(blocks)
	slices.SortFunc(sorted, func(a, b manifest.Block) int { return cmp.Compare(a.MinTime, b.MinTime) })
	for _, b := range sorted {
		last, begun := end[b.ResolutionMs]
		if begun && b.MinTime <= last {
			n++
			b.MaxTime = max(b.MaxTime, last)
		}
		end[b.ResolutionMs] = b.MaxTime
	}
	return n
}

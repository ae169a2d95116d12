package planner

import (
	"slices"

	"github.com/nilometer/nilometer/format/manifest"
)

// runs splits blocks, in order of acceptance, into what may be merged: at most
// as many as a job takes, and none across a block that stays as it is where that
// would change which value of a timestamp wins (I3).
func (p *plan) runs(blocks []manifest.Block) [][]manifest.Block {
	stay := slices.DeleteFunc(slices.Clone(p.order), func(x manifest.Block) bool {
		return slices.ContainsFunc(blocks, func(b manifest.Block) bool { return b.ID == x.ID }) ||
			!slices.ContainsFunc(blocks, func(b manifest.Block) bool { return overlap(b, x) })
	})
	rest := slices.SortedFunc(slices.Values(blocks), CompareAcceptance)
	var out [][]manifest.Block
	for len(rest) > 0 {
		n := 1
		for n < min(len(rest), p.options.JobBlocksMax) && keepsOrder(rest[:n+1], stay) {
			n++
		}
		out, rest = append(out, rest[:n]), rest[n:]
	}
	return out
}

// keepsOrder tells whether the result of merging sources, which are in order of
// acceptance, stands to each block that stays as every source does that overlaps
// it.
func keepsOrder(sources, stay []manifest.Block) bool {
	result := sources[0] // it has the lowest sequence
	for _, b := range sources {
		result.HighestSeq = max(result.HighestSeq, b.HighestSeq)
	}
	for _, x := range stay {
		place := CompareAcceptance(result, x)
		if slices.ContainsFunc(sources, func(b manifest.Block) bool { return overlap(b, x) && CompareAcceptance(b, x) != place }) {
			return false
		}
	}
	return true
}

// overlap tells whether two blocks may have samples of one time.
func overlap(a, b manifest.Block) bool { return a.MinTime <= b.MaxTime && b.MinTime <= a.MaxTime }

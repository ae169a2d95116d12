package planner

import (
	"cmp"
	"slices"

	"github.com/nilometer/nilometer/format/manifest"
)

// Budgets shares a bound of bytes among tenants so that the oldest blocks of
// all of them go first: the bytes that the blocks of each may have, for
// Options.RetentionBytes; at least 1, as 0 would be no bound.
func Budgets(tenants [][]manifest.Block, bytesMax uint64) []uint64 {
	type entry struct {
		tenant int
		block  manifest.Block
	}
	var all []entry
	var total uint64
	out := make([]uint64, len(tenants))
	for i, blocks := range tenants {
		for _, b := range blocks {
			all = append(all, entry{i, b})
			out[i] += b.Stats.Bytes()
		}
		total += out[i]
	}
	slices.SortStableFunc(all, func(a, b entry) int { return cmp.Compare(a.block.MaxTime, b.block.MaxTime) })
	for _, e := range all {
		if total <= bytesMax {
			break
		}
		total -= e.block.Stats.Bytes()
		out[e.tenant] -= e.block.Stats.Bytes()
	}
	for i := range out {
		out[i] = max(1, out[i])
	}
	return out
}

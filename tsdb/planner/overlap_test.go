package planner_test

import (
	"slices"
	"testing"

	"github.com/oklog/ulid/v2"

	"github.com/nilometer/nilometer/format/manifest"
	"github.com/nilometer/nilometer/tsdb/planner"
)

func overlapBlock(n byte, from, to int64, seq uint64) manifest.Block {
	return manifest.Block{ID: ulid.ULID{15: n}, MinTime: from, MaxTime: to, LowestSeq: seq, HighestSeq: seq, Level: 1}
}

func TestOverlapping(t *testing.T) {
	other := overlapBlock(9, 0, 100, 1)
	other.ResolutionMs = 300_000
	for name, c := range map[string]struct {
		blocks []manifest.Block
		want   int
	}{
		"nothing":              {nil, 0},
		"apart":                {[]manifest.Block{overlapBlock(1, 0, 9, 1), overlapBlock(2, 10, 19, 2)}, 0},
		"one beside another":   {[]manifest.Block{overlapBlock(1, 0, 9, 1), overlapBlock(2, 9, 19, 2)}, 1},
		"two in a large one":   {[]manifest.Block{overlapBlock(2, 20, 29, 2), overlapBlock(1, 0, 99, 1), overlapBlock(3, 50, 59, 3)}, 2},
		"a chain and a pair":   {[]manifest.Block{overlapBlock(1, 0, 9, 1), overlapBlock(2, 5, 14, 2), overlapBlock(3, 12, 20, 3), overlapBlock(4, 30, 40, 4), overlapBlock(5, 31, 32, 5)}, 3},
		"another resolution":   {[]manifest.Block{overlapBlock(1, 0, 9, 1), other}, 0},
		"a short one, then on": {[]manifest.Block{overlapBlock(1, 0, 99, 1), overlapBlock(2, 5, 6, 2), overlapBlock(3, 90, 99, 3)}, 2},
	} {
		if got := planner.Overlapping(c.blocks); got != c.want {
			t.Errorf("%s: %d, want %d", name, got, c.want)
		}
	}
}

// TestOverlapJobsKeepTheOrder: where a set of blocks is too large for one job,
// those go together that were accepted first (I3).
func TestOverlapJobsKeepTheOrder(t *testing.T) {
	s := manifest.State{Blocks: []manifest.Block{
		overlapBlock(1, 0, 50, 40), overlapBlock(2, 1, 50, 10), overlapBlock(3, 2, 50, 30), overlapBlock(4, 3, 50, 20),
	}}
	jobs := planner.Plan(s, 100, planner.Options{BlockRangeMs: 100, JobBlocksMax: 2})
	if len(jobs) == 0 || jobs[0].Kind != planner.Overlap {
		t.Fatalf("jobs %+v", jobs)
	}
	if got, want := jobs[0].IDs(), []ulid.ULID{{15: 2}, {15: 4}}; !slices.Equal(got, want) {
		t.Errorf("the job merges %v, want %v", got, want)
	}
}

package planner_test

import (
	"slices"
	"testing"

	"github.com/oklog/ulid/v2"

	"github.com/nilometer/nilometer/format/manifest"
	"github.com/nilometer/nilometer/tsdb/planner"
)

// TestSetAside: blocks that cannot be read are merged with none and keep none
// from being merged, and go when they are old.
func TestSetAside(t *testing.T) {
	const hour = 3_600_000
	var s manifest.State
	for i := range int64(4) {
		s.Blocks = append(s.Blocks, manifest.Block{
			ID: ulid.ULID{byte(i + 1)}, MinTime: 0, MaxTime: hour - 1, Level: 1, LowestSeq: uint64(i), HighestSeq: uint64(i),
		})
	}
	bad := s.Blocks[3].ID
	o := planner.Options{RetentionMs: 100 * hour, SetAside: map[ulid.ULID]bool{bad: true}}
	jobs := planner.Plan(s, 2*hour, o)
	if len(jobs) != 1 || len(jobs[0].Blocks) != 3 || slices.Contains(jobs[0].IDs(), bad) {
		t.Errorf("planned %+v", jobs)
	}
	jobs = planner.Plan(s, 200*hour, o)
	if len(jobs) != 1 || jobs[0].Kind != planner.Drop || !slices.Contains(jobs[0].IDs(), bad) {
		t.Errorf("planned %+v", jobs)
	}
}

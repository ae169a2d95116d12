package planner_test

import (
	"slices"
	"testing"

	"github.com/nilometer/nilometer/format/manifest"
	"github.com/nilometer/nilometer/tsdb/planner"
)

func TestBudgets(t *testing.T) {
	b := func(maxTime int64, bytes uint64) manifest.Block {
		return manifest.Block{MaxTime: maxTime, Stats: manifest.Stats{ChunkBytes: bytes}}
	}
	tenants := [][]manifest.Block{{b(10, 100), b(30, 50)}, {b(20, 70)}, nil}
	for _, c := range []struct {
		limit uint64
		want  []uint64
	}{
		{1000, []uint64{150, 70, 1}},
		{220, []uint64{150, 70, 1}},
		{219, []uint64{50, 70, 1}},
		{119, []uint64{50, 1, 1}},
		{0, []uint64{1, 1, 1}},
	} {
		if got := planner.Budgets(tenants, c.limit); !slices.Equal(got, c.want) {
			t.Errorf("limit %d: got %d, want %d", c.limit, got, c.want)
		}
	}
}

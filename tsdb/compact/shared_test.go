package compact_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/nilometer/nilometer/blob/mem"
	"github.com/nilometer/nilometer/model/column"
	"github.com/nilometer/nilometer/tsdb/block"
	"github.com/nilometer/nilometer/tsdb/part"
	"github.com/nilometer/nilometer/tsdb/part/parttest"
	"github.com/nilometer/nilometer/tsdb/planner"
)

// columnsOf returns on which columns of a block a series lies.
func columnsOf(t *testing.T, b *block.Block, lset labels.Labels) []part.ColumnID {
	t.Helper()
	ref, ok, err := b.Find(lset)
	if err != nil || !ok {
		t.Fatalf("%s: %v, %v", lset, ok, err)
	}
	pieces, err := b.Pieces(ref, math.MinInt64, math.MaxInt64, nil)
	if err != nil {
		t.Fatal(err)
	}
	var out []part.ColumnID
	for _, p := range pieces {
		out = append(out, p.Column)
	}
	return slices.Compact(out)
}

// TestLateSamplesFillTheSharedColumn: a series whose late samples have
// positions in its group's column is on that column after the merge, and only
// the tiles of those that do not fit leave it.
func TestLateSamplesFillTheSharedColumn(t *testing.T) {
	f := newFixture(t, mem.New())
	const n = column.TilePositions
	main := parttest.New("head")
	grid := main.Regular(0, 15_000, 2*n)
	for i := range 6 {
		var samples []column.Sample
		for pos := range 2 * n {
			if i >= 2 && pos%100 < 10*i { // positions that others have
				continue
			}
			samples = append(samples, column.Sample{T: 15_000 * int64(pos), V: float64(pos * i)})
		}
		main.Samples(numbered(i, 1), grid, samples...)
	}
	f.add(main)
	late := parttest.New("late")
	fill := func(i int, times ...int64) {
		slices.Sort(times)
		var samples []column.Sample
		for _, at := range times {
			samples = append(samples, column.Sample{T: at, V: float64(-i)})
		}
		late.Samples(numbered(i, 1), late.AddColumn(times...), samples...)
	}
	fill(2, 0, 15_000, 15_000*105)        // absent before, and in the middle
	fill(3, 15_000*200, 15_000*(n+120))   // one piece across both tiles
	fill(4, 15_000*(n+20)+1)              // no position of the grid: its tile goes
	fill(5, 15_000*30, 15_000*100, 1_000) // one of three does not fit
	f.add(late)
	f.run(planner.Overlap, block.Options{})
	b := f.check()
	shared := columnsOf(t, b, numbered(0, 1))
	for i := range 6 {
		got := columnsOf(t, b, numbered(i, 1))
		if private := i == 4 || i == 5; private != (len(got) > 1) || !slices.Contains(got, shared[0]) {
			t.Errorf("series %d is on columns %v, the others on %v", i, got, shared)
		}
	}
	if len(shared) != 1 || b.TimeColumns() > 3 {
		t.Errorf("the block has %d columns, the series without late samples are on %v", b.TimeColumns(), shared)
	}
}

// TestManyLateBlocks draws columns, holes, and late samples on and off the
// positions, in several blocks that overlap, and merges them in random orders
// with merges of merges.
func TestManyLateBlocks(t *testing.T) {
	for seed := range uint64(12) {
		rng := rand.New(rand.NewPCG(seed, 5))
		f := newFixture(t, mem.New())
		n := 50 + rng.IntN(2*column.TilePositions)
		main := parttest.New("head")
		grid := main.Regular(0, 1000, n)
		for i := range 5 {
			var samples []column.Sample
			for pos := range n {
				if rng.IntN(5) > 0 {
					samples = append(samples, column.Sample{T: 1000 * int64(pos), V: float64(rng.IntN(100))})
				}
			}
			main.Samples(numbered(i, 1), grid, samples...)
		}
		f.add(main)
		for k := range 3 {
			late := parttest.New(fmt.Sprint("late", k))
			for i := range 5 {
				times := map[int64]bool{}
				for range rng.IntN(40) {
					at := 1000 * int64(rng.IntN(n))
					if rng.IntN(20) == 0 {
						at += int64(rng.IntN(1000))
					}
					times[at] = true
				}
				sorted := make([]int64, 0, len(times))
				for at := range times {
					sorted = append(sorted, at)
				}
				slices.Sort(sorted)
				var samples []column.Sample
				for _, at := range sorted {
					v := float64(rng.IntN(100))
					if rng.IntN(8) == 0 {
						v = column.StaleNaN()
					}
					samples = append(samples, column.Sample{T: at, V: v})
				}
				if len(samples) > 0 {
					late.Samples(numbered(i, 1), late.AddColumn(sorted...), samples...)
				}
			}
			f.add(late)
			if rng.IntN(2) == 0 {
				f.run(planner.Overlap, block.Options{Compress: rng.IntN(2) == 0})
				f.check()
			}
		}
		f.run(planner.Overlap, block.Options{})
		f.check()
	}
}

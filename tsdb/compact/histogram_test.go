package compact_test

import (
	"testing"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/nilometer/nilometer/blob/mem"
	"github.com/nilometer/nilometer/model/column"
	"github.com/nilometer/nilometer/storage/storagetest"
	"github.com/nilometer/nilometer/tsdb/block"
	"github.com/nilometer/nilometer/tsdb/part/parttest"
	"github.com/nilometer/nilometer/tsdb/planner"
)

// TestConflictsBetweenTypes merges a float and a histogram at one time: the
// one accepted first stays, whichever it is, with its start timestamp.
func TestConflictsBetweenTypes(t *testing.T) {
	f := newFixture(t, mem.New())
	lset := labels.FromStrings("__name__", "h", "instance", "i", "job", "j")
	hist := func(i int64) column.Histogram { return storagetest.IntHistogram(i) }
	first, second := parttest.New("first"), parttest.New("second")
	first.Samples(lset, first.Regular(0, 1000, 4),
		column.Sample{T: 0, H: hist(1), Start: 5}, column.Sample{T: 1000, V: 2}, column.Sample{T: 3000, H: hist(3)})
	second.Samples(lset, second.Regular(0, 1000, 6),
		column.Sample{T: 0, V: 1}, column.Sample{T: 1000, H: hist(2)}, column.Sample{T: 2000, H: hist(7), Start: 9},
		column.Sample{T: 3000, H: hist(3)}, column.Sample{T: 4000, V: column.StaleNaN()}, column.Sample{T: 5000, V: 4, Start: 9})
	f.add(first)
	f.add(second)
	if got := f.run(planner.Overlap, block.Options{}); got.Stats.Conflicts != 2 {
		t.Errorf("%d conflicts, want 2", got.Stats.Conflicts)
	}
	f.check()
}

// TestHistogramTilesAreFilled joins small tiles of different types into one.
func TestHistogramTilesAreFilled(t *testing.T) {
	f := newFixture(t, mem.New())
	lset := labels.FromStrings("__name__", "h", "instance", "i", "job", "j")
	for i := range int64(4) {
		src := parttest.New("source")
		var samples []column.Sample
		for k := range int64(50) {
			x := column.Sample{T: i*50_000 + k*1000, V: float64(k)}
			switch i {
			case 1:
				x = column.Sample{T: x.T, H: storagetest.IntHistogram(k), Start: 1}
			case 3:
				x = column.Sample{T: x.T, H: storagetest.FloatHistogram(k)}
			}
			samples = append(samples, x)
		}
		src.Samples(lset, src.Regular(i*50_000, 1000, 50), samples...)
		f.add(src)
	}
	f.run(planner.Level, block.Options{Compress: true})
	b := f.check()
	if n := b.Meta().Stats.Chunks; n != 1 {
		t.Errorf("%d chunks, want one", n)
	}
}

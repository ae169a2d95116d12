package scan_test

import (
	"testing"

	"github.com/nilometer/nilometer/model/column"
	"github.com/nilometer/nilometer/storage/storagetest"
	"github.com/nilometer/nilometer/tsdb/part/parttest"
)

// TestTypesOverlap reads a series whose pieces of different types overlap: one
// tile has them all, the sample of the first part stays at each time.
func TestTypesOverlap(t *testing.T) {
	hist := func(i int64) column.Histogram { return storagetest.IntHistogram(i) }
	float := storagetest.FloatHistogram(1)
	p, q := parttest.New("p"), parttest.New("q")
	p.Samples(lset("a"), p.AddColumn(10, 20, 30, 50), column.Sample{T: 10, V: 1}, column.Sample{T: 30, H: hist(3), Start: 7}, column.Sample{T: 50, H: float})
	q.Samples(lset("a"), q.AddColumn(10, 20, 30, 40), column.Sample{T: 10, H: hist(9)}, column.Sample{T: 20, H: hist(2)}, column.Sample{T: 30, V: 4},
		column.Sample{T: 40, V: column.StaleNaN()})
	want := []storagetest.Series{{Labels: lset("a"), Samples: []storagetest.Sample{
		{T: 10, V: 1}, {T: 20, H: hist(2)}, {T: 30, H: hist(3), Start: 7}, {T: 40, V: column.StaleNaN()}, {T: 50, H: float},
	}}}
	if d := storagetest.Diff(want, read(t, selectAll(t, p, q))); d != "" {
		t.Error(d)
	}
}

// TestChunksPassThrough hands chunks of histograms and start timestamps out as
// they are where nothing overlaps, with the presence that the tile needs.
func TestChunksPassThrough(t *testing.T) {
	p := parttest.New("p")
	id := p.AddColumn(10, 20, 30, 40)
	h := storagetest.IntHistogram(3)
	p.Samples(lset("a"), id, every(10, 10, 4, 1)...)
	p.Samples(lset("h"), id, column.Sample{T: 20, H: h}, column.Sample{T: 30, V: 8, Start: 3})
	want := []storagetest.Series{
		{Labels: lset("a"), Samples: every(10, 10, 4, 1)},
		{Labels: lset("h"), Samples: []storagetest.Sample{{T: 20, H: h}, {T: 30, V: 8, Start: 3}}},
	}
	s := selectAll(t, p)
	if n := len(shape(t, s)); n != 1 {
		t.Errorf("%d batches, want one", n)
	}
	if d := storagetest.Diff(want, read(t, selectAll(t, p))); d != "" {
		t.Error(d)
	}
}

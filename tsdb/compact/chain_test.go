package compact_test

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/nilometer/nilometer/blob/mem"
	"github.com/nilometer/nilometer/model/column"
	"github.com/nilometer/nilometer/tsdb/block"
	"github.com/nilometer/nilometer/tsdb/part"
	"github.com/nilometer/nilometer/tsdb/part/parttest"
	"github.com/nilometer/nilometer/tsdb/planner"
)

func numbered(metric, target int) labels.Labels {
	return labels.FromStrings("__name__", fmt.Sprintf("m%03d", metric), "instance", fmt.Sprint("i", target), "job", "j")
}

func counting(p *parttest.Part, lset labels.Labels, id part.ColumnID, from, n int) {
	times, _ := p.Column(id)
	var samples []column.Sample
	for k := from; k < from+n; k++ {
		samples = append(samples, column.Sample{T: times[k], V: float64(k * k % 97)})
	}
	p.Samples(lset, id, samples...)
}

// TestSpansWithOddPositions: jitter puts 479 or 481 positions into a span; the
// single position that is a tile of its own joins the next span's tile.
func TestSpansWithOddPositions(t *testing.T) {
	f := newFixture(t, mem.New())
	start := int64(0)
	for _, n := range []int{481, 479, 480, 481, 479} {
		p := parttest.New("source")
		id := p.Regular(start, 15_000, n)
		for metric := range 4 {
			counting(p, numbered(metric, 0), id, 0, n)
		}
		f.add(p)
		start += int64(n) * 15_000
	}
	r := f.run(planner.Level, block.Options{})
	if s := r.Block.Stats; s.Columns != 1 || s.Chunks != 4*5 {
		t.Errorf("%+v: want 1 column with 5 tiles of 4 series", s)
	}
	if r.Stats.Copied != 3*4 || r.Stats.Encoded != 2*4 {
		t.Errorf("%+v: want 12 chunks copied, 8 encoded", r.Stats)
	}
	f.check()
}

// TestPrivateColumnsAreContinued: series of one placement key with columns of
// their own find their own columns again, though the key cannot tell them
// apart, also when some of them pause.
func TestPrivateColumnsAreContinued(t *testing.T) {
	f := newFixture(t, mem.New())
	for span := range int64(4) {
		p := parttest.New("source")
		for metric := range 20 {
			if (metric+int(span))%7 == 0 {
				continue
			}
			id := p.Regular(span*120_000+int64(metric)*7, 1000, 100)
			counting(p, numbered(metric, 0), id, 0, 100)
		}
		f.add(p)
	}
	r := f.run(planner.Level, block.Options{})
	if s := r.Block.Stats; s.Columns != 20 || s.Chunks != 20 {
		t.Errorf("%+v: want a column and a chunk for each of 20 series", s)
	}
	f.check()
}

// TestLongColumnsAreCut: a span with more positions than a column may have.
func TestLongColumnsAreCut(t *testing.T) {
	f := newFixture(t, mem.New())
	n := 2*block.ColumnPositionsMax + 100
	p := parttest.New("source")
	id := p.Regular(0, 1000, n)
	counting(p, numbered(0, 0), id, 0, n)
	counting(p, numbered(1, 0), id, 700, n-1000)
	f.add(p)
	q := parttest.New("source")
	id = q.Regular(int64(n)*1000, 1000, 50)
	counting(q, numbered(0, 0), id, 0, 50)
	f.add(q)
	r := f.run(planner.Level, block.Options{})
	if s := r.Block.Stats; s.Columns != 3 {
		t.Errorf("%+v: want 3 columns", s)
	}
	f.check()
}

// TestLateSamples: a late block of a few samples between the positions of a
// group's column changes the tiles that it touches, and no others.
func TestLateSamples(t *testing.T) {
	f := newFixture(t, mem.New())
	p := parttest.New("source")
	id := p.Regular(0, 15_000, 5*column.TilePositions)
	for metric := range 50 {
		counting(p, numbered(metric, 0), id, 0, 5*column.TilePositions)
	}
	f.add(p)
	late := parttest.New("late")
	late.Samples(numbered(7, 0), late.AddColumn(1_000_001, 1_000_003), column.Sample{T: 1_000_001, V: 1}, column.Sample{T: 1_000_003, V: 2})
	f.add(late)
	r := f.run(planner.Overlap, block.Options{})
	if r.Stats.Encoded > 3 || r.Block.Stats.Columns != 2 {
		t.Errorf("%+v %+v", r.Stats, r.Block.Stats)
	}
	f.check()
}

// TestCompactionOrderDoesNotMatter: merging in steps gives the samples of
// merging at once.
func TestCompactionOrderDoesNotMatter(t *testing.T) {
	rng := rand.New(rand.NewPCG(11, 3))
	f := newFixture(t, mem.New())
	for i := range int64(9) {
		f.add(parttest.Random(rng, "source", parttest.RandomOptions{Targets: 3, Metrics: 6, Start: i * 90_000, Interval: 1000, Positions: 100, Gaps: true}))
		if i%2 == 1 {
			f.run(planner.Overlap, block.Options{Compress: i%3 == 0})
		}
	}
	f.run(planner.Overlap, block.Options{})
	f.check()
}

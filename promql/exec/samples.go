package exec

import (
	"context"
	"slices"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/nilometer/nilometer/promql/function"
	"github.com/nilometer/nilometer/promql/plan"
	"github.com/nilometer/nilometer/storage"
)

// RawSeries is a series with its own times.
type RawSeries struct {
	Labels labels.Labels
	T      []int64
	V      []float64
}

// Samples returns the samples in a window at the grid's first step, in label
// order: the answer to an instant query for a range vector.
func (r *Run) Samples(ctx context.Context, n *plan.Window, g function.Grid) ([]RawSeries, error) {
	g = function.NewGrid(g.Start, g.Start, g.Step)
	c := &collector{run: r, grid: g, where: "a range selector"}
	var raw []RawSeries // by rank
	src := &rowSource{
		scan: n.Scan, when: n.When, rangeMs: n.RangeMs, pos: n.Pos(), where: c.where,
		fn: function.RangeFunc{SamplesMin: 1, KeepsName: true},
		raw: func(rank uint32, s *function.Samples, lo, hi int32) error {
			if err := r.q.Budget.takePoints(2*int64(hi-lo), c.where); err != nil {
				return err
			}
			raw[rank] = RawSeries{T: slices.Clone(s.T[lo:hi]), V: slices.Clone(s.V[lo:hi])}
			return nil
		},
	}
	var out []RawSeries
	err := r.rows(ctx, src, g, beginner{rowSink: c, then: func(s storage.Scan) { raw = make([]RawSeries, s.Series()) }},
		func(s storage.Scan) error {
			for rank, one := range raw {
				if len(one.T) > 0 {
					one.Labels = s.Labels(uint32(rank))
					out = append(out, one)
				}
			}
			return nil
		})
	return out, err
}

// beginner is a rowSink with something to do after it has begun.
type beginner struct {
	rowSink
	then func(storage.Scan)
}

func (b beginner) begin(s storage.Scan) (int, error) {
	n, err := b.rowSink.begin(s)
	if err == nil {
		b.then(s)
	}
	return n, err
}

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
	// Histograms are samples of their own, at other times than T.
	Histograms []function.HistogramPoint
}

// Samples returns the samples in a window at the grid's first step, in label
// order: the answer to an instant query for a range vector.
func (r *Run) Samples(ctx context.Context, n *plan.Window, g function.Grid) ([]RawSeries, error) {
	g = function.NewGrid(g.Start, g.Start, g.Step)
	c := &collector{run: r, grid: g, where: "a range selector"}
	var raw []RawSeries // by rank
	src := &rowSource{
		scan: n.Scan, when: n.When, rangeMs: n.RangeMs, pos: n.Pos(), where: c.where,
		fn:       function.RangeFunc{SamplesMin: 1, KeepsName: true},
		anchored: n.Anchored, smoothed: n.Smoothed, behind: n.Behind(), ahead: n.Ahead(), general: n.Anchored || n.Smoothed,
		raw: func(rank uint32, t []int64, v []float64, h []function.HistogramPoint) error {
			points := 2 * int64(len(t)+len(h))
			for _, p := range h {
				points += int64(p.H.Size()+8) / 16
			}
			if err := r.q.Budget.takePoints(points, c.where); err != nil {
				return err
			}
			raw[rank] = RawSeries{T: slices.Clone(t), V: slices.Clone(v), Histograms: slices.Clone(h)}
			return nil
		},
	}
	var out []RawSeries
	err := r.rows(ctx, src, g, beginner{rowSink: c, then: func(s storage.Scan) { raw = make([]RawSeries, s.Series()) }},
		func(s storage.Scan) error {
			for rank, one := range raw {
				if len(one.T)+len(one.Histograms) > 0 {
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

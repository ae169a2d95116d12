package exec

import (
	"context"
	"errors"

	"github.com/prometheus/prometheus/promql/parser"

	"github.com/nilometer/nilometer/promql/function"
	"github.com/nilometer/nilometer/promql/plan"
	"github.com/nilometer/nilometer/storage"
)

// errLabelsNeeded: the labels of all series have to be looked at.
var errLabelsNeeded = errors.New("labels of all series are needed")

// chooses: the aggregation returns some of its input.
func chooses(op parser.ItemType) bool {
	switch op {
	case parser.TOPK, parser.BOTTOMK, parser.LIMITK:
		return true
	}
	return false
}

// chooseFused evaluates topk, bottomk or limitk over a selector, or a range
// function over one. Of thousands of series a few are chosen: only those are
// asked for their labels.
func (r *Run) chooseFused(ctx context.Context, n *plan.Aggregate, g function.Grid, params []float64) (Matrix, error) {
	src, err := r.flowingSource(ctx, n, g)
	if err != nil {
		return Matrix{}, err
	}
	f := &fused{
		run: r, op: n.Op, grid: g, grouping: newGrouping(n.Grouping, n.Without),
		loseName: !src.fn.KeepsName && !r.q.DelayedNames,
		where:    "the aggregation " + n.Op.String(),
	}
	c := &collector{run: r, grid: g, where: src.where}
	var out Matrix
	err = r.rows(ctx, src, g, c, func(s storage.Scan) error {
		if f.loseName || src.fn.Counter {
			f.nonEmpty = make([]bool, len(c.rows))
			for rank := range c.rows {
				f.nonEmpty[rank] = len(c.rows[rank].V) > 0
			}
			if !src.scan.NameFixed || r.q.TypeAndUnitLabels || f.described(s) {
				return errLabelsNeeded
			}
		}
		if err := r.checkParams(src, g); err != nil {
			return err
		}
		in := Matrix{Grid: g}
		var groupOf []int32
		floats := false
		for rank := range c.rows {
			if row := c.rows[rank]; len(row.V) > 0 {
				row.rank, row.DropName = uint32(rank), !src.fn.KeepsName
				floats = floats || row.hasFloats()
				in.Rows = append(in.Rows, row)
				in.held += c.held[rank]
				groupOf = append(groupOf, f.group(s, uint32(rank)))
			}
		}
		r.q.Budget.giveBytes(int64(s.Series()) * rowBytes)
		if floats {
			r.notice(src, src.scan.Name, "")
		}
		var err error
		if out, err = r.choose(ctx, n, g, in, params, groupOf, len(f.grouping.labels)); err != nil {
			return err
		}
		for i := range out.Rows {
			row := &out.Rows[i]
			row.Labels = s.Labels(row.rank)
			if row.DropName {
				r.loseName(row)
			}
		}
		return nil
	})
	if errors.Is(err, errLabelsNeeded) {
		for _, held := range c.held {
			r.q.Budget.givePoints(held)
		}
		r.q.Budget.giveBytes(int64(len(c.rows)) * rowBytes)
	}
	return out, err
}

package exec

import (
	"context"
	"strconv"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"

	"github.com/nilometer/nilometer/promql/function"
	"github.com/nilometer/nilometer/promql/plan"
)

// countValues counts how many series of a group have which value; the value
// becomes a label.
func (r *Run) countValues(ctx context.Context, n *plan.Aggregate, g function.Grid) (Matrix, error) {
	name := text(n.Param)
	if !model.UTF8Validation.IsValidLabelName(name) {
		return Matrix{}, plan.Errorf("invalid label name %q", name)
	}
	m, err := r.eval(ctx, n.Input, g)
	if err != nil {
		return Matrix{}, err
	}
	defer r.release(m)
	names := n.Grouping
	if !n.Without {
		names = appendSorted(names, name)
	}
	gr := newGrouping(names, n.Without)
	var out []Row
	b := labels.NewBuilder(labels.EmptyLabels())
	for i := range m.Rows {
		if err := r.core.pause(ctx); err != nil {
			return Matrix{}, err
		}
		row := &m.Rows[i]
		groups := map[float64]int32{} // of the values of this row
		for j, v := range row.V {
			if !row.Present.Has(j) {
				continue
			}
			at, ok := groups[v]
			h := row.histogram(j)
			if !ok || v == 0 || h != nil { // 0 and -0 are one key and two labels
				b.Reset(row.Labels)
				value := ""
				if h != nil {
					value = h.String()
				} else {
					value = strconv.FormatFloat(v, 'f', -1, 64)
				}
				b.Set(name, value)
				at = gr.group(b.Labels())
				if h == nil {
					groups[v] = at
				}
			}
			if int(at) == len(out) {
				if err := r.q.Budget.takePoints(int64(g.Steps), "the aggregation count_values"); err != nil {
					return Matrix{}, err
				}
				out = append(out, Row{Labels: gr.labels[at], V: make([]float64, g.Steps), Present: newBits(g.Steps)})
			}
			out[at].V[row.First+j]++
			out[at].Present.set(row.First + j)
		}
	}
	// Labels may coincide where the value's label was given and grouped away.
	held := int64(len(out)) * int64(g.Steps)
	merged, err := mergeRows(out)
	return Matrix{Grid: g, Rows: merged, held: held}, err
}

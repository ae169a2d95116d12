package exec

import (
	"context"
	"slices"

	"github.com/nilometer/nilometer/promql/function"
	"github.com/nilometer/nilometer/promql/plan"
)

// keptMatrix is the result of a part that stands in other places, too.
type keptMatrix struct {
	m    Matrix
	left int // places that have not asked yet
}

// shared evaluates a part that stands in several places of the plan once, and
// hands out copies. A part that something was noted about is evaluated in every
// place: annotations name places in the text.
func (r *Run) shared(ctx context.Context, n *plan.Shared, g function.Grid) (Matrix, error) {
	if k := r.kept[n.Group]; k != nil && k.m.Grid == g {
		if k.left--; k.left == 0 {
			delete(r.kept, n.Group)
			return k.m, nil
		}
		return r.copied(k.m)
	}
	notes := r.notesSoFar()
	m, err := r.eval(ctx, n.Input, g)
	if err != nil || n.Group.Uses < 2 || r.notesSoFar() != notes || r.kept[n.Group] != nil {
		return m, err
	}
	kept, err := r.copied(m)
	if err != nil {
		return Matrix{}, err
	}
	if r.kept == nil {
		r.kept = map[*plan.Sharing]*keptMatrix{}
	}
	r.kept[n.Group] = &keptMatrix{m: kept, left: n.Group.Uses - 1}
	return m, nil
}

func (r *Run) notesSoFar() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.notes
}

// copied returns a matrix with rows of its own, counted in the budget.
func (r *Run) copied(m Matrix) (Matrix, error) {
	out := Matrix{Grid: m.Grid, Rows: make([]Row, len(m.Rows))}
	for i, row := range m.Rows {
		row.V, row.Present, row.H = slices.Clone(row.V), slices.Clone(row.Present), slices.Clone(row.H)
		out.Rows[i] = row
	}
	return r.hold(out, "a part that stands in several places")
}

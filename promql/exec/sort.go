package exec

import (
	"context"
	"math"
	"slices"
	"sort"

	"github.com/facette/natsort"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/util/annotations"

	"github.com/nilometer/nilometer/promql/function"
	"github.com/nilometer/nilometer/promql/plan"
)

// sort orders the rows of an instant query. In a range query it only warns.
func (r *Run) sort(ctx context.Context, n *plan.Call, g function.Grid) (Matrix, error) {
	m, err := r.eval(ctx, n.Args[0], g)
	if err != nil {
		return Matrix{}, err
	}
	if n.Func.Name == "sort" || n.Func.Name == "sort_desc" {
		dropHistograms(&m)
	}
	if !g.Instant() {
		r.annotate(annotations.NewSortInRangeQueryWarning(n.Pos()))
		return m, nil
	}
	switch n.Func.Name {
	case "sort":
		sort.Sort(sort.Reverse(descending(m.Rows)))
	case "sort_desc":
		sort.Sort(sort.Reverse(ascending(m.Rows)))
	default:
		names := make([]string, 0, len(n.Args)-1)
		for _, a := range n.Args[1:] {
			names = append(names, text(a))
		}
		sign := 1
		if n.Func.Name == "sort_by_label_desc" {
			sign = -1
		}
		slices.SortFunc(m.Rows, func(a, b Row) int { return sign * compareByLabels(a.Labels, b.Labels, names) })
	}
	return m, nil
}

// compareByLabels compares by the values of names in natural order ("2" before
// "10"), then by all labels.
func compareByLabels(a, b labels.Labels, names []string) int {
	for _, name := range names {
		x, y := a.Get(name), b.Get(name)
		if x == y {
			continue
		}
		if natsort.Compare(x, y) {
			return -1
		}
		return 1
	}
	return labels.Compare(a, b)
}

// text is the value of a string argument.
func text(n plan.Node) string {
	if t, ok := n.(*plan.Text); ok {
		return t.Value
	}
	return ""
}

// ascending and descending order rows of one value; NaN comes first in both.
// They are also heaps, with the value that is to leave first on top. Reversed,
// NaN comes last.
type ascending []Row

func (s ascending) Len() int           { return len(s) }
func (s ascending) Swap(i, j int)      { s[i], s[j] = s[j], s[i] }
func (s ascending) Less(i, j int) bool { return math.IsNaN(s[i].V[0]) || s[i].V[0] < s[j].V[0] }

type descending []Row

func (s descending) Len() int           { return len(s) }
func (s descending) Swap(i, j int)      { s[i], s[j] = s[j], s[i] }
func (s descending) Less(i, j int) bool { return math.IsNaN(s[i].V[0]) || s[i].V[0] > s[j].V[0] }

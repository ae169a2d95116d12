package exec

import (
	"context"
	"strings"

	"github.com/grafana/regexp"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"

	"github.com/nilometer/nilometer/promql/function"
	"github.com/nilometer/nilometer/promql/plan"
)

func (r *Run) labelReplace(ctx context.Context, n *plan.Call, g function.Grid) (Matrix, error) {
	dst, replacement, src, pattern := text(n.Args[1]), text(n.Args[2]), text(n.Args[3]), text(n.Args[4])
	re, err := regexp.Compile("^(?s:" + pattern + ")$")
	if err != nil {
		return Matrix{}, plan.Errorf("invalid regular expression in label_replace(): %s", pattern)
	}
	if !model.UTF8Validation.IsValidLabelName(dst) {
		return Matrix{}, plan.Errorf("invalid destination label name in label_replace(): %s", dst)
	}
	return r.relabel(ctx, n.Args[0], g, dst, func(lset labels.Labels) (string, bool) {
		value := lset.Get(src)
		groups := re.FindStringSubmatchIndex(value)
		if groups == nil {
			return "", false
		}
		return string(re.ExpandString(nil, replacement, value, groups)), true
	})
}

func (r *Run) labelJoin(ctx context.Context, n *plan.Call, g function.Grid) (Matrix, error) {
	dst, separator := text(n.Args[1]), text(n.Args[2])
	var sources []string
	for _, a := range n.Args[3:] {
		name := text(a)
		if !model.UTF8Validation.IsValidLabelName(name) {
			return Matrix{}, plan.Errorf("invalid source label name in label_join(): %s", name)
		}
		sources = append(sources, name)
	}
	if !model.UTF8Validation.IsValidLabelName(dst) {
		return Matrix{}, plan.Errorf("invalid destination label name in label_join(): %s", dst)
	}
	values := make([]string, len(sources))
	return r.relabel(ctx, n.Args[0], g, dst, func(lset labels.Labels) (string, bool) {
		for i, name := range sources {
			values[i] = lset.Get(name)
		}
		return strings.Join(values, separator), true
	})
}

// relabel sets the label dst of every row to what f says.
func (r *Run) relabel(ctx context.Context, in plan.Node, g function.Grid, dst string, f func(labels.Labels) (string, bool)) (Matrix, error) {
	m, err := r.eval(ctx, in, g)
	if err != nil {
		return Matrix{}, err
	}
	b := labels.NewBuilder(labels.EmptyLabels())
	for i := range m.Rows {
		row := &m.Rows[i]
		value, ok := f(row.Labels)
		if !ok {
			continue
		}
		b.Reset(row.Labels)
		b.Set(dst, value)
		row.Labels = b.Labels()
		if dst == model.MetricNameLabel {
			row.DropName = false
		}
	}
	m.Rows, err = mergeRows(m.Rows)
	return m, err
}

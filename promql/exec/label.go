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
	references := strings.Count(replacement, "$")
	return r.relabel(ctx, n, g, dst, func(lset labels.Labels) (int, func() string) {
		value := lset.Get(src)
		groups := re.FindStringSubmatchIndex(value)
		if groups == nil {
			return 0, nil
		}
		return len(replacement) + references*len(value), func() string {
			return string(re.ExpandString(nil, replacement, value, groups))
		}
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
	return r.relabel(ctx, n, g, dst, func(lset labels.Labels) (int, func() string) {
		size := len(separator) * len(sources)
		for i, name := range sources {
			values[i] = lset.Get(name)
			size += len(values[i])
		}
		return size, func() string { return strings.Join(values, separator) }
	})
}

// labelValueMax is the longest text that a label set can hold, in bytes.
const labelValueMax = 1<<24 - 1

// relabel sets the label dst of every row of n's first argument to what f says:
// how large the value is at most, and then the value; nil leaves the row. Values
// are counted before they are made: each may repeat the one before many times,
// and functions nest.
func (r *Run) relabel(ctx context.Context, n *plan.Call, g function.Grid, dst string, f func(labels.Labels) (int, func() string)) (Matrix, error) {
	m, err := r.eval(ctx, n.Args[0], g)
	if err != nil {
		return Matrix{}, err
	}
	where := "the function " + n.Func.Name
	b := labels.NewBuilder(labels.EmptyLabels())
	for i := range m.Rows {
		row := &m.Rows[i]
		sizeMax, value := f(row.Labels)
		if value == nil {
			continue
		}
		if sizeMax > labelValueMax {
			return Matrix{}, &plan.LimitError{
				Limit: "bytes of a label's value", Max: labelValueMax, Seen: int64(sizeMax), Where: where,
				Remedy: "make shorter values",
			}
		}
		before := int64(row.Labels.ByteSize())
		// The value, and the labels with it.
		most := before + 2*int64(sizeMax)
		if err := r.q.Budget.takeBytes(most, where); err != nil {
			return Matrix{}, err
		}
		b.Reset(row.Labels)
		b.Set(dst, value())
		row.Labels = b.Labels()
		more := int64(row.Labels.ByteSize()) - before
		r.q.Budget.giveBytes(most - more)
		m.heldBytes += more
		if dst == model.MetricNameLabel {
			row.DropName = false
		}
	}
	m.Rows, err = mergeRows(m.Rows)
	return m, err
}

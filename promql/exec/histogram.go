package exec

import (
	"context"
	"strconv"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/util/annotations"

	"github.com/nilometer/nilometer/promql/function"
	"github.com/nilometer/nilometer/promql/plan"
)

// bucketRow is a row that is one bucket of a classic histogram.
type bucketRow struct {
	row   *Row
	bound float64
}

// classicHistogram is the buckets of one histogram.
type classicHistogram struct {
	labels  labels.Labels // without le
	buckets []bucketRow
	// native are the steps at which there is a native histogram of the same
	// name and labels, so that neither has a result; nil for none.
	native Bits
}

// has reports whether there is any bucket at a step.
func (h *classicHistogram) has(step int) bool {
	for _, b := range h.buckets {
		if _, ok := b.row.At(step); ok && b.row.Histogram(step) == nil {
			return true
		}
	}
	return false
}

// nativeRow is a row with native histograms, and the classic one of the same
// name and labels, if there is one.
type nativeRow struct {
	row     *Row
	classic *classicHistogram
}

// histogram evaluates the functions over buckets, classic and native.
func (r *Run) histogram(ctx context.Context, n *plan.Call, g function.Grid) (Matrix, error) {
	c := &histogramCall{run: r, n: n, grid: g}
	input := n.Args[len(n.Args)-1]
	scalars := n.Args[:len(n.Args)-1]
	if n.Func.Name == "histogram_quantiles" {
		input, scalars, c.label = n.Args[0], n.Args[2:], text(n.Args[1])
	}
	c.pos = input
	for _, a := range scalars {
		v, err := r.scalar(ctx, a, g)
		if err != nil {
			return Matrix{}, err
		}
		c.params = append(c.params, v)
	}
	m, err := r.eval(ctx, input, g)
	if err != nil {
		return Matrix{}, err
	}
	defer r.release(m)
	for i, v := range c.params {
		if n.Func.Name != "histogram_fraction" {
			r.checkQuantile(v, scalars[i])
		}
	}
	out := Matrix{Grid: g}
	classic, native := c.group(m)
	for _, h := range native {
		if err := r.core.pause(ctx); err != nil {
			return Matrix{}, err
		}
		out.Rows = append(out.Rows, c.nativeResults(h)...)
	}
	for _, h := range classic {
		if err := r.core.pause(ctx); err != nil {
			return Matrix{}, err
		}
		out.Rows = append(out.Rows, c.results(h)...)
	}
	if out.Rows, err = mergeRows(out.Rows); err != nil {
		return Matrix{}, err
	}
	return r.hold(out, "the function "+n.Func.Name)
}

func (r *Run) checkQuantile(v []float64, arg plan.Node) {
	for _, q := range v {
		if !(q >= 0 && q <= 1) {
			r.annotate(annotations.NewInvalidQuantileWarning(q, arg.Pos()))
		}
	}
}

type histogramCall struct {
	run    *Run
	n      *plan.Call
	grid   function.Grid
	pos    plan.Node // the argument with the buckets
	params [][]float64
	label  string // of histogram_quantiles
}

// group sorts rows into histograms: same labels but for le.
func (c *histogramCall) group(m Matrix) (classic []*classicHistogram, native []nativeRow) {
	byKey := map[string]*classicHistogram{}
	var key []byte
	for i := range m.Rows {
		row := &m.Rows[i]
		if row.H != nil {
			native = append(native, nativeRow{row: row})
		}
		if !row.hasFloats() {
			continue
		}
		le := row.Labels.Get(labels.BucketLabel)
		bound, err := strconv.ParseFloat(le, 64)
		if err != nil {
			c.run.annotate(annotations.NewBadBucketLabelWarning(c.name(row.Labels), le, c.pos.Pos()))
			continue
		}
		key = row.Labels.BytesWithoutLabels(key, labels.BucketLabel)
		h, ok := byKey[string(key)]
		if !ok {
			h = &classicHistogram{labels: labels.NewBuilder(row.Labels).Del(labels.BucketLabel).Labels()}
			byKey[string(key)] = h
			classic = append(classic, h)
		}
		h.buckets = append(h.buckets, bucketRow{row: row, bound: bound})
	}
	for i := range native {
		key = native[i].row.Labels.Bytes(key)
		native[i].classic = byKey[string(key)]
	}
	return classic, native
}

// nativeResults returns the rows of one series of native histograms.
func (c *histogramCall) nativeResults(n nativeRow) []Row {
	values, present := c.blank()
	for step := range c.grid.Steps {
		if _, ok := n.row.At(step); !ok {
			continue
		}
		h := n.row.Histogram(step)
		if h == nil {
			continue
		}
		if n.classic != nil && n.classic.has(step) {
			c.run.annotate(annotations.NewMixedClassicNativeHistogramsWarning(c.name(n.row.Labels), c.pos.Pos()))
			if n.classic.native == nil {
				n.classic.native = newBits(c.grid.Steps)
			}
			n.classic.native.set(step)
			continue
		}
		present.set(step)
		for i := range values {
			values[i][step] = c.nativeValue(n.row, h, i, step)
		}
	}
	return c.rows(n.row.Labels, values, present)
}

func (c *histogramCall) nativeValue(row *Row, h *histogram.FloatHistogram, i, step int) float64 {
	var v float64
	var note function.NativeNote
	if c.n.Func.Name == "histogram_fraction" {
		v, note = function.NativeFraction(c.params[0][step], c.params[1][step], h)
	} else {
		v, note = function.NativeQuantile(c.params[i][step], h)
	}
	switch name := c.name(row.Labels); note {
	case function.NativeNaNResult:
		c.run.annotate(annotations.NewNativeHistogramQuantileNaNResultInfo(name, c.pos.Pos()))
	case function.NativeNaNSkew:
		c.run.annotate(annotations.NewNativeHistogramQuantileNaNSkewInfo(name, c.pos.Pos()))
	case function.NativeFractionNaNs:
		c.run.annotate(annotations.NewNativeHistogramFractionNaNsInfo(name, c.pos.Pos()))
	}
	return v
}

// blank returns room for the values of every quantile, and for which steps have
// them.
func (c *histogramCall) blank() ([][]float64, Bits) {
	sets := len(c.params)
	if c.n.Func.Name == "histogram_fraction" {
		sets = 1
	}
	values := make([][]float64, sets)
	for i := range values {
		values[i] = make([]float64, c.grid.Steps)
	}
	return values, newBits(c.grid.Steps)
}

// name is how annotations call a metric: by name only where names are kept.
func (c *histogramCall) name(lset labels.Labels) string {
	if c.run.q.DelayedNames {
		return lset.Get(model.MetricNameLabel)
	}
	return ""
}

// results returns the rows of one histogram: one, or one a quantile.
func (c *histogramCall) results(h *classicHistogram) []Row {
	values, present := c.blank()
	var buckets, work []function.Bucket
	for step := range c.grid.Steps {
		buckets = buckets[:0]
		for _, b := range h.buckets {
			if v, ok := b.row.At(step); ok && b.row.Histogram(step) == nil {
				buckets = append(buckets, function.Bucket{UpperBound: b.bound, Count: v})
			}
		}
		if len(buckets) == 0 || h.native != nil && h.native.Has(step) {
			continue
		}
		present.set(step)
		for i := range values {
			work = append(work[:0], buckets...)
			values[i][step] = c.value(h, work, i, step)
		}
	}
	return c.rows(h.labels, values, present)
}

// rows makes the rows of results, one or more a quantile.
func (c *histogramCall) rows(lset labels.Labels, values [][]float64, present Bits) []Row {
	var out []Row
	for i, v := range values {
		row, ok := newRow(lset, v, present)
		if !ok {
			continue
		}
		c.run.loseName(&row)
		if c.label == "" {
			out = append(out, row)
			continue
		}
		out = append(out, c.byQuantile(row, c.params[i])...)
	}
	return out
}

// value computes one result; i is the quantile's index.
func (c *histogramCall) value(h *classicHistogram, buckets []function.Bucket, i, step int) float64 {
	if c.n.Func.Name == "histogram_fraction" {
		return function.BucketFraction(c.params[0][step], c.params[1][step], buckets)
	}
	v, forced := function.BucketQuantile(c.params[i][step], buckets)
	if forced.Any {
		c.run.annotate(annotations.NewHistogramQuantileForcedMonotonicityInfo(
			c.name(h.labels), c.pos.Pos(), c.grid.At(step), forced.Min, forced.Max, forced.Diff))
	}
	return v
}

// byQuantile labels a row of histogram_quantiles with its quantile, and splits
// it where that changes.
func (c *histogramCall) byQuantile(row Row, q []float64) []Row {
	var out []Row
	byText := map[string]int{}
	for i, v := range row.V {
		if !row.Present.Has(i) {
			continue
		}
		name := labels.FormatOpenMetricsFloat(q[row.First+i])
		at, ok := byText[name]
		if !ok {
			at = len(out)
			byText[name] = at
			lset := labels.NewBuilder(row.Labels).Set(c.label, name).Labels()
			out = append(out, Row{Labels: lset, DropName: row.DropName, First: row.First, V: make([]float64, len(row.V)), Present: newBits(len(row.V))})
		}
		out[at].V[i] = v
		out[at].Present.set(i)
	}
	return out
}

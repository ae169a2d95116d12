package exec

import (
	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/schema"

	"github.com/nilometer/nilometer/promql/function"
	"github.com/nilometer/nilometer/promql/plan"
)

// Row is one series over the steps of a grid. It has values for the steps from
// First on; Present says, relative to First, at which of them the series is.
type Row struct {
	Labels labels.Labels
	// DropName: the labels that name the metric are to be removed at the end
	// of the query (with Query.DelayedNames only).
	DropName bool
	First    int
	V        []float64
	Present  Bits
	// H, if not nil, is parallel to V: where it is set, the value is that
	// histogram, which is shared and never changed.
	H []*histogram.FloatHistogram
	// rank is the series' in a scan, for a row that has no labels yet.
	rank uint32
}

// At returns the value at a step, and whether there is one.
func (r *Row) At(step int) (float64, bool) {
	i := step - r.First
	if i < 0 || i >= len(r.V) || !r.Present.Has(i) {
		return 0, false
	}
	return r.V[i], true
}

// Histogram returns the histogram at a step at which the row has a value; nil
// if that is a float.
func (r *Row) Histogram(step int) *histogram.FloatHistogram { return r.histogram(step - r.First) }

// histogram is Histogram by index in V.
func (r *Row) histogram(i int) *histogram.FloatHistogram {
	if r.H == nil {
		return nil
	}
	return r.H[i]
}

// setHistogram makes the i-th value a histogram.
func (r *Row) setHistogram(i int, h *histogram.FloatHistogram) {
	if r.H == nil {
		r.H = make([]*histogram.FloatHistogram, len(r.V))
	}
	r.H[i] = h
}

// firstStep is the first step with a value.
func (r *Row) firstStep() int {
	first, _ := r.Present.span(len(r.V))
	return r.First + first
}

// hasFloats reports whether any value is a float.
func (r *Row) hasFloats() bool {
	for i := range r.V {
		if r.H == nil || r.Present.Has(i) && r.H[i] == nil {
			return true
		}
	}
	return false
}

// Matrix is what an operator returns. Its rows are in upstream's order where
// that is determined (one step), else in an order that depends on the plan and
// the data alone.
type Matrix struct {
	Grid function.Grid
	Rows []Row
	// held is what the matrix counts in the budget, in points, and heldBytes what
	// its rows and their labels do beside them.
	held, heldBytes int64
}

// newRow makes a row of the steps of v at which the set present (over all of
// v) has a bit. v and present are copied. ok is false when there is none.
func newRow(lset labels.Labels, v []float64, present Bits) (r Row, ok bool) {
	first, end := present.span(len(v))
	if first == end {
		return Row{}, false
	}
	r = Row{Labels: lset, First: first, V: make([]float64, end-first)}
	copy(r.V, v[first:end])
	if present.Count(len(v)) == end-first {
		return r, true
	}
	r.Present = newBits(end - first)
	for i := first; i < end; i++ {
		if present.Has(i) {
			r.Present.set(i - first)
		}
	}
	return r, true
}

// newMixedRow is newRow of values of which some are histograms; h may be nil.
// Like v it is copied, though not what it points to.
func newMixedRow(lset labels.Labels, v []float64, h []*histogram.FloatHistogram, present Bits) (r Row, ok bool) {
	r, ok = newRow(lset, v, present)
	if ok && h != nil {
		r.H = append(r.H, h[r.First:r.First+len(r.V)]...)
	}
	return r, ok
}

// constantRow is a scalar as a row.
func constantRow(v []float64) Row { return Row{V: v} }

// dropNames returns lset without the labels that name and describe a metric.
func dropNames(lset labels.Labels) labels.Labels {
	return lset.DropReserved(schema.IsMetadataLabel)
}

func errSameLabels() error {
	return plan.Errorf("vector cannot contain metrics with the same labelset")
}

// mergeRows joins rows with the same labels into one. It fails when two of
// them have a value at the same step. Rows keep the order of their first.
func mergeRows(rows []Row) ([]Row, error) {
	if len(rows) < 2 {
		return rows, nil
	}
	seen := make(map[uint64]int, len(rows))
	kept := rows[:0]
	for _, r := range rows {
		h := r.Labels.Hash()
		at, ok := seen[h]
		if !ok {
			seen[h] = len(kept)
			kept = append(kept, r)
			continue
		}
		joined, err := joinRows(&kept[at], &r)
		if err != nil {
			return nil, err
		}
		kept[at] = joined
	}
	return kept, nil
}

// joinRows returns a with b's values.
func joinRows(a, b *Row) (Row, error) {
	first := min(a.First, b.First)
	end := max(a.First+len(a.V), b.First+len(b.V))
	out := Row{Labels: a.Labels, DropName: a.DropName, First: first, V: make([]float64, end-first), Present: newBits(end - first)}
	for _, r := range []*Row{a, b} {
		for i, v := range r.V {
			if !r.Present.Has(i) {
				continue
			}
			to := i + r.First - first
			if out.Present.Has(to) {
				return Row{}, errSameLabels()
			}
			out.Present.set(to)
			out.V[to] = v
			if h := r.histogram(i); h != nil {
				out.setHistogram(to, h)
			}
		}
	}
	return out, nil
}

// checkDistinct fails when two rows have the same labels, whatever their steps.
func checkDistinct(rows []Row) error {
	if len(rows) < 2 {
		return nil
	}
	seen := make(map[uint64]struct{}, len(rows))
	for i := range rows {
		h := rows[i].Labels.Hash()
		if _, ok := seen[h]; ok {
			return errSameLabels()
		}
		seen[h] = struct{}{}
	}
	return nil
}

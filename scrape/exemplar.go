package scrape

import (
	"cmp"
	"slices"

	"github.com/prometheus/prometheus/model/exemplar"

	"github.com/nilometer/nilometer/format/exposition"
	"github.com/nilometer/nilometer/storage"
)

// remember gives a new sample its place, for the next body and for its
// exemplars.
func (w *work) remember(i int, ref exposition.Ref) {
	w.scan.Remember(i, ref)
	if len(w.scan.Exemplars) == 0 {
		return
	}
	for len(w.newRefs) < len(w.scan.New) {
		w.newRefs = append(w.newRefs, exposition.Ref{Group: groupDropped})
	}
	w.newRefs[i] = ref
}

// placeExemplars hands the new exemplars of the body to their groups.
func (s *sink) placeExemplars(w *work) {
	for i := range w.scan.Exemplars {
		x := &w.scan.Exemplars[i]
		ref := x.Ref
		if x.New >= 0 {
			ref = w.newRefs[x.New]
		}
		if ref.Group >= groupRefused {
			continue
		}
		lset, valid := w.scan.ExemplarLabels(i)
		if !valid {
			continue
		}
		t := x.Time
		if !x.Timed {
			t = s.timeOf(w, x.SampleTime, x.SampleTimed)
		}
		g := w.of(ref.Group)
		g.exemplars = append(g.exemplars, storage.ExemplarSample{
			Slot:     storage.Slot(ref.Slot),
			Exemplar: exemplar.Exemplar{Labels: lset, Value: x.Value, Ts: t, HasTs: true},
		})
	}
	for i := range w.groups {
		// Those of one series in order of time; which series comes first says nothing.
		slices.SortStableFunc(w.groups[i].exemplars, func(a, b storage.ExemplarSample) int {
			return cmp.Compare(a.Exemplar.Ts, b.Exemplar.Ts)
		})
	}
}

package scrape

import (
	"strings"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"

	"github.com/nilometer/nilometer/format/exposition"
	"github.com/nilometer/nilometer/storage"
)

// Several lines of a body may have one series: those that a limit gave other
// labels than they came with. Their samples make one, as merge says.

// merged are the slots of a group that lines may share, and whether their
// samples are added up.
type merged map[uint32]bool

// shares notes that the series of lset has been given other labels.
func (s *sink) shares(w *work, group int, lset labels.Labels, slot storage.Slot) {
	g := s.groups[group]
	if g.merged == nil {
		g.merged = merged{}
	}
	g.merged[uint32(slot)] = s.addsUp(w, lset.Get(model.MetricNameLabel))
}

// merge puts the sample of a line that shares its slot with one before together
// with that: those of counters, and of what counts in histograms and summaries,
// are added up; of others, gauges, the last stays. It returns false for a slot
// that no line may share, and for native histograms, of which the first stays.
func (s *sink) merge(g *groupWork, shared merged, slot uint32, v float64) bool {
	sum, ok := shared[slot]
	if !ok {
		return false
	}
	at, ok := g.placeOf(shared, slot)
	if !ok {
		return false
	}
	if sum {
		v += g.values[at]
	}
	g.values[at] = v
	return true
}

// placeOf is where the sample of a shared slot is.
func (g *groupWork) placeOf(shared merged, slot uint32) (int, bool) {
	if g.places == nil {
		g.places = map[uint32]int{}
	}
	for ; g.placed < len(g.slots); g.placed++ {
		if at := uint32(g.slots[g.placed]); len(shared) > 0 {
			if _, ok := shared[at]; ok {
				g.places[at] = g.placed
			}
		}
	}
	at, ok := g.places[slot]
	return at, ok
}

// addsUp tells whether the values of a metric count something: by its type, and
// by its name where the target does not say one.
func (s *sink) addsUp(w *work, name string) bool {
	if t, ok := s.typeOf(w, name); ok && t != model.MetricTypeUnknown {
		return t == model.MetricTypeCounter
	}
	for _, suffix := range [...]string{"_total", "_sum", "_count", "_bucket"} {
		family, ok := strings.CutSuffix(name, suffix)
		if !ok {
			continue
		}
		t, ok := s.typeOf(w, family)
		if !ok || t == model.MetricTypeUnknown {
			return true
		}
		return t == model.MetricTypeCounter || t == model.MetricTypeHistogram || t == model.MetricTypeSummary
	}
	return false
}

// typeOf is the type of a metric family, as this body or an earlier one says.
func (s *sink) typeOf(w *work, family string) (model.MetricType, bool) {
	if w.types == nil {
		w.types = map[string]model.MetricType{}
		for _, m := range w.scan.Metadata {
			if m.Field == exposition.FieldType {
				w.types[m.Family] = m.Type
			}
		}
	}
	if t, ok := w.types[family]; ok {
		return t, true
	}
	h, ok := s.families[family]
	if !ok {
		return "", false
	}
	return h.Value().Type, true
}

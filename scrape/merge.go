package scrape

import (
	"math"
	"strings"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"

	"github.com/nilometer/nilometer/format/exposition"
	"github.com/nilometer/nilometer/storage"
)

// Several lines of a body may have one series: those that a limit gave other
// labels than they came with. Their samples make one, as merge says.

//
// A sum of counters falls when one of them goes away, which is no reset: what it
// has fallen by is kept and added from then on, so that it never falls while the
// target is scraped. A counter that begins anew looks the same, and what it has
// counted until it is seen is lost; a start of the server forgets what was kept.

// merged are the slots of a group that lines may share.
type merged map[uint32]*shared

// shared is what is known of such a slot.
type shared struct {
	sum bool // the samples of its lines are added up
	// Of a sum, as of the newest sample stored: what its lines added up to, and
	// what is added for those that fell. next are those of the present scrape.
	last, kept float64
	next       struct {
		there      bool
		last, kept float64
	}
}

// shares notes that the series of lset has been given other labels.
func (s *sink) shares(w *work, group int, lset labels.Labels, slot storage.Slot) {
	g := s.groups[group]
	if g.merged == nil {
		g.merged = merged{}
	}
	if g.merged[uint32(slot)] == nil {
		g.merged[uint32(slot)] = &shared{sum: s.addsUp(w, lset.Get(model.MetricNameLabel))}
	}
}

// merge puts the sample of a line that shares its slot with one before together
// with that: those of counters, and of what counts in histograms and summaries,
// are added up; of others, gauges, the last stays. It returns false for a slot
// that no line may share, and for native histograms, of which the first stays.
func (s *sink) merge(g *groupWork, slots merged, slot uint32, v float64) bool {
	sh, ok := slots[slot]
	if !ok {
		return false
	}
	at, ok := g.placeOf(slots, slot)
	if !ok {
		return false
	}
	if sh.sum {
		v += g.values[at]
	}
	g.values[at] = v
	return true
}

// placeOf is where the sample of a shared slot is.
func (g *groupWork) placeOf(slots merged, slot uint32) (int, bool) {
	if g.places == nil {
		g.places = map[uint32]int{}
	}
	for ; g.placed < len(g.slots); g.placed++ {
		if at := uint32(g.slots[g.placed]); len(slots) > 0 {
			if _, ok := slots[at]; ok {
				g.places[at] = g.placed
			}
		}
	}
	at, ok := g.places[slot]
	return at, ok
}

// keepUp adds to the sums of a scrape what they have fallen by; stored makes that
// what is known.
func (s *sink) keepUp(w *work) {
	for i, g := range s.groups {
		if g == nil {
			continue
		}
		gw := w.of(uint16(i))
		for slot, sh := range g.merged {
			sh.next.there = false
			at, ok := gw.placeOf(g.merged, slot)
			if !sh.sum || !ok {
				continue
			}
			v := gw.values[at]
			if math.IsNaN(v) || math.IsInf(v, 0) {
				continue
			}
			sh.next.there, sh.next.last, sh.next.kept = true, v, sh.kept+max(sh.last-v, 0)
			gw.values[at] = v + sh.next.kept
		}
	}
}

// stored is called when the scrape of the last keepUp is.
func (s *sink) stored() {
	for _, g := range s.groups {
		if g == nil {
			continue
		}
		for _, sh := range g.merged {
			if sh.next.there {
				sh.last, sh.kept = sh.next.last, sh.next.kept
			}
		}
	}
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

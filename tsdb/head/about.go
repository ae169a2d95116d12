package head

import (
	"cmp"
	"slices"
	"sync"
	"unicode/utf8"

	"github.com/prometheus/prometheus/model/exemplar"
	"github.com/prometheus/prometheus/model/labels"

	"github.com/nilometer/nilometer/format/record"
	"github.com/nilometer/nilometer/model/series"
	"github.com/nilometer/nilometer/model/tenant"
	"github.com/nilometer/nilometer/storage"
)

// Limits of what a head knows beside samples.
const (
	// familiesMax bounds the metric families of a tenant that metadata is kept of:
	// more are left out.
	familiesMax = 100_000
	// exemplarsMax bounds the exemplars of a tenant: the oldest make room.
	exemplarsMax = 100_000
	// exemplarRunesMax bounds the labels of an exemplar, as OpenMetrics does.
	exemplarRunesMax = 128
)

// about is what a head knows beside samples: metadata and the newest exemplars.
// Both are in the log, and in each segment of it anew: before anything else of
// the tenant that brings some.
type about struct {
	mu       sync.RWMutex // guards the fields below
	segment  uint64       // the last one that has all of it
	families map[string]storage.Metadata
	// The ring of exemplars: next is the place of the next one, of count.
	exemplars []keptExemplar
	next      int
	last      map[series.Hash]exemplar.Exemplar // of each series, the newest
}

type keptExemplar struct {
	hash   series.Hash
	series labels.Labels
	exemplar.Exemplar
}

func newAbout() about {
	return about{families: map[string]storage.Metadata{}, last: map[series.Hash]exemplar.Exemplar{}}
}

// aside stores what a batch brings beside samples, and adds it to the payload
// where it is new.
func (c *commit) aside(g *group, b *storage.Batch, reject func(i int, slot storage.Slot, r storage.Reason)) {
	if len(b.Metadata)+len(b.Exemplars) == 0 {
		return
	}
	c.carry(g.head)
	a := &g.head.about
	a.mu.Lock()
	defer a.mu.Unlock()
	var families []record.Family
	for _, m := range b.Metadata {
		if a.learnLocked(m) {
			families = append(families, record.Family{Name: m.Family, Type: m.Type, Unit: m.Unit, Help: m.Help})
		}
	}
	var exemplars []record.Exemplar
	for i, x := range b.Exemplars {
		if !x.Exemplar.HasTs {
			x.Exemplar.Ts, x.Exemplar.HasTs = b.Time, true
		}
		lset, hash, ok := g.seriesOfLocked(uint32(x.Slot))
		reason := storage.ReasonUnknownSlot
		if ok {
			reason = a.admitLocked(hash, x.Exemplar)
		}
		switch {
		case reason != storage.ReasonNone:
			reject(len(b.Slots)+len(b.Histograms)+i, x.Slot, reason)
		case a.keepLocked(keptExemplar{hash: hash, series: lset, Exemplar: copyOf(x.Exemplar)}):
			exemplars = append(exemplars, record.Exemplar{Series: lset, Labels: x.Exemplar.Labels, Value: x.Exemplar.Value, Time: x.Exemplar.Ts})
		}
	}
	c.note(g.head, families, exemplars)
}

// carry adds all that a head knows beside samples to the payload when the
// segment does not have it.
func (c *commit) carry(h *Head) {
	a := &h.about
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.segment != c.segment {
		a.segment = c.segment
		c.note(h, a.familiesLocked(), a.exemplarsLocked())
	}
}

// note adds records to the payload.
func (c *commit) note(h *Head, families []record.Family, exemplars []record.Exemplar) {
	if len(families) > 0 {
		c.body = record.AppendFamilies(c.body[:0], string(h.id), families)
		c.payload = record.AppendRecord(c.payload, record.TypeMetadata, c.body)
	}
	if len(exemplars) > 0 {
		c.body = record.AppendExemplars(c.body[:0], string(h.id), exemplars)
		c.payload = record.AppendRecord(c.payload, record.TypeExemplar, c.body)
	}
}

// seriesOfLocked returns the labels of a slot's series.
func (g *group) seriesOfLocked(slot uint32) (labels.Labels, series.Hash, bool) {
	if int(slot) >= len(g.members) {
		return labels.EmptyLabels(), 0, false
	}
	switch m := &g.members[slot]; m.state {
	case own, foreign:
		x := &g.head.index
		x.mu.RLock()
		defer x.mu.RUnlock()
		return x.labelsLocked(m.series), series.Hash(x.hashOf(uint32(m.series))), true
	case provisional:
		lset := g.pending[slot]
		hash, _ := series.HashOf(lset, nil)
		return lset, hash, true
	}
	return labels.EmptyLabels(), 0, false
}

// copyOf returns an exemplar in memory of its own: the caller's may be a whole
// request.
func copyOf(x exemplar.Exemplar) exemplar.Exemplar {
	x.Labels = x.Labels.Copy()
	return x
}

// learnLocked takes metadata and reports whether it is new. The log could not be
// read back with a longer one than storage.MetadataSizeMax.
func (a *about) learnLocked(m storage.Metadata) bool {
	have, known := a.families[m.Family]
	if known && have == m || m.SizeBytes() > storage.MetadataSizeMax || !known && len(a.families) >= familiesMax {
		return false
	}
	a.families[m.Family] = m
	return true
}

// admitLocked tells why an exemplar cannot be taken.
func (a *about) admitLocked(hash series.Hash, x exemplar.Exemplar) storage.Reason {
	runes := 0
	x.Labels.Range(func(l labels.Label) { runes += utf8.RuneCountInString(l.Name) + utf8.RuneCountInString(l.Value) })
	if last, ok := a.last[hash]; ok && !x.Equals(last) && x.Ts <= last.Ts {
		return storage.ReasonOutOfOrder
	}
	if runes > exemplarRunesMax {
		return storage.ReasonInvalidLabels
	}
	return storage.ReasonNone
}

// keepLocked puts an exemplar into the ring, and reports whether it is not its
// series' newest already.
func (a *about) keepLocked(x keptExemplar) bool {
	if last, ok := a.last[x.hash]; ok && x.Equals(last) {
		return false
	}
	a.last[x.hash] = x.Exemplar
	if len(a.exemplars) < exemplarsMax {
		a.exemplars = append(a.exemplars, x)
		return true
	}
	old := a.exemplars[a.next]
	if last := a.last[old.hash]; last.Equals(old.Exemplar) {
		delete(a.last, old.hash)
	}
	a.exemplars[a.next] = x
	a.next = (a.next + 1) % exemplarsMax
	return true
}

// eachLocked calls do with the exemplars, in order of arrival.
func (a *about) eachLocked(do func(x *keptExemplar)) {
	for i := range a.exemplars {
		do(&a.exemplars[(a.next+i)%len(a.exemplars)])
	}
}

func (a *about) familiesLocked() []record.Family {
	out := make([]record.Family, 0, len(a.families))
	for _, m := range a.families {
		out = append(out, record.Family{Name: m.Family, Type: m.Type, Unit: m.Unit, Help: m.Help})
	}
	slices.SortFunc(out, func(a, b record.Family) int { return cmp.Compare(a.Name, b.Name) })
	return out
}

func (a *about) exemplarsLocked() []record.Exemplar {
	out := make([]record.Exemplar, 0, len(a.exemplars))
	a.eachLocked(func(x *keptExemplar) {
		out = append(out, record.Exemplar{Series: x.series, Labels: x.Labels, Value: x.Value, Time: x.Ts})
	})
	return out
}

// about takes a record of metadata or of exemplars.
func (r *replay) about(typ record.Type, body []byte) error {
	if typ == record.TypeMetadata {
		id, families, err := record.ReadFamilies(body)
		if err == nil {
			err = tenant.ID(id).Validate()
		}
		if err != nil {
			return err
		}
		a := &r.set.Head(tenant.ID(id)).about
		for _, f := range families {
			a.learnLocked(storage.Metadata{Family: f.Name, Type: f.Type, Unit: f.Unit, Help: f.Help})
		}
		return nil
	}
	id, exemplars, err := record.ReadExemplars(body)
	if err == nil {
		err = tenant.ID(id).Validate()
	}
	if err != nil {
		return err
	}
	a := &r.set.Head(tenant.ID(id)).about
	for _, x := range exemplars {
		hash, _ := series.HashOf(x.Series, nil)
		k := keptExemplar{hash: hash, series: x.Series, Exemplar: exemplar.Exemplar{Labels: x.Labels, Value: x.Value, Ts: x.Time, HasTs: true}}
		if a.admitLocked(hash, k.Exemplar) == storage.ReasonNone { // else it stands in the segment before, too
			a.keepLocked(k)
		}
	}
	return nil
}

// Metadata returns what is known about a metric family, or about all (""), in
// order of names; limit bounds it, 0 does not.
func (h *Head) Metadata(family string, limit int) []storage.Metadata {
	h.about.mu.RLock()
	defer h.about.mu.RUnlock()
	var out []storage.Metadata
	if family != "" {
		if m, ok := h.about.families[family]; ok {
			out = append(out, m)
		}
		return out
	}
	for _, m := range h.about.families {
		out = append(out, m)
	}
	slices.SortFunc(out, func(a, b storage.Metadata) int { return cmp.Compare(a.Family, b.Family) })
	if limit > 0 && len(out) > limit {
		out = out[:limit]
	}
	return out
}

// Exemplars returns the exemplars between two times (ms, both included) of the
// series that match, in label order, each series' in order of time.
func (h *Head) Exemplars(minTime, maxTime int64, ms ...*labels.Matcher) []storage.SeriesExemplars {
	h.about.mu.RLock()
	defer h.about.mu.RUnlock()
	at := map[series.Hash]int{}
	var out []storage.SeriesExemplars
	h.about.eachLocked(func(x *keptExemplar) {
		if x.Ts < minTime || x.Ts > maxTime {
			return
		}
		i, known := at[x.hash]
		if !known {
			if i = -1; matches(x.series, ms) {
				i = len(out)
				out = append(out, storage.SeriesExemplars{Labels: x.series})
			}
			at[x.hash] = i
		}
		if i >= 0 {
			out[i].Exemplars = append(out[i].Exemplars, x.Exemplar)
		}
	})
	slices.SortFunc(out, func(a, b storage.SeriesExemplars) int { return labels.Compare(a.Labels, b.Labels) })
	return out
}

func matches(lset labels.Labels, ms []*labels.Matcher) bool {
	for _, m := range ms {
		if !m.Matches(lset.Get(m.Name)) {
			return false
		}
	}
	return true
}

package head

import (
	"context"
	"fmt"
	"math"
	"slices"
	"sort"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/nilometer/nilometer/format/record"
	"github.com/nilometer/nilometer/model/series"
	"github.com/nilometer/nilometer/model/tenant"
	"github.com/nilometer/nilometer/tsdb/late"
	"github.com/nilometer/nilometer/tsdb/part"
)

// Deletion hides what series had at one moment. A series' times increase (I1):
// what was accepted before the deletion is what is not later than the last
// sample that the series had, so that no sample needs a sequence. It is
// immutable.
type Deletion struct {
	record   *record.Tombstone
	matchers []*labels.Matcher
	last     int64 // the highest time that is hidden
	lasting  bool
}

// ID is the deletion's name.
func (d *Deletion) ID() string { return d.record.ID }

// Record is what is kept of the deletion.
func (d *Deletion) Record() *record.Tombstone { return d.record }

// Lasting tells whether the deletion hides something that is in no block, so
// that it must outlive a start. One that does not says of samples which the head
// still has, for views of before, that they are no repeats any more.
func (d *Deletion) Lasting() bool { return d.lasting }

// hidden returns what the deletion hides of a series.
func (d *Deletion) hidden(hash series.Hash) (part.Hidden, bool) {
	all := d.record.Series
	i := sort.Search(len(all), func(i int) bool { return all[i].Hash >= uint64(hash) })
	if i == len(all) || all[i].Hash != uint64(hash) {
		return part.Hidden{}, false
	}
	return part.Hidden{MinTime: d.record.MinTime, MaxTime: min(d.record.MaxTime, all[i].Last)}, true
}

// NewDeletion finds out what a deletion of the series that match, between two
// times (ms, both included), hides of the head: all that was committed before
// the call. It changes nothing. It is nil when the head has none of it. What is
// older than horizon is in blocks: the head's own horizon may be ahead, of a cut
// that failed.
func (h *Head) NewDeletion(ctx context.Context, id string, horizon, mint, maxt int64, ms ...*labels.Matcher) (*Deletion, error) {
	s := h.Snapshot(minTime) // what is in blocks and not dropped yet, too
	defer s.Release()
	refs, err := s.Select(ctx, ms...)
	if err != nil {
		return nil, fmt.Errorf("select in the head: %w", err)
	}
	d := &Deletion{last: math.MinInt64, matchers: ms, record: &record.Tombstone{Tenant: string(h.id), ID: id, MinTime: mint, MaxTime: maxt}}
	for i, ref := range refs {
		if i%1024 == 0 && ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		last, ok := h.lastSample(seriesID(ref))
		if !ok || last < mint {
			continue
		}
		d.lasting = d.lasting || last >= horizon
		last = min(last, maxt)
		d.record.Series = append(d.record.Series, record.TombstoneSeries{Hash: uint64(s.Hash(ref)), Last: last})
		d.last = max(d.last, last)
	}
	spans, last := h.late.Spans()
	d.record.Late = last
	d.lasting = d.lasting || slices.ContainsFunc(spans, func(s late.Span) bool { return s.From <= maxt && s.To > mint })
	if len(d.record.Series) == 0 && !d.lasting && !h.late.Holds(mint, maxt, last) {
		return nil, nil
	}
	slices.SortFunc(d.record.Series, func(a, b record.TombstoneSeries) int {
		if a.Hash < b.Hash {
			return -1
		}
		return 1
	})
	d.record.Matchers = tombstoneMatchers(ms)
	return d, nil
}

// lastSample is the time of the last sample of a series.
func (h *Head) lastSample(id seriesID) (last int64, ok bool) {
	h.index.mu.RLock()
	places := h.index.placesLocked(nil, id)
	h.index.mu.RUnlock()
	for _, at := range slices.Backward(places) {
		g := h.groupAt(at.group)
		if g == nil {
			continue
		}
		g.mu.RLock()
		if int(at.slot) < len(g.members) && g.members[at.slot].series == id {
			last, ok = g.lastSampleLocked(at.slot)
		}
		g.mu.RUnlock()
		if ok {
			return last, true
		}
	}
	return 0, false
}

// HiddenLate says what deletions hide of late samples; nil: nothing.
func (h *Head) HiddenLate() func(labels.Labels) []late.Hidden {
	if all := h.deletions.Load(); all != nil {
		return hiddenLate(*all)
	}
	return nil
}

func hiddenLate(all []*Deletion) func(labels.Labels) []late.Hidden {
	if len(all) == 0 {
		return nil
	}
	return func(lset labels.Labels) (out []late.Hidden) {
		for _, d := range all {
			if !slices.ContainsFunc(d.matchers, func(m *labels.Matcher) bool { return !m.Matches(lset.Get(m.Name)) }) {
				out = append(out, late.Hidden{MinTime: d.record.MinTime, MaxTime: d.record.MaxTime, Seq: d.record.Late})
			}
		}
		return out
	}
}

// Delete makes a deletion visible to every later snapshot.
func (h *Head) Delete(d *Deletion) {
	h.deleting.Lock()
	defer h.deleting.Unlock()
	h.deletions.Store(appended(h.deletions.Load(), d))
	h.changes.addSpan(d.record.MinTime, d.record.MaxTime)
}

func appended(old *[]*Deletion, d *Deletion) *[]*Deletion {
	var all []*Deletion
	if old != nil {
		all = slices.Clone(*old)
	}
	all = append(all, d)
	return &all
}

// RestoreDeletion makes a deletion of before a start visible. It is called before
// the replay, and ForgetDeletions after it.
func (s *Heads) RestoreDeletion(t *record.Tombstone) error {
	d := &Deletion{record: t, last: math.MinInt64, lasting: true}
	for _, x := range t.Series {
		d.last = max(d.last, min(x.Last, t.MaxTime))
	}
	var err error
	if d.matchers, err = matchersOf(t); err != nil {
		return fmt.Errorf("deletion %s: %w", t.ID, err)
	}
	s.Head(tenant.ID(t.Tenant)).Delete(d)
	return nil
}

func matchTypeOf(op string) (labels.MatchType, bool) {
	for _, t := range []labels.MatchType{labels.MatchEqual, labels.MatchNotEqual, labels.MatchRegexp, labels.MatchNotRegexp} {
		if t.String() == op {
			return t, true
		}
	}
	return 0, false
}

// ForgetDeletions lets the deletions go that hide nothing at or after a time, nor
// of late samples that the buffer has. No snapshot is made any more that sees
// what is before.
func (h *Head) ForgetDeletions(before int64) {
	h.deleting.Lock()
	defer h.deleting.Unlock()
	if old := h.deletions.Load(); old != nil {
		left := slices.DeleteFunc(slices.Clone(*old), func(d *Deletion) bool {
			return d.last < before && !h.late.Holds(d.record.MinTime, d.record.MaxTime, d.record.Late)
		})
		if len(left) == 0 {
			h.deletions.Store(nil)
			return
		}
		h.deletions.Store(&left)
	}
}

// HasDeletion tells whether a deletion still hides something of the head.
func (h *Head) HasDeletion(id string) bool {
	all := h.deletions.Load()
	return all != nil && slices.ContainsFunc(*all, func(d *Deletion) bool { return d.ID() == id })
}

// Deletes tells whether a deletion hides something of the snapshot.
func (s *Snapshot) Deletes() bool { return len(s.deletions) > 0 }

// Prepare implements mask.Hider: there is nothing to do.
func (s *Snapshot) Prepare(ctx context.Context) error { return ctx.Err() }

// Hidden returns what deletions hide of a series.
func (s *Snapshot) Hidden(ref part.Ref) []part.Hidden {
	hash := s.Hash(ref)
	var out []part.Hidden
	for _, d := range s.deletions {
		if x, ok := d.hidden(hash); ok {
			out = append(out, x)
		}
	}
	return out
}

// Gone tells whether deletions hide all of a series.
func (s *Snapshot) Gone(ref part.Ref) bool {
	hidden := s.Hidden(ref)
	if len(hidden) == 0 {
		return false
	}
	pieces, err := s.Pieces(ref, minTime, 1<<62, nil)
	if err != nil {
		return false
	}
	for i := range pieces {
		times, err := s.Column(pieces[i].Column)
		if err != nil {
			return false
		}
		first, last := times[pieces[i].From], times[pieces[i].To-1]
		if !slices.ContainsFunc(hidden, func(h part.Hidden) bool { return h.MinTime <= first && last <= h.MaxTime }) {
			return false
		}
	}
	return true
}

// deleted tells whether a deletion hides a sample of a series.
func (h *Head) deleted(id seriesID, t int64) bool {
	all := h.deletions.Load()
	if all == nil {
		return false
	}
	h.index.mu.RLock()
	hash := h.index.hashes.All()[id]
	h.index.mu.RUnlock()
	return slices.ContainsFunc(*all, func(d *Deletion) bool {
		x, ok := d.hidden(hash)
		return ok && x.MinTime <= t && t <= x.MaxTime
	})
}

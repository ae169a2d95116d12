package scrape

import (
	"context"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"

	"github.com/nilometer/nilometer/format/exposition"
	"github.com/nilometer/nilometer/model/series"
	"github.com/nilometer/nilometer/storage"
)

// resolveChunk is how many new series are resolved in one call: it bounds the
// label sets in memory when a target brings a million new ones.
const resolveChunk = 8192

// work is what one scrape needs besides what is kept: scratch memory that all
// targets share.
type work struct {
	scan    exposition.Scanner
	groups  []groupWork // parallel to sink.groups, may be shorter
	builder *labels.Builder
	scratch []byte
	answers []storage.Resolution
	batches []groupBatch
	pending int   // label sets that wait to be resolved
	t       int64 // ms, of the scrape
	// newRefs are the places of the scanner's new samples, when there are
	// exemplars.
	newRefs []exposition.Ref
	// metadata goes with the batch of the report.
	metadata []storage.Metadata
	types    map[string]model.MetricType // of the families of the body; nil until asked for
	// resolved are the groups in which label sets of the body were resolved.
	resolved map[int]bool
}

// groupBatch is a batch and the number of its group.
type groupBatch struct {
	group   uint16
	markers bool // stale markers only
	storage.Batch
}

// groupWork is one group's share of a scrape.
type groupWork struct {
	slots  []storage.Slot
	values []float64
	times  []int64 // of samples with a timestamp of their own; open groups only
	starts []int64 // empty, or of slots up to the last that has one
	// bySlot and order are scratch of sort.
	bySlot []float64
	order  bitmap
	now    bitmap // slots of closed groups that have a value
	// mentioned are the slots of open groups that are there, when they are
	// tracked.
	mentioned bitmap
	// hists are native histograms; histTimes are as times.
	hists     []storage.HistogramSample
	histTimes []int64
	exemplars []storage.ExemplarSample
	// places is where the samples of shared slots are, of the first placed slots.
	places map[uint32]int
	placed int
	// wait are the new samples to resolve, as indexes into the scanner's list,
	// and sets their labels.
	wait []int
	sets []labels.Labels
}

func newWork() *work { return &work{builder: labels.NewBuilder(labels.EmptyLabels())} }

func (w *work) reset() {
	for i := range w.groups {
		g := &w.groups[i]
		g.slots, g.values, g.times, g.wait = g.slots[:0], g.values[:0], g.times[:0], g.wait[:0]
		g.starts, g.hists, g.histTimes, g.exemplars = g.starts[:0], g.hists[:0], g.histTimes[:0], g.exemplars[:0]
		g.placed = 0
		clear(g.places)
		clear(g.now)
		clear(g.mentioned)
		clear(g.sets)
		g.sets = g.sets[:0]
	}
	w.pending, w.resolved, w.metadata, w.types = 0, nil, nil, nil
	w.newRefs = w.newRefs[:0]
}

// of returns the share of group i.
func (w *work) of(i uint16) *groupWork {
	for int(i) >= len(w.groups) {
		w.groups = append(w.groups, groupWork{})
	}
	return &w.groups[i]
}

// placeKnown hands the samples of remembered lines to their groups.
func (s *sink) placeKnown(w *work, out *outcome) error {
	var moved bool
	group, g := -1, (*groupWork)(nil)
	for i, r := range w.scan.Refs {
		if int(r.Group) != group {
			if r.Group >= groupRefused {
				s.countUnstored(r, out)
				continue
			}
			if s.groups[r.Group].kind != storage.Closed {
				moved = true // it had a timestamp in the scrape before
				break
			}
			group, g = int(r.Group), w.of(r.Group)
		}
		out.relabeled++
		if g.now.set(r.Slot) {
			if !s.merge(g, s.groups[group].merged, r.Slot, w.scan.Values[i]) {
				out.duplicate++
			}
			continue
		}
		g.slots = append(g.slots, storage.Slot(r.Slot))
		g.values = append(g.values, w.scan.Values[i])
		if len(w.scan.Starts) > 0 {
			g.noteStart(w.scan.Starts[i], w.t)
		}
	}
	for _, t := range w.scan.Timed {
		moved = s.placeTimed(w, t, out) || moved
	}
	for i := range w.scan.Histograms {
		gone, err := s.placeHistogram(w, &w.scan.Histograms[i], out)
		if err != nil {
			return err
		}
		moved = gone || moved
	}
	if moved {
		s.memory.Forget(nil)
		return errRescan
	}
	return nil
}

// placeTimed hands on a remembered sample with a timestamp of its own, and
// reports whether its series now belongs to another kind of group.
func (s *sink) placeTimed(w *work, t exposition.Timed, out *outcome) (moved bool) {
	g, moved := s.memberOf(w, t.Ref, true, out)
	if g == nil {
		return moved
	}
	if !s.options.IgnoreTimestamps {
		g.times = append(g.times, t.Time)
	}
	g.slots = append(g.slots, storage.Slot(t.Ref.Slot))
	g.values = append(g.values, t.Value)
	g.noteStart(t.Start, s.timeOf(w, t.Time, true))
	return false
}

// placeHistogram hands on a native histogram of a remembered series, as
// placeTimed does.
func (s *sink) placeHistogram(w *work, h *exposition.Histogram, out *outcome) (moved bool, err error) {
	g, moved := s.memberOf(w, h.Ref, h.Timed, out)
	if g == nil {
		return moved, nil
	}
	return false, s.addHistogram(w, g, storage.Slot(h.Ref.Slot), h)
}

// memberOf returns the work of the group of a remembered series if its sample
// is to be stored, and counts it. moved tells that its series now belongs to
// another kind of group.
func (s *sink) memberOf(w *work, r exposition.Ref, timed bool, out *outcome) (g *groupWork, moved bool) {
	if r.Group >= groupRefused {
		s.countUnstored(r, out)
		return nil, false
	}
	kind := s.kindOf(timed)
	if s.groups[r.Group].kind != kind {
		return nil, true
	}
	out.relabeled++
	g = w.of(r.Group)
	if kind == storage.Open {
		s.track(g, r.Slot)
	} else if g.now.set(r.Slot) {
		out.duplicate++
		return nil, false
	}
	return g, false
}

// track notes that a series with timestamps of its own is there.
func (s *sink) track(g *groupWork, slot uint32) {
	if s.options.TrackTimestamps {
		g.mentioned.set(slot)
	}
}

// kindOf is the kind of group of samples with or without a timestamp of their
// own.
func (s *sink) kindOf(timed bool) storage.GroupKind {
	if timed && !s.options.IgnoreTimestamps {
		return storage.Open
	}
	return storage.Closed
}

// timeOf is when a sample is stored.
func (s *sink) timeOf(w *work, t int64, timed bool) int64 {
	if s.kindOf(timed) == storage.Open {
		return t
	}
	return w.t
}

// noteStart gives the newest of the group's samples, at the time t, its start
// timestamp. One after its sample is none.
func (g *groupWork) noteStart(start, t int64) {
	if start > t {
		start = 0
	}
	if start == 0 && len(g.starts) == 0 {
		return
	}
	g.padStarts(len(g.slots) - 1)
	g.starts = append(g.starts, start)
}

func (g *groupWork) padStarts(n int) {
	for len(g.starts) < n {
		g.starts = append(g.starts, 0)
	}
}

// startsOf returns the starts of all slots, nil when none has one.
func (g *groupWork) startsOf() []int64 {
	if len(g.starts) == 0 {
		return nil
	}
	g.padStarts(len(g.slots))
	return g.starts
}

// countUnstored counts a remembered line that has no series.
func (s *sink) countUnstored(r exposition.Ref, out *outcome) {
	if r.Group == groupRefused {
		out.relabeled++
		out.refuse(storage.Reason(r.Slot))
	}
}

func (o *outcome) refuse(r storage.Reason) {
	if o.refused == nil {
		o.refused = map[storage.Reason]int{}
	}
	o.refused[r]++
}

// countRelabeled counts what relabelling leaves of the samples before a fault of
// the body.
func (s *sink) countRelabeled(w *work) (n int) {
	kept := func(r exposition.Ref) {
		if r.Group != groupDropped {
			n++
		}
	}
	for _, r := range w.scan.Refs {
		kept(r)
	}
	for i := range w.scan.Timed {
		kept(w.scan.Timed[i].Ref)
	}
	for i := range w.scan.Histograms {
		kept(w.scan.Histograms[i].Ref)
	}
	for i := range w.scan.New {
		if len(s.options.MetricRelabel) == 0 || !sampleLabels(w.builder, s.options, s.target, w.scan.Labels(i)).IsEmpty() {
			n++
		}
	}
	return n
}

// checkSamples fails a scrape that is over the limit.
func (s *sink) checkSamples(out *outcome) error {
	if limit := s.options.SampleMax; limit > 0 && out.relabeled > limit {
		return &limitError{what: "sample_limit", max: int64(limit), seen: int64(out.relabeled)}
	}
	return nil
}

// placeNew relabels, resolves and places the samples that were not remembered.
func (s *sink) placeNew(ctx context.Context, w *work, out *outcome) error {
	for i := range w.scan.New {
		lset := sampleLabels(w.builder, s.options, s.target, w.scan.Labels(i))
		if lset.IsEmpty() {
			w.remember(i, exposition.Ref{Group: groupDropped})
			continue
		}
		reason, err := checkLabels(s.options, lset)
		if reason != "" {
			err = w.scan.Fault(i, reason)
		}
		if err != nil {
			return err
		}
		if out.relabeled++; s.checkSamples(out) != nil {
			continue // the rest is counted only
		}
		kind := s.kindOf(w.scan.New[i].Timed)
		var key series.Key
		key, w.scratch = series.KeyOf(lset, w.scratch)
		n, err := s.groupFor(ctx, key, kind)
		if err != nil {
			return err
		}
		g := w.of(n)
		g.wait, g.sets = append(g.wait, i), append(g.sets, lset)
		if w.pending++; w.pending >= resolveChunk {
			if err := s.resolve(ctx, w, out); err != nil {
				return err
			}
		}
	}
	if err := s.checkSamples(out); err != nil {
		return err
	}
	return s.resolve(ctx, w, out)
}

// resolve asks for the slots of the label sets that wait.
func (s *sink) resolve(ctx context.Context, w *work, out *outcome) error {
	if w.pending == 0 {
		return nil
	}
	w.pending = 0
	for i := range s.groups {
		if i >= len(w.groups) || len(w.groups[i].wait) == 0 {
			continue
		}
		g := &w.groups[i]
		answers, err := s.ask(ctx, w, s.groups[i], g.sets)
		if err != nil {
			return err
		}
		if w.resolved == nil {
			w.resolved = map[int]bool{}
		}
		w.resolved[i] = true
		for j, a := range answers {
			if a.Merged {
				s.shares(w, i, g.sets[j], a.Slot)
			}
			if err := s.placeResolved(w, g, uint16(i), g.wait[j], a, out); err != nil {
				return err
			}
		}
		g.wait = g.wait[:0]
		clear(g.sets)
		g.sets = g.sets[:0]
	}
	return nil
}

// ask resolves label sets in one group. Slots of an older version of the
// membership are worth nothing then.
func (s *sink) ask(ctx context.Context, w *work, g *group, sets []labels.Labels) ([]storage.Resolution, error) {
	if cap(w.answers) < len(sets) {
		w.answers = make([]storage.Resolution, len(sets))
	}
	answers := w.answers[:len(sets)]
	version, err := g.handle.Resolve(ctx, sets, answers)
	if err != nil {
		return nil, err
	}
	if g.version != 0 && g.version != version {
		g.version = version
		return nil, storage.ErrVersion
	}
	g.version = version
	return answers, nil
}

func (s *sink) placeResolved(w *work, g *groupWork, group uint16, i int, a storage.Resolution, out *outcome) error {
	if a.Reason == storage.ReasonNone && a.Slot > slotMax {
		a.Reason = storage.ReasonSeriesLimit
	}
	if a.Reason != storage.ReasonNone {
		w.remember(i, exposition.Ref{Group: groupRefused, Slot: uint32(a.Reason)})
		out.refuse(a.Reason)
		return nil
	}
	n := &w.scan.New[i]
	w.remember(i, exposition.Ref{Group: group, Slot: uint32(a.Slot)})
	open := s.groups[group].kind == storage.Open
	if open {
		s.track(g, uint32(a.Slot))
	} else if g.now.set(uint32(a.Slot)) {
		if !n.Histogram.IsZero() || !s.merge(g, s.groups[group].merged, uint32(a.Slot), n.Value) {
			out.duplicate++
		}
		return nil
	}
	out.added++
	if !n.Histogram.IsZero() {
		return s.addHistogram(w, g, a.Slot, &exposition.Histogram{Value: n.Histogram, Time: n.Time, Timed: n.Timed, Start: n.Start})
	}
	if open {
		g.times = append(g.times, n.Time)
	}
	g.slots = append(g.slots, a.Slot)
	g.values = append(g.values, n.Value)
	g.noteStart(n.Start, s.timeOf(w, n.Time, n.Timed))
	return nil
}

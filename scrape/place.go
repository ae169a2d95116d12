package scrape

import (
	"context"

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
	pending int // label sets that wait to be resolved
	// metadata goes with the batch of the report.
	metadata []storage.Metadata
	// resolved are the groups in which label sets of the body were resolved.
	resolved map[int]bool
}

// groupBatch is a batch and the number of its group.
type groupBatch struct {
	group uint16
	storage.Batch
}

// groupWork is one group's share of a scrape.
type groupWork struct {
	slots  []storage.Slot
	values []float64
	times  []int64 // of samples with a timestamp of their own; open groups only
	now    bitmap  // slots of closed groups that have a value
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
		clear(g.now)
		clear(g.sets)
		g.sets = g.sets[:0]
	}
	w.pending, w.resolved, w.metadata = 0, nil, nil
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
			out.duplicate++
			continue
		}
		g.slots = append(g.slots, storage.Slot(r.Slot))
		g.values = append(g.values, w.scan.Values[i])
	}
	for _, t := range w.scan.Timed {
		moved = s.placeTimed(w, t, out) || moved
	}
	if moved {
		s.memory.Forget(nil)
		return errRescan
	}
	return s.checkSamples(out)
}

// placeTimed hands on a remembered sample with a timestamp of its own, and
// reports whether its series now belongs to another kind of group.
func (s *sink) placeTimed(w *work, t exposition.Timed, out *outcome) (moved bool) {
	if t.Ref.Group >= groupRefused {
		s.countUnstored(t.Ref, out)
		return false
	}
	g := w.of(t.Ref.Group)
	if s.options.IgnoreTimestamps {
		out.relabeled++
		if g.now.set(t.Ref.Slot) {
			out.duplicate++
			return false
		}
	} else {
		if s.groups[t.Ref.Group].kind != storage.Open {
			return true
		}
		out.relabeled++
		g.times = append(g.times, t.Time)
	}
	g.slots = append(g.slots, storage.Slot(t.Ref.Slot))
	g.values = append(g.values, t.Value)
	return false
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

// checkSamples fails a scrape that is over the limit.
func (s *sink) checkSamples(out *outcome) error {
	if limit := s.options.SampleMax; limit > 0 && out.relabeled > limit {
		return &limitError{what: "sample_limit", max: int64(limit), seen: int64(out.relabeled), more: " or more"}
	}
	return nil
}

// placeNew relabels, resolves and places the samples that were not remembered.
func (s *sink) placeNew(ctx context.Context, w *work, out *outcome) error {
	for i := range w.scan.New {
		lset := sampleLabels(w.builder, s.options, s.target, w.scan.Labels(i))
		if lset.IsEmpty() {
			w.scan.Remember(i, exposition.Ref{Group: groupDropped})
			continue
		}
		reason, err := checkLabels(s.options, lset)
		if reason != "" {
			err = w.scan.Fault(i, reason)
		}
		if err != nil {
			return err
		}
		out.relabeled++
		if err := s.checkSamples(out); err != nil {
			return err
		}
		kind := storage.Closed
		if w.scan.New[i].Timed && !s.options.IgnoreTimestamps {
			kind = storage.Open
		}
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
			s.placeResolved(w, g, uint16(i), g.wait[j], a, out)
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

func (s *sink) placeResolved(w *work, g *groupWork, group uint16, i int, a storage.Resolution, out *outcome) {
	if a.Reason == storage.ReasonNone && a.Slot > slotMax {
		a.Reason = storage.ReasonSeriesLimit
	}
	if a.Reason != storage.ReasonNone {
		w.scan.Remember(i, exposition.Ref{Group: groupRefused, Slot: uint32(a.Reason)})
		out.refuse(a.Reason)
		return
	}
	n := &w.scan.New[i]
	w.scan.Remember(i, exposition.Ref{Group: group, Slot: uint32(a.Slot)})
	if s.groups[group].kind == storage.Open {
		g.times = append(g.times, n.Time)
	} else if g.now.set(uint32(a.Slot)) {
		out.duplicate++
		return
	}
	out.added++
	g.slots = append(g.slots, a.Slot)
	g.values = append(g.values, n.Value)
}

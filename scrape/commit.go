package scrape

import (
	"context"
	"fmt"
	"math"
	"sort"

	"github.com/prometheus/prometheus/model/value"

	"github.com/nilometer/nilometer/storage"
)

// commit writes the work of one scrape as one unit: a batch for every closed
// group with the timestamp t, and one for every timestamp of an open group.
// whole makes members that are not mentioned stale.
func (s *sink) commit(ctx context.Context, w *work, t int64, whole bool, out *outcome) error {
	if err := s.learnVersions(ctx); err != nil {
		return err
	}
	s.keepUp(w)
	s.batches(w, t, whole, out)
	prepared := make([]storage.Prepared, 0, len(w.batches))
	abort := func() {
		for _, p := range prepared {
			p.Abort()
		}
	}
	for i := range w.batches {
		p, err := s.groups[w.batches[i].group].handle.Prepare(ctx, &w.batches[i].Batch)
		if err != nil {
			abort()
			return fmt.Errorf("prepare batch: %w", err)
		}
		prepared = append(prepared, p)
	}
	if err := s.writer.Commit(ctx, storage.Logged, prepared...); err != nil {
		abort()
		return fmt.Errorf("store scrape: %w", err)
	}
	s.stored()
	for i, p := range prepared {
		r, b := p.Result(), &w.batches[i].Batch
		out.stored += r.Appended
		out.exemplars += len(b.Exemplars)
		for _, rejected := range r.Rejected {
			switch {
			case rejected.Index >= len(b.Slots)+len(b.Histograms):
				out.exemplars--
			case !w.batches[i].markers: // a marker before the last sample says nothing
				out.refuse(rejected.Reason)
			}
		}
	}
	for i, g := range s.groups {
		switch {
		case g == nil:
		case g.kind == storage.Closed:
			g.present = append(g.present[:0], w.of(uint16(i)).now...)
		case s.options.TrackTimestamps:
			g.present = append(g.present[:0], w.of(uint16(i)).mentioned...)
		}
	}
	return nil
}

// batches builds what commit writes.
func (s *sink) batches(w *work, t int64, whole bool, out *outcome) {
	w.batches = w.batches[:0]
	stale := math.Float64frombits(value.StaleNaN)
	// Older timestamps first: a series that begins to have one of its own ends
	// in the closed group with a marker at t.
	for i, g := range s.groups {
		if g != nil && g.kind == storage.Open {
			s.openBatches(w, uint16(i), g, w.of(uint16(i)), out)
			s.openMarkers(w, uint16(i), g, t)
		}
	}
	for i, g := range s.groups {
		if g == nil || g.kind != storage.Closed {
			continue
		}
		gw := w.of(uint16(i))
		if !whole {
			g.present.missing(gw.now, func(slot uint32) {
				gw.slots = append(gw.slots, storage.Slot(slot))
				gw.values = append(gw.values, stale)
			})
		}
		if len(gw.starts) == 0 {
			gw.sort()
		}
		if len(gw.slots)+len(gw.hists) > 0 || whole {
			b := storage.Batch{
				Time: t, Version: g.version, Slots: gw.slots, Values: gw.values, Starts: gw.startsOf(),
				Histograms: gw.hists, Exemplars: gw.exemplars, BodyStale: whole,
			}
			if s.report.resolved && uint16(i) == s.report.group {
				b.Metadata = w.metadata
			}
			w.batches = append(w.batches, groupBatch{group: uint16(i), Batch: b})
		}
	}
}

// openBatches makes one batch of each timestamp; of several values of a series
// at one time the first is taken, a float before a histogram; the others are
// counted. The exemplars go with the last.
func (s *sink) openBatches(w *work, i uint16, g *group, gw *groupWork, out *outcome) {
	if len(gw.slots)+len(gw.hists) == 0 {
		return
	}
	starts := gw.startsOf()
	sort.Stable(byTime{gw})
	sort.Stable(histsByTime{gw})
	for start, hist := 0, 0; start < len(gw.slots) || hist < len(gw.hists); {
		t := int64(math.MaxInt64)
		if start < len(gw.slots) {
			t = gw.times[start]
		}
		if hist < len(gw.hists) {
			t = min(t, gw.histTimes[hist])
		}
		clear(gw.now)
		end, kept := start, start
		for ; end < len(gw.slots) && gw.times[end] == t; end++ {
			if !gw.now.set(uint32(gw.slots[end])) {
				gw.slots[kept], gw.values[kept] = gw.slots[end], gw.values[end]
				if starts != nil {
					starts[kept] = starts[end]
				}
				kept++
			}
		}
		histEnd, histKept := hist, hist
		for ; histEnd < len(gw.hists) && gw.histTimes[histEnd] == t; histEnd++ {
			if !gw.now.set(uint32(gw.hists[histEnd].Slot)) {
				gw.hists[histKept] = gw.hists[histEnd]
				histKept++
			}
		}
		b := storage.Batch{
			Time: t, Version: g.version, Slots: gw.slots[start:kept], Values: gw.values[start:kept],
			Histograms: gw.hists[hist:histKept],
		}
		if starts != nil {
			b.Starts = starts[start:kept]
		}
		out.duplicate += end - kept + histEnd - histKept
		start, hist = end, histEnd
		if start == len(gw.slots) && hist == len(gw.hists) {
			b.Exemplars = gw.exemplars
		}
		w.batches = append(w.batches, groupBatch{group: i, Batch: b})
	}
}

// openMarkers ends the tracked series of an open group that are not there any
// more.
func (s *sink) openMarkers(w *work, i uint16, g *group, t int64) {
	b := storage.Batch{Time: t, Version: g.version}
	g.present.missing(w.of(i).mentioned, func(slot uint32) {
		b.Slots = append(b.Slots, storage.Slot(slot))
		b.Values = append(b.Values, math.Float64frombits(value.StaleNaN))
	})
	if len(b.Slots) > 0 {
		w.batches = append(w.batches, groupBatch{group: i, markers: true, Batch: b})
	}
}

// byTime sorts an open group's floats by their timestamps.
type byTime struct{ *groupWork }

func (b byTime) Len() int           { return len(b.slots) }
func (b byTime) Less(i, j int) bool { return b.times[i] < b.times[j] }
func (b byTime) Swap(i, j int) {
	b.slots[i], b.slots[j] = b.slots[j], b.slots[i]
	b.values[i], b.values[j] = b.values[j], b.values[i]
	b.times[i], b.times[j] = b.times[j], b.times[i]
	if len(b.starts) > 0 {
		b.starts[i], b.starts[j] = b.starts[j], b.starts[i]
	}
}

// histsByTime sorts an open group's histograms by their timestamps.
type histsByTime struct{ *groupWork }

func (b histsByTime) Len() int           { return len(b.hists) }
func (b histsByTime) Less(i, j int) bool { return b.histTimes[i] < b.histTimes[j] }
func (b histsByTime) Swap(i, j int) {
	b.hists[i], b.hists[j] = b.hists[j], b.hists[i]
	b.histTimes[i], b.histTimes[j] = b.histTimes[j], b.histTimes[i]
}

// abandon drops the members that a failed scrape resolved and will not write.
// It is housekeeping: an error shows again in the next call that matters.
func (s *sink) abandon(ctx context.Context, w *work) {
	for i, resolved := range w.resolved {
		g := s.groups[i]
		if !resolved || g == nil {
			continue
		}
		if p, err := g.handle.Prepare(ctx, &storage.Batch{Version: g.version}); err == nil {
			p.Abort()
		}
	}
}

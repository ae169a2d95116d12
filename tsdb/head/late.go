package head

import (
	"math"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/nilometer/nilometer/format/record"
	"github.com/nilometer/nilometer/model/column"
	"github.com/nilometer/nilometer/model/series"
	"github.com/nilometer/nilometer/model/tenant"
	"github.com/nilometer/nilometer/storage"
	"github.com/nilometer/nilometer/tsdb/late"
)

// Late is where the head puts samples that are older than their series' last
// one, or than the horizon, and inside the window.
func (h *Head) Late() *late.Buffer { return h.late }

// LateFull has something when a buffer of late samples is half full.
func (s *Heads) LateFull() <-chan struct{} { return s.lateFull }

// Late returns what the buffer of late samples has at the snapshot's moment,
// within bounds, less what is deleted.
func (s *Snapshot) Late(b late.Bounds) *late.Part {
	b.Hidden = hiddenLate(s.deletions)
	return s.head.late.Part(s.commit, b)
}

// lates are the late samples of one commit. Samples are added while
// Heads.private is held.
type lates struct {
	of []*lateCommit // one for each tenant
	n  int           // of them in use; the others are memory
}

// lateCommit is what a commit adds to one buffer.
type lateCommit struct {
	head   *Head
	first  uint64 // the sequence of the first sample
	writer record.LateWriter
	known  map[seriesID]lateSeries

	builder labels.ScratchBuilder
	lset    labels.Labels // in the builder's memory
}

// labelsLocked sets lset; the index is locked.
func (l *lateCommit) labelsLocked(id seriesID) {
	l.builder.Reset()
	l.head.index.eachLabelLocked(id, func(name, value string) { l.builder.Add(name, value) })
	l.builder.Overwrite(&l.lset)
}

// lateSeries is a series of a lateCommit: in the buffer, and in the record.
type lateSeries struct {
	ref    late.Ref
	number uint32
	logged bool
}

func (l *lates) reset() lates { return lates{of: l.of} }

// under returns the late samples of a head.
func (l *lates) under(h *Head) *lateCommit {
	for _, x := range l.of[:l.n] {
		if x.head == h {
			return x
		}
	}
	if l.n == len(l.of) {
		l.of = append(l.of, &lateCommit{known: map[seriesID]lateSeries{}})
	}
	x := l.of[l.n]
	l.n++
	h.late.Begin()
	x.head, x.first = h, h.late.Next()
	x.writer.Reset(string(h.id), x.first)
	clear(x.known)
	return x
}

// windowStart is the time before which no late sample of a group is taken.
func (g *group) windowStart() int64 {
	o := &g.head.set.opts
	if o.Backfill {
		return math.MinInt64
	}
	window := o.LatePushes
	if g.kind == storage.Closed || g.scraped {
		window = o.LateScrapes
	}
	if window <= 0 {
		return math.MaxInt64
	}
	return max(g.head.newest.Load(), g.head.horizon.Load()) - window.Milliseconds()
}

// takeLate puts a sample of a group's writer into the late buffer. It is in no
// tile, and older than its series' last one or than the horizon.
func (c *commit) takeLate(g *group, id seriesID, t int64, value sample) (reason storage.Reason, stored bool) {
	h, x := g.head, c.lateSample(t, value)
	now := h.set.deps.Now().UnixMilli()
	if from := g.windowStart(); t < from || h.set.tooOld(t, now) {
		reason = storage.ReasonOutOfOrder
		if t < h.horizon.Load() || t >= from {
			reason = storage.ReasonTooOld
		}
		h.index.mu.RLock()
		defer h.index.mu.RUnlock()
		lset := h.index.labelsLocked(id)
		var ranges []late.Hidden
		if hidden := h.HiddenLate(); hidden != nil {
			ranges = hidden(lset)
		}
		return h.late.Check(h.index.hashes.All()[id], lset, x, ranges, reason), false
	}
	l := c.late.under(h)
	ref, seq, reason := l.add(id, x, now)
	if seq == 0 {
		if reason == storage.ReasonNone && h.deletedLate(ref, id, t) {
			reason = storage.ReasonConflict // the first one is still there, and hidden
		}
		return reason, false
	}
	return storage.ReasonNone, true
}

// lateSample is a value as the late buffer takes it. Its histogram is in the
// commit's memory.
func (c *commit) lateSample(t int64, x sample) late.Sample {
	s := late.Sample{Time: t, Bits: x.bits, Start: x.start}
	switch {
	case x.stale():
		s.Start = 0
	case !x.hist.IsZero():
		c.more = record.AppendHistogram(c.more[:0], column.Histogram{}, x.hist)
		s.Bits, s.Histogram = 0, c.more
	}
	return s
}

// add puts a sample into the buffer and, unless that has its time already (seq
// is 0), into the record.
func (l *lateCommit) add(id seriesID, sample late.Sample, now int64) (ref late.Ref, seq uint64, reason storage.Reason) {
	x := &l.head.index
	s, known := l.known[id]
	if !s.logged { // its labels are needed
		x.mu.RLock()
		defer x.mu.RUnlock()
		l.labelsLocked(id)
	}
	if !known {
		s.ref = l.head.late.Series(x.hashes.All()[id], l.lset)
		l.known[id] = s
	}
	if seq, reason = l.head.late.Add(s.ref, sample, now); seq == 0 {
		return s.ref, 0, reason
	}
	if !s.logged {
		s.number, s.logged = l.writer.AddSeries(l.lset), true
		l.known[id] = s
	}
	l.writer.AddSample(record.LateSample{
		Series: s.number, Time: sample.Time, Bits: sample.Bits, Histogram: sample.Histogram, Start: sample.Start,
	})
	return s.ref, seq, storage.ReasonNone
}

// deletedLate tells whether a sample of the late buffer is hidden by a deletion.
func (h *Head) deletedLate(ref late.Ref, id seriesID, t int64) bool {
	hidden := h.HiddenLate()
	if hidden == nil {
		return false
	}
	h.index.mu.RLock()
	lset := h.index.labelsLocked(id)
	h.index.mu.RUnlock()
	ranges := hidden(lset)
	return late.Hides(ranges, t, h.late.SeqOf(ref, t))
}

// continues tells whether a closed group's next batch may imply that a series
// goes on after its last sample: what comes between must be in a tile.
func (h *Head) continues(home *group, slot uint32) bool {
	if !home.members[slot].present {
		return false
	}
	if home.kind != private {
		return home.kind == storage.Closed
	}
	for _, g := range h.allGroups() {
		if g.number == home.lastWriter {
			return g.kind == storage.Closed
		}
	}
	return false
}

// tooOld tells whether a time is before all that is kept.
func (s *Heads) tooOld(t, nowMs int64) bool {
	return s.opts.Retention > 0 && t < nowMs-s.opts.Retention.Milliseconds()
}

// logLate appends the late samples' records to the payload.
func (c *commit) logLate() {
	for _, l := range c.late.of[:c.late.n] {
		if l.writer.Samples() == 0 {
			continue
		}
		c.body = l.writer.Append(c.body[:0])
		c.payload = record.AppendRecord(c.payload, record.TypeLate, c.body)
		c.set.metrics.lateAppended.Add(float64(l.writer.Samples()))
	}
}

// undoLate takes the late samples back: they are not in the log.
func (c *commit) undoLate() {
	for _, l := range c.late.of[:c.late.n] {
		l.head.late.Undo(l.first)
	}
}

// showLate publishes the late samples with commit n.
func (c *commit) showLate(n uint64) {
	for _, l := range c.late.of[:c.late.n] {
		if l.writer.Samples() == 0 {
			continue
		}
		l.head.late.Publish(n, c.segment, c.set.oldest())
		if l.head.late.Full() {
			select {
			case c.set.lateFull <- struct{}{}:
			default:
			}
		}
	}
}

// late puts the samples of a late record into their buffer.
func (r *replay) late(segment uint64, body []byte) error {
	l, err := record.ReadLate(body)
	if err != nil {
		return err
	}
	id := tenant.ID(l.Tenant)
	if err := id.Validate(); err != nil {
		return err
	}
	b := r.set.Head(id).late
	hashes := make([]series.Hash, len(l.Series))
	var scratch []byte
	for i, lset := range l.Series {
		hashes[i], scratch = series.HashOf(lset, scratch)
	}
	now := r.set.deps.Now().UnixMilli()
	for i, x := range l.Samples {
		s := late.Sample{Time: x.Time, Bits: x.Bits, Histogram: x.Histogram, Start: x.Start}
		b.Restore(segment, l.First+uint64(i), hashes[x.Series], l.Series[x.Series], s, now)
	}
	r.out.Samples += len(l.Samples)
	return nil
}

package late

import (
	"bytes"
	"cmp"
	"maps"
	"math"
	"slices"
	"sync"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/nilometer/nilometer/model/series"
	"github.com/nilometer/nilometer/storage"
)

// BytesMax is the bound of a buffer that has no other.
const BytesMax = 64 << 20

// Options are the settings of a buffer.
type Options struct {
	// SpanMs is the length of a span, ms: that of the head.
	SpanMs int64
	// BytesMax bounds what the buffer holds; 0: BytesMax of this package.
	BytesMax int64
}

// Buffer holds the late samples of one tenant. It is safe for concurrent use,
// but only one commit at a time may add to it.
type Buffer struct {
	spanMs   int64
	bytesMax int64

	mu      sync.RWMutex // guards what follows
	idx     *index
	slabs   [classes]slab
	spans   map[int64]*span
	touched []*span // by what is not published yet
	runs    int     // of all spans
	more    more
	seq     uint64 // the last one given
	stamps  []stamp
	marks   Marks
	refused bool // there are too many late blocks
	// logged has the highest sequence in each segment of the log, by span.
	logged map[logged]uint64
}

// stamp says that a commit has made all sequences up to seq visible.
type stamp struct{ commit, seq uint64 }

type logged struct {
	segment uint64
	span    int64
}

// New returns an empty buffer.
func New(o Options) *Buffer {
	if o.BytesMax <= 0 {
		o.BytesMax = BytesMax
	}
	b := &Buffer{spanMs: o.SpanMs, bytesMax: o.BytesMax, logged: map[logged]uint64{}}
	b.clear()
	return b
}

// clear gives the memory of an empty buffer back. Parts keep what they have.
func (b *Buffer) clear() {
	b.idx, b.spans, b.runs, b.more = newIndex(), map[int64]*span{}, 0, newMore()
	for i := range b.slabs {
		b.slabs[i] = slab{size: blockSizes[i]}
	}
}

// Begin is called before the first Series of a commit. References of before are
// void.
func (b *Buffer) Begin() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.spans) == 0 && b.idx.len() > 0 {
		b.clear()
	}
}

// Series returns the reference of a label set. hash is its canonical one.
func (b *Buffer) Series(hash series.Hash, lset labels.Labels) Ref {
	b.mu.Lock()
	defer b.mu.Unlock()
	return Ref(b.idx.find(hash, lset))
}

// Add takes a sample, unless the buffer has one of that time: the same value is
// success (seq is 0), another one storage.ReasonConflict. A full buffer, or one
// that must not grow, refuses with storage.ReasonOverloaded. nowMs is the time.
// Nobody sees the sample before Publish.
func (b *Buffer) Add(ref Ref, x Sample, nowMs int64) (seq uint64, reason storage.Reason) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.refused || b.usedLocked() >= b.bytesMax {
		if have, ok := b.lookupLocked(uint32(ref), x.Time); ok {
			return 0, b.verdictLocked(have, x)
		}
		return 0, storage.ReasonOverloaded
	}
	s, have, exists := b.insertLocked(uint32(ref), b.seq+1, x, nowMs)
	if exists {
		return 0, b.verdictLocked(have, x)
	}
	b.seq++
	if !s.touched {
		s.touched = true
		b.touched = append(b.touched, s)
	}
	return b.seq, storage.ReasonNone
}

// verdictLocked judges a sample beside the one that the buffer has of its time.
// The start timestamp is no part of the value: the first one stays.
func (b *Buffer) verdictLocked(have sample, x Sample) storage.Reason {
	if have.bits == x.Bits && bytes.Equal(b.more.of[have.seq].histogram, x.Histogram) {
		return storage.ReasonNone
	}
	return storage.ReasonConflict
}

func (b *Buffer) insertLocked(series uint32, seq uint64, x Sample, nowMs int64) (s *span, have sample, exists bool) {
	from := floor(x.Time, b.spanMs)
	if s = b.spans[from]; s == nil {
		s = newSpan(from, from+b.spanMs, nowMs)
		b.spans[from] = s
	}
	runs := len(s.runs)
	at := s.runAt(series)
	b.runs += len(s.runs) - runs
	if have, exists = s.insert(b, at, sample{t: x.Time, bits: x.Bits, seq: seq}); !exists {
		b.more.add(seq, x)
	}
	return s, have, exists
}

// Check tells what Add would say of a sample that must not be added:
// storage.ReasonNone of a repeat, storage.ReasonConflict, and otherwise when
// the buffer has nothing of that time that is not hidden.
func (b *Buffer) Check(hash series.Hash, lset labels.Labels, x Sample, hidden []Hidden, otherwise storage.Reason) storage.Reason {
	b.mu.RLock()
	defer b.mu.RUnlock()
	if b.spans[floor(x.Time, b.spanMs)] == nil {
		return otherwise
	}
	n, ok := b.idx.lookup(hash, lset)
	if !ok {
		return otherwise
	}
	have, ok := b.lookupLocked(n, x.Time)
	if !ok || Hides(hidden, x.Time, have.seq) {
		return otherwise
	}
	return b.verdictLocked(have, x)
}

// SeqOf is the sequence of the sample of a series at a time, 0 without one.
func (b *Buffer) SeqOf(ref Ref, t int64) uint64 {
	b.mu.RLock()
	defer b.mu.RUnlock()
	have, _ := b.lookupLocked(uint32(ref), t)
	return have.seq
}

// lookupLocked finds a sample.
func (b *Buffer) lookupLocked(series uint32, t int64) (found sample, ok bool) {
	s := b.spans[floor(t, b.spanMs)]
	if s == nil {
		return sample{}, false
	}
	at, ok := s.runOf[series]
	if !ok {
		return sample{}, false
	}
	ok = false
	s.each(b, at, func(have []sample) {
		if i, exists := search(have, t); exists {
			found, ok = have[i], true
		}
	})
	return found, ok
}

// Next is the sequence that the next sample will have.
func (b *Buffer) Next() uint64 {
	b.mu.RLock()
	defer b.mu.RUnlock()
	return b.seq + 1
}

// Undo takes the samples from a sequence on back: they could not be logged, and
// were not published. Their sequences are given again.
func (b *Buffer) Undo(from uint64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.removeLocked(func(_ *span, x sample) bool { return x.seq >= from })
	b.seq = from - 1
	b.untouchLocked()
}

func (b *Buffer) untouchLocked() {
	for _, s := range b.touched {
		s.touched = false
	}
	clear(b.touched)
	b.touched = b.touched[:0]
}

// Publish shows the samples that were added and logged in a segment to every
// Part of the commit or a later one. oldest is the oldest commit that a Part
// may still be asked for.
func (b *Buffer) Publish(commit, segment, oldest uint64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, s := range b.touched {
		b.logged[logged{segment, s.from}] = s.highest
	}
	b.untouchLocked()
	b.stamps = append(b.stamps, stamp{commit, b.seq})
	if len(b.stamps) < stampsMax {
		return
	}
	// All that is older than what the oldest reader sees is one stamp.
	k, _ := slices.BinarySearchFunc(b.stamps, oldest, func(s stamp, c uint64) int { return cmp.Compare(s.commit, c+1) })
	if k > 1 {
		b.stamps = slices.Delete(b.stamps, 0, k-1)
	}
}

// stampsMax is the number of stamps at which old ones are looked for.
const stampsMax = 256

// Restore takes a sample that the log has, in whatever order: one that is in a
// block, or was restored before, is left out. It is visible to every Part. The
// buffer is used by nobody else until all is restored.
func (b *Buffer) Restore(segment, seq uint64, hash series.Hash, lset labels.Labels, x Sample, nowMs int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.seq = max(b.seq, seq)
	b.stamps = append(b.stamps[:0], stamp{0, b.seq})
	if seq <= b.marks.At(x.Time) {
		return
	}
	key := logged{segment, floor(x.Time, b.spanMs)}
	b.logged[key] = max(b.logged[key], seq)
	b.insertLocked(b.idx.find(hash, lset), seq, x, nowMs)
}

// SetMarks says what is in blocks from now on. The samples stay until Drop.
func (b *Buffer) SetMarks(m Marks) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.marks = m
	if last := m.Last(); b.seq < last { // the log that had them is gone
		b.seq = last
	}
}

// Drop frees the samples that marks cover. No Part with older marks is left.
func (b *Buffer) Drop(m Marks) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.removeLocked(func(s *span, x sample) bool { return x.seq <= m.of(s.from, s.to) })
	for _, s := range b.spans {
		s.lowest = max(s.lowest, m.of(s.from, s.to)+1)
	}
}

func (b *Buffer) removeLocked(gone func(*span, sample) bool) {
	for from, s := range b.spans {
		s.remove(b, func(x sample) bool { return gone(s, x) })
		if s.samples == 0 {
			b.runs -= len(s.runs)
			delete(b.spans, from)
		}
	}
	if len(b.spans) == 0 {
		for i := range b.slabs { // the labels go with the next commit
			b.slabs[i] = slab{size: blockSizes[i]}
		}
	}
}

// Refuse tells whether new samples are refused whatever room there is.
func (b *Buffer) Refuse(on bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.refused = on
}

// UsedBytes is what the buffer holds.
func (b *Buffer) UsedBytes() int64 {
	b.mu.RLock()
	defer b.mu.RUnlock()
	return b.usedLocked()
}

func (b *Buffer) usedLocked() int64 {
	n := b.idx.bytes + b.more.bytes + int64(b.runs)*runBytes + int64(len(b.spans))*spanBytes
	for i := range b.slabs {
		n += int64(b.slabs[i].live()) * sampleBytes
	}
	return n
}

// Full tells whether half of the bound is used: it is time to write blocks.
func (b *Buffer) Full() bool {
	b.mu.RLock()
	defer b.mu.RUnlock()
	return b.usedLocked() >= b.bytesMax/2
}

// Holds tells whether the buffer may have samples between two times (ms, both
// included) up to a sequence, those included that are in blocks and wait for
// Drop.
func (b *Buffer) Holds(minTime, maxTime int64, seq uint64) bool {
	b.mu.RLock()
	defer b.mu.RUnlock()
	for _, s := range b.spans {
		if s.from <= maxTime && s.to > minTime && s.samples > 0 && s.lowest <= seq {
			return true
		}
	}
	return false
}

// Samples is the number of samples in the buffer.
func (b *Buffer) Samples() int {
	b.mu.RLock()
	defer b.mu.RUnlock()
	n := 0
	for _, s := range b.spans {
		n += s.samples
	}
	return n
}

// Span is a range of time [From, To) with samples that are in no block yet.
type Span struct {
	From, To int64
	// Since is when the first of them was accepted, ms.
	Since int64
	// Lowest is a sequence before which none of them is.
	Lowest uint64
}

// Spans returns the spans that have published samples which the buffer's marks
// do not cover, in order of time, and the sequence of the last published one.
func (b *Buffer) Spans() (spans []Span, last uint64) {
	b.mu.RLock()
	defer b.mu.RUnlock()
	last = b.publishedLocked(math.MaxUint64)
	for _, from := range slices.Sorted(maps.Keys(b.spans)) {
		s := b.spans[from]
		covered := b.marks.of(s.from, s.to)
		if s.samples > 0 && s.highest > covered && s.lowest <= last {
			spans = append(spans, Span{From: s.from, To: s.to, Since: s.since, Lowest: max(s.lowest, covered+1)})
		}
	}
	return spans, last
}

// publishedLocked is the highest sequence that a commit shows.
func (b *Buffer) publishedLocked(commit uint64) uint64 {
	k, _ := slices.BinarySearchFunc(b.stamps, commit, func(s stamp, c uint64) int {
		if s.commit <= c {
			return -1
		}
		return 1
	})
	if k == 0 {
		return 0
	}
	return b.stamps[k-1].seq
}

// NeededSegment is the oldest segment of the log with a sample that is in no
// block, or current when there is none.
func (b *Buffer) NeededSegment(current uint64) uint64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	needed := current
	for at, seq := range b.logged {
		if seq <= b.marks.of(at.span, at.span+b.spanMs) {
			delete(b.logged, at)
			continue
		}
		needed = min(needed, at.segment)
	}
	return needed
}

// floor rounds t down to a multiple of r.
func floor(t, r int64) int64 {
	if t%r < 0 {
		return t - t%r - r
	}
	return t - t%r
}

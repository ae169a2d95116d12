package head

import (
	"math"

	format "github.com/nilometer/nilometer/format/column"
	"github.com/nilometer/nilometer/format/seal"
	"github.com/nilometer/nilometer/model/column"
	"github.com/nilometer/nilometer/storage"
	"github.com/nilometer/nilometer/tsdb/part"
)

// lagMax is the number of positions at the end of an open group's column that
// stay in streams when those before them are sealed: senders of one scrape in
// pieces are that much apart, and find their positions still open.
const lagMax = 20

// scratch is the memory that decoding an open stream takes.
type scratch struct {
	bytes  []byte
	values []float64
}

// sealer encodes what is in streams.
type sealer struct {
	enc part.Encoder
	scratch
	builder seal.Builder
	more    seal.Builder // of what stays in streams
	present []float64
	chunk   []byte
	runs    []column.Run
	rest    []column.Run
	// What stays in streams: those of members, and their records one after the
	// other.
	streams []keptStream
	records []byte
	derived []bool   // by slot: the last value stands in what is sealed
	boxed   []uint64 // in what stays in streams
}

// sealDueLocked returns the position before which the open tile is to be sealed,
// 0 when it is not time yet. The first stretch of a tile is longer by up to
// as much again, so that not all groups seal at once.
func (g *group) sealDueLocked() int {
	t := g.open
	to := len(t.times)
	if g.kind != storage.Closed {
		to -= lagMax
	}
	every := g.head.set.opts.SealEvery
	due := t.from + every
	if t.from == 0 {
		due += int(g.number % uint64(every))
	}
	if to < due {
		return 0
	}
	return to
}

// endTileLocked seals all of the group's open tile: there is none after it.
func (g *group) endTileLocked() {
	t := g.open
	if t == nil {
		return
	}
	if t.from < len(t.times) {
		g.sealLocked(len(t.times))
	}
	t.runs = nil
	t.sealed = true
	g.dropStreamsLocked()
	g.foldStartsLocked(0, true)
	g.open = nil
	g.sealedTiles = append(g.sealedTiles, t)
}

// sealLocked encodes the positions of the open tile before to, all members, as
// a stretch. What comes after them stays in streams.
func (g *group) sealLocked(to int) {
	t := g.open
	s := g.head.set.sealers.Get().(*sealer)
	defer g.head.set.sealers.Put(s)
	s.builder.Reset()
	s.more.Reset()
	s.streams, s.records, s.derived, s.boxed = s.streams[:0], s.records[:0], s.derived[:0], s.boxed[:0]
	for slot := range g.members {
		g.sealMemberLocked(s, t, uint32(slot), to)
	}
	data, err := seal.ReadStretch(s.builder.Append(nil), to-t.from)
	if err != nil { // our own memory
		panic("head: a stretch that was just made cannot be read: " + err.Error())
	}
	t.stretches = append(t.stretches, stretch{from: t.from, to: to, made: g.head.set.visible.Load(), Stretch: data})
	t.from = to
	var more []byte
	if to < len(t.times) {
		more = s.more.Append(nil)
	}
	g.head.set.put(g, t, &t.stretches[len(t.stretches)-1], more, s.derived)
	g.dropStreamsLocked()
	g.resumeLocked(s.streams, s.records)
	g.foldStartsLocked(to, false)
	g.keepBoxesLocked(s.boxed)
	g.head.set.metrics.seals.Inc()
}

// sealMemberLocked adds a member's entry to the stretch that ends before to, and
// begins its stream anew with what comes after it.
func (g *group) sealMemberLocked(s *sealer, t *tile, slot uint32, to int) {
	m := &g.members[slot]
	n := len(t.times)
	all := g.runsLocked(t, slot, n)
	s.runs = clipRuns(s.runs[:0], all, t.from, to, t.from)
	changed := m.changed()
	s.values = s.values[:0]
	if changed {
		s.values = g.streamLocked(s.values, &s.scratch, m, n-t.from)
	}
	derived := g.addEntryLocked(s, &s.builder, slot, s.runs, t.from, to)
	m.stream = 0
	if to == n {
		m.carried = g.kind == storage.Closed && m.state == own && m.present
	} else {
		s.rest = clipRuns(s.rest[:0], all, to, n, to)
		m.carried = g.addEntryLocked(s, &s.more, slot, s.rest, to, n)
		derived = derived || m.carried
		if m.carried && changed {
			s.restart(slot, m, s.values[to-t.from:])
		}
	}
	s.derived = append(s.derived, derived)
	if m.absentFrom != neverAbsent {
		m.absentFrom = uint16(max(int(m.absentFrom), to))
	}
	if runs, ok := t.runs[slot]; ok {
		if left := clipRuns(nil, runs, to, n, 0); len(left) > 0 {
			t.runs[slot] = left
		} else {
			delete(t.runs, slot)
		}
	}
}

// addEntryLocked adds a member's entry on positions [from, to) of the open tile,
// with its values in s.values, or its last one where it has not changed. It
// reports whether the member is present at any.
func (g *group) addEntryLocked(s *sealer, b *seal.Builder, slot uint32, runs []column.Run, from, to int) bool {
	n := to - from
	s.chunk = s.chunk[:0]
	present := column.PresentCount(runs, n)
	switch {
	case present == 0 && column.SampleCount(runs, n) == 0:
		runs = nil // absent throughout
	case present == 0:
	case len(s.values) > 0:
		s.present = column.AppendPresent(s.present[:0], s.values[from-g.open.from:][:n], 0, runs)
		s.chunk = g.encodeLocked(s, s.chunk, slot, s.present, runs, from, to)
	default: // a chunk of equal values is the same whatever their number
		s.present = append(s.present[:0], math.Float64frombits(g.members[slot].bits))
		s.chunk = g.encodeLocked(s, s.chunk, slot, s.present, runs, from, to)
	}
	b.Add(0, s.chunk, runs)
	return present > 0
}

// restart keeps values for a new stream of a member, unless all are its last
// one's.
func (s *sealer) restart(slot uint32, m *member, values []float64) {
	same := true
	for _, v := range values {
		same = same && math.Float64bits(v) == m.bits
	}
	if same {
		return
	}
	k := keptStream{slot: slot}
	had := len(s.records)
	for i, v := range values {
		if isBoxed(math.Float64bits(v)) {
			s.boxed = append(s.boxed, math.Float64bits(v))
		}
		if k.state.Empty() || math.Float64bits(v) != k.state.Bits() {
			s.records = format.AppendStream(s.records, &k.state, i, v)
		}
	}
	k.bytes = len(s.records) - had
	s.streams = append(s.streams, k)
}

// keptStream is a stream that is to be begun anew.
type keptStream struct {
	slot  uint32
	state format.StreamState
	bytes int
}

// resumeLocked gives members new streams, with the records that were kept.
func (g *group) resumeLocked(streams []keptStream, records []byte) {
	for _, k := range streams {
		st := g.newStreamLocked(&g.members[k.slot])
		st.state = k.state
		g.blocks.write(&g.head.memory, st, records[:k.bytes])
		records = records[k.bytes:]
	}
}

// streamLocked appends a member's values to dst: one for each of the first n
// positions that are in streams, absent ones included. Its value has changed in
// them.
func (g *group) streamLocked(dst []float64, s *scratch, m *member, n int) []float64 {
	s.bytes = g.blocks.gather(s.bytes[:0], g.streamOfLocked(m))
	dst, err := format.DecodeStream(dst, s.bytes, n)
	if err != nil { // our own memory
		panic("head: an open stream does not decode: " + err.Error())
	}
	return dst
}

// openLocked appends a member's values at the present ones of the first n
// positions that are in streams. Its value has changed in them.
func (g *group) openLocked(dst []float64, m *member, runs []column.Run, n int) []float64 {
	s := g.head.set.scratches.Get().(*scratch)
	defer g.head.set.scratches.Put(s)
	s.values = g.streamLocked(s.values[:0], s, m, n)
	return column.AppendPresent(dst, s.values[:n], 0, runs)
}

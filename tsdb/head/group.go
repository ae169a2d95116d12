package head

import (
	"math"
	"sort"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/nilometer/nilometer/format/record"
	"github.com/nilometer/nilometer/model/column"
	"github.com/nilometer/nilometer/model/series"
	"github.com/nilometer/nilometer/storage"
	"github.com/nilometer/nilometer/tsdb/arena"
	"github.com/nilometer/nilometer/tsdb/part"
)

// private is the kind of a group of one series with times of its own, beside
// storage.Closed and storage.Open. It is in the log: it must not change.
const private = storage.GroupKind(3)

// neverAbsent is the absentFrom of a member that continues.
const neverAbsent = uint16(math.MaxUint16)

// memberState says what a slot stands for.
type memberState uint8

const (
	provisional memberState = iota // resolved, never written: group.pending has its labels
	own                            // the series is in this group
	foreign                        // the series is in another group
	dead                           // the series was forgotten
)

// member is one slot of a group.
type member struct {
	bits     uint64 // the last value
	lastTime int64  // of the last sample; for a closed group's present members, the group's
	series   seriesID
	stream   uint32 // index in group.streams plus one; 0: its value has not changed in what is not sealed
	mention  uint32 // group.mentions when it was last mentioned in a batch
	// absentFrom is the position of the open tile from which on it is absent.
	absentFrom uint16
	state      memberState
	hasValue   bool
	present    bool // its last position is no stale marker and no absence
	carried    bool // it has a value in what is not sealed: bits alone until it has changed
	unlogged   bool // a new member that the log does not know yet
	hint       record.Hint
}

// changed tells whether the member has had more than one value in what is not
// sealed yet.
func (m *member) changed() bool { return m.stream != 0 }

// group is a set of series that share a time column.
type group struct {
	head   *Head
	index  uint32 // in head.groups
	number uint64 // in the log
	kind   storage.GroupKind
	key    series.Key
	name   string

	mu          groupLock         // guards the fields below
	seq         uint64            // of the last batch in the log
	baseSegment uint64            // the segment that has this group's base
	need        uint64            // the oldest segment with records that are in no file of seals; 0: not known
	sealedSeq   uint64            // of the last record that a file of seals has the state after
	replaying   uint64            // the segment of the record that a replay applies
	gone        map[seriesID]bool // series that it has forgotten: later records tell
	version     uint64
	handles     int
	scraped     bool   // an open group: what comes are scrapes
	writer      uint64 // of a closed group: the handle that may write
	takeover    bool   // the next batch is the first of a new writer
	broken      bool   // during replay: records are missing until the next base
	lastWriter  uint64 // of a private group: the number of the group that brought its last sample
	members     []member
	pending     map[uint32]labels.Labels // of provisional slots
	slots       map[seriesID]uint32      // of foreign members
	free        []uint32                 // slots of dead members; a version went by since
	irregular   int                      // members that are not own
	presents    int                      // own members that are present (closed groups)
	mentions    uint32
	sealedTiles []*tile
	open        *tile                  // nil between tiles
	streams     arena.Sequence[stream] // of members whose value has changed in what is not sealed
	blocks      blocks
	boxes       *boxes             // values that are not 64 bits; nil without
	starts      map[uint32]*starts // of members that have start timestamps
	sparse      sparse             // of an open group
	lastTime    int64
	hasTime     bool
}

// endsTileLocked tells whether a position at t does not belong to the open tile.
func (g *group) endsTileLocked(t int64) bool {
	o := g.open
	return o != nil && (o.span != g.head.set.spanOf(t) || len(o.times) == column.TilePositions)
}

// openPositionLocked adds a position and returns it.
func (g *group) openPositionLocked(t int64) int {
	span := g.head.set.spanOf(t)
	if g.endsTileLocked(t) {
		g.endTileLocked()
	}
	if g.open == nil {
		g.open = g.head.newTile(g, span)
		for slot := range g.members {
			m := &g.members[slot]
			m.stream, m.carried, m.absentFrom = 0, false, 0
			if g.kind == storage.Closed && m.state == own && m.present {
				m.carried, m.absentFrom = true, neverAbsent
			}
		}
	}
	o := g.open
	if to := g.sealDueLocked(); to > 0 {
		g.sealLocked(to)
	}
	o.times = append(o.times, t)
	o.stamps = append(o.stamps, unpublished)
	g.lastTime, g.hasTime = t, true
	return len(o.times) - 1
}

// setValueLocked makes a member present at a position of the open tile with a
// value. Positions of one member are set in order.
func (g *group) setValueLocked(slot uint32, pos int, t int64, bits uint64) {
	m := &g.members[slot]
	g.endAbsenceLocked(slot, pos)
	switch {
	case !m.carried:
		m.carried = true
	case bits == m.bits:
	default:
		s := g.streamOfLocked(m)
		if s == nil {
			if s = g.newStreamLocked(m); pos > g.open.from {
				g.blocks.append(&g.head.memory, s, 0, math.Float64frombits(m.bits))
			}
		}
		g.blocks.append(&g.head.memory, s, pos-g.open.from, math.Float64frombits(bits))
	}
	m.bits, m.hasValue, m.lastTime = bits, true, t
	if !m.present {
		m.present = true
		g.presents++
	}
	m.absentFrom = neverAbsent
	if g.kind != storage.Closed {
		m.absentFrom = uint16(pos + 1)
	}
}

// setStaleLocked puts a stale marker at a position of the open tile.
func (g *group) setStaleLocked(slot uint32, pos int, t int64) {
	m := &g.members[slot]
	g.endAbsenceLocked(slot, pos)
	g.addRunLocked(slot, pos, pos+1, column.Stale)
	m.lastTime, m.absentFrom = t, uint16(pos+1)
	if m.present {
		m.present = false
		g.presents--
	}
}

// endAbsenceLocked writes down that a member was absent until pos.
func (g *group) endAbsenceLocked(slot uint32, pos int) {
	if m := &g.members[slot]; m.absentFrom != neverAbsent {
		g.addRunLocked(slot, int(m.absentFrom), pos, column.Absent)
	}
}

func (g *group) addRunLocked(slot uint32, from, to int, s column.State) {
	if from = max(from, g.open.from); from >= to {
		return
	}
	if g.open.runs == nil {
		g.open.runs = map[uint32][]column.Run{}
	}
	g.open.runs[slot] = addRun(g.open.runs[slot], from, to, s)
}

// freeLocked ends a slot. The caller changes the version: nobody may use the
// slot for what it stood for.
func (g *group) freeLocked(slot uint32) {
	m := &g.members[slot]
	if m.state == own {
		g.irregular++
	}
	*m = member{state: dead, series: noSeries}
	delete(g.starts, slot)
	g.free = append(g.free, slot)
}

// endLocked makes a present member absent from position pos of the open tile
// on; last is the time of its last sample.
func (g *group) endLocked(slot uint32, pos int, last int64) {
	m := &g.members[slot]
	if !m.present {
		return
	}
	m.present = false
	g.presents--
	if m.absentFrom == neverAbsent {
		m.lastTime, m.absentFrom = last, uint16(pos)
	}
}

// endPositionLocked is the position after the last one of the open tile.
func (g *group) endPositionLocked() int {
	if g.open == nil {
		return 0
	}
	return len(g.open.times)
}

// lastSampleLocked is the time of a member's last sample.
func (g *group) lastSampleLocked(slot uint32) (t int64, ok bool) {
	m := &g.members[slot]
	if g.kind == storage.Closed && m.present {
		return g.lastTime, g.hasTime
	}
	return m.lastTime, m.hasValue || m.lastTime != 0
}

// leaveLocked makes an own member foreign: its series goes elsewhere.
func (g *group) leaveLocked(slot uint32) {
	g.endLocked(slot, g.endPositionLocked(), g.lastTime)
	m := &g.members[slot]
	m.state = foreign
	g.irregular++
	if g.slots == nil {
		g.slots = map[seriesID]uint32{}
	}
	g.slots[m.series] = slot
}

// sampleAtLocked looks a sample of a member up: the slow path for what comes
// again.
func (g *group) sampleAtLocked(slot uint32, t int64) (x column.Sample, ok bool) {
	tiles := g.tilesLocked()
	i := sort.Search(len(tiles), func(i int) bool { ts := tiles[i].times; return ts[len(ts)-1] >= t })
	if i == len(tiles) {
		return x, false
	}
	at := tiles[i]
	pos := sort.Search(len(at.times), func(i int) bool { return at.times[i] >= t })
	if pos == len(at.times) || at.times[pos] != t {
		return x, false
	}
	from := 0
	for i := range at.stretches {
		if at.stretches[i].to <= pos {
			from = at.stretches[i].to
		}
	}
	chunk := g.chunkLocked(at, slot, from, pos+1, nil)
	if chunk.Kind == storage.None {
		return x, false
	}
	switch column.StateAt(chunk.Runs, pos-from) {
	case column.Stale:
		return column.Sample{T: t, V: column.StaleNaN()}, true
	case column.Absent:
		return x, false
	}
	v := decoded(&chunk, pos+1-from)
	return v.At(column.PresentCount(chunk.Runs, pos+1-from)-1, t), true
}

// tilesLocked returns the tiles that have positions, oldest first.
func (g *group) tilesLocked() []*tile {
	if g.open == nil {
		return g.sealedTiles
	}
	return append(g.sealedTiles[:len(g.sealedTiles):len(g.sealedTiles)], g.open)
}

// appendTilesLocked is tilesLocked in memory of the caller's.
func (g *group) appendTilesLocked(dst []*tile) []*tile {
	if dst = append(dst, g.sealedTiles...); g.open != nil {
		dst = append(dst, g.open)
	}
	return dst
}

// newTile makes an empty tile with an id of its own.
func (h *Head) newTile(g *group, span int64) *tile {
	t := &tile{span: span}
	h.tiles.mu.Lock()
	defer h.tiles.mu.Unlock()
	h.tiles.next++
	t.id = part.ColumnID(h.tiles.next)
	h.tiles.of[t.id] = columnPlace{g, t}
	return t
}

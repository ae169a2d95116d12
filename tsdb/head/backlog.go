package head

import (
	"fmt"
	"sort"
	"sync"
	"sync/atomic"

	"github.com/nilometer/nilometer/format/record"
	"github.com/nilometer/nilometer/storage"
)

// backlog are records of the log that a group has not applied yet.
type backlog struct {
	steps []step
	// final says that these are the last ones; then the others are set.
	final bool
	seq   uint64
	slots []place // what the slots stand for when all is applied
	// gone are series that were forgotten on the way.
	gone map[seriesID]bool
}

// step is one record: of a base, of a batch, or that a slot's series leaves; or
// the files of seals.
type step struct {
	restored *restored
	base     *record.Base // its members have no labels any more
	batch    *record.Batch
	ids      []seriesID // of the members of base, or of batch.New
	leave    bool
	slot     uint32
	// seq is the record's number in its group, segment where the log has it, or the
	// base that it leans on.
	seq, segment uint64
}

// groupLock is the lock of a group. Who takes it finds the group up to date: what
// a replay has left to do is done first, by whoever comes first. So a query
// waits for the groups that it touches and for no others.
type groupLock struct {
	sync.RWMutex

	group   *group
	waiting atomic.Pointer[backlog]
}

// hold gives the group a backlog in place of the one it has.
func (l *groupLock) hold(b *backlog) { l.waiting.Store(b) }

// catchUp brings the group up to date.
func (l *groupLock) catchUp() {
	if l.waiting.Load() != nil {
		l.Lock()
		l.Unlock() //lint:ignore SA2001 taking it is all
	}
}

// Lock takes the lock for writing.
func (l *groupLock) Lock() {
	l.RWMutex.Lock()
	l.applyLocked()
}

// TryLock takes the lock for writing when nobody has it.
func (l *groupLock) TryLock() bool {
	if !l.RWMutex.TryLock() {
		return false
	}
	l.applyLocked()
	return true
}

// RLock takes the lock for reading.
func (l *groupLock) RLock() {
	l.catchUp()
	l.RWMutex.RLock()
}

// TryRLock takes the lock for reading when nobody has it for writing.
func (l *groupLock) TryRLock() bool {
	if l.waiting.Load() != nil {
		if !l.TryLock() {
			return false
		}
		l.Unlock()
	}
	return l.RWMutex.TryRLock()
}

func (l *groupLock) applyLocked() {
	if b := l.waiting.Swap(nil); b != nil {
		l.group.catchUpLocked(b)
	}
}

// catchUpLocked applies a backlog. What cannot be applied costs the group all up
// to its next base.
func (g *group) catchUpLocked(b *backlog) {
	g.gone = b.gone
	defer func() { g.gone = nil }()
	for i := range b.steps {
		if st := &b.steps[i]; st.base == nil && g.broken { // it leans on what is missing
			continue
		} else if err := g.applyLocked(st); err != nil {
			g.broken = true
			g.head.set.lost.add(Loss{Tenant: g.head.id, Group: fmt.Sprintf("%s (%v)", g.name, err), From: g.lastTime})
		}
	}
	if b.final {
		g.settleAllLocked(b)
	}
}

// applyLocked applies a step. What is sealed on the way says what is in it by
// group.seq and group.replaying.
func (g *group) applyLocked(st *step) error {
	g.replaying = st.segment
	if err := g.stepLocked(st); err != nil {
		return err
	}
	g.seq = st.seq
	return nil
}

func (g *group) stepLocked(st *step) error {
	switch {
	case st.restored != nil:
		return g.restoreLocked(st.restored)
	case st.base != nil:
		g.rebaseLocked(st.base, st.ids)
		return nil
	case st.leave:
		// Where no series is it was forgotten after it had left, and the files of
		// seals have its slot without it.
		if int(st.slot) < len(g.members) && g.members[st.slot].state == own {
			g.leaveLocked(st.slot)
		}
		return nil
	}
	b := st.batch
	for i, m := range b.New {
		g.seatLocked(m.Slot, st.ids[i]).unlogged = true // what is sealed before this batch does not have it
	}
	g.mentions++
	var err error
	if b.Time < g.head.horizon.Load() {
		err = g.skip(b)
	} else {
		err = g.again(b)
	}
	for _, m := range b.New {
		g.members[m.Slot].unlogged = false
	}
	return err
}

// seatLocked gives a slot a series that it did not stand for before; noSeries
// where that one is forgotten since.
func (g *group) seatLocked(slot uint32, id seriesID) *member {
	for int(slot) >= len(g.members) {
		g.appendMemberLocked(member{state: dead, series: noSeries})
	}
	m := &g.members[slot]
	if m.state == foreign {
		delete(g.slots, m.series)
	}
	if m.present {
		g.presents--
	}
	*m = member{state: own, series: id}
	if id == noSeries {
		m.state = dead
	}
	delete(g.starts, slot)
	return m
}

// rebaseLocked takes the state of a base: what follows is not what the open tile
// leads to.
func (g *group) rebaseLocked(b *record.Base, ids []seriesID) {
	g.broken = false
	g.endTileLocked()
	for slot := range g.members {
		g.endLocked(uint32(slot), 0, g.lastTime)
	}
	if b.HasLast && (!g.hasTime || b.Last > g.lastTime) {
		g.lastTime, g.hasTime = b.Last, true
	}
	if n := len(b.Members); n > 0 {
		g.reserveLocked(int(b.Members[n-1].Slot) + 1)
	}
	for i := range b.Members {
		m := &b.Members[i]
		mm := g.seatLocked(m.Slot, ids[i])
		mm.bits = g.boxLocked(mm, sample{bits: m.Bits, hist: m.Histogram})
		mm.hasValue, mm.lastTime = m.HasValue, m.Time
		g.firstStartLocked(m.Slot, m.Start)
		if m.Present {
			mm.present = true
			g.presents++
		}
	}
}

// settleAllLocked ends a replay: slots stand for what the log says at its end,
// and the next writer of a closed group implies nothing.
func (g *group) settleAllLocked(b *backlog) {
	g.seq, g.broken, g.replaying = b.seq, false, 0
	g.takeover = g.kind == storage.Closed
	for slot := range b.slots {
		want := b.slots[slot]
		if want.state == foreign && b.gone[want.series] {
			want = place{series: noSeries, state: dead}
		}
		if slot >= len(g.members) {
			g.appendMemberLocked(member{state: dead, series: noSeries})
		}
		switch m := &g.members[slot]; {
		case m.state == want.state && m.series == want.series:
		case m.state == own && want.state == foreign: // the record that it left is lost
			g.leaveLocked(uint32(slot))
		case m.state == foreign && want.state == own && m.series == want.series: // where it went to is lost
			delete(g.slots, m.series)
			m.state = own
		default:
			if m.present {
				g.presents--
			}
			if m.state == foreign {
				delete(g.slots, m.series)
			}
			*m = member{state: want.state, series: want.series}
			delete(g.starts, uint32(slot))
		}
	}
	g.irregular, g.presents, g.free = 0, 0, g.free[:0]
	for slot := range g.members {
		m := &g.members[slot]
		if m.state == own {
			g.forgottenLocked(uint32(slot))
		}
		if m.state != own {
			g.irregular++
		} else if m.present {
			g.presents++
		}
		if m.state == dead {
			g.free = append(g.free, uint32(slot))
		}
	}
}

// forgottenLocked makes a member new that has no sample after the horizon: a cut
// has forgotten it (dropFrom), and only segments that are kept for others brought
// it back. Its labels may have had another number since: it gets a new one. The next base does not name it, as it would not have without this
// start: of two bases at the same place of the log only the first is read.
func (g *group) forgottenLocked(slot uint32) {
	m := &g.members[slot]
	if g.kind == storage.Closed && m.present {
		return
	}
	if last, ok := g.lastSampleLocked(slot); !ok || last < g.head.horizon.Load() {
		*m = member{state: own, series: m.series, lastTime: m.lastTime, unlogged: true}
		delete(g.starts, slot)
		g.head.defs.undefine([]seriesID{m.series})
		g.head.index.renew(m.series)
	}
}

// again puts a batch's samples where they were.
func (g *group) again(b *record.Batch) error {
	last := g.lastTime
	pos := -1
	if !g.hasTime || b.Time > g.lastTime {
		pos = g.openPositionLocked(b.Time)
		g.open.stamps[pos] = 0 // everybody sees it
	} else if g.open != nil {
		times := g.open.times
		if i := sort.Search(len(times), func(i int) bool { return times[i] >= b.Time }); i < len(times) && times[i] == b.Time && i >= g.open.from {
			pos = i
		}
	}
	if pos < 0 && b.Count+len(b.Stale) == 0 {
		return nil // it brings members only, whose samples went to private groups
	}
	if pos < 0 {
		return &record.CorruptError{What: fmt.Sprintf("group %d has no position at %d", g.number, b.Time)}
	}
	if b.Flags&record.FlagTakeover != 0 {
		for slot := range g.members {
			g.endLocked(uint32(slot), pos, last)
		}
	}
	err := g.eachValueLocked(b, func(slot uint32, bits uint64) {
		g.setValueLocked(slot, pos, b.Time, bits)
		g.members[slot].mention = g.mentions
		if m := &g.members[slot]; g.kind == storage.Closed && pos < len(g.open.times)-1 {
			m.absentFrom = uint16(pos + 1)
			m.present = false
			g.presents--
		}
	})
	if err != nil {
		return err
	}
	if err := g.eachStartLocked(b, func(slot uint32, start int64) { g.setStartLocked(slot, pos, start) }); err != nil {
		return err
	}
	for _, slot := range b.Stale {
		if int(slot) < len(g.members) {
			g.setStaleLocked(slot, pos, b.Time)
			g.members[slot].mention = g.mentions
		}
	}
	if b.Flags&record.FlagBodyStale != 0 {
		g.staleBodyLocked(pos, b.Time)
	}
	return nil
}

// skip moves the state of the members on over a batch that is in a block.
func (g *group) skip(b *record.Batch) error {
	if b.Flags&record.FlagTakeover != 0 {
		for slot := range g.members {
			g.endLocked(uint32(slot), 0, g.lastTime)
		}
	}
	if !g.hasTime || b.Time > g.lastTime {
		g.lastTime, g.hasTime = b.Time, true
	}
	err := g.eachValueLocked(b, func(slot uint32, bits uint64) {
		m := &g.members[slot]
		m.bits, m.hasValue, m.lastTime, m.mention = bits, true, b.Time, g.mentions
		if !m.present {
			m.present = true
			g.presents++
		}
	})
	if err != nil {
		return err
	}
	if err := g.eachStartLocked(b, g.firstStartLocked); err != nil {
		return err
	}
	end := func(slot uint32) {
		m := &g.members[slot]
		m.lastTime, m.mention = b.Time, g.mentions
		if m.present {
			m.present = false
			g.presents--
		}
	}
	for _, slot := range b.Stale {
		if int(slot) < len(g.members) {
			end(slot)
		}
	}
	if b.Flags&record.FlagBodyStale != 0 {
		for slot := range g.members {
			if m := &g.members[slot]; m.state == own && m.present && m.mention != g.mentions {
				end(uint32(slot))
			}
		}
	}
	return nil
}

package head

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sort"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/nilometer/nilometer/format/record"
	"github.com/nilometer/nilometer/model/series"
	"github.com/nilometer/nilometer/model/tenant"
	"github.com/nilometer/nilometer/storage"
	"github.com/nilometer/nilometer/tsdb/wal"
)

// Loss is a group that missed records of the log: what it was sent between two
// times is gone.
type Loss struct {
	Tenant   tenant.ID
	Group    string
	From, To int64 // times of the last batch before and of the base after; To is 0 without one
}

// Replayed is what Replay met.
type Replayed struct {
	wal.Report
	Batches int
	Samples int // values and markers that stand in the records
	Losses  []Loss
}

// replay is the state of a Replay.
type replay struct {
	set    *Heads
	groups map[uint64]*group // by number in the log
	losses map[uint64]int    // index in out.Losses of groups that are missing records
	faults []wal.Damage      // records of whole frames that cannot be
	out    Replayed
}

// Replay rebuilds the heads from the log's earlier segments. Horizons have been
// set (SetHorizon): what is older is in blocks and moves only the state of its
// series on. It is called once, before anything is written or read.
func (s *Heads) Replay(ctx context.Context) (Replayed, error) {
	r := &replay{set: s, groups: map[uint64]*group{}, losses: map[uint64]int{}}
	var err error
	r.out.Report, err = s.deps.Log.Replay(ctx, r.payload)
	r.out.Damage = append(r.out.Damage, r.faults...)
	if err != nil {
		return r.out, err
	}
	for _, g := range r.groups {
		g.takeover = g.kind == storage.Closed
		g.free = g.free[:0]
		for slot := range g.members {
			if g.members[slot].state == dead {
				g.free = append(g.free, uint32(slot))
			}
		}
	}
	return r.out, nil
}

// faultsMax bounds the faults that are kept.
const faultsMax = 1000

// payload applies the records of one frame. A record that cannot be though its
// frame is whole costs its group what a damaged frame would: it must not keep
// all others from being read. A record of a newer version ends the replay.
func (r *replay) payload(segment uint64, payload []byte) error {
	for len(payload) > 0 {
		typ, body, rest, err := record.ReadRecord(payload)
		if err == nil {
			payload = rest
			err = r.record(segment, typ, body)
		} else {
			payload = nil
		}
		if errors.Is(err, record.ErrFuture) {
			return err
		}
		if err != nil && len(r.faults) < faultsMax {
			r.faults = append(r.faults, wal.Damage{Segment: segment, Offset: -1, Err: err})
		}
	}
	return nil
}

func (r *replay) record(segment uint64, typ record.Type, body []byte) error {
	if typ == record.TypeBase {
		b, err := record.ReadBase(body)
		if err != nil {
			return err
		}
		return r.base(segment, b)
	}
	b, err := record.ReadBatch(body)
	if err != nil {
		return err
	}
	err = r.batch(segment, b)
	if g := r.groups[b.Group]; err != nil && g != nil {
		r.missed(g)
	}
	return err
}

// base makes a group, or brings one that missed records back.
func (r *replay) base(segment uint64, b *record.Base) error {
	id := tenant.ID(b.Tenant)
	if err := id.Validate(); err != nil {
		return fmt.Errorf("base of group %d: %w", b.Group, err)
	}
	g := r.groups[b.Group]
	h := r.set.Head(id)
	if g != nil {
		g.baseSegment = segment
	}
	switch {
	case g != nil && b.Seq < g.seq:
		return nil // stands in the segment before, too (after a failed sync)
	case g != nil && !g.broken && g.seq == b.Seq:
		r.newcomers(g, b)
		return nil
	case g == nil:
		g = r.add(h, b)
		g.baseSegment = segment
		if i, ok := r.losses[b.Group]; ok { // batches without a base came before
			r.out.Losses[i].Tenant, r.out.Losses[i].Group, r.out.Losses[i].To = id, b.Name, b.Last
			delete(r.losses, b.Group)
		}
	default:
		r.found(g, b)
	}
	g.seq, g.broken = b.Seq, false
	g.endTileLocked() // what follows is not what the open tile leads to
	for slot := range g.members {
		g.endLocked(uint32(slot), 0, g.lastTime)
	}
	if b.HasLast && (!g.hasTime || b.Last > g.lastTime) {
		g.lastTime, g.hasTime = b.Last, true
	}
	for i := range b.Members {
		m := &b.Members[i]
		h.adopt(g, m.Slot, m.Labels)
		mm := &g.members[m.Slot]
		mm.bits, mm.hasValue, mm.lastTime = m.Bits, m.HasValue, m.Time
		if m.Present {
			mm.present = true
			g.presents++
		}
	}
	return nil
}

// newcomers takes the members of a base that the group does not have: those
// that came with the batch which the base was written for.
func (r *replay) newcomers(g *group, b *record.Base) {
	for i := range b.Members {
		m := &b.Members[i]
		if int(m.Slot) < len(g.members) && g.members[m.Slot].state == own {
			if have := &g.members[m.Slot]; have.hasValue == m.HasValue && g.head.index.equalLocked(have.series, m.Labels) {
				continue
			}
		}
		g.head.renew(g, m.Slot, m.Labels)
	}
}

// add makes the group of a base under the number that the log gave it.
func (r *replay) add(h *Head, b *record.Base) *group {
	name := groupName{storage.GroupKind(b.Kind), series.Key(b.Key), b.Name}
	h.mu.Lock()
	g := h.byName[name]
	remade := g != nil && name.kind != private
	if !remade {
		g = h.addGroupLocked(name, b.Group)
	}
	h.mu.Unlock()
	if remade {
		// A group that was dropped and made again, under another number: its
		// slots count from 0 again, with other series.
		delete(r.groups, g.number)
		h.empty(g)
		g.number = b.Group
	}
	r.groups[b.Group] = g
	if last := r.set.numbers.Load(); b.Group > last {
		r.set.numbers.Store(b.Group)
	}
	return g
}

// empty makes a group as it was when it was new. It was dropped when the log
// was written, so all that it had lies before the horizon.
func (h *Head) empty(g *group) {
	var gone []seriesID
	for slot := range g.members {
		if m := &g.members[slot]; m.state == own {
			m.state = dead
			gone = append(gone, m.series)
		}
	}
	slices.Sort(gone)
	h.forget(gone)
	for id, places := range h.index.former { // they name slots that get other series now
		places = slices.DeleteFunc(slices.Clone(places), func(at owner) bool { return at.group == g.index })
		if h.index.former[id] = places; len(places) == 0 {
			delete(h.index.former, id)
		}
	}
	g.members, g.slots, g.irregular, g.presents = nil, nil, 0, 0
	g.open, g.sealedTiles = nil, nil
	g.lastTime, g.hasTime = 0, false
}

// forget drops series that no group has any more; ids is sorted.
func (h *Head) forget(ids []seriesID) {
	h.forgetForeign(ids)
	for _, id := range ids {
		h.index.hideLocked(id)
	}
	h.index.removeLocked(ids, 0)
}

// missed notes that a group misses records.
func (r *replay) missed(g *group) {
	if g.broken {
		return
	}
	g.broken = true
	r.losses[g.number] = len(r.out.Losses)
	r.out.Losses = append(r.out.Losses, Loss{Tenant: g.head.id, Group: g.name, From: g.lastTime})
}

// orphan notes a batch of a group that no base has introduced: who it is shows
// with its next base.
func (r *replay) orphan(b *record.Batch) {
	if _, known := r.losses[b.Group]; !known {
		r.losses[b.Group] = len(r.out.Losses)
		r.out.Losses = append(r.out.Losses, Loss{Group: fmt.Sprintf("number %d of the log", b.Group), From: b.Time})
	}
}

// found ends a group's loss.
func (r *replay) found(g *group, b *record.Base) {
	r.missed(g) // a base that says more than was read is how a loss shows, too
	i := r.losses[g.number]
	r.out.Losses[i].To = b.Last
	delete(r.losses, g.number)
}

// adopt gives a slot of a group the series of a label set: the log says that it
// is there now, wherever it was before.
func (h *Head) adopt(g *group, slot uint32, lset labels.Labels) {
	for int(slot) >= len(g.members) {
		g.members = append(g.members, member{state: dead, series: noSeries})
		g.irregular++
	}
	hash, _ := series.HashOf(lset, nil)
	x := &h.index
	m := &g.members[slot]
	id, ok := x.findLocked(hash, lset)
	if m.series != noSeries && (!ok || m.series != id) {
		h.vacate(g, slot)
	}
	switch {
	case !ok:
		id = x.addLocked(hash, lset, owner{g.index, slot})
	case x.owners[id] != owner{g.index, slot}:
		from := h.groups[x.owners[id].group]
		if from != nil && from.members[x.owners[id].slot].series == id && from.members[x.owners[id].slot].state == own {
			from.leaveLocked(x.owners[id].slot)
		}
		x.moveLocked(id, owner{g.index, slot})
		delete(g.slots, id)
	}
	if m.state != own {
		g.irregular--
	}
	m.state, m.series = own, id
}

// renew gives a slot a series that was new when the log was written: what the
// head has under these labels was forgotten then, perhaps in this very slot.
func (h *Head) renew(g *group, slot uint32, lset labels.Labels) {
	if int(slot) < len(g.members) && g.members[slot].series != noSeries {
		h.vacate(g, slot)
	}
	hash, _ := series.HashOf(lset, nil)
	if id, ok := h.index.findLocked(hash, lset); ok {
		at := h.index.owners[id]
		h.vacate(h.groups[at.group], at.slot)
	}
	h.adopt(g, slot, lset)
}

// vacate ends a slot that the log gives another series: all that it stood for
// was in blocks when that was written.
func (h *Head) vacate(g *group, slot uint32) {
	m := &g.members[slot]
	id, state := m.series, m.state
	if m.present {
		g.presents--
	}
	if state == own {
		g.irregular++
	}
	*m = member{state: dead, series: noSeries}
	if state == own {
		h.forget([]seriesID{id})
		return
	}
	delete(g.slots, id)
	h.index.former[id] = slices.DeleteFunc(slices.Clone(h.index.former[id]), func(at owner) bool { return at == owner{g.index, slot} })
}

// batch applies one batch record.
func (r *replay) batch(segment uint64, b *record.Batch) error {
	g := r.groups[b.Group]
	switch {
	case g == nil:
		r.orphan(b)
		return nil
	case b.Seq <= g.seq:
		return nil // stands in the segment before, too (after a failed sync)
	case g.broken || b.Seq > g.seq+1:
		r.missed(g)
		return nil
	}
	g.seq = b.Seq
	r.out.Batches++
	r.out.Samples += b.Count + len(b.Stale)
	h := g.head
	h.noteLogged(segment, b.Time)
	if g.baseSegment != segment { // this segment leans on that one: both are needed
		h.noteLogged(g.baseSegment, b.Time)
	}
	for _, m := range b.New {
		h.renew(g, m.Slot, m.Labels)
	}
	g.mentions++
	if b.Time < h.horizon.Load() {
		return g.skip(b)
	}
	return g.again(b)
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
		if i := sort.Search(len(times), func(i int) bool { return times[i] >= b.Time }); i < len(times) && times[i] == b.Time {
			pos = i
		}
	}
	if pos < 0 && b.Count+len(b.Stale) == 0 {
		return nil // it brings members only, whose samples went to private groups
	}
	if pos < 0 || pos < g.open.from {
		return &record.CorruptError{What: fmt.Sprintf("group %d has no position at %d", g.number, b.Time)}
	}
	if b.Flags&record.FlagTakeover != 0 {
		for slot := range g.members {
			g.endLocked(uint32(slot), pos, last)
		}
	}
	err := eachValue(g, b, func(slot uint32, bits uint64) {
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
	err := eachValue(g, b, func(slot uint32, bits uint64) {
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

// eachValue reads a batch's values.
func eachValue(g *group, b *record.Batch, set func(slot uint32, bits uint64)) error {
	for {
		slot, ok, err := b.Next()
		if err != nil {
			return fmt.Errorf("batch of group %d: %w", g.number, err)
		}
		if !ok {
			return nil
		}
		if int(slot) >= len(g.members) {
			return &record.CorruptError{What: fmt.Sprintf("group %d has no slot %d", g.number, slot)}
		}
		bits, err := b.Bits(g.members[slot].bits)
		if err != nil {
			return fmt.Errorf("batch of group %d: %w", g.number, err)
		}
		set(slot, bits)
	}
}

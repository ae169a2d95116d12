package head

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/nilometer/nilometer/format/record"
	"github.com/nilometer/nilometer/model/series"
	"github.com/nilometer/nilometer/storage"
	"github.com/nilometer/nilometer/tsdb/wal"
)

// commit is one call of Heads.Commit on its way: the groups it holds, the
// payload it logs, the positions it publishes.
type commit struct {
	set     *Heads
	locked  []*group // in order of their numbers
	need    []*group // the memory of locked
	private bool     // holds set.private
	segment uint64
	payload []byte
	bases   int // bytes of bases in payload
	body    []byte
	writer  record.BatchWriter
	entries []entry
	starts  []startEntry
	hists   []int    // the histograms of a batch that are some, by their index
	more    []byte   // a histogram on its way to the log
	fresh   []uint32 // slots of a batch that are new to the log
	stale   []uint32 // slots of a batch that end
	publish []publication
	late    lates
}

// entry is one value or marker to log.
type entry struct {
	slot       uint32
	prev, bits uint64
}

// publication is a position, or a fill of one, that readers see from this
// commit on.
type publication struct {
	group *group
	tile  *tile
	pos   int
	slot  uint32
	fill  bool
}

// lockRoundsMax bounds how often a commit starts over because it found that it
// needs the lock of one more group.
const lockRoundsMax = 100

// Commit implements storage.Writer for the heads.
func (s *Heads) Commit(ctx context.Context, d storage.Durability, batches ...storage.Prepared) error {
	ps := make([]*prepared, 0, len(batches))
	for _, b := range batches {
		p, ok := b.(*prepared)
		if !ok {
			return fmt.Errorf("commit: a batch of another store (%T)", b)
		}
		if p.done {
			return fmt.Errorf("commit: a batch of group %q was committed or aborted before", p.handle.group.name)
		}
		ps = append(ps, p)
	}
	if err := ctx.Err(); err != nil {
		return context.Cause(ctx)
	}
	if err := s.bears(ps); err != nil {
		return err
	}
	pos, err := s.apply(ps)
	if err != nil {
		return err
	}
	if d != storage.Synced || len(ps) == 0 {
		return nil
	}
	if pos == 0 {
		// Nothing to log, as in a repeat: what it repeats must be durable.
		err = s.deps.Log.Sync(ctx)
	} else {
		err = s.deps.Log.Wait(ctx, pos)
	}
	if err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	return nil
}

// apply logs and publishes the batches and returns where the log has them.
func (s *Heads) apply(ps []*prepared) (wal.Position, error) {
	if err := s.deps.Log.Err(); err != nil { // before new members get series
		return 0, err
	}
	c := s.commits.Get().(*commit)
	defer s.recycle(c)
	if err := c.lock(ps); err != nil {
		return 0, err
	}
	defer c.unlock()
	segment, err := s.deps.Log.Enter()
	if err != nil {
		return 0, err
	}
	defer s.deps.Log.Exit()
	c.segment = segment
	for _, p := range ps {
		p.result = c.batch(p.handle.group, p.batch)
		slices.SortFunc(p.result.Rejected, func(a, b storage.Rejection) int { return a.Index - b.Index })
		p.done = true
		s.metrics.appended.Add(float64(p.result.Appended))
		for _, r := range p.result.Rejected {
			s.metrics.rejected(r.Reason, 1)
		}
	}
	c.logLate()
	var pos wal.Position
	if len(c.payload) > 0 {
		if pos, err = s.deps.Log.Append(c.payload, c.bases); err != nil {
			c.undoLate()
			return 0, err
		}
	}
	c.show()
	for _, p := range ps { // after it can be seen, before it is acknowledged
		p.handle.group.head.changes.add(p.batch.Time)
	}
	return pos, nil
}

// scratchMax bounds the payload, in bytes, of a commit whose memory is kept: a
// base of many series is rare.
const scratchMax = 1 << 20

// recycle keeps the memory of a commit that is over.
func (s *Heads) recycle(c *commit) {
	if cap(c.payload) > scratchMax {
		return
	}
	clear(c.publish)
	clear(c.need)
	*c = commit{
		set: s, need: c.need[:0], payload: c.payload[:0], body: c.body[:0], writer: c.writer,
		entries: c.entries[:0], starts: c.starts[:0], hists: c.hists[:0], more: c.more[:0], fresh: c.fresh[:0], stale: c.stale[:0], publish: c.publish[:0], late: c.late.reset(),
	}
	s.commits.Put(c)
}

// show makes the commit visible, all of it at once (I3).
func (c *commit) show() {
	if len(c.publish)+c.late.n == 0 {
		return
	}
	s := c.set
	s.publish.Lock()
	defer s.publish.Unlock()
	n := s.visible.Load() + 1
	for _, p := range c.publish {
		p.show(n)
	}
	c.showLate(n)
	s.visible.Store(n)
}

// show stamps one position. The lock of a private group was given back after
// its sample; all other groups are still locked.
func (p publication) show(n uint64) {
	if p.group.kind == private {
		p.group.mu.Lock()
		defer p.group.mu.Unlock()
	}
	if !p.fill {
		p.tile.stamps[p.pos] = n
		return
	}
	if p.tile.fills == nil {
		p.tile.fills = map[uint32][]fill{}
	}
	p.tile.fills[p.slot] = append(p.tile.fills[p.slot], fill{uint16(p.pos), n})
	p.tile.filled = n
}

// lock takes the locks of all groups that the batches touch: their own, and
// those that have or had a series which a batch brings too. Locks are taken in
// this order: groups by their number, Heads.private, private groups. Who has
// none but a private group's waits for no group.
func (c *commit) lock(ps []*prepared) error {
	need := c.need
	for _, p := range ps {
		need = append(need, p.handle.group)
	}
	for range lockRoundsMax {
		slices.SortFunc(need, func(a, b *group) int {
			if a.number < b.number {
				return -1
			}
			return 1
		})
		need = slices.Compact(need)
		for _, g := range need {
			g.mu.Lock()
		}
		c.locked, c.need = need, need
		more, err := c.check(ps)
		if err != nil {
			c.unlock()
			return err
		}
		if len(more) == 0 {
			return nil
		}
		c.unlock()
		need = append(slices.Clone(need), more...)
	}
	return fmt.Errorf("commit: %w: series move between groups faster than they can be locked", storage.ErrOverloaded)
}

func (c *commit) unlock() {
	if c.private {
		c.set.private.Unlock()
		c.private = false
	}
	for i := len(c.locked) - 1; i >= 0; i-- {
		c.locked[i].mu.Unlock()
	}
	c.locked = nil
}

func (c *commit) holds(g *group) bool {
	_, ok := slices.BinarySearchFunc(c.locked, g.number, func(l *group, n uint64) int {
		switch {
		case l.number < n:
			return -1
		case l.number > n:
			return 1
		}
		return 0
	})
	return ok
}

// check looks at every batch before anything is changed: the whole commit
// fails when one of its handles or memberships is outdated. It returns the
// groups that have or had series of the batches and are not locked.
func (c *commit) check(ps []*prepared) ([]*group, error) {
	var more []*group
	for _, p := range ps {
		g := p.handle.group
		if err := p.handle.checkLocked(); err != nil {
			return nil, err
		}
		if p.batch.Version != g.version {
			return nil, fmt.Errorf("group %q: %w", g.name, storage.ErrVersion)
		}
		behind := g.hasTime && p.batch.Time <= g.lastTime && g.head.index.anyFormer()
		if g.irregular == 0 && !behind {
			continue
		}
		for i := range len(p.batch.Slots) + len(p.batch.Histograms) {
			slot := slotOf(p.batch, i)
			if int(slot) >= len(g.members) {
				continue
			}
			more = c.lackedLocked(more, g, uint32(slot), p.batch.Time, behind)
		}
	}
	return more, nil
}

// settleLocked gives a provisional slot its series: the one that has come to
// exist in another group since it was resolved, or a new one.
func (g *group) settleLocked(slot uint32) {
	lset := g.pending[slot]
	if delete(g.pending, slot); len(g.pending) == 0 {
		g.pending = nil // an empty map keeps the memory it once took
	}
	hash, _ := series.HashOf(lset, nil)
	m := &g.members[slot]
	x := &g.head.index
	x.mu.Lock()
	defer x.mu.Unlock()
	id, exists := x.findLocked(hash, lset)
	if !exists {
		m.series, m.state, m.unlogged = x.addLocked(hash, lset, owner{g.index, slot}, x.newest+1), own, true
		g.irregular--
		return
	}
	m.series, m.state = id, foreign
	if g.slots == nil {
		g.slots = map[seriesID]uint32{}
	}
	g.slots[id] = slot
}

// base appends the group's base to the payload when the segment has none.
func (c *commit) base(g *group) {
	if g.baseSegment == c.segment {
		return
	}
	g.baseSegment = c.segment
	c.carry(g.head)
	c.body = record.AppendBase(c.body[:0], g.baseLocked())
	before := len(c.payload)
	c.payload = record.AppendRecord(c.payload, record.TypeBase, c.body)
	c.bases += len(c.payload) - before
}

// baseLocked describes the group as it is.
func (g *group) baseLocked() *record.Base {
	b := &record.Base{
		Tenant: string(g.head.id), Group: g.number, Kind: byte(g.kind), Key: uint64(g.key), Name: g.name,
		Seq: g.seq, Last: g.lastTime, HasLast: g.hasTime,
	}
	x := &g.head.index
	x.mu.RLock()
	defer x.mu.RUnlock()
	for slot := range g.members {
		m := &g.members[slot]
		if m.state != own || m.unlogged { // a new one comes with its first batch
			continue
		}
		last, hasLast := g.lastSampleLocked(uint32(slot))
		value := g.unboxLocked(m.bits)
		b.Members = append(b.Members, record.Member{
			Slot: uint32(slot), Series: x.numberLocked(m.series), Labels: x.labelsLocked(m.series), Bits: value.bits, Histogram: value.hist, Time: last,
			HasValue: m.hasValue && hasLast, Present: m.present, Start: g.startLocked(uint32(slot)),
		})
	}
	return b
}

// begin begins the record of a batch of the group.
func (c *commit) begin(g *group, t int64, flags byte) {
	g.seq++
	c.writer.Reset(g.number, g.seq, t, flags)
}

// log appends a batch of the group to the payload: entries, sorted by slot
// where they are not yet, new members and stale markers.
func (c *commit) log(g *group, t int64, flags byte, fresh, stale []uint32) {
	c.begin(g, t, flags)
	if !slices.IsSortedFunc(c.entries, compareEntries) {
		slices.SortFunc(c.entries, compareEntries)
	}
	for _, e := range c.entries {
		c.logEntry(g, e)
	}
	c.end(g, t, fresh, stale)
}

// logEntry adds a value to the record of its batch.
func (c *commit) logEntry(g *group, e entry) {
	if isBoxed(e.bits) || isBoxed(e.prev) {
		c.logValue(g, e)
		return
	}
	c.writer.AddValue(e.slot, e.prev, e.bits, &g.members[e.slot].hint)
}

// end appends the record of a batch, which has all its values, to the payload.
func (c *commit) end(g *group, t int64, fresh, stale []uint32) {
	slices.Sort(fresh)
	slices.Sort(stale)
	if len(fresh) > 0 {
		x := &g.head.index
		x.mu.RLock()
		for _, slot := range fresh {
			id := g.members[slot].series
			c.writer.AddMember(slot, x.numberLocked(id), x.labelsLocked(id))
		}
		x.mu.RUnlock()
	}
	if len(c.starts) > 0 {
		slices.SortFunc(c.starts, func(a, b startEntry) int { return cmp.Compare(a.slot, b.slot) })
		for _, s := range c.starts {
			c.writer.AddStart(s.slot, s.start)
		}
		c.starts = c.starts[:0]
	}
	for _, slot := range stale {
		c.writer.AddStale(slot)
	}
	c.body = c.writer.Append(c.body[:0])
	c.payload = record.AppendRecord(c.payload, record.TypeBatch, c.body)
	g.head.noteLogged(c.segment, t)
}

func compareEntries(a, b entry) int {
	switch {
	case a.slot < b.slot:
		return -1
	case a.slot > b.slot:
		return 1
	}
	return 0
}

// noteLogged remembers which times a segment has samples of.
func (h *Head) noteLogged(segment uint64, t int64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if last, ok := h.logged[segment]; !ok || t > last {
		h.logged[segment] = t
		h.newest.Store(max(t, h.newest.Load()))
	}
}

// noteSealed remembers the last time that a file of seals has of a group: the log
// may have nothing of it any more, and the window of late samples ends there.
func (h *Head) noteSealed(t int64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.newest.Store(max(t, h.newest.Load()))
}

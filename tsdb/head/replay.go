package head

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

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

// Replayed is what a replay met.
type Replayed struct {
	wal.Report
	Batches int
	Samples int // values and markers that stand in the records
	Losses  []Loss
	Faults  []error // what could not be read of the files of seals
}

// replay is the first half of bringing heads back: it reads the log in order,
// finds out which series there are and in which groups, and leaves each group
// the records that it has to apply: its backlog. The groups' records are
// independent of one another, so that backlogs are applied in any order.
type replay struct {
	set    *Heads
	groups map[uint64]*replayed // by number in the log
	losses map[uint64]int       // index in out.Losses of groups that are missing records
	faults []wal.Damage         // records of whole frames that cannot be
	gone   map[*Head]map[seriesID]bool
	bytes  int // in backlogs
	files  []*sealFile
	// numbers find series by the numbers that the log and files of seals have.
	numbers map[*Head]*numbering
	out     Replayed
}

// replayed is what the log says about a group so far.
type replayed struct {
	group  *group
	seq    uint64
	last   int64 // time of the last batch
	broken bool  // records are missing until the next base
	// ended: the group was dropped, and one made after it has its name.
	ended bool
	slots []place
	steps []step
}

// place is what the log says a slot stands for.
type place struct {
	series seriesID
	state  memberState
}

// backlogBytesMax bounds the records that wait in backlogs while the log is
// read. Over it, all of them are applied before the reading goes on.
const backlogBytesMax = 512 << 20

// Replay reads the log's earlier segments. Horizons have been set (SetHorizon):
// what is older is in blocks and moves only the state of its series on. It is
// called once, before anything is written or read. When it has returned, every
// series can be found, and what a caller touches is brought up to date first;
// CatchUp does so with all the rest.
func (s *Heads) Replay(ctx context.Context) (Replayed, error) {
	r := &replay{set: s, groups: map[uint64]*replayed{}, losses: map[uint64]int{}, gone: map[*Head]map[seriesID]bool{}, numbers: map[*Head]*numbering{}}
	log := readAhead(ctx, s.deps.Log)
	defer log.stop()
	var err error
	if r.out.Faults, err = r.restore(); err != nil {
		return r.out, err
	}
	r.out.Report, err = log.each(r.payload)
	r.out.Damage = append(r.out.Damage, r.faults...)
	if err != nil {
		return r.out, err
	}
	r.forgetLeft()
	for _, p := range r.groups {
		if !p.ended {
			r.agree(p)
			r.handOver(p, true)
		}
	}
	r.endRestore()
	s.visible.Store(1) // what was sealed before is older than any commit
	return r.out, nil
}

// agree makes the slots of a group say what the index says. They differ where
// records were lost: a series that has left is where it came to, and one whose new
// group is lost is where it was.
func (r *replay) agree(p *replayed) {
	x := &p.group.head.index
	x.mu.RLock()
	defer x.mu.RUnlock()
	for slot := range p.slots {
		at := &p.slots[slot]
		switch here := at.series != noSeries && x.ownerLocked(at.series) == (owner{p.group.index, uint32(slot)}); {
		case at.state == own && !here:
			at.state = foreign
		case at.state == foreign && here:
			at.state = own
		}
	}
}

// handOver gives a group its backlog; final says that no more comes.
func (r *replay) handOver(p *replayed, final bool) {
	g := p.group
	b := &backlog{steps: p.steps, gone: r.gone[g.head]}
	p.steps = nil
	if final {
		b.final, b.slots, b.seq = true, p.slots, p.seq
	}
	g.mu.hold(b)
}

// flush applies all that waits.
func (r *replay) flush() {
	for _, p := range r.groups {
		if len(p.steps) > 0 {
			r.handOver(p, false)
		}
	}
	r.set.catchUp(context.Background(), r.all())
	r.bytes = 0
}

func (r *replay) all() []*group {
	out := make([]*group, 0, len(r.groups))
	for _, p := range r.groups {
		out = append(out, p.group)
	}
	return out
}

// faultsMax bounds the faults that are kept.
const faultsMax = 1000

// payload reads the records of one frame; backlogs point into it. A record that cannot be though its
// frame is whole costs its group what a damaged frame would: it must not keep
// all others from being read. A record of a newer version ends the replay.
func (r *replay) payload(segment uint64, payload []byte) error {
	if r.bytes += len(payload); r.bytes > backlogBytesMax {
		r.flush()
	}
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
	switch typ {
	case record.TypeBase:
		return r.base(segment, body)
	case record.TypeMetadata, record.TypeExemplar:
		return r.about(typ, body)
	case record.TypeTombstone:
		return r.deleteExemplars(body)
	case record.TypeLate:
		return r.late(segment, body)
	case record.TypeLeave:
		l, err := record.ReadLeave(body)
		if err != nil {
			return err
		}
		if p := r.next(l.Group, l.Seq, 0); p != nil {
			if at := p.grow(l.Slot); at.state == own {
				at.state = foreign
			}
			p.steps = append(p.steps, step{leave: true, slot: l.Slot, seq: l.Seq, segment: p.leansOn(segment)})
		}
		return nil
	}
	group, seq, err := record.PeekBatch(body)
	if err != nil {
		return err
	}
	if p := r.groups[group]; p != nil && (p.ended || seq <= p.seq) {
		return nil // stands in a file of seals, or in the segment before, too
	}
	b, err := record.ReadBatch(body)
	if err != nil {
		return err
	}
	return r.batch(segment, b)
}

// base makes a group, or brings one that missed records back. Members are read
// only where they say something new.
func (r *replay) base(segment uint64, body []byte) error {
	b, err := record.ReadBaseHeader(body)
	if err != nil {
		return err
	}
	id := tenant.ID(b.Tenant)
	if err := id.Validate(); err != nil {
		return fmt.Errorf("base of group %d: %w", b.Group, err)
	}
	p := r.groups[b.Group]
	if p != nil && p.ended {
		return nil
	}
	if p != nil {
		p.group.baseSegment = segment
	}
	if p != nil && (b.Seq < p.seq || !p.broken && b.Seq == p.seq) {
		return nil // nothing that is not known; or it stands in the segment before, too (after a failed sync)
	}
	if b, err = record.ReadBase(body); err != nil {
		return err
	}
	if p == nil {
		p = r.group(r.set.Head(id), groupName{storage.GroupKind(b.Kind), series.Key(b.Key), b.Name}, b.Group)
		if p.ended {
			delete(r.losses, b.Group)
			return nil
		}
		p.group.baseSegment = segment
		if i, ok := r.losses[b.Group]; ok { // batches without a base came before
			r.out.Losses[i].Tenant, r.out.Losses[i].Group, r.out.Losses[i].To = id, b.Name, b.Last
			delete(r.losses, b.Group)
		}
	} else {
		r.found(p, b)
	}
	p.seq, p.broken = b.Seq, false
	p.last = max(p.last, b.Last)
	ids, err := r.adoptAll(p, b.Members)
	if err != nil {
		return fmt.Errorf("base of group %q: %w", b.Name, err)
	}
	p.steps = append(p.steps, step{base: b, ids: ids, seq: b.Seq, segment: segment})
	return nil
}

// group makes a group under the number that the log gave it.
func (r *replay) group(h *Head, name groupName, number uint64) *replayed {
	h.mu.Lock()
	g := h.byName[name]
	remade := g != nil && name.kind != private
	if remade && g.number > number { // restored: what the log says of the one before is in blocks
		h.mu.Unlock()
		p := &replayed{group: g, ended: true}
		r.groups[number] = p
		return p
	}
	if !remade {
		g = h.addGroupLocked(name, number)
	}
	h.mu.Unlock()
	if remade {
		// A group that was dropped and made again, under another number: its
		// slots count from 0 again, with other series.
		r.empty(g)
		delete(r.groups, g.number)
		g.number = number
	}
	p := &replayed{group: g}
	r.groups[number] = p
	if last := r.set.numbers.Load(); number > last {
		r.set.numbers.Store(number)
	}
	return p
}

// next returns the group of the next record, nil when the record is not to be
// applied.
func (r *replay) next(number, seq uint64, t int64) *replayed {
	p := r.groups[number]
	switch {
	case p == nil:
		r.orphan(number, t)
		return nil
	case p.ended:
		return nil
	case seq <= p.seq:
		return nil // stands in the segment before, too (after a failed sync)
	case p.broken || seq > p.seq+1:
		r.missed(p)
		return nil
	}
	p.seq = seq
	return p
}

// batch leaves a group one batch record.
func (r *replay) batch(segment uint64, b *record.Batch) error {
	p := r.next(b.Group, b.Seq, b.Time)
	if p == nil {
		return nil
	}
	p.last = max(p.last, b.Time)
	r.out.Batches++
	r.out.Samples += b.Count + len(b.Stale)
	h := p.group.head
	h.noteLogged(segment, b.Time)
	from := p.leansOn(segment)
	if from != segment { // both are needed
		h.noteLogged(from, b.Time)
	}
	ids, err := r.adoptAll(p, b.New)
	if err != nil {
		return fmt.Errorf("batch of group %q: %w", p.group.name, err)
	}
	p.steps = append(p.steps, step{batch: b, ids: ids, seq: b.Seq, segment: from})
	return nil
}

// adoptAll gives slots of a group their series.
func (r *replay) adoptAll(p *replayed, members []record.Member) ([]seriesID, error) {
	ids := make([]seriesID, len(members))
	for i := range members {
		m := &members[i]
		var err error
		if ids[i], err = r.adopt(p, m); err != nil {
			r.missed(p)
			return nil, err
		}
		m.Labels = labels.EmptyLabels() // only the index needs them
	}
	return ids, nil
}

// leansOn is the segment of the base that a record of the group in a segment
// leans on: an earlier one where the record had to move on after a failed sync.
func (p *replayed) leansOn(segment uint64) uint64 {
	if base := p.group.baseSegment; base != 0 {
		return min(base, segment)
	}
	return segment
}

// missed notes that a group misses records.
func (r *replay) missed(p *replayed) {
	if p.broken {
		return
	}
	p.broken = true
	r.losses[p.group.number] = len(r.out.Losses)
	r.out.Losses = append(r.out.Losses, Loss{Tenant: p.group.head.id, Group: p.group.name, From: p.last})
}

// orphan notes a record of a group that no base has introduced: who it is shows
// with its next base.
func (r *replay) orphan(number uint64, t int64) {
	if _, known := r.losses[number]; !known {
		r.losses[number] = len(r.out.Losses)
		r.out.Losses = append(r.out.Losses, Loss{Group: fmt.Sprintf("number %d of the log", number), From: t})
	}
}

// found ends a group's loss.
func (r *replay) found(p *replayed, b *record.Base) {
	r.missed(p) // a base that says more than was read is how a loss shows, too
	i := r.losses[p.group.number]
	r.out.Losses[i].To = b.Last
	delete(r.losses, p.group.number)
}

// catchUpWorkers is the number of groups that are brought up to date at once.
const catchUpWorkers = 2

// CatchUp brings every group up to date that Replay has left a backlog. What it
// could not apply is lost, and returned.
func (s *Heads) CatchUp(ctx context.Context) ([]Loss, error) {
	var groups []*group
	for _, id := range s.Tenants() {
		groups = append(groups, s.Head(id).allGroups()...)
	}
	s.catchUp(ctx, groups)
	if err := ctx.Err(); err != nil {
		return nil, context.Cause(ctx)
	}
	s.lost.mu.Lock()
	defer s.lost.mu.Unlock()
	return slices.Clone(s.lost.groups), nil
}

func (s *Heads) catchUp(ctx context.Context, groups []*group) {
	var workers sync.WaitGroup
	next := make(chan *group)
	for range catchUpWorkers {
		workers.Go(func() {
			for g := range next {
				g.mu.catchUp()
			}
		})
	}
	for _, g := range groups {
		if ctx.Err() != nil {
			break
		}
		next <- g
	}
	close(next)
	workers.Wait()
}

// losses are those that show when backlogs are applied.
type losses struct {
	mu     sync.Mutex // guards groups
	groups []Loss
}

func (l *losses) add(x Loss) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.groups) < faultsMax {
		l.groups = append(l.groups, x)
	}
}

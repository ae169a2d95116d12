package tail

import (
	"fmt"
	"math"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/nilometer/nilometer/format/record"
	"github.com/nilometer/nilometer/model/column"
	"github.com/nilometer/nilometer/model/tenant"
	"github.com/nilometer/nilometer/storage"
)

// State is what the log has said so far of the groups of one tenant.
type State struct {
	tenant tenant.ID
	groups map[uint64]*group // by number; nil for those of other tenants
	series int
	lost   int
	out    storage.TailBatch
}

// New returns the state at the beginning of a segment.
func New(id tenant.ID) *State { return &State{tenant: id, groups: map[uint64]*group{}} }

// Series is the number of series that the state knows, each in its groups.
func (s *State) Series() int { return s.series }

// Lost is how often a group was found to miss records.
func (s *State) Lost() int { return s.lost }

// group is what the log said of one group.
type group struct {
	kind    storage.GroupKind
	seq     uint64
	last    int64 // time of the last position
	hasLast bool
	broken  bool // records are missing until the next base
	members []member
	batch   uint32 // that is applied
}

// member is what a slot stands for, and its last sample.
type member struct {
	labels  labels.Labels
	bits    uint64
	hist    column.Histogram
	start   int64
	has     bool   // a series
	present bool   // it continues
	mention uint32 // the last batch that said something of it
}

// Apply reads the records of one payload and calls emit with a batch for each
// position, and for each late sample. The batch is valid during the call. A
// record that cannot be read costs its group all up to its next base; the error
// names the first, and what follows was applied all the same.
func (s *State) Apply(payload []byte, emit func(*storage.TailBatch)) error {
	var first error
	for len(payload) > 0 {
		typ, body, rest, err := record.ReadRecord(payload)
		if err != nil {
			if first == nil {
				first = err
			}
			return first
		}
		payload = rest
		if err := s.apply(typ, body, emit); err != nil && first == nil {
			first = err
		}
	}
	return first
}

func (s *State) apply(typ record.Type, body []byte, emit func(*storage.TailBatch)) error {
	switch typ {
	case record.TypeBase:
		return s.base(body)
	case record.TypeLate:
		return s.lateSamples(body, emit)
	case record.TypeLeave:
		l, err := record.ReadLeave(body)
		if err != nil {
			return err
		}
		if g := s.next(l.Group, l.Seq); g != nil {
			s.leave(g, l.Slot)
		}
		return nil
	case record.TypeBatch:
		number, seq, err := record.PeekBatch(body)
		if err != nil {
			return err
		}
		g := s.next(number, seq)
		if g == nil {
			return nil
		}
		b, err := record.ReadBatch(body)
		if err == nil {
			err = s.batch(g, b)
		}
		if err != nil {
			s.miss(g)
			return fmt.Errorf("batch %d of group %d: %w", seq, number, err)
		}
		s.emit(g, b, emit)
	}
	return nil // metadata and exemplars are no samples
}

// next returns the group of the next record, nil when the record is not to be
// applied.
func (s *State) next(number, seq uint64) *group {
	g, known := s.groups[number]
	switch {
	case !known: // its base is missing: whose it is shows with the next one
		s.groups[number] = &group{broken: true}
		s.lost++
		return nil
	case g == nil || g.broken || seq <= g.seq:
		return nil
	case seq > g.seq+1:
		s.miss(g)
		return nil
	}
	g.seq = seq
	return g
}

// miss notes that a group misses records.
func (s *State) miss(g *group) {
	if !g.broken {
		g.broken = true
		s.lost++
	}
}

// base introduces a group, or brings one back that misses records.
func (s *State) base(body []byte) error {
	b, err := record.ReadBaseHeader(body)
	if err != nil {
		return err
	}
	g := s.groups[b.Group]
	switch {
	case tenant.ID(b.Tenant) != s.tenant:
		s.groups[b.Group] = nil
		return nil
	case g != nil && !g.broken && b.Seq <= g.seq:
		return nil // what it says is known
	}
	if b, err = record.ReadBase(body); err != nil {
		return err
	}
	if g != nil {
		s.miss(g)
		s.drop(g)
	}
	g = &group{kind: storage.GroupKind(b.Kind), seq: b.Seq, last: b.Last, hasLast: b.HasLast}
	s.groups[b.Group] = g
	for i := range b.Members {
		x := &b.Members[i]
		m := s.seat(g, x.Slot, x.Labels)
		m.present = x.Present
		if x.HasValue {
			m.bits, m.hist, m.start = x.Bits, x.Histogram, x.Start
		}
	}
	return nil
}

// seat gives a slot a series that it did not stand for before.
func (s *State) seat(g *group, slot uint32, lset labels.Labels) *member {
	for int(slot) >= len(g.members) {
		g.members = append(g.members, member{})
	}
	m := &g.members[slot]
	if !m.has {
		s.series++
	}
	*m = member{labels: lset, has: true}
	return m
}

// leave empties a slot.
func (s *State) leave(g *group, slot uint32) {
	if int(slot) < len(g.members) && g.members[slot].has {
		g.members[slot] = member{}
		s.series--
	}
}

func (s *State) drop(g *group) {
	for slot := range g.members {
		s.leave(g, uint32(slot))
	}
}

// batch takes over what a batch says.
func (s *State) batch(g *group, b *record.Batch) error {
	g.batch++
	for _, x := range b.New {
		s.seat(g, x.Slot, x.Labels)
	}
	if b.Flags&record.FlagTakeover != 0 {
		for i := range g.members {
			g.members[i].present = false
		}
	}
	err := g.each(b.Next, func(m *member) error {
		prev := m.bits
		if !m.hist.IsZero() {
			prev = 0
		}
		bits, err := b.Bits(prev)
		m.set(bits, column.Histogram{}, g.batch)
		return err
	})
	if err == nil && b.Histograms {
		err = g.each(b.NextHistogram, func(m *member) error {
			h, err := b.Histogram(m.hist)
			m.set(0, h, g.batch)
			return err
		})
	}
	if err == nil && b.Starts {
		err = g.each(b.NextStart, func(m *member) error {
			var err error
			m.start, err = b.Start()
			return err
		})
	}
	if err != nil {
		return err
	}
	for _, slot := range b.Stale {
		if int(slot) < len(g.members) {
			g.members[slot].end(g.batch)
		}
	}
	if b.Flags&record.FlagBodyStale != 0 {
		for i := range g.members {
			if m := &g.members[i]; m.present && m.mention != g.batch {
				m.end(g.batch)
			}
		}
	}
	return nil
}

// each calls do for the slots of one part of a batch.
func (g *group) each(next func() (uint32, bool, error), do func(*member) error) error {
	for {
		slot, ok, err := next()
		if err != nil || !ok {
			return err
		}
		if int(slot) >= len(g.members) || !g.members[slot].has {
			return &record.CorruptError{What: fmt.Sprintf("a value of slot %d, which stands for no series", slot)}
		}
		if err := do(&g.members[slot]); err != nil {
			return err
		}
	}
}

func (m *member) set(bits uint64, h column.Histogram, batch uint32) {
	m.bits, m.hist, m.present, m.mention = bits, h, true, batch
}

// end makes a member stale in a batch: what it had stays what values lean on.
func (m *member) end(batch uint32) { m.present, m.mention = false, batch }

// emit hands out the position of a batch: all that continues at a new position
// of a closed group, what is mentioned elsewhere; and markers of what ends.
func (s *State) emit(g *group, b *record.Batch, do func(*storage.TailBatch)) {
	implied := g.kind == storage.Closed && (!g.hasLast || b.Time > g.last)
	if !g.hasLast || b.Time > g.last {
		g.last, g.hasLast = b.Time, true
	}
	out := &s.out
	out.Reset(b.Time)
	for i := range g.members {
		m := &g.members[i]
		switch {
		case !m.has:
		case m.present && (implied || m.mention == g.batch):
			out.Add(m.labels, column.Sample{V: math.Float64frombits(m.bits), H: m.hist, Start: m.start})
		case m.mention == g.batch:
			out.Add(m.labels, column.Sample{V: column.StaleNaN()})
		}
	}
	if len(out.Labels) > 0 {
		do(out)
	}
}

// lateSamples hands out the samples of a late record, those of one time
// together.
func (s *State) lateSamples(body []byte, emit func(*storage.TailBatch)) error {
	l, err := record.ReadLate(body)
	if err != nil {
		return err
	}
	if tenant.ID(l.Tenant) != s.tenant {
		return nil
	}
	out := &s.out
	out.Reset(0)
	for _, x := range l.Samples {
		if len(out.Labels) > 0 && x.Time != out.Time {
			emit(out)
			out.Reset(0)
		}
		v, err := x.Sample()
		if err != nil {
			return err
		}
		out.Time = x.Time
		out.Add(l.Series[x.Series], v)
	}
	if len(out.Labels) > 0 {
		emit(out)
	}
	return nil
}

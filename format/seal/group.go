package seal

import (
	"encoding/binary"

	formatcolumn "github.com/nilometer/nilometer/format/column"
	"github.com/nilometer/nilometer/format/record"
	"github.com/nilometer/nilometer/model/column"
)

// Group is the state of a group after the batch with the number Seq, and which
// of its positions the frame's body has: a stretch of positions [From, To) of a
// tile, and one of [To, End), which stand in streams in the head.
type Group struct {
	Tenant string
	Number uint64 // in the log
	Kind   byte
	Key    uint64
	Name   string
	Seq    uint64
	// Segment of the log is the first that may have records after Seq.
	Segment uint64
	// Newest is the highest number of a series that the tenant has given so far,
	// whether or not a file names it.
	Newest uint64
	Last   int64 // time of the last position; it is Times' last

	Span          int64 // the tile's, ms
	From, To, End int
	Times         []int64 // of [From, End)
	StretchBytes  int     // of the first stretch; the second is the rest of the body, none when End is To
	// Members are in order of slots. ReadMembers reads them, AddMember adds one.
	Members []Member

	rest reader
	room int // slots that the stretch has room for
}

// Member is what slots in a row stand for: one, or several that differ in
// nothing but their series, which have numbers in a row. Slots that no member has
// stand for nothing.
type Member struct {
	Slot   uint32
	Count  uint32 // of slots; an explicit member has one
	Series uint64 // the number of the first one's definition
	// Foreign: the series is in another group.
	Foreign bool
	// Present: the series continues.
	Present bool
	// Explicit: the last value and the time of the last sample do not follow from
	// the stretches; Bits, HasValue and Time have them.
	Explicit bool
	HasValue bool
	Bits     uint64
	Time     int64
	// Histogram is the last value where it was one, in place of Bits. Start is the
	// start timestamp of the last sample, ms; 0: none.
	Histogram column.Histogram
	Start     int64
}

const (
	memberForeign  = 1
	memberPresent  = 2
	memberExplicit = 4
	memberHasValue = 8
	// With memberExplicit alone.
	memberHistogram = 16
	memberStart     = 32
	memberFlags     = 63
)

// AddMember adds a member of one slot behind the others.
func (g *Group) AddMember(m Member) {
	m.Count = 1
	if k := len(g.Members) - 1; k >= 0 && g.Members[k].extends(&m) {
		g.Members[k].Count++
		return
	}
	g.Members = append(g.Members, m)
}

// extends reports whether another member can be told by this one.
func (m *Member) extends(by *Member) bool {
	return !m.Explicit && m.flags() == by.flags() && by.Slot == m.Slot+m.Count && by.Series == m.Series+uint64(m.Count)
}

// slots is the number of slots of all members.
func (g *Group) slots() (n int) {
	for i := range g.Members {
		n += int(g.Members[i].Count)
	}
	return n
}

// AppendGroup appends the head of a group's frame.
func AppendGroup(dst []byte, g *Group) []byte {
	dst = appendBytes(dst, g.Tenant)
	dst = binary.AppendUvarint(dst, g.Number)
	dst = append(dst, g.Kind)
	dst = binary.LittleEndian.AppendUint64(dst, g.Key)
	dst = appendBytes(dst, g.Name)
	dst = binary.AppendUvarint(dst, g.Seq)
	dst = binary.AppendUvarint(dst, g.Segment)
	dst = binary.AppendUvarint(dst, g.Newest)
	dst = binary.AppendVarint(dst, g.Last)
	dst = binary.AppendVarint(dst, g.Span)
	dst = binary.AppendUvarint(dst, uint64(g.From))
	dst = binary.AppendUvarint(dst, uint64(g.To-g.From))
	dst = binary.AppendUvarint(dst, uint64(g.End-g.To))
	times := formatcolumn.AppendTimes(nil, g.Times)
	dst = appendBytes(dst, string(times))
	dst = binary.AppendUvarint(dst, uint64(g.StretchBytes))
	dst = binary.AppendUvarint(dst, uint64(g.slots()))
	slot, series := uint32(0), uint64(0)
	for i := range g.Members {
		m := &g.Members[i]
		dst = binary.AppendUvarint(dst, uint64(m.Count))
		dst = binary.AppendUvarint(dst, uint64(m.Slot-slot))
		dst = append(dst, m.flags())
		dst = binary.AppendVarint(dst, int64(m.Series-series))
		if m.Explicit {
			switch {
			case m.HasValue && !m.Histogram.IsZero():
				dst = appendBytes(dst, string(record.AppendHistogram(nil, column.Histogram{}, m.Histogram)))
			case m.HasValue:
				dst = binary.LittleEndian.AppendUint64(dst, m.Bits)
			}
			dst = binary.AppendVarint(dst, g.Last-m.Time)
			if m.Start != 0 {
				dst = binary.AppendVarint(dst, g.Last-m.Start)
			}
		}
		slot, series = m.Slot+m.Count, m.Series+uint64(m.Count)
	}
	return dst
}

func (m *Member) flags() byte {
	var f byte
	for _, x := range [...]struct {
		on   bool
		flag byte
	}{
		{m.Foreign, memberForeign}, {m.Present, memberPresent}, {m.Explicit, memberExplicit}, {m.HasValue, memberHasValue},
		{m.Explicit && m.HasValue && !m.Histogram.IsZero(), memberHistogram}, {m.Explicit && m.Start != 0, memberStart},
	} {
		if x.on {
			f |= x.flag
		}
	}
	return f
}

// ReadGroup decodes the head of a group's frame whose body has so many bytes, up
// to the members.
func ReadGroup(head []byte, body int) (*Group, error) {
	r := reader{b: head}
	g := &Group{Tenant: string(r.bytes()), Number: r.uvarint(), Kind: r.byte(), Key: r.uint64(), Name: string(r.bytes()), Seq: r.uvarint(), Segment: r.uvarint(), Newest: r.uvarint(), Last: r.varint(), Span: r.varint()}
	g.From = r.count(column.TilePositions)
	g.To = g.From + r.count(column.TilePositions)
	g.End = g.To + r.count(column.TilePositions)
	if g.End > column.TilePositions || g.From == g.To {
		r.fail("positions [%d, %d, %d) of a tile", g.From, g.To, g.End)
	}
	times := r.bytes()
	if r.err == nil {
		var err error
		if g.Times, err = formatcolumn.DecodeTimes(nil, times, column.TilePositions); err != nil || len(g.Times) != g.End-g.From {
			r.fail("%d times for %d positions (%v)", len(g.Times), g.End-g.From, err)
		} else if g.Times[len(g.Times)-1] > g.Last {
			r.fail("the last time is before that of the last position")
		}
	}
	g.StretchBytes = r.count(body)
	if r.err == nil && (g.To == g.End) != (g.StretchBytes == body) {
		r.fail("a stretch of %d bytes in a body of %d", g.StretchBytes, body)
	}
	if r.err != nil {
		return nil, r.err
	}
	g.rest, g.room = r, body/2
	return g, nil
}

// ReadMembers decodes the members.
func (g *Group) ReadMembers() error {
	r := g.rest
	g.Members = g.Members[:0]
	g.readMembers(&r, g.room)
	if r.err == nil && r.off != len(r.b) {
		r.fail("bytes after the end of a group")
	}
	return r.err
}

// readMembers decodes the members: no more than the stretch has room for.
func (g *Group) readMembers(r *reader, room int) {
	left := r.count(room)
	slot, series := uint64(0), uint64(0)
	for left > 0 && r.err == nil {
		n := r.count(left)
		slot += r.uvarint()
		flags := r.byte()
		m := Member{Foreign: flags&memberForeign != 0, Present: flags&memberPresent != 0, Explicit: flags&memberExplicit != 0, HasValue: flags&memberHasValue != 0}
		series += uint64(r.varint())
		if m.Explicit {
			switch {
			case m.HasValue && flags&memberHistogram != 0:
				m.Histogram = r.histogram()
			case m.HasValue:
				m.Bits = r.uint64()
			}
			m.Time = g.Last - r.varint()
			if flags&memberStart != 0 {
				m.Start = g.Last - r.varint()
			}
		}
		switch {
		case r.err != nil:
			return
		case flags&^memberFlags != 0:
			r.fail("unknown flags of a member")
		case flags&(memberHistogram|memberStart) != 0 && !m.Explicit || flags&memberHistogram != 0 && !m.HasValue:
			r.fail("flags of a member that do not go together")
		case n == 0 || m.Explicit && n != 1:
			r.fail("a run of %d members", n)
		case slot+uint64(n) > uint64(room):
			r.fail("slot %d in a stretch of at most %d", slot+uint64(n)-1, room)
		default:
			m.Slot, m.Count, m.Series = uint32(slot), uint32(n), series
			g.Members = append(g.Members, m)
			slot, series = slot+uint64(n), series+uint64(n)
		}
		left -= n
	}
}

// histogram reads one in bytes of its own.
func (r *reader) histogram() column.Histogram {
	h, rest, err := record.ReadHistogram([]byte(r.bytes()), column.Histogram{})
	if r.err == nil && (err != nil || len(rest) > 0) {
		r.fail("a histogram that cannot be read, or that %d bytes follow (%v)", len(rest), err)
	}
	return h
}

package record

import (
	"encoding/binary"
	"fmt"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/nilometer/nilometer/model/column"
)

// Type says what a record is. Numbers are never given a second meaning.
type Type byte

// The types of records. Tombstones stand in files of their own. Exemplars and
// metadata have their numbers already.
const (
	TypeBase      Type = 1
	TypeBatch     Type = 2
	TypeLate      Type = 3
	TypeTombstone Type = 4
	TypeExemplar  Type = 5
	TypeMetadata  Type = 6
	TypeLeave     Type = 7
)

// AppendRecord appends a record with a body to a frame's payload.
func AppendRecord(dst []byte, t Type, body []byte) []byte {
	dst = append(dst, byte(t))
	return appendString(dst, body)
}

// ReadRecord reads the record at the front of a payload.
func ReadRecord(payload []byte) (t Type, body, rest []byte, err error) {
	r := reader{data: payload}
	t = Type(r.byte())
	n := r.uvarint()
	if r.err == nil && n > uint64(len(payload)-r.pos) {
		r.fail("bad length")
	}
	if r.err != nil {
		return 0, nil, nil, r.err
	}
	if t != TypeBase && t != TypeBatch && t != TypeLate && t != TypeLeave && t != TypeTombstone && t != TypeExemplar && t != TypeMetadata {
		return 0, nil, nil, fmt.Errorf("record type %d: %w", t, ErrFuture)
	}
	end := r.pos + int(n)
	return t, payload[r.pos:end], payload[end:], nil
}

// Base introduces a group to a segment: all that later batches of the segment
// lean on.
type Base struct {
	Tenant string
	Group  uint64 // the group's number in this log
	Kind   byte
	Key    uint64
	Name   string
	// Seq is the number of the last batch before this base.
	Seq uint64
	// Last is the time of the last position; only with HasLast.
	Last    int64
	HasLast bool
	Members []Member
}

// Member is one series of a group.
type Member struct {
	Slot uint32
	// Series is the number of the series: a label set that is forgotten and comes
	// again is another series, with a higher number.
	Series uint64
	Labels labels.Labels
	// Bits is the last value, Time the last sample's time; only with HasValue.
	Bits     uint64
	Time     int64
	HasValue bool
	// Present: the series continues (it has not ended by a stale marker).
	Present bool
	// Histogram is the last value where it was one, in place of Bits; only with
	// HasValue.
	Histogram column.Histogram
	// Start is the start timestamp of the last sample, ms; 0: none.
	Start int64
}

const (
	baseHasLast     = 1
	memberHasValue  = 1
	memberPresent   = 2
	memberHistogram = 4
	memberStart     = 8
	memberFlagsMask = memberHasValue | memberPresent | memberHistogram | memberStart
)

// AppendBase appends the body of a base record. Members are in order of slots.
func AppendBase(dst []byte, b *Base) []byte {
	dst = appendString(dst, b.Tenant)
	dst = binary.AppendUvarint(dst, b.Group)
	dst = append(dst, b.Kind)
	dst = binary.LittleEndian.AppendUint64(dst, b.Key)
	dst = appendString(dst, b.Name)
	dst = binary.AppendUvarint(dst, b.Seq)
	if b.HasLast {
		dst = append(dst, baseHasLast)
		dst = binary.AppendVarint(dst, b.Last)
	} else {
		dst = append(dst, 0)
	}
	dst = binary.AppendUvarint(dst, uint64(len(b.Members)))
	prev, series := int64(-1), uint64(0)
	refs := make(map[labels.Label]uint64, len(b.Members))
	for i := range b.Members {
		m := &b.Members[i]
		dst = appendSlot(dst, prev, m.Slot)
		dst = appendSeries(dst, series, m.Series)
		prev, series = int64(m.Slot), m.Series
		flags := byte(0)
		if m.HasValue {
			flags |= memberHasValue
		}
		if m.Present {
			flags |= memberPresent
		}
		if m.HasValue && !m.Histogram.IsZero() {
			flags |= memberHistogram
		}
		if m.Start != 0 {
			flags |= memberStart
		}
		dst = append(dst, flags)
		switch {
		case flags&memberHistogram != 0:
			dst = AppendHistogram(dst, column.Histogram{}, m.Histogram)
		case m.HasValue:
			dst = binary.LittleEndian.AppendUint64(dst, m.Bits)
		}
		if m.HasValue {
			dst = binary.AppendVarint(dst, b.Last-m.Time)
		}
		if m.Start != 0 {
			dst = binary.AppendVarint(dst, b.Last-m.Start)
		}
		dst = appendSharedLabels(dst, m.Labels, refs)
	}
	return dst
}

// ReadBaseHeader decodes the body of a base record up to its members: enough to
// know whether they are needed.
func ReadBaseHeader(body []byte) (*Base, error) {
	r := reader{data: body}
	b := readBaseHeader(&r)
	if r.err != nil {
		return nil, fmt.Errorf("base: %w", r.err)
	}
	return b, nil
}

func readBaseHeader(r *reader) *Base {
	b := &Base{Tenant: string(r.bytes()), Group: r.uvarint(), Kind: r.byte(), Key: r.uint64(), Name: string(r.bytes()), Seq: r.uvarint()}
	switch flags := r.byte(); flags {
	case 0:
	case baseHasLast:
		b.HasLast, b.Last = true, r.varint()
	default:
		r.fail("unknown flags of a base")
	}
	return b
}

// ReadBase decodes the body of a base record. The label sets are copies.
func ReadBase(body []byte) (*Base, error) {
	r := reader{data: body}
	b := readBaseHeader(&r)
	n := r.count(4)
	builder := labels.NewScratchBuilder(16)
	prev, series := int64(-1), uint64(0)
	b.Members = make([]Member, 0, n)
	var known []labels.Label
	for range n {
		prev, series = r.slot(prev), r.series(series)
		m := Member{Slot: uint32(prev), Series: series}
		flags := r.byte()
		if flags&^memberFlagsMask != 0 {
			r.fail("unknown flags of a member")
		}
		if flags&(memberHasValue|memberHistogram) == memberHistogram {
			r.fail("a histogram that is no value")
		}
		m.HasValue, m.Present = flags&memberHasValue != 0, flags&memberPresent != 0
		switch {
		case flags&memberHistogram != 0:
			m.Histogram = r.histogram(column.Histogram{})
		case m.HasValue:
			m.Bits = r.uint64()
		}
		if m.HasValue {
			m.Time = b.Last - r.varint()
		}
		if flags&memberStart != 0 {
			m.Start = b.Last - r.varint()
		}
		m.Labels, known = r.sharedLabels(&builder, known)
		if r.err != nil {
			break
		}
		b.Members = append(b.Members, m)
	}
	if r.err == nil && r.pos != len(body) {
		r.fail("bytes after the end of a base")
	}
	if r.err != nil {
		return nil, fmt.Errorf("base: %w", r.err)
	}
	return b, nil
}

// Leave says that the series of a slot goes elsewhere: what follows of it is in
// another group's records.
type Leave struct {
	Group, Seq uint64 // Seq counts through batches and leaves
	Slot       uint32
}

// AppendLeave appends the body of a leave record.
func AppendLeave(dst []byte, l Leave) []byte {
	dst = binary.AppendUvarint(dst, l.Group)
	dst = binary.AppendUvarint(dst, l.Seq)
	return appendSlot(dst, -1, l.Slot)
}

// ReadLeave decodes the body of a leave record.
func ReadLeave(body []byte) (Leave, error) {
	r := reader{data: body}
	l := Leave{Group: r.uvarint(), Seq: r.uvarint(), Slot: uint32(r.slot(-1))}
	if r.err == nil && r.pos != len(body) {
		r.fail("bytes after the end of a leave")
	}
	if r.err != nil {
		return Leave{}, fmt.Errorf("leave: %w", r.err)
	}
	return l, nil
}

package page

import (
	"encoding/binary"
	"fmt"
	"sort"
	"sync/atomic"

	format "github.com/nilometer/nilometer/format/column"
)

// Role says what one chunk takes from another.
type Role uint8

// The roles.
const (
	// Plus and Minus: the values are added to or subtracted from what the
	// chunk's own are differences to.
	Plus Role = iota
	Minus
	// Positions: the chunk changes where the other one does.
	Positions
)

// Ref is one chunk that another one of the page refers to: of the same tile,
// present at the same positions, so many entries before.
type Ref struct {
	Back int
	Role Role
}

const (
	// RefsMax is the largest number of references of a chunk: two terms and
	// positions.
	RefsMax = format.TermsMax + 1
	// OthersMax is the largest number of other chunks that one chunk needs,
	// those that it refers to through others included.
	OthersMax = 4
)

// A reference is uvarint Back << 3 | refLast << 2 | role.
const refLast = 4

// refItem is a reference as it was read.
type refItem struct {
	chunk uint32 // that refers
	entry uint32 // that is meant
	role  Role
}

// addRefs appends the references of the chunk at hand.
func (b *Builder) addRefs(refs []Ref) {
	if len(refs) == 0 {
		return
	}
	b.refs = binary.AppendUvarint(b.refs, uint64(b.chunks-b.nextRef))
	b.nextRef = b.chunks + 1
	b.refChunks++
	for i, ref := range refs {
		x := uint64(ref.Back)<<3 | uint64(ref.Role)
		if i == len(refs)-1 {
			x |= refLast
		}
		b.refs = binary.AppendUvarint(b.refs, x)
	}
}

// readRefs reads the references of n chunks. Entries are known.
func (p *Page) readRefs(r *reader, n int) {
	if n == 0 {
		return
	}
	at, entry := uint64(0), 0
	for range n {
		at += r.uvarint(uint64(len(p.ends)), "distance of a reference")
		if r.err == nil && at >= uint64(len(p.ends)) {
			r.fail("a reference out of range")
		}
		if r.err != nil {
			return
		}
		for entry+1 < len(p.entries) && uint64(p.entries[entry+1].chunk) <= at {
			entry++
		}
		p.readRefsOf(r, uint32(at), entry)
		at++
	}
	p.recent = new([recentSlots]atomic.Pointer[decoded])
}

// readRefsOf reads the references of one chunk of an entry.
func (p *Page) readRefsOf(r *reader, chunk uint32, entry int) {
	terms, positions := 0, 0
	for last := false; !last && r.err == nil; {
		x := r.uvarint(1<<32, "reference")
		role, back := Role(x&3), int(x>>3)
		last = x&refLast != 0
		switch {
		case r.err != nil:
			return
		case role == Positions:
			positions++
		case role < Positions:
			terms++
		}
		if role > Positions || terms > format.TermsMax || positions > 1 {
			r.fail("references that a chunk cannot have")
			return
		}
		if back == 0 || back > entry || p.entries[entry-back].Column != p.entries[entry].Column {
			r.fail(fmt.Sprintf("a chunk of entry %d refers %d entries back", entry, back))
			return
		}
		p.refs = append(p.refs, refItem{chunk: chunk, entry: uint32(entry - back), role: role})
	}
}

// refsOf returns the references of a chunk.
func (p *Page) refsOf(chunk uint32) []refItem {
	if len(p.refs) == 0 {
		return nil
	}
	from := sort.Search(len(p.refs), func(k int) bool { return p.refs[k].chunk >= chunk })
	to := from
	for to < len(p.refs) && p.refs[to].chunk == chunk {
		to++
	}
	return p.refs[from:to]
}

// Refers reports whether an entry's i-th chunk refers to others: then Values
// decodes it, and what Chunk returns cannot be decoded alone.
func (p *Page) Refers(e Entry, i int) bool { return len(p.refsOf(e.chunk+uint32(i))) > 0 }

// Values returns the values of the present positions of the i-th chunk of an
// entry, whatever it refers to. n is the number of the tile's positions. The
// result may be handed out again, and must not be changed.
func (p *Page) Values(entry, i, n int) ([]float64, error) {
	v := resolver{p: p, i: i, n: n}
	return v.values(entry)
}

// recentSlots is how many decoded chunks a page with references keeps: series
// after series refers to the same few.
const recentSlots = 16

// decoded is a chunk's values.
type decoded struct {
	chunk  uint32
	values []float64
}

// resolver decodes one chunk and the others that it needs.
type resolver struct {
	p    *Page
	i, n int
	done [OthersMax + 1]decoded
	used int
}

func (v *resolver) values(entry int) ([]float64, error) {
	e := v.p.entries[entry]
	chunk := e.chunk + uint32(v.i)
	for _, d := range v.done[:v.used] {
		if d.chunk == chunk {
			return d.values, nil
		}
	}
	if v.p.recent != nil {
		if d := v.p.recent[chunk%recentSlots].Load(); d != nil && d.chunk == chunk {
			return d.values, nil
		}
	}
	data, presence, ok, err := v.p.Chunk(e, v.i, v.n)
	if err != nil {
		return nil, err
	}
	if count := v.n - presence.Absent - presence.Stale; ok && count > 0 {
		return v.decode(e, chunk, data, count)
	}
	return nil, &CorruptError{0, fmt.Sprintf("series %d: a chunk without values is referred to", e.Series)}
}

func (v *resolver) decode(e Entry, chunk uint32, data []byte, count int) ([]float64, error) {
	refs := v.p.refsOf(chunk)
	var ref format.Reference
	var terms [format.TermsMax]format.Term
	for _, item := range refs {
		if v.p.runsOf(e.chunk+uint32(v.i)) != v.p.runsOf(v.p.entries[item.entry].chunk+uint32(v.i)) {
			return nil, &CorruptError{0, fmt.Sprintf("series %d: a chunk refers to one at other positions", e.Series)}
		}
		values, err := v.values(int(item.entry))
		if err != nil {
			return nil, err
		}
		if item.role == Positions {
			ref.Positions = values
			continue
		}
		k := len(ref.Terms)
		terms[k] = format.Term{Values: values, Minus: item.role == Minus}
		ref.Terms = terms[:k+1]
	}
	values, err := format.DecodeRef(make([]float64, 0, count), data, count, ref)
	if err != nil {
		return nil, err
	}
	if v.used == len(v.done) {
		return nil, &CorruptError{0, fmt.Sprintf("series %d: a chunk needs more than %d others", e.Series, OthersMax)}
	}
	v.done[v.used] = decoded{chunk, values}
	v.used++
	if v.p.recent != nil {
		v.p.recent[chunk%recentSlots].Store(&decoded{chunk, values})
	}
	return values, nil
}

package head

import (
	"encoding/binary"
	"slices"

	"github.com/nilometer/nilometer/tsdb/part"
)

// GroupKeys implements part.Grouper. A series' key is what the asked names leave
// of its two tuples: a few thousand tuples stand for all series, and each is
// looked at once.
func (s *Snapshot) GroupKeys(names []string, without bool, refs []part.Ref, keys []uint64) bool {
	x := &s.head.index
	p := projector{names: names, without: without}
	for len(refs) > 0 {
		n := min(len(refs), lockedBatch)
		x.mu.RLock()
		p.begin(x)
		left, right := x.left.All(), x.right.All()
		for i, ref := range refs[:n] {
			keys[i] = uint64(p.left.of(&p, left[ref]))<<32 | uint64(p.right.of(&p, right[ref]))
		}
		x.mu.RUnlock()
		refs, keys = refs[n:], keys[n:]
	}
	return true
}

// projector numbers what some names leave of tuples. Numbers are never used again
// for something else, also when labels get other numbers meanwhile.
type projector struct {
	names   []string
	without bool

	index       *index
	generation  uint64
	symbols     []symbolID // of names, those that there are
	left, right recentTuple
	known       map[tupleID]uint32
	numbers     map[string]uint32
	next        uint32
	buf         []byte
}

// recentTuple is the last answer: series after series is of one target.
type recentTuple struct {
	tuple  tupleID
	number uint32
	ok     bool
}

// begin makes the projector ready for a holding of the index' lock.
func (p *projector) begin(x *index) {
	if p.index == x && p.generation == x.generation {
		return
	}
	p.index, p.generation = x, x.generation
	p.symbols = p.symbols[:0]
	for _, name := range p.names {
		if id, ok := x.tuples.symbols.find(name); ok {
			p.symbols = append(p.symbols, id)
		}
	}
	p.left, p.right = recentTuple{}, recentTuple{}
	p.known, p.numbers = map[tupleID]uint32{}, map[string]uint32{}
}

func (r *recentTuple) of(p *projector, u tupleID) uint32 {
	if !r.ok || r.tuple != u {
		r.tuple, r.number, r.ok = u, p.number(u), true
	}
	return r.number
}

// number is that of what is left of a tuple.
func (p *projector) number(u tupleID) uint32 {
	if n, ok := p.known[u]; ok {
		return n
	}
	t := &p.index.tuples
	pairs := t.pairs.All()
	p.buf = p.buf[:0]
	for _, id := range t.of(u) {
		if slices.Contains(p.symbols, pairs[id].name) != p.without {
			p.buf = binary.LittleEndian.AppendUint32(p.buf, uint32(id))
		}
	}
	n, ok := p.numbers[string(p.buf)]
	if !ok {
		n = p.next
		p.next++
		p.numbers[string(p.buf)] = n
	}
	p.known[u] = n
	return n
}

package head

import (
	"math"
	"slices"

	format "github.com/nilometer/nilometer/format/column"
)

// stretch holds values of an open tile that were encoded early: at two to three
// bytes a change, streams of a whole tile would be most of the head's memory.
// It has a chunk for each member whose value had changed, with a value for
// every position from where the member's chunk before ends (0 without one) to
// the end of the stretch, absent positions included.
type stretch struct {
	to      int // the position after its last one
	slots   []uint32
	starts  []uint16 // by index in slots: the first position of the chunk
	offsets []uint32 // likewise, and one more
	data    []byte
}

// chunk returns a member's chunk and its first position, nil when there is none.
func (s *stretch) chunk(slot uint32) (chunk []byte, start int) {
	i, ok := slices.BinarySearch(s.slots, slot)
	if !ok {
		return nil, 0
	}
	return s.data[s.offsets[i]:s.offsets[i+1]], int(s.starts[i])
}

// shelveLocked encodes the streams of the members that are level with the open
// tile, and begins them anew. The others keep theirs: who lags behind the
// group may still fill earlier positions.
func (g *group) shelveLocked() {
	t := g.open
	to := len(t.times)
	s := g.head.set.sealers.Get().(*sealer)
	defer g.head.set.sealers.Put(s)
	s.out, s.slots, s.starts, s.offsets, s.kept = s.out[:0], s.slots[:0], s.starts[:0], s.offsets[:0], s.kept[:0]
	for slot := range g.members {
		m := &g.members[slot]
		switch {
		case m.stream.state.Empty():
		case int(m.absentFrom) < to:
			s.kept = g.blocks.gather(s.kept, &m.stream)
		default:
			s.slots, s.starts = append(s.slots, uint32(slot)), append(s.starts, m.stream.from)
			s.offsets = append(s.offsets, uint32(len(s.out)))
			s.out = s.enc.Append(s.out, g.streamLocked(&s.scratch, m, to))
			m.stream = stream{from: uint16(to)}
		}
	}
	t.stretches = append(t.stretches, stretch{
		to: to, slots: slices.Clone(s.slots), starts: slices.Clone(s.starts),
		offsets: append(slices.Clone(s.offsets), uint32(len(s.out))), data: slices.Clone(s.out),
	})
	g.blocks = nil // it grows for as long again: the garbage is less than what it would keep
	for slot, left := 0, s.kept; len(left) > 0; slot++ {
		if m := &g.members[slot]; !m.stream.state.Empty() {
			n := m.stream.size
			m.stream.first, m.stream.last, m.stream.size = 0, 0, 0
			g.blocks.write(&m.stream, left[:n])
			left = left[n:]
		}
	}
}

// streamLocked decodes a member's stream: one value for each position from
// where it begins to n, which is larger.
func (g *group) streamLocked(s *scratch, m *member, n int) []float64 {
	s.bytes = g.blocks.gather(s.bytes[:0], &m.stream)
	var err error
	if s.chunk, err = format.DecodeStream(s.chunk[:0], s.bytes, n); err != nil { // our own memory
		panic("head: an open stream does not decode: " + err.Error())
	}
	return s.chunk
}

// everyLocked decodes a member's values in the open tile t: one for each of the
// first n positions, absent ones included. Its value has changed in the tile.
func (g *group) everyLocked(t *tile, s *scratch, slot uint32, n int) []float64 {
	m := &g.members[slot]
	s.values = s.values[:0]
	for i := range t.stretches {
		if len(s.values) >= n {
			break
		}
		chunk, start := t.stretches[i].chunk(slot)
		if chunk == nil {
			continue
		}
		if start > len(s.values) { // it did not change for a while
			s.values = appendRepeated(s.values, s.values[len(s.values)-1], start-len(s.values))
		}
		var err error
		if s.values, err = format.Decode(s.values, chunk, t.stretches[i].to-start); err != nil { // our own memory
			panic("head: a stretch of an open tile does not decode: " + err.Error())
		}
	}
	switch {
	case len(s.values) >= n:
	case m.stream.state.Empty():
		s.values = appendRepeated(s.values, math.Float64frombits(m.bits), n-len(s.values))
	default:
		s.values = append(s.values, g.streamLocked(s, m, n)...)
	}
	return s.values[:n]
}

func appendRepeated(dst []float64, v float64, n int) []float64 {
	for range n {
		dst = append(dst, v)
	}
	return dst
}

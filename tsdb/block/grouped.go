package block

import (
	"encoding/binary"
	"slices"

	"github.com/nilometer/nilometer/tsdb/part"
)

var _ part.Grouper = (*Block)(nil)

// GroupKeys implements part.Grouper by the ordinals of values: the labels of no
// series are made.
func (b *Block) GroupKeys(names []string, without bool, refs []part.Ref, keys []uint64) bool {
	g := keyer{asked: make([]bool, len(b.index.Names()))}
	count := 0
	for i, name := range b.index.Names() {
		_, listed := slices.BinarySearch(names, name)
		if g.asked[i] = listed != without; g.asked[i] {
			count++
		}
	}
	for i := 0; i < len(refs); {
		p, at := b.mustLoadLabels(refs[i])
		first := refs[i] - part.Ref(at)
		for ; i < len(refs) && refs[i] >= first && int(refs[i]-first) < p.Len(); i++ {
			names, values := p.Refs(int(refs[i] - first))
			if count <= 2 {
				keys[i] = g.pair(names, values)
			} else {
				keys[i] = g.number(names, values)
			}
		}
	}
	return true
}

// keyer makes keys of what a grouping leaves of labels.
type keyer struct {
	asked   []bool // by name
	numbers map[string]uint64
	buf     []byte
}

// pair is the key where at most two names are asked for: both values, of which 0
// is none.
func (g *keyer) pair(names, values []uint32) uint64 {
	key, shift := uint64(0), 0
	for i, asked := range g.asked {
		if !asked {
			continue
		}
		if k := slices.Index(names, uint32(i)); k >= 0 {
			key |= (uint64(values[k]) + 1) << shift
		}
		shift = 32
	}
	return key
}

// number is the key where more are: the number of the labels.
func (g *keyer) number(names, values []uint32) uint64 {
	g.buf = g.buf[:0]
	for k, name := range names {
		if g.asked[name] {
			g.buf = binary.LittleEndian.AppendUint32(g.buf, name)
			g.buf = binary.LittleEndian.AppendUint32(g.buf, values[k])
		}
	}
	n, ok := g.numbers[string(g.buf)]
	if !ok {
		if g.numbers == nil {
			g.numbers = map[string]uint64{}
		}
		n = uint64(len(g.numbers))
		g.numbers[string(g.buf)] = n
	}
	return n
}

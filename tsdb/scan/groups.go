package scan

import (
	"github.com/prometheus/prometheus/model/labels"

	"github.com/nilometer/nilometer/storage"
	"github.com/nilometer/nilometer/tsdb/part"
)

var _ storage.Grouper = (*Scan)(nil)

// Groups implements storage.Grouper. Parts tell which of their series belong
// together; labels are made of one series for each key that they give.
func (s *Scan) Groups(names []string, without bool, of []int32) (first []uint32) {
	g := grouper{scan: s, names: names, without: without, byKey: map[groupKey]int32{}, byLabels: map[string]int32{}, builder: labels.NewScratchBuilder(16)}
	keys, keyed := s.groupKeys(names, without)
	last, number := groupKey{part: -1}, int32(0)
	for rank := range s.series {
		m := s.newest(uint32(rank))
		if !keyed[m.part] {
			of[rank] = g.number(uint32(rank), m)
			continue
		}
		if key := (groupKey{m.part, keys[rank]}); key != last {
			n, ok := g.byKey[key]
			if !ok {
				n = g.number(uint32(rank), m)
				g.byKey[key] = n
			}
			last, number = key, n
		}
		of[rank] = number
	}
	return g.first
}

// newest is a series in the last part that has it: most are in one.
func (s *Scan) newest(rank uint32) member { return s.members[s.series[rank].tail] }

// groupKeys asks the parts for the keys of all series, by rank, and tells which
// parts have some.
func (s *Scan) groupKeys(names []string, without bool) (keys []uint64, keyed []bool) {
	keys, keyed = make([]uint64, len(s.series)), make([]bool, len(s.parts))
	count := make([]int, len(s.parts))
	for rank := range s.series {
		count[s.newest(uint32(rank)).part]++
	}
	var refs []part.Ref
	var some []uint64
	for i, p := range s.parts {
		g, ok := p.(part.Grouper)
		if !ok || count[i] == 0 {
			continue
		}
		refs, some = refs[:0], append(some[:0], make([]uint64, count[i])...)
		for rank := range s.series {
			if m := s.newest(uint32(rank)); m.part == int32(i) {
				refs = append(refs, m.ref)
			}
		}
		if keyed[i] = g.GroupKeys(names, without, refs, some); !keyed[i] {
			continue
		}
		at := 0
		for rank := range s.series {
			if s.newest(uint32(rank)).part == int32(i) {
				keys[rank] = some[at]
				at++
			}
		}
	}
	return keys, keyed
}

// groupKey is a key of a part.
type groupKey struct {
	part int32
	key  uint64
}

// grouper numbers groups.
type grouper struct {
	scan     *Scan
	names    []string
	without  bool
	byKey    map[groupKey]int32
	byLabels map[string]int32
	first    []uint32
	builder  labels.ScratchBuilder // owns the memory of lset
	lset     labels.Labels
	buf      []byte
}

// number is that of the group of a series, by its labels.
func (g *grouper) number(rank uint32, m member) int32 {
	g.scan.parts[m.part].Labels(m.ref, &g.builder)
	g.builder.Overwrite(&g.lset)
	if g.without {
		g.buf = g.lset.BytesWithoutLabels(g.buf, g.names...)
	} else {
		g.buf = g.lset.BytesWithLabels(g.buf, g.names...)
	}
	n, ok := g.byLabels[string(g.buf)]
	if !ok {
		n = int32(len(g.first))
		g.byLabels[string(g.buf)] = n
		g.first = append(g.first, rank)
	}
	return n
}

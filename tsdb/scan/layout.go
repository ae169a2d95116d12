package scan

import (
	"context"
	"fmt"
	"slices"

	"github.com/nilometer/nilometer/tsdb/part"
)

// layoutSeries is how many series are laid out together: parts read many at once
// faster, and what is known of each part for them stays in a second-level cache.
const layoutSeries = 1024

// walks read the pieces of series, by part, for one goroutine.
type walks []part.Walk

func (s *Scan) walkOf(w *walks, p int32) part.Walk {
	if *w == nil {
		*w = make(walks, len(s.parts))
	}
	if (*w)[p] == nil {
		(*w)[p] = part.WalkOf(s.parts[p], s.minTime, s.maxTime)
	}
	return (*w)[p]
}

// chosen are series of one part, and which of those at hand they are.
type chosen struct {
	refs []part.Ref
	who  []int32
}

// choose sorts the members of series by part.
func (s *Scan) choose(dst []chosen, series []entry) []chosen {
	if dst == nil {
		dst = make([]chosen, len(s.parts))
	}
	for i := range dst {
		dst[i].refs, dst[i].who = dst[i].refs[:0], dst[i].who[:0]
	}
	for i := range series {
		for at := series[i].head; at >= 0; at = s.members[at].next {
			m := &s.members[at]
			c := &dst[m.part]
			c.refs, c.who = append(c.refs, m.ref), append(c.who, int32(i))
		}
	}
	return dst
}

// layOut finds the path of every series and cuts the paths into batches.
func (s *Scan) layOut(ctx context.Context, found []entry) error {
	l := layout{scan: s, in: newInterner(s.parts)}
	l.tuples = make([]part.Place, min(layoutSeries, len(found))*len(s.parts))
	pathOf := make([]int32, 0, len(found))
	s.series = found[:0]
	for len(found) > 0 {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		some := found[:min(layoutSeries, len(found))]
		found = found[len(some):]
		if err := l.locate(some); err != nil {
			return err
		}
		for i, e := range some {
			p, err := l.path(i)
			if err != nil {
				return err
			}
			if p == noPath {
				continue
			}
			s.series = append(s.series, e)
			pathOf = append(pathOf, p)
		}
	}
	in := l.in
	s.columns, s.numbers, s.paths, s.stretch = in.columns, in.numbers, in.paths, in.stretches
	s.cutBatches(pathOf)
	return nil
}

// noPath is that of a series without a piece.
const noPath = -2

// layout is what layOut knows on its way. Where the pieces of a series lie is a
// tuple: its places in all parts. There are few different ones.
type layout struct {
	scan   *Scan
	in     *interner
	walks  walks
	chosen []chosen
	of     []part.Place
	tuples []part.Place // of the series at hand, as many each as there are parts
	known  knownPaths
	all    []part.Place // tuples of known paths
	own    []stretch
}

// knownPaths are paths by a hash of their tuples: few of very many series, or one
// for each of a few.
type knownPaths struct {
	slots []knownPath // a power of two, at least a quarter of them free
	n     int
}

type knownPath struct {
	key  uint64
	at   int32 // of its tuple in layout.all, plus one; 0: a free slot
	path int32
}

// find returns the slot of a hash, or the free one that it is to have.
func (t *knownPaths) find(key uint64) *knownPath {
	if t.n*4 >= len(t.slots)*3 {
		was := t.slots
		t.slots = make([]knownPath, max(64, 4*len(was)))
		for _, s := range was {
			if s.at != 0 {
				*t.find(s.key) = s
			}
		}
	}
	mask := uint64(len(t.slots) - 1)
	for i := key & mask; ; i = (i + 1) & mask {
		if s := &t.slots[i]; s.at == 0 || s.key == key {
			return s
		}
	}
}

// locate sets the tuples of some series.
func (l *layout) locate(series []entry) error {
	n := len(l.scan.parts)
	clear(l.tuples)
	l.chosen = l.scan.choose(l.chosen, series)
	for p := range l.chosen {
		c := &l.chosen[p]
		if len(c.refs) == 0 {
			continue
		}
		l.of = slices.Grow(l.of[:0], len(c.refs))[:len(c.refs)]
		err := l.scan.walkOf(&l.walks, int32(p)).Places(c.refs, l.of)
		if err = l.scan.warnings.addAll(err); err != nil {
			return err
		}
		for i, who := range c.who {
			l.tuples[int(who)*n+p] = l.of[i]
		}
	}
	return nil
}

// path is that of the i-th of the series at hand.
func (l *layout) path(i int) (int32, error) {
	n := len(l.scan.parts)
	tuple := l.tuples[i*n:][:n]
	key := uint64(0)
	for _, p := range tuple {
		key = (key ^ uint64(p)) * 0x9e3779b97f4a7c15
		key ^= key >> 32
	}
	k := l.known.find(key)
	if k.at != 0 && slices.Equal(l.all[k.at-1:][:n], tuple) {
		return k.path, nil
	}
	p, err := l.newPath(tuple)
	if k.at == 0 && err == nil {
		*k = knownPath{key: key, at: int32(len(l.all)) + 1, path: p}
		l.known.n++
		l.all = append(l.all, tuple...)
	}
	return p, err
}

// newPath is the path of series with a tuple that is met for the first time.
func (l *layout) newPath(tuple []part.Place) (int32, error) {
	l.own = l.own[:0]
	for p, place := range tuple {
		var err error
		if l.own, err = l.in.locate(l.own, int32(p), l.spans(p, place)); err != nil && !l.scan.warnings.addDamage(err) {
			return 0, fmt.Errorf("%s: %w", l.scan.parts[p].Name(), err)
		}
	}
	if len(l.own) == 0 {
		return noPath, nil
	}
	return l.in.path(l.own), nil
}

func (l *layout) spans(p int, place part.Place) []part.Span {
	if place == 0 {
		return nil
	}
	return l.walks[p].Spans(place)
}

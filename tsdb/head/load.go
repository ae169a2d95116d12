package head

import (
	"fmt"
	"unicode/utf8"

	format "github.com/nilometer/nilometer/format/seriestable"
	"github.com/nilometer/nilometer/model/series"
)

// load fills an empty index from the bytes of a dump. indexOf gives the index of
// a group for its number; the series of a group for which it says false are
// known, and nowhere. On an error the index is empty.
//
// Bytes that nobody here has written are refused where they would do harm:
// numbers that name nothing, labels out of order, series twice. That a hash is
// that of its labels is left to the checksums.
func (x *index) load(data []byte, indexOf func(number uint64) (group uint32, ok bool)) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	l := loader{index: x, indexOf: indexOf}
	l.reset()
	err := l.read(data)
	if err == nil {
		err = l.check()
	}
	if err != nil {
		l.reset()
		return fmt.Errorf("load the table of series: %w", err)
	}
	x.generation++
	return nil
}

// loader is one load on its way.
type loader struct {
	index   *index
	indexOf func(uint64) (uint32, bool)
	totals  format.Totals // rows so far
	places  []format.Place
	// The group of the last series.
	number uint64
	group  uint32
	known  bool
}

// reset empties the index.
func (l *loader) reset() {
	x := l.index
	x.tuples.free()
	o := x.tuples.owner
	x.tuples = newTuples(o)
	x.left.Free()
	x.right.Free()
	x.hashes.Free()
	x.owners.Free()
	x.byHash.free()
	clear(x.former)
	x.free, x.dead = nil, 0
	x.sharing.forget()
	l.totals, l.places, l.known = format.Totals{}, nil, false
}

func (l *loader) read(data []byte) error {
	r := format.NewReader(data)
	for {
		s, err := r.Next()
		if err != nil {
			return err
		}
		switch s.Type {
		case format.Begin:
			l.reset()
		case format.Series:
			l.series(s.Series)
		case format.Places:
			l.totals.Places += uint64(len(s.Places))
			l.places = append(l.places, s.Places...)
		case format.Tuples:
			l.tuples(s.Tuples)
		case format.Pairs:
			l.totals.Pairs += uint64(len(s.Pairs))
			for _, p := range s.Pairs {
				l.index.tuples.pairs.Push(pair{name: symbolID(p.Name), value: symbolID(p.Value)})
			}
		case format.Strings:
			if err := l.strings(s.Strings); err != nil {
				return err
			}
		case format.End:
			if s.Totals != l.totals {
				return fmt.Errorf("it has %+v rows, and says %+v", l.totals, s.Totals)
			}
			return nil
		}
	}
}

func (l *loader) series(rows []format.Row) {
	x := l.index
	l.totals.Series += uint64(len(rows))
	for _, r := range rows {
		if !l.known || r.Group != l.number {
			l.number, l.known = r.Group, true
			var ok bool
			if l.group, ok = l.indexOf(r.Group); !ok {
				l.group = nowhere.group
			}
		}
		at := owner{l.group, r.Slot}
		if l.group == nowhere.group {
			at = nowhere
		}
		x.left.Push(tupleID(r.Left))
		x.right.Push(tupleID(r.Right))
		x.hashes.Push(series.Hash(r.Hash))
		x.owners.Push(at)
	}
}

func (l *loader) tuples(rows [][]uint32) {
	t := &l.index.tuples
	l.totals.Tuples += uint64(len(rows))
	for _, labels := range rows {
		t.all.Push(tuple{at: uint32(t.labels.Len())})
		t.labels.Push(pairID(len(labels)))
		ps := t.labels.Extend(len(labels))
		for i, p := range labels {
			ps[i] = pairID(p)
		}
	}
}

func (l *loader) strings(rows [][]byte) error {
	s := &l.index.tuples.symbols
	for _, r := range rows {
		if !utf8.Valid(r) {
			return fmt.Errorf("string %d is not UTF-8", l.totals.Strings)
		}
		if got := s.add(string(r)); uint64(got) != l.totals.Strings {
			return fmt.Errorf("string %q stands there twice", r)
		}
		l.totals.Strings++
	}
	return nil
}

// check makes tables and postings, and refuses what cannot be.
func (l *loader) check() error {
	x := l.index
	x.metricName = x.tuples.symbols.add(metricName)
	if err := x.tuples.index(); err != nil {
		return err
	}
	if err := l.indexSeries(); err != nil {
		return err
	}
	for _, p := range l.places {
		if int(p.Series) >= x.hashes.Len() {
			return fmt.Errorf("series %d was elsewhere before, and is not there", p.Series)
		}
		if group, ok := l.indexOf(p.Group); ok {
			id := seriesID(p.Series)
			x.former[id] = append(x.former[id], owner{group, p.Slot})
		}
	}
	return nil
}

// index makes the tables of labels and tuples that were loaded.
func (t *tuples) index() error {
	n := t.symbols.at.Len()
	t.byPair.reserve(t.pairs.Len(), t.hashOfPair)
	for id, p := range t.pairs.All() {
		if int(p.name) >= n || int(p.value) >= n || t.symbols.of(p.name) == "" || t.symbols.of(p.value) == "" {
			return fmt.Errorf("label %d has no name or no value", id)
		}
		if _, twice := t.findPair(p.name, p.value); twice {
			return fmt.Errorf("label %d stands there twice", id)
		}
		t.byPair.add(hashPair(p.name, p.value), uint32(id), t.hashOfPair)
	}
	pairs := t.pairs.All()
	for id := range t.all.All() {
		ps := t.of(tupleID(id))
		for i, p := range ps {
			if int(p) >= len(pairs) {
				return fmt.Errorf("tuple %d has label %d, which is not there", id, p)
			}
			if i > 0 && t.name(ps[i-1]) >= t.name(p) {
				return fmt.Errorf("tuple %d has labels out of order", id)
			}
		}
	}
	t.sort()
	t.byTuple.reserve(t.all.Len(), t.hashOfTuple)
	for id := 1; id < t.all.Len(); id++ {
		ps := t.of(tupleID(id))
		hash := hashTuple(ps)
		if _, twice := t.find(hash, ps); twice || len(ps) == 0 {
			return fmt.Errorf("tuple %d is empty, or stands there twice", id)
		}
		t.byTuple.add(hash, uint32(id), t.hashOfTuple)
		for _, p := range ps {
			t.lists.add(&pairs[p].tuples, uint32(id))
		}
		t.dead += len(ps)
	}
	return nil
}

// indexSeries makes the table and the postings of the series that were loaded.
func (l *loader) indexSeries() error {
	x := l.index
	t := &x.tuples
	hashes, left, right := x.hashes.All(), x.left.All(), x.right.All()
	x.byHash.reserve(len(hashes), x.hashOf)
	for i := range hashes {
		a, b := left[i], right[i]
		if a == 0 && b == 0 {
			x.dead++
			x.free = append(x.free, freeID{id: seriesID(i)})
			x.owners.All()[i] = nowhere
			continue
		}
		if int(a) >= t.all.Len() || int(b) >= t.all.Len() || t.overlap(a, b) {
			return fmt.Errorf("series %d has labels that are not there, or one twice", i)
		}
		for id, at, ok := x.byHash.next(x.byHash.home(uint64(hashes[i]))); ok; id, at, ok = x.byHash.next(at) {
			if hashes[id] == hashes[i] && x.compareLocked(seriesID(id), seriesID(i)) == 0 {
				return fmt.Errorf("series %d and %d have the same labels", id, i)
			}
		}
		x.byHash.add(uint64(hashes[i]), uint32(i), x.hashOf)
		t.post(a, seriesID(i))
		t.post(b, seriesID(i))
	}
	return nil
}

// overlap tells whether two tuples have a label of the same name.
func (t *tuples) overlap(left, right tupleID) bool {
	pairs := t.pairs.All()
	b := t.of(right)
	for _, p := range t.of(left) {
		for _, q := range b {
			if pairs[p].name == pairs[q].name {
				return true
			}
		}
	}
	return false
}

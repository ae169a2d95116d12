package head

import (
	"github.com/nilometer/nilometer/tsdb/part"
)

// Walk implements part.Walker: series of one group are read in one holding of its
// lock, and mostly lie on the same positions.
func (s *Snapshot) Walk(minTime, maxTime int64) part.Walk {
	return &walk{snapshot: s, want: want{minTime: minTime, maxTime: maxTime, mem: &slab{}}}
}

// walk is one goroutine's reading of a snapshot.
type walk struct {
	snapshot *Snapshot
	want     want
	places   part.Places
	pieces   []part.Piece
	slices   []tileSlice // of the group at hand

	owners []owner // of the series asked for
	// The groups of all series so far, and which are of those asked for, in order of
	// appearance, each with the first of its series; next has the one after each, -1
	// at the end.
	groups []walkedGroup
	used   []int32
	number []int32 // by index of a group, its place in groups plus one
	many   int32   // that of several
	next   []int32
	last   int32 // the group of the last series
}

type walkedGroup struct {
	index       uint32
	first, last int32
	places      []knownPlace
}

// presentSlices says which slices of a group's tiles a member is in: bits, from
// the slice on that begins at a position of a column.
type presentSlices struct {
	bits   uint64
	column part.ColumnID
	from   int
}

// tileSlice is what pieces are made of: positions [from, to) of a tile, as
// Snapshot.piecesOf has them.
type tileSlice struct {
	tile     *tile
	from, to int
	stretch  int // the stretch that it is, -1: none
}

// Spans implements part.Walk.
func (w *walk) Spans(p part.Place) []part.Span { return w.places.Spans(p) }

// Places implements part.Walk.
func (w *walk) Places(refs []part.Ref, of []part.Place) error {
	w.want.values = false
	w.each(refs, func(g *group, wg *walkedGroup) {
		w.sliceLocked(g)
		for i := wg.first; i >= 0; i = w.next[i] {
			slot := w.owners[i].slot
			bits, ok := w.presentLocked(g, slot)
			if !ok {
				w.pieces, _ = w.snapshot.piecesOfLocked(g, slot, w.want, w.pieces[:0], nil)
				of[i] = w.places.Of(w.pieces)
				continue
			}
			if bits == 0 {
				of[i] = 0
				continue
			}
			of[i] = w.place(wg, presentSlices{bits: bits, column: w.slices[0].tile.id, from: w.slices[0].from})
		}
	}, func(i int, ref part.Ref) {
		w.pieces = w.snapshot.pieces(ref, w.want, w.pieces[:0])
		of[i] = w.places.Of(w.pieces)
	})
	return nil
}

// place is that of a member of the group at hand.
func (w *walk) place(wg *walkedGroup, key presentSlices) part.Place {
	for i := range wg.places {
		if wg.places[i].presentSlices == key {
			return wg.places[i].place
		}
	}
	for k, x := range w.slices {
		if key.bits&(1<<k) != 0 {
			w.places.Add(part.Span{Column: x.tile.id, From: uint32(x.from), To: uint32(x.to)})
		}
	}
	p := w.places.End()
	if len(wg.places) < placesKept {
		wg.places = append(wg.places, knownPlace{key, p})
	}
	return p
}

// placesKept is how many places of a group are remembered: most members are present
// throughout.
const placesKept = 8

type knownPlace struct {
	presentSlices
	place part.Place
}

// Pieces implements part.Walk. take is called with the lock of a group held.
func (w *walk) Pieces(refs []part.Ref, values bool, take func(int, []part.Piece)) error {
	w.want.values = values
	w.each(refs, func(g *group, wg *walkedGroup) {
		for i := wg.first; i >= 0; i = w.next[i] {
			w.pieces, _ = w.snapshot.piecesOfLocked(g, w.owners[i].slot, w.want, w.pieces[:0], nil)
			take(int(i), w.pieces)
		}
	}, func(i int, ref part.Ref) {
		w.pieces = w.snapshot.pieces(ref, w.want, w.pieces[:0])
		take(i, w.pieces)
	})
	return nil
}

// each calls group for the groups of the series, with their locks held, and alone
// for series that have been in several groups.
func (w *walk) each(refs []part.Ref, locked func(*group, *walkedGroup), alone func(int, part.Ref)) {
	h := w.snapshot.head
	w.owners, w.next = w.owners[:0], w.next[:0]
	for _, n := range w.used {
		w.groups[n].first = -1
	}
	w.used = w.used[:0]
	x := &h.index
	x.mu.RLock()
	owners := x.owners.All()
	for i, ref := range refs {
		at := owners[ref]
		if len(x.former) > 0 && len(x.former[seriesID(ref)]) > 0 {
			at = several
		}
		w.owners, w.next = append(w.owners, at), append(w.next, -1)
		w.add(int32(i), at)
	}
	x.mu.RUnlock()
	for _, n := range w.used {
		wg := &w.groups[n]
		var g *group
		if wg.index != several.group {
			g = h.groupAt(wg.index)
		}
		if g == nil { // several, or forgotten since
			for i := wg.first; i >= 0; i = w.next[i] {
				alone(int(i), refs[i])
			}
			continue
		}
		func() {
			g.mu.RLock()
			defer g.mu.RUnlock()
			locked(g, wg)
		}()
	}
}

// several stands for the groups of a series that has been in more than one.
var several = owner{group: nowhere.group - 1}

// add puts a series to the others of its group.
func (w *walk) add(i int32, at owner) {
	n := w.last
	if int(n) >= len(w.groups) || w.groups[n].index != at.group {
		known := &w.many
		if at.group < several.group {
			if int(at.group) >= len(w.number) {
				w.number = append(w.number, make([]int32, int(at.group)+1-len(w.number))...)
			}
			known = &w.number[at.group]
		}
		if n = *known - 1; n < 0 {
			n = int32(len(w.groups))
			*known = n + 1
			w.groups = append(w.groups, walkedGroup{index: at.group, first: -1})
		}
		w.last = n
	}
	wg := &w.groups[n]
	if wg.first < 0 {
		wg.first = i
		w.used = append(w.used, n)
	} else {
		w.next[wg.last] = i
	}
	wg.last = i
}

// sliceLocked finds the slices of a group's tiles that overlap the range, for
// members that see as much as others.
func (w *walk) sliceLocked(g *group) {
	s := w.snapshot
	w.slices = w.slices[:0]
	for _, t := range g.tilesLocked() {
		if !s.overlapsLocked(t, &w.want) {
			continue
		}
		n := t.visible(s.commit)
		parts := t.parts(s.commit)
		for i := range parts {
			from, to := t.bounds(i, parts)
			if from >= n || t.times[from] > w.want.maxTime {
				break
			}
			if to = min(to, n); t.times[to-1] < w.want.minTime {
				continue
			}
			x := tileSlice{tile: t, from: from, to: to, stretch: -1}
			if i < len(t.stretches) && t.stretches[i].from == from && t.stretches[i].to == to {
				x.stretch = i
			}
			w.slices = append(w.slices, x)
		}
	}
}

// presentLocked tells in which of the slices a member has a sample; ok is false
// where its pieces have to be looked at.
func (w *walk) presentLocked(g *group, slot uint32) (bits uint64, ok bool) {
	if len(w.slices) > 64 {
		return 0, false
	}
	for i := range w.slices {
		x := &w.slices[i]
		t := x.tile
		if len(t.fills) > 0 && len(t.fills[slot]) > 0 {
			return 0, false
		}
		switch {
		case x.stretch >= 0:
			if t.stretches[x.stretch].Has(int(slot)) {
				bits |= 1 << i
			}
		case x.from < t.from || len(t.runs[slot]) > 0:
			return 0, false
		case int(slot) < len(g.members) && int(g.members[slot].absentFrom) > x.from:
			bits |= 1 << i
		}
	}
	return bits, true
}

// slab is memory for the bytes of many chunks. What was handed out stays: full
// pieces are left to whoever has them.
type slab struct {
	free []byte
	next int // the size of the next piece
}

// The sizes of the pieces of a slab: each is twice the one before.
const (
	slabBytesMin = 2 << 10
	slabBytesMax = 64 << 10
)

// constantBytes is more than a chunk of one value takes.
const constantBytes = 16

// room returns an empty slice with room for n bytes. A nil slab makes each by
// itself.
func (s *slab) room(n int) []byte {
	if s == nil || n > slabBytesMax/4 {
		return make([]byte, 0, n)
	}
	if len(s.free) < n {
		s.next = min(max(2*s.next, slabBytesMin), slabBytesMax)
		s.free = make([]byte, max(s.next, n))
	}
	out := s.free[:0:n]
	s.free = s.free[n:]
	return out
}

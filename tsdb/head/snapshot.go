package head

import (
	"context"
	"math"
	"slices"
	"sort"
	"sync"
	"sync/atomic"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/nilometer/nilometer/model/column"
	"github.com/nilometer/nilometer/model/series"
	"github.com/nilometer/nilometer/storage"
	"github.com/nilometer/nilometer/tsdb/part"
)

// snapshots counts the live snapshots by commit.
type snapshots struct {
	mu   sync.Mutex // guards live
	live map[uint64]int
}

// oldest is the commit of the oldest live snapshot, or the newest commit.
func (s *Heads) oldest() uint64 {
	s.snaps.mu.Lock()
	defer s.snaps.mu.Unlock()
	out := s.visible.Load()
	for commit := range s.snaps.live {
		out = min(out, commit)
	}
	return out
}

// Snapshot is what a head has at one moment, in tiles at or after a time. It is
// a part.Part; Release gives it up.
type Snapshot struct {
	head      *Head
	commit    uint64
	from, to  int64 // tiles of spans that begin in [from, to)
	released  atomic.Bool
	deletions []*Deletion // that who reads it applies (mask.Hider)
}

var (
	_ part.Part      = (*Snapshot)(nil)
	_ part.Estimator = (*Snapshot)(nil)
	_ part.Outliner  = (*Snapshot)(nil)
	_ part.Walker    = (*Snapshot)(nil)
	_ part.Hasher    = (*Snapshot)(nil)
	_ part.Grouper   = (*Snapshot)(nil)
)

// Snapshot pins what is published now, without what lies in spans before from:
// that is in blocks.
func (h *Head) Snapshot(from int64) *Snapshot { return h.snapshot(from, 1<<62) }

func (h *Head) snapshot(from, to int64) *Snapshot {
	s := &h.set.snaps
	s.mu.Lock()
	defer s.mu.Unlock()
	commit := h.set.visible.Load()
	s.live[commit]++
	out := &Snapshot{head: h, commit: commit, from: from, to: to}
	if d := h.deletions.Load(); d != nil {
		out.deletions = *d
	}
	return out
}

// Release gives the snapshot up. It may be called more than once.
func (s *Snapshot) Release() {
	if s.released.Swap(true) {
		return
	}
	l := &s.head.set.snaps
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.live[s.commit]--; l.live[s.commit] == 0 {
		delete(l.live, s.commit)
	}
}

// Name implements part.Part.
func (s *Snapshot) Name() string { return "head" }

// Range implements part.Part: bounds, since what is in a head changes.
func (s *Snapshot) Range() (minTime, maxTime int64) { return s.from, 1<<62 - 1 }

// Labels implements part.Part.
func (s *Snapshot) Labels(ref part.Ref, b *labels.ScratchBuilder) {
	x := &s.head.index
	x.mu.RLock()
	defer x.mu.RUnlock()
	b.Reset()
	x.eachLabelLocked(seriesID(ref), b.Add)
}

// LabelValue implements part.Part.
func (s *Snapshot) LabelValue(ref part.Ref, name string) string {
	x := &s.head.index
	x.mu.RLock()
	defer x.mu.RUnlock()
	return x.labelValueLocked(seriesID(ref), name)
}

// Hash implements part.Part.
func (s *Snapshot) Hash(ref part.Ref) series.Hash {
	x := &s.head.index
	x.mu.RLock()
	defer x.mu.RUnlock()
	return x.hashes.All()[ref]
}

// Hashes implements part.Hasher.
func (s *Snapshot) Hashes(refs []part.Ref, of []series.Hash) {
	x := &s.head.index
	for len(refs) > 0 {
		n := min(len(refs), lockedBatch)
		x.mu.RLock()
		hashes := x.hashes.All()
		for i, ref := range refs[:n] {
			of[i] = hashes[ref]
		}
		x.mu.RUnlock()
		refs, of = refs[n:], of[n:]
	}
}

// Pieces implements part.Part.
func (s *Snapshot) Pieces(ref part.Ref, minTime, maxTime int64, dst []part.Piece) ([]part.Piece, error) {
	return s.pieces(ref, want{minTime: minTime, maxTime: maxTime, values: true}, dst), nil
}

// Outline implements part.Outliner.
func (s *Snapshot) Outline(ref part.Ref, minTime, maxTime int64, dst []part.Piece) ([]part.Piece, error) {
	return s.pieces(ref, want{minTime: minTime, maxTime: maxTime}, dst), nil
}

// pieces is Pieces, or without values Outline.
func (s *Snapshot) pieces(ref part.Ref, w want, dst []part.Piece) []part.Piece {
	x := &s.head.index
	var buf [4]owner
	x.mu.RLock()
	places := x.placesLocked(buf[:0], seriesID(ref))
	x.mu.RUnlock()
	w.trim = len(places) > 1
	was := len(dst)
	var starts []int64
	for _, at := range places {
		if g := s.head.groupAt(at.group); g != nil {
			dst, starts = s.piecesOf(g, at.slot, w, dst, starts)
		}
	}
	if w.trim {
		sort.Stable(byStart{dst[was:], starts})
	}
	return dst
}

// want is what of a series is asked for: its pieces in a range of times, with
// values or without, trimmed to where it has samples or not.
type want struct {
	minTime, maxTime int64
	values, trim     bool
	mem              *slab // for the bytes of open streams; nil: each has its own
}

// piecesOf appends the pieces of one slot. A series that has been in several
// groups has its pieces trimmed, since they must not overlap, and their first
// times in starts.
func (s *Snapshot) piecesOf(g *group, slot uint32, w want, dst []part.Piece, starts []int64) ([]part.Piece, []int64) {
	g.mu.RLock()
	defer g.mu.RUnlock()
	return s.piecesOfLocked(g, slot, w, dst, starts)
}

// overlapsLocked tells whether any of a tile may be in a range of times.
func (s *Snapshot) overlapsLocked(t *tile, w *want) bool {
	return t.span >= s.from && t.span < s.to && len(t.times) > 0 && t.times[0] <= w.maxTime && t.times[len(t.times)-1] >= w.minTime
}

func (s *Snapshot) piecesOfLocked(g *group, slot uint32, w want, dst []part.Piece, starts []int64) ([]part.Piece, []int64) {
	var buf [8]*tile
	for _, t := range g.appendTilesLocked(buf[:0]) {
		if !s.overlapsLocked(t, &w) {
			continue
		}
		n := t.visibleOf(slot, s.commit)
		parts := t.parts(s.commit)
		for i := range parts {
			from, to := t.bounds(i, parts)
			if from >= n || t.times[from] > w.maxTime {
				break
			}
			if to = min(to, n); t.times[to-1] < w.minTime {
				continue
			}
			p := part.Piece{Column: t.id, From: uint32(from), To: uint32(to)}
			if w.values {
				p.Chunk = g.chunkLocked(t, slot, from, to, w.mem)
			} else {
				p.Chunk = g.outlineLocked(t, slot, from, to)
			}
			if p.Chunk.Kind == storage.None {
				continue
			}
			if w.trim {
				p = trimmed(p)
				starts = append(starts, t.times[p.From])
			}
			dst = append(dst, p)
		}
	}
	return dst, starts
}

// byStart sorts pieces by the time of their first position.
type byStart struct {
	pieces []part.Piece
	starts []int64
}

func (b byStart) Len() int           { return len(b.pieces) }
func (b byStart) Less(i, j int) bool { return b.starts[i] < b.starts[j] }
func (b byStart) Swap(i, j int) {
	b.pieces[i], b.pieces[j] = b.pieces[j], b.pieces[i]
	b.starts[i], b.starts[j] = b.starts[j], b.starts[i]
}

// parts is the number of pieces that a tile is handed out as: its stretches that
// were made before a commit, and all that comes after them. A snapshot sees the
// same pieces for as long as it lives.
func (t *tile) parts(commit uint64) int {
	n := 0
	for n < len(t.stretches) && t.stretches[n].made < commit {
		n++
	}
	if n == 0 || t.stretches[n-1].to < len(t.times) {
		n++
	}
	return n
}

// bounds are the positions of part i of several.
func (t *tile) bounds(i, parts int) (from, to int) {
	if i > 0 {
		from = t.stretches[i-1].to
	}
	if to = len(t.times); i+1 < parts {
		to = t.stretches[i].to
	}
	return from, to
}

// chunkLocked returns a member's chunk on positions [from, to) of a tile, where
// from begins a stretch; Kind None when it has no sample there.
func (g *group) chunkLocked(t *tile, slot uint32, from, to int, mem *slab) storage.Chunk {
	var out storage.Chunk
	if from < t.from {
		i, _ := slices.BinarySearchFunc(t.stretches, from, func(st stretch, pos int) int { return st.from - pos })
		st := &t.stretches[i]
		if out = st.entry(slot); st.to == to {
			return out
		}
		if st.to > to {
			return cutChunk(out, st.to-from, to-from)
		}
		return joined(out, st.to-from, g.chunkLocked(t, slot, st.to, to, mem), to-st.to)
	}
	if int(slot) >= len(g.members) {
		return out
	}
	runs := clipRuns(nil, g.runsLocked(t, slot, to), from, to, from)
	if column.SampleCount(runs, to-from) == 0 {
		return out
	}
	m := &g.members[slot]
	out = storage.Chunk{Kind: storage.Decoded, Runs: runs}
	switch present := column.PresentCount(runs, to-from); {
	case present == 0:
	case g.richLocked(slot):
		return g.openChunkLocked(m, slot, runs, from, to)
	case m.changed(): // who reads it decodes it, outside of our lock
		s := g.streamOfLocked(m)
		out.Kind, out.Data, out.Len = storage.Stream, g.blocks.gather(mem.room(int(s.size)), s), uint16(to-from)
	default: // most have not changed, and a chunk of one value costs no decoding
		s := g.head.set.sealers.Get().(*sealer)
		out.Kind, out.Data = storage.Encoded, s.enc.Floats().Append(mem.room(constantBytes), []float64{math.Float64frombits(m.bits)})
		g.head.set.sealers.Put(s)
	}
	return out
}

// outlineLocked is chunkLocked without values: Kind is Decoded where there is
// any sample.
func (g *group) outlineLocked(t *tile, slot uint32, from, to int) storage.Chunk {
	var runs []column.Run
	some, at := false, from
	for i := range t.stretches {
		st := &t.stretches[i]
		if st.from < at || at >= to {
			continue
		}
		n := min(st.to, to) - at
		switch c := st.outline(slot); {
		case c.Kind == storage.None:
			runs = addRun(runs, at-from, at-from+n, column.Absent)
		case at == from && n == to-from && st.to == to: // nearly always
			return c
		default:
			some = true
			for _, r := range cutRuns(c.Runs, n) {
				runs = addRun(runs, at-from+int(r.At), at-from+r.End(), r.State)
			}
		}
		at += n
	}
	if at < to && int(slot) < len(g.members) {
		open := clipRuns(nil, g.runsLocked(t, slot, to), at, to, at)
		some = some || column.SampleCount(open, to-at) > 0
		for _, r := range open {
			runs = addRun(runs, at-from+int(r.At), at-from+r.End(), r.State)
		}
	} else if at < to {
		runs = addRun(runs, at-from, to-from, column.Absent)
	}
	if !some || column.SampleCount(runs, to-from) == 0 {
		return storage.Chunk{}
	}
	return storage.Chunk{Kind: storage.Decoded, Runs: runs}
}

// entry is a member's chunk on the whole stretch.
func (st *stretch) entry(slot uint32) storage.Chunk {
	_, data, runs := st.Entry(int(slot), nil)
	if len(data)+len(runs) == 0 {
		return storage.Chunk{}
	}
	c, err := part.Unpack(data, runs)
	if err != nil { // our own memory
		panic("head: a chunk of a stretch is none: " + err.Error())
	}
	return c
}

// outline is entry without a look at the chunk.
func (st *stretch) outline(slot uint32) storage.Chunk {
	_, data, runs := st.Entry(int(slot), nil)
	if len(data)+len(runs) == 0 {
		return storage.Chunk{}
	}
	return storage.Chunk{Kind: storage.Decoded, Runs: runs}
}

// trimmed cuts absence off both ends of a piece.
func trimmed(p part.Piece) part.Piece {
	if p.Chunk.Kind == storage.Stream { // its first position moves
		runs := p.Chunk.Runs
		p.Chunk = storage.Chunk{Kind: storage.Decoded, Values: decoded(&p.Chunk, int(p.To-p.From)).Floats, Runs: runs}
	}
	runs := p.Chunk.Runs
	n := int(p.To - p.From)
	from, to := 0, n
	if len(runs) > 0 && runs[0].At == 0 && runs[0].State == column.Absent {
		from = runs[0].End()
		runs = runs[1:]
	}
	if k := len(runs) - 1; k >= 0 && runs[k].End() == n && runs[k].State == column.Absent {
		to = int(runs[k].At)
		runs = runs[:k]
	}
	if from == 0 && to == n {
		return p
	}
	out := make([]column.Run, len(runs))
	for i, r := range runs {
		out[i] = column.Run{At: r.At - uint16(from), Len: r.Len, State: r.State}
	}
	p.From, p.To, p.Chunk.Runs = p.From+uint32(from), p.From+uint32(to), out
	if len(out) == 0 {
		p.Chunk.Runs = nil
	}
	return p
}

// Column implements part.Part.
func (s *Snapshot) Column(id part.ColumnID) ([]int64, error) {
	place := s.head.place(id)
	place.group.mu.RLock()
	defer place.group.mu.RUnlock()
	n := place.tile.visible(s.commit)
	return place.tile.times[:n:n], nil
}

func (h *Head) place(id part.ColumnID) columnPlace {
	h.tiles.mu.RLock()
	defer h.tiles.mu.RUnlock()
	return h.tiles.of[id]
}

// ColumnKey implements part.Part. A column of a head is like no other.
func (s *Snapshot) ColumnKey(id part.ColumnID) uint64 { return 1<<63 | uint64(id) }

// EstimateSeries implements part.Estimator.
func (s *Snapshot) EstimateSeries(ref part.Ref, minTime, maxTime int64) (samples, bytes int64) {
	x := &s.head.index
	var buf [4]owner
	x.mu.RLock()
	places := x.placesLocked(buf[:0], seriesID(ref))
	x.mu.RUnlock()
	for _, at := range places {
		g := s.head.groupAt(at.group)
		if g == nil {
			continue
		}
		g.mu.RLock()
		for _, t := range g.tilesLocked() {
			if t.span < s.from || t.span >= s.to || t.times[0] > maxTime || t.times[len(t.times)-1] < minTime {
				continue
			}
			lo := sort.Search(len(t.times), func(i int) bool { return t.times[i] >= minTime })
			hi := sort.Search(len(t.times), func(i int) bool { return t.times[i] > maxTime })
			all, stored := g.countLocked(t, at.slot, s.commit)
			samples += (all*int64(hi-lo) + int64(len(t.times)) - 1) / int64(len(t.times))
			bytes += (stored*int64(hi-lo) + int64(len(t.times)) - 1) / int64(len(t.times))
		}
		g.mu.RUnlock()
	}
	return samples, bytes
}

// countLocked returns how many samples a member has on a tile, and what they
// take encoded.
func (g *group) countLocked(t *tile, slot uint32, commit uint64) (samples, bytes int64) {
	for i := range t.stretches {
		_, chunk, runs := t.stretches[i].Entry(int(slot), nil)
		if len(chunk)+len(runs) > 0 {
			samples += int64(column.SampleCount(runs, t.stretches[i].to-t.stretches[i].from))
			bytes += int64(len(chunk))
		}
	}
	if n := t.visibleOf(slot, commit); n > t.from && int(slot) < len(g.members) {
		runs := clipRuns(nil, g.runsLocked(t, slot, n), t.from, n, t.from)
		samples += int64(column.SampleCount(runs, n-t.from))
		if st := g.streamOfLocked(&g.members[slot]); st != nil {
			bytes += int64(st.size)
		}
	}
	return samples, bytes
}

// LabelNames implements part.Part.
func (s *Snapshot) LabelNames(ctx context.Context) ([]string, error) {
	return s.head.index.names(), ctx.Err()
}

// LabelValues implements part.Part.
func (s *Snapshot) LabelValues(ctx context.Context, name string) ([]string, error) {
	return s.head.index.valuesOf(name), ctx.Err()
}

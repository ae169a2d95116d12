package head

import (
	"context"
	"math"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/nilometer/nilometer/model/column"
	"github.com/nilometer/nilometer/model/series"
	"github.com/nilometer/nilometer/storage"
	"github.com/nilometer/nilometer/tsdb/part"

	format "github.com/nilometer/nilometer/format/column"
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
	head     *Head
	commit   uint64
	from, to int64 // tiles of spans that begin in [from, to)
	released atomic.Bool
}

var (
	_ part.Part      = (*Snapshot)(nil)
	_ part.Estimator = (*Snapshot)(nil)
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
	return &Snapshot{head: h, commit: commit, from: from, to: to}
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
	for _, p := range x.pairsLocked(seriesID(ref)) {
		b.Add(x.symbols[p.name], x.symbols[p.value])
	}
}

// LabelValue implements part.Part.
func (s *Snapshot) LabelValue(ref part.Ref, name string) string {
	x := &s.head.index
	x.mu.RLock()
	defer x.mu.RUnlock()
	for _, p := range x.pairsLocked(seriesID(ref)) {
		if x.symbols[p.name] == name {
			return x.symbols[p.value]
		}
	}
	return ""
}

// Hash implements part.Part.
func (s *Snapshot) Hash(ref part.Ref) series.Hash {
	x := &s.head.index
	x.mu.RLock()
	defer x.mu.RUnlock()
	return x.hashes[ref]
}

// Pieces implements part.Part.
func (s *Snapshot) Pieces(ref part.Ref, minTime, maxTime int64, dst []part.Piece) ([]part.Piece, error) {
	x := &s.head.index
	var buf [4]owner
	x.mu.RLock()
	places := x.placesLocked(buf[:0], seriesID(ref))
	x.mu.RUnlock()
	for _, at := range places {
		if g := s.head.groupAt(at.group); g != nil {
			dst = s.piecesOf(g, at.slot, minTime, maxTime, len(places) > 1, dst)
		}
	}
	return dst, nil
}

// piecesOf appends the pieces of one slot. A series that has been in several
// groups has its pieces trimmed to where it has samples: they must not overlap.
func (s *Snapshot) piecesOf(g *group, slot uint32, minTime, maxTime int64, trim bool, dst []part.Piece) []part.Piece {
	g.mu.RLock()
	defer g.mu.RUnlock()
	for _, t := range g.tilesLocked() {
		if t.span < s.from || t.span >= s.to || len(t.times) == 0 || t.times[0] > maxTime || t.times[len(t.times)-1] < minTime {
			continue
		}
		n := t.visibleOf(slot, s.commit)
		if n == 0 || t.sealed && !t.has(slot) {
			continue
		}
		p := part.Piece{Column: t.id, To: uint32(n)}
		if !g.fillPieceLocked(&p, t, slot, n) {
			continue
		}
		if trim {
			p = trimmed(p)
		}
		dst = append(dst, p)
	}
	return dst
}

// fillPieceLocked sets the chunk of a piece on the first n positions; false
// when there is no sample.
func (g *group) fillPieceLocked(p *part.Piece, t *tile, slot uint32, n int) bool {
	if t.sealed && n == len(t.times) {
		p.Chunk = storage.Chunk{Kind: storage.Encoded, Data: t.chunk(slot), Runs: t.runs[slot]}
		if len(p.Chunk.Data) == 0 {
			p.Chunk.Kind = storage.Decoded
		}
		return true
	}
	if !t.sealed && int(slot) < len(g.members) && !g.members[slot].changed() {
		return g.fillConstantLocked(p, t, slot, n)
	}
	values, runs := g.decodeLocked(t, slot, n)
	if column.SampleCount(runs, n) == 0 {
		return false
	}
	p.Chunk = storage.Chunk{Kind: storage.Decoded, Values: values, Runs: runs}
	return true
}

// fillConstantLocked is fillPieceLocked for a member whose value has not changed
// in the open tile: most have not, and a chunk of one value costs no decoding.
func (g *group) fillConstantLocked(p *part.Piece, t *tile, slot uint32, n int) bool {
	runs := slices.Clone(g.runsLocked(t, slot, n))
	if column.SampleCount(runs, n) == 0 {
		return false
	}
	p.Chunk = storage.Chunk{Kind: storage.Decoded, Runs: runs}
	if column.PresentCount(runs, n) > 0 {
		s := g.head.set.sealers.Get().(*sealer)
		p.Chunk.Kind, p.Chunk.Data = storage.Encoded, s.enc.Append(nil, []float64{math.Float64frombits(g.members[slot].bits)})
		g.head.set.sealers.Put(s)
	}
	return true
}

// decodeLocked returns a member's values and exceptions on the first n
// positions of a tile, in memory of their own.
func (g *group) decodeLocked(t *tile, slot uint32, n int) ([]float64, []column.Run) {
	if !t.sealed {
		if int(slot) >= len(g.members) {
			return nil, []column.Run{{Len: uint16(n), State: column.Absent}}
		}
		runs := g.runsLocked(t, slot, n)
		if len(runs) > 0 { // the last run of an open tile may grow in place
			runs = append([]column.Run(nil), runs...)
		}
		count := column.PresentCount(runs, n)
		if count == 0 {
			return nil, runs
		}
		s := g.head.set.scratches.Get().(*scratch)
		defer g.head.set.scratches.Put(s)
		return g.valuesLocked(t, make([]float64, 0, count), s, slot, runs, n), runs
	}
	if !t.has(slot) {
		return nil, []column.Run{{Len: uint16(n), State: column.Absent}}
	}
	runs := t.runs[slot]
	data := t.chunk(slot)
	if len(data) == 0 {
		return nil, cutRuns(runs, n)
	}
	values, err := format.Decode(nil, data, column.PresentCount(runs, len(t.times)))
	if err != nil { // our own memory
		panic("head: a sealed chunk does not decode: " + err.Error())
	}
	runs = cutRuns(runs, n)
	return values[:column.PresentCount(runs, n)], runs
}

// trimmed cuts absence off both ends of a piece.
func trimmed(p part.Piece) part.Piece {
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
			n := t.visibleOf(at.slot, s.commit)
			switch {
			case t.sealed && t.has(at.slot):
				samples += int64(column.SampleCount(t.runs[at.slot], len(t.times)))
				bytes += int64(len(t.chunk(at.slot)))
			case !t.sealed && int(at.slot) < len(g.members):
				samples += int64(column.SampleCount(g.runsLocked(t, at.slot, n), n))
				bytes += int64(g.members[at.slot].stream.size)
			}
		}
		g.mu.RUnlock()
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

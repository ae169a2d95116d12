package late

import (
	"context"
	"encoding/binary"
	"fmt"
	"slices"
	"sync"

	"github.com/cespare/xxhash/v2"
	"github.com/prometheus/prometheus/model/labels"

	"github.com/nilometer/nilometer/model/column"
	"github.com/nilometer/nilometer/model/series"
	"github.com/nilometer/nilometer/storage"
	"github.com/nilometer/nilometer/tsdb/part"
)

// Hidden is a range of times (ms, both included) of which samples up to a
// sequence are not shown: what a deletion leaves of a series.
type Hidden struct {
	MinTime, MaxTime int64
	Seq              uint64
}

// Hides tells whether any of the ranges hides a sample.
func Hides(ranges []Hidden, t int64, seq uint64) bool {
	for _, h := range ranges {
		if h.MinTime <= t && t <= h.MaxTime && seq <= h.Seq {
			return true
		}
	}
	return false
}

// Bounds say what a Part leaves out. The zero value leaves out samples of
// before 1970, and nothing else.
type Bounds struct {
	// Marks say what is in blocks.
	Marks Marks
	// MinTime is the time, ms, before which samples are older than the
	// retention.
	MinTime int64
	// Hidden, unless nil, says what is deleted of a series. It is called under
	// the buffer's lock.
	Hidden func(labels.Labels) []Hidden
}

// Part is what a buffer shows to one reader. Series without a sample in it are
// not there.
type Part struct {
	b      *Buffer
	idx    *index
	last   uint64 // the highest sequence that it shows
	bounds Bounds
	spans  []spanView

	mu      sync.Mutex // guards what follows
	columns [][]int64
	keys    []uint64
	byKey   map[uint64]part.ColumnID
	at      map[place]part.ColumnID
	shown   []bool // by series, nil before anybody asked
}

// spanView is a span from a sequence on.
type spanView struct {
	*span
	after uint64
}

// place is a run of a part.
type place struct {
	span   int // index in Part.spans
	series uint32
}

var (
	_ part.Part      = (*Part)(nil)
	_ part.Estimator = (*Part)(nil)
)

// Part returns what is published up to a commit, within bounds.
func (b *Buffer) Part(commit uint64, o Bounds) *Part {
	b.mu.RLock()
	defer b.mu.RUnlock()
	return b.partLocked(b.publishedLocked(commit), o, func(*span) bool { return true })
}

// PartOf returns the samples of one span, that begins at from, up to a sequence
// and within bounds.
func (b *Buffer) PartOf(from int64, last uint64, o Bounds) *Part {
	b.mu.RLock()
	defer b.mu.RUnlock()
	return b.partLocked(last, o, func(s *span) bool { return s.from == from })
}

func (b *Buffer) partLocked(last uint64, o Bounds, take func(*span) bool) *Part {
	p := &Part{b: b, idx: b.idx, last: last, bounds: o, byKey: map[uint64]part.ColumnID{}, at: map[place]part.ColumnID{}}
	for _, s := range b.spans {
		after := o.Marks.of(s.from, s.to)
		if take(s) && s.to > o.MinTime && s.samples > 0 && s.highest > after && s.lowest <= p.last {
			p.spans = append(p.spans, spanView{s, after})
		}
	}
	slices.SortFunc(p.spans, func(x, y spanView) int {
		if x.from < y.from {
			return -1
		}
		return 1
	})
	return p
}

// Last is the highest sequence that the part can show.
func (p *Part) Last() uint64 { return p.last }

// Spans returns the spans that the part has samples of, in order of time.
func (p *Part) Spans() []Span {
	out := make([]Span, len(p.spans))
	for i, v := range p.spans {
		out[i] = Span{From: v.from, To: v.to, Since: v.since, Lowest: v.after + 1}
	}
	return out
}

// Empty tells whether the part has surely no sample.
func (p *Part) Empty() bool { return len(p.spans) == 0 }

// Name implements part.Part.
func (p *Part) Name() string { return "late samples" }

// Range implements part.Part: bounds.
func (p *Part) Range() (minTime, maxTime int64) {
	if len(p.spans) == 0 {
		return 0, -1
	}
	p.b.mu.RLock()
	defer p.b.mu.RUnlock()
	return max(p.spans[0].min, p.bounds.MinTime), p.spans[len(p.spans)-1].max
}

// Select implements part.Part.
func (p *Part) Select(ctx context.Context, ms ...*labels.Matcher) ([]part.Ref, error) {
	if len(p.spans) == 0 {
		return nil, ctx.Err()
	}
	p.sort()
	shown := p.seriesShown()
	p.b.mu.RLock()
	defer p.b.mu.RUnlock()
	compiled := p.idx.matchers(ms)
	var out []part.Ref
	for i, n := range p.idx.order {
		if i%4096 == 0 && ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		if int(n) < len(shown) && shown[n] && p.idx.matches(n, compiled) {
			out = append(out, part.Ref(n))
		}
	}
	return out, nil
}

// sort brings the order of the index up to date.
func (p *Part) sort() {
	p.b.mu.RLock()
	current := len(p.idx.order) == p.idx.len()
	p.b.mu.RUnlock()
	if current {
		return
	}
	p.b.mu.Lock()
	defer p.b.mu.Unlock()
	p.idx.sorted()
}

// seriesShown tells which series have a sample in the part.
func (p *Part) seriesShown() []bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.shown != nil {
		return p.shown
	}
	p.b.mu.RLock()
	defer p.b.mu.RUnlock()
	shown := make([]bool, p.idx.len())
	for i := range p.spans {
		v := &p.spans[i]
		for at := range v.runs {
			if n := v.runs[at].series; !shown[n] {
				shown[n] = p.showsLocked(v, uint32(at))
			}
		}
	}
	p.shown = shown
	return shown
}

// showsLocked tells whether any sample of a run is shown.
func (p *Part) showsLocked(v *spanView, at uint32) bool {
	shows := false
	hidden := p.hiddenLocked(v.runs[at].series)
	v.each(p.b, at, func(have []sample) {
		for i := range have {
			shows = shows || p.visible(v, &have[i], hidden)
		}
	})
	return shows
}

func (p *Part) hiddenLocked(n uint32) []Hidden {
	if p.bounds.Hidden == nil {
		return nil
	}
	return p.bounds.Hidden(p.labelsLocked(n))
}

func (p *Part) visible(v *spanView, x *sample, hidden []Hidden) bool {
	if x.seq <= v.after || x.seq > p.last || x.t < p.bounds.MinTime {
		return false
	}
	return !Hides(hidden, x.t, x.seq)
}

func (p *Part) labelsLocked(n uint32) labels.Labels {
	b := labels.NewScratchBuilder(16)
	p.buildLocked(n, &b)
	return b.Labels()
}

func (p *Part) buildLocked(n uint32, b *labels.ScratchBuilder) {
	b.Reset()
	for _, l := range p.idx.pairsOf(n) {
		b.Add(p.idx.symbols[l.name], p.idx.symbols[l.value])
	}
}

// Labels implements part.Part.
func (p *Part) Labels(ref part.Ref, b *labels.ScratchBuilder) {
	p.b.mu.RLock()
	defer p.b.mu.RUnlock()
	p.buildLocked(uint32(ref), b)
}

// LabelValue implements part.Part.
func (p *Part) LabelValue(ref part.Ref, name string) string {
	p.b.mu.RLock()
	defer p.b.mu.RUnlock()
	return p.idx.value(uint32(ref), name)
}

// Hash implements part.Part.
func (p *Part) Hash(ref part.Ref) series.Hash {
	p.b.mu.RLock()
	defer p.b.mu.RUnlock()
	return p.idx.hashes[ref]
}

// LabelNames implements part.Part.
func (p *Part) LabelNames(ctx context.Context) ([]string, error) {
	return p.collect(ctx, func(l pair) (uint32, bool) { return l.name, true })
}

// LabelValues implements part.Part.
func (p *Part) LabelValues(ctx context.Context, name string) ([]string, error) {
	p.b.mu.RLock()
	id, known := p.idx.symbolOf[name]
	p.b.mu.RUnlock()
	if !known {
		return nil, ctx.Err()
	}
	return p.collect(ctx, func(l pair) (uint32, bool) { return l.value, l.name == id })
}

// collect returns the sorted symbols that pick takes of the labels shown.
func (p *Part) collect(ctx context.Context, pick func(pair) (uint32, bool)) ([]string, error) {
	shown := p.seriesShown()
	p.b.mu.RLock()
	defer p.b.mu.RUnlock()
	taken := map[uint32]bool{}
	var out []string
	for n, is := range shown {
		if !is {
			continue
		}
		for _, l := range p.idx.pairsOf(uint32(n)) {
			if s, ok := pick(l); ok && !taken[s] {
				taken[s] = true
				out = append(out, p.idx.symbols[s])
			}
		}
	}
	slices.Sort(out)
	return out, ctx.Err()
}

// Pieces implements part.Part: a run of a span is a column of its own, or one
// that it shares with other series of the same times.
func (p *Part) Pieces(ref part.Ref, minTime, maxTime int64, dst []part.Piece) ([]part.Piece, error) {
	var all []shown
	for i := range p.spans {
		v := &p.spans[i]
		if v.from > maxTime || v.to <= minTime {
			continue
		}
		if all = p.samples(v, uint32(ref), all[:0]); len(all) == 0 {
			continue
		}
		id := p.column(place{i, uint32(ref)}, all)
		for from := 0; from < len(all); from += column.TilePositions {
			to := min(from+column.TilePositions, len(all))
			if all[from].t > maxTime || all[to-1].t < minTime {
				continue
			}
			dst = append(dst, part.Piece{Column: id, From: uint32(from), To: uint32(to), Chunk: chunkOf(all[from:to])})
		}
	}
	return dst, nil
}

// samples appends what is shown of a series in a span, in order of time.
func (p *Part) samples(v *spanView, n uint32, dst []shown) []shown {
	p.b.mu.RLock()
	defer p.b.mu.RUnlock()
	at, ok := v.runOf[n]
	if !ok {
		return dst
	}
	hidden := p.hiddenLocked(n)
	v.each(p.b, at, func(have []sample) {
		for i := range have {
			if p.visible(v, &have[i], hidden) {
				dst = append(dst, shown{have[i], p.b.more.of[have[i].seq]})
			}
		}
	})
	return dst
}

// chunkOf decodes samples: outside of the buffer's lock.
func chunkOf(all []shown) storage.Chunk {
	times, samples := make([]int64, len(all)), make([]column.Sample, len(all))
	for i := range all {
		times[i], samples[i] = all[i].t, all[i].open()
	}
	return storage.ChunkOf(times, samples)
}

// column returns the id of the column of a run.
func (p *Part) column(at place, samples []shown) part.ColumnID {
	p.mu.Lock()
	defer p.mu.Unlock()
	if id, ok := p.at[at]; ok {
		return id
	}
	key := hashTimes(samples)
	id, ok := p.byKey[key]
	if !ok || !sameTimes(p.columns[id], samples) {
		times := make([]int64, len(samples))
		for i, x := range samples {
			times[i] = x.t
		}
		id = part.ColumnID(len(p.columns))
		p.columns, p.keys = append(p.columns, times), append(p.keys, key)
		p.byKey[key] = id
	}
	p.at[at] = id
	return id
}

func sameTimes(times []int64, samples []shown) bool {
	if len(times) != len(samples) {
		return false
	}
	for i, x := range samples {
		if times[i] != x.t {
			return false
		}
	}
	return true
}

// hashTimes is the key of a column by its content: xxhash64 of the times, 8
// bytes each, as blocks have it.
func hashTimes(samples []shown) uint64 {
	var d xxhash.Digest
	d.Reset()
	var buf [8]byte
	for _, x := range samples {
		binary.LittleEndian.PutUint64(buf[:], uint64(x.t))
		_, _ = d.Write(buf[:])
	}
	return d.Sum64()
}

// Column implements part.Part.
func (p *Part) Column(id part.ColumnID) ([]int64, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if int(id) >= len(p.columns) {
		return nil, fmt.Errorf("late samples: no time column %d", id)
	}
	return p.columns[id], nil
}

// ColumnKey implements part.Part.
func (p *Part) ColumnKey(id part.ColumnID) uint64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.keys[id]
}

// EstimateSeries implements part.Estimator.
func (p *Part) EstimateSeries(ref part.Ref, minTime, maxTime int64) (samples, bytes int64) {
	p.b.mu.RLock()
	defer p.b.mu.RUnlock()
	for i := range p.spans {
		v := &p.spans[i]
		if v.from > maxTime || v.to <= minTime {
			continue
		}
		if at, ok := v.runOf[uint32(ref)]; ok {
			samples += int64(v.runs[at].n)
		}
	}
	return samples, samples * sampleBytes
}

package compact

import (
	"container/heap"
	"context"
	"fmt"
	"math"
	"slices"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/nilometer/nilometer/tsdb/block"
	"github.com/nilometer/nilometer/tsdb/part"
)

// Source is one input of a merge.
type Source struct {
	part.Part
	tombstones tombstones
}

// pauseSeries is how many series are merged between two looks at the time.
const pauseSeries = 64

// Merge writes every series of the sources, which are in order of acceptance,
// to w. Columns of *block.Block sources that continue one another become one;
// see chain. The caller finishes w, or aborts it after an error.
func Merge(ctx context.Context, w *block.Writer, sources []Source, pause func(context.Context) error) (Stats, error) {
	m := &merger{w: w}
	chains, err := newChains(w, sources)
	if err != nil {
		return m.stats, err
	}
	for i, src := range sources {
		refs, err := src.Select(ctx)
		if err != nil {
			return m.stats, fmt.Errorf("merge %s: %w", src.Name(), err)
		}
		m.mappers = append(m.mappers, block.NewMapper(w, src.Part, chains.resolver(i)))
		c := &cursor{source: i, part: src.Part, refs: refs, builder: labels.NewScratchBuilder(16)}
		if c.next() {
			m.heap = append(m.heap, c)
		}
	}
	m.sources = sources
	heap.Init(&m.heap)
	for n := 0; len(m.heap) > 0; n++ {
		if n%pauseSeries == 0 && ctx.Err() != nil {
			return m.stats, context.Cause(ctx)
		}
		if n%pauseSeries == 0 && pause != nil {
			if err := pause(ctx); err != nil {
				return m.stats, err
			}
		}
		if err := m.series(ctx); err != nil {
			return m.stats, err
		}
	}
	m.stats.Copied, m.stats.Encoded = w.Chunks()
	return m.stats, nil
}

// merger is one merge.
type merger struct {
	w       *block.Writer
	sources []Source
	mappers []*block.Mapper
	heap    cursors
	stats   Stats

	located []located
	raw     []part.Piece
	mapped  []part.Piece
	keyBuf  []byte
}

// located is a piece of a source with the times of its first and last
// position.
type located struct {
	source      int
	piece       part.Piece
	first, last int64
}

// series merges the smallest label set of all cursors.
func (m *merger) series(ctx context.Context) error {
	lset := m.heap[0].labels
	m.located = m.located[:0]
	for len(m.heap) > 0 && labels.Compare(m.heap[0].labels, lset) == 0 {
		c := m.heap[0]
		if err := m.locate(c, lset); err != nil {
			return fmt.Errorf("merge %s: series %s: %w", c.part.Name(), lset, err)
		}
		if c.next() {
			heap.Fix(&m.heap, 0)
		} else {
			heap.Pop(&m.heap)
		}
	}
	slices.SortStableFunc(m.located, func(a, b located) int {
		if a.first != b.first {
			if a.first < b.first {
				return -1
			}
			return 1
		}
		return a.source - b.source
	})
	m.mapped = m.mapped[:0]
	for rest := m.located; len(rest) > 0; {
		n, last := 1, rest[0].last
		for n < len(rest) && rest[n].first <= last {
			last = max(last, rest[n].last)
			n++
		}
		if err := m.cluster(lset, rest[:n]); err != nil {
			return fmt.Errorf("merge: series %s: %w", lset, err)
		}
		rest = rest[n:]
	}
	return m.w.AddSeries(ctx, lset, m.mapped)
}

// locate gathers the pieces of one source.
func (m *merger) locate(c *cursor, lset labels.Labels) error {
	var err error
	if m.raw, err = c.part.Pieces(c.ref(), math.MinInt64, math.MaxInt64, m.raw[:0]); err != nil {
		return err
	}
	pieces := m.raw
	if ts := m.sources[c.source].tombstones; len(ts) > 0 {
		if pieces, err = ts.hide(lset, c.part, pieces, &m.stats.Deleted); err != nil {
			return err
		}
	}
	for i := range pieces {
		l := located{source: c.source, piece: pieces[i]}
		if l.first, l.last, err = pieceRange(c.part, &l.piece); err != nil {
			return err
		}
		m.located = append(m.located, l)
	}
	return nil
}

func pieceRange(src part.Part, p *part.Piece) (first, last int64, err error) {
	if b, ok := src.(*block.Block); ok {
		return b.PieceRange(p)
	}
	times, err := src.Column(p.Column)
	if err != nil {
		return 0, 0, err
	}
	return times[p.From], times[p.To-1], nil
}

// cluster maps one piece, or resolves several that overlap.
func (m *merger) cluster(lset labels.Labels, pieces []located) error {
	var err error
	if len(pieces) == 1 {
		p := &pieces[0]
		m.mapped, err = m.mappers[p.source].Map(lset, &p.piece, m.mapped)
		return err
	}
	samples, conflicts, err := resolve(m.sources, pieces)
	if err != nil {
		return err
	}
	m.stats.Conflicts += conflicts
	return m.place(lset, pieces, samples)
}

// cursor walks the series of one source in label order.
type cursor struct {
	source  int
	part    part.Part
	refs    []part.Ref
	at      int // refs[at-1] is the series at hand
	labels  labels.Labels
	builder labels.ScratchBuilder
}

func (c *cursor) ref() part.Ref { return c.refs[c.at-1] }

func (c *cursor) next() bool {
	if c.at >= len(c.refs) {
		return false
	}
	c.at++
	c.part.Labels(c.ref(), &c.builder)
	c.labels = c.builder.Labels()
	return true
}

// cursors is a heap by labels, then by order of sources.
type cursors []*cursor

func (h cursors) Len() int { return len(h) }
func (h cursors) Less(i, j int) bool {
	if c := labels.Compare(h[i].labels, h[j].labels); c != 0 {
		return c < 0
	}
	return h[i].source < h[j].source
}
func (h cursors) Swap(i, j int) { h[i], h[j] = h[j], h[i] }

// Push is never needed: a merge starts with all cursors.
func (h *cursors) Push(x any) { *h = append(*h, x.(*cursor)) }

// Pop removes the last cursor.
func (h *cursors) Pop() any {
	last := (*h)[len(*h)-1]
	*h = (*h)[:len(*h)-1]
	return last
}

package prometheus

import (
	"container/heap"
	"context"
	"errors"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb/chunks"
	"github.com/prometheus/prometheus/tsdb/index"
	"github.com/prometheus/prometheus/tsdb/tombstones"
)

// sourceSeries is one series in a range of time: what each part has of it.
type sourceSeries struct {
	labels labels.Labels
	pieces []sourcePiece // in the order of the walk's parts
}

// sourcePiece is what one part has of a series.
type sourcePiece struct {
	part    int
	chunks  []chunks.Meta // in order of time, each overlaps the range
	deleted tombstones.Intervals
}

// walk goes through the series of several parts that have chunks in [from, to),
// in label order, each label set once. One goroutine uses it.
type walk struct {
	from, to int64
	heap     walkCursors
}

// newWalk begins a walk. The parts must stay open while it is used.
func newWalk(ctx context.Context, parts []*openedPart, from, to int64) (*walk, error) {
	w := &walk{from: from, to: to}
	for i, p := range parts {
		name, value := index.AllPostingsKey()
		all, err := p.index.Postings(ctx, name, value)
		if err != nil {
			return nil, &DamageError{Part: p.name, Err: err}
		}
		c := &walkCursor{number: i, part: p, postings: p.index.SortedPostings(all), builder: labels.NewScratchBuilder(16)}
		ok, err := c.next(from, to)
		if err != nil {
			return nil, err
		}
		if ok {
			w.heap = append(w.heap, c)
		}
	}
	heap.Init(&w.heap)
	return w, nil
}

// next overwrites s with the next series, and reports whether there was one.
// The chunks' metas are s's own.
func (w *walk) next(s *sourceSeries) (bool, error) {
	if len(w.heap) == 0 {
		return false, nil
	}
	s.labels = w.heap[0].labels
	s.pieces = s.pieces[:0]
	for len(w.heap) > 0 && labels.Equal(w.heap[0].labels, s.labels) {
		c := w.heap[0]
		s.pieces = append(s.pieces, sourcePiece{part: c.number, chunks: append([]chunks.Meta(nil), c.chunks...), deleted: c.deleted})
		ok, err := c.next(w.from, w.to)
		if err != nil {
			return false, err
		}
		if ok {
			heap.Fix(&w.heap, 0)
		} else {
			heap.Pop(&w.heap)
		}
	}
	return true, nil
}

// walkCursor goes through the series of one part.
type walkCursor struct {
	number   int
	part     *openedPart
	postings index.Postings
	builder  labels.ScratchBuilder

	labels  labels.Labels
	all     []chunks.Meta
	chunks  []chunks.Meta // of all, those in the range
	deleted tombstones.Intervals
}

func (c *walkCursor) next(from, to int64) (bool, error) {
	for c.postings.Next() {
		ref := c.postings.At()
		err := c.part.index.Series(ref, &c.builder, &c.all)
		if errors.Is(err, storage.ErrNotFound) {
			continue // a head forgets series
		}
		if err != nil {
			return false, &DamageError{Part: c.part.name, Err: err}
		}
		c.chunks = c.chunks[:0]
		for i := range c.all {
			if chunkOverlaps(&c.all[i], from, to) {
				c.chunks = append(c.chunks, c.all[i])
			}
		}
		if len(c.chunks) == 0 {
			continue
		}
		if c.deleted, err = c.part.tombstones.Get(ref); err != nil {
			return false, &DamageError{Part: c.part.name, Err: err}
		}
		c.labels = c.builder.Labels()
		return true, nil
	}
	if err := c.postings.Err(); err != nil {
		return false, &DamageError{Part: c.part.name, Err: err}
	}
	return false, nil
}

// walkCursors is a heap by labels, then by the order of parts.
type walkCursors []*walkCursor

func (h walkCursors) Len() int { return len(h) }
func (h walkCursors) Less(i, j int) bool {
	if c := labels.Compare(h[i].labels, h[j].labels); c != 0 {
		return c < 0
	}
	return h[i].number < h[j].number
}
func (h walkCursors) Swap(i, j int) { h[i], h[j] = h[j], h[i] }

// Push is never needed: a walk starts with all cursors.
func (h *walkCursors) Push(x any) { *h = append(*h, x.(*walkCursor)) }

// Pop removes the last cursor.
func (h *walkCursors) Pop() any {
	last := (*h)[len(*h)-1]
	*h = (*h)[:len(*h)-1]
	return last
}

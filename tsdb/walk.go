package tsdb

import (
	"cmp"
	"container/heap"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/nilometer/nilometer/model/column"
	"github.com/nilometer/nilometer/storage"
	"github.com/nilometer/nilometer/tsdb/part"
)

// walk goes through the series of several parts in label order, one at a time:
// its memory is the references of the parts and one series. For each series it
// knows what every part has of it.
type walk struct {
	parts   []part.Part // in order of acceptance
	heads   walkHeap
	warn    func(error) // what cannot be read and is left out
	raw     []part.Piece
	values  storage.Values
	samples []column.Sample
}

// cursor is the place of a walk in one part.
type cursor struct {
	part   int
	refs   []part.Ref
	labels labels.Labels // of refs[0]
}

// walkHeap has the cursor with the least labels first; of equal ones that of
// the part accepted first.
type walkHeap []*cursor

func (h walkHeap) Len() int { return len(h) }
func (h walkHeap) Less(i, j int) bool {
	return cmp.Or(labels.Compare(h[i].labels, h[j].labels), cmp.Compare(h[i].part, h[j].part)) < 0
}
func (h walkHeap) Swap(i, j int) { h[i], h[j] = h[j], h[i] }

// Push implements heap.Interface.
func (h *walkHeap) Push(x any) { *h = append(*h, x.(*cursor)) }

// Pop implements heap.Interface.
func (h *walkHeap) Pop() any {
	last := (*h)[len(*h)-1]
	*h = (*h)[:len(*h)-1]
	return last
}

// member is what one part has of a series.
type member struct {
	part int
	ref  part.Ref
}

// newWalk selects the series of all parts that match.
func newWalk(ctx context.Context, parts []part.Part, ms []*labels.Matcher, warn func(error)) (*walk, error) {
	w := &walk{parts: parts, warn: warn}
	for i, p := range parts {
		refs, err := p.Select(ctx, ms...)
		var damage *part.DamageError
		if errors.As(err, &damage) {
			warn(err)
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("select the series of %s: %w", p.Name(), err)
		}
		if c := (&cursor{part: i, refs: refs}); w.load(c) {
			w.heads = append(w.heads, c)
		}
	}
	heap.Init(&w.heads)
	return w, nil
}

// load reads the labels of a cursor's next series; false: there is none.
func (w *walk) load(c *cursor) bool {
	if len(c.refs) == 0 {
		return false
	}
	var b labels.ScratchBuilder
	w.parts[c.part].Labels(c.refs[0], &b)
	c.labels = b.Labels()
	return true
}

// next returns the next series and who has it, in order of acceptance; false at
// the end. members is valid until the next call.
func (w *walk) next(members []member) (labels.Labels, []member, bool) {
	if len(w.heads) == 0 {
		return labels.Labels{}, members, false
	}
	lset := w.heads[0].labels
	for len(w.heads) > 0 && labels.Equal(w.heads[0].labels, lset) {
		c := w.heads[0]
		members = append(members, member{c.part, c.refs[0]})
		c.refs = c.refs[1:]
		if w.load(c) {
			heap.Fix(&w.heads, 0)
		} else {
			heap.Pop(&w.heads)
		}
	}
	return lset, members, true
}

// read returns the samples of a series in [minTime, maxTime], in order of time;
// of several at one time the one that was accepted first (N1). What is returned
// is valid until the next call.
func (w *walk) read(lset labels.Labels, members []member, minTime, maxTime int64) []column.Sample {
	w.samples = w.samples[:0]
	for _, m := range members {
		p := w.parts[m.part]
		var err error
		if w.raw, err = p.Pieces(m.ref, minTime, maxTime, w.raw[:0]); err != nil {
			w.warn(fmt.Errorf("series %s: %w", lset, err))
		}
		for i := range w.raw {
			if err := w.piece(p, &w.raw[i]); err != nil {
				w.warn(fmt.Errorf("%s: series %s: %w", p.Name(), lset, err))
			}
		}
	}
	out := slices.DeleteFunc(w.samples, func(s column.Sample) bool { return s.T < minTime || s.T > maxTime })
	byTime := func(a, b column.Sample) int { return cmp.Compare(a.T, b.T) }
	if !slices.IsSortedFunc(out, byTime) {
		slices.SortStableFunc(out, byTime)
	}
	return slices.CompactFunc(out, func(a, b column.Sample) bool { return a.T == b.T })
}

// piece appends the samples of one piece.
func (w *walk) piece(p part.Part, piece *part.Piece) error {
	times, err := p.Column(piece.Column)
	if err != nil {
		return err
	}
	if err := w.values.Decode(&piece.Chunk, int(piece.To-piece.From)); err != nil {
		return err
	}
	if piece.Chunk.Kind == storage.None && len(piece.Chunk.Runs) == 0 {
		return nil // what could not be read
	}
	w.samples = w.values.AppendSamples(w.samples, times[piece.From:piece.To], piece.Chunk.Runs)
	return nil
}

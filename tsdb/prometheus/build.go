package prometheus

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"

	"github.com/nilometer/nilometer/model/column"
	"github.com/nilometer/nilometer/model/series"
	"github.com/nilometer/nilometer/tsdb/block"
	"github.com/nilometer/nilometer/tsdb/part"
)

// errOverBudget: the distinct timestamps of a range are more than timesBudget.
var errOverBudget = errors.New("the range has too many distinct timestamps")

// rangeReader reads one range of the source. It opens the parts anew for each
// goroutine: their readers are not for several.
type rangeReader struct {
	parts          []*sourcePart
	span           span
	skipHistograms bool
	skipDamaged    bool
}

func (r *rangeReader) open() ([]*openedPart, error) {
	parts := make([]*openedPart, 0, len(r.parts))
	for _, p := range r.parts {
		o, err := p.open()
		if err != nil {
			return nil, errors.Join(err, closeParts(parts))
		}
		parts = append(parts, o)
	}
	return parts, nil
}

func closeParts(parts []*openedPart) error {
	var errs []error
	for _, p := range parts {
		errs = append(errs, p.close())
	}
	return errors.Join(errs...)
}

func (r *rangeReader) decoder(parts []*openedPart) *decoder {
	return &decoder{parts: parts, from: r.span.From, to: r.span.To, skipHistograms: r.skipHistograms, skipDamaged: r.skipDamaged}
}

// cancelEvery is the number of series between two looks at the context.
const cancelEvery = 256

// survey is the first reading of a range: which series share timestamps. It
// returns the layout, and for each series of the walk its entry in it, -1
// without. Over the budget it fails with errOverBudget when strict is set, and
// else leaves the series that have no room without an entry.
func (r *rangeReader) survey(ctx context.Context, budget int, strict bool) (l *layout, entries []int32, err error) {
	parts, err := r.open()
	if err != nil {
		return nil, nil, err
	}
	defer func() { err = errors.Join(err, closeParts(parts)) }()
	w, err := newWalk(ctx, parts, r.span.From, r.span.To)
	if err != nil {
		return nil, nil, err
	}
	g := newGrids()
	dec := r.decoder(parts)
	var s sourceSeries
	var got samples
	var scratch []byte
	for n := 0; ; n++ {
		if n%cancelEvery == 0 && ctx.Err() != nil {
			return nil, nil, context.Cause(ctx)
		}
		ok, err := w.next(&s)
		if err != nil {
			return nil, nil, err
		}
		if !ok {
			return g.lay(), entries, nil
		}
		var k gridKey
		k.key, scratch = series.KeyOf(s.labels, scratch)
		signature, ok := signatureOf(parts, &s)
		if k.signature = signature; ok {
			if entry, ok := g.known(k); ok {
				entries = append(entries, entry)
				continue
			}
		}
		if err := dec.decode(&got, &s); err != nil {
			return nil, nil, err
		}
		if !ok {
			k.signature = block.HashTimes(got.times)
			if entry, ok := g.known(k); ok {
				entries = append(entries, entry)
				continue
			}
		}
		entry, ok := g.add(k, got.times, budget)
		if !ok && strict {
			return nil, nil, errOverBudget
		}
		entries = append(entries, entry)
	}
}

// signatureOf is what tells the timestamps of a series apart without decoding
// them: first and last time and number of samples of its chunks. ok is false
// where that says nothing, because samples are deleted or parts overlap.
func signatureOf(parts []*openedPart, s *sourceSeries) (signature uint64, ok bool) {
	n := 0
	last := int64(0)
	for i := range s.pieces {
		p := &s.pieces[i]
		if len(p.deleted) > 0 || i > 0 && p.chunks[0].MinTime <= last {
			return 0, false
		}
		for k := range p.chunks {
			chunk, _, err := parts[p.part].chunks.ChunkOrIterable(p.chunks[k])
			if err != nil || chunk == nil {
				return 0, false
			}
			n += chunk.NumSamples()
		}
		last = p.chunks[len(p.chunks)-1].MaxTime
	}
	return block.HashTimes([]int64{s.pieces[0].chunks[0].MinTime, last, int64(n)}), true
}

// Limits of the pipeline between readers and writer.
const (
	batchSeries = 64
	workersMax  = 8
)

// batch is a run of series on its way to the writer. done is closed when
// series are encoded.
type batch struct {
	source  []sourceSeries
	entries []int32
	series  []encodedSeries
	counts  decodeCounts
	present uint64          // samples that the database had already
	differ  uint64          // of them, with another value
	have    []column.Sample // memory for leaveOut, and kept
	kept    samples
	err     error
	done    chan struct{}
}

// emit is the second reading of a range: it hands every series that has
// samples left to add, in label order, encoded for its column. step is called
// after each batch.
func (r *rangeReader) emit(ctx context.Context, l *layout, entries []int32, known *existing, add func(*encodedSeries) error, step func()) (t tally, err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	var running sync.WaitGroup
	defer running.Wait()
	defer cancel(nil)
	workers := min(runtime.GOMAXPROCS(0), workersMax)
	work := make(chan *batch)
	inOrder := make(chan *batch, 2*workers)
	for range workers {
		running.Go(func() {
			if err := r.encodeBatches(ctx, l, known, work); err != nil {
				cancel(err)
			}
		})
	}
	running.Go(func() {
		defer close(inOrder)
		defer close(work)
		if err := r.readBatches(ctx, entries, work, inOrder); err != nil {
			cancel(err)
		}
	})
	for b := range inOrder {
		select {
		case <-b.done:
		case <-ctx.Done():
			return t, context.Cause(ctx)
		}
		if b.err != nil {
			return t, b.err
		}
		t.decoded.add(b.counts)
		t.present += b.present
		t.differ += b.differ
		for i := range b.series {
			s := &b.series[i]
			t.series++
			t.digests = append(t.digests, s.digest)
			t.samples += uint64(s.count)
			if err := add(s); err != nil {
				return t, err
			}
		}
		step()
	}
	if ctx.Err() != nil {
		return t, context.Cause(ctx)
	}
	return t, nil
}

// tally counts what one range had.
type tally struct {
	series, samples uint64   // that were handed on
	digests         []digest // of each series that was handed on
	present, differ uint64
	decoded         decodeCounts
}

// readBatches walks the range and hands batches to the workers and, in order,
// to the writer.
func (r *rangeReader) readBatches(ctx context.Context, entries []int32, work, inOrder chan<- *batch) (err error) {
	parts, err := r.open()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closeParts(parts)) }()
	w, err := newWalk(ctx, parts, r.span.From, r.span.To)
	if err != nil {
		return err
	}
	for n := 0; ; {
		b := &batch{source: make([]sourceSeries, 0, batchSeries), done: make(chan struct{})}
		for len(b.source) < batchSeries {
			var s sourceSeries
			ok, err := w.next(&s)
			if err != nil {
				return err
			}
			if !ok {
				break
			}
			b.source = append(b.source, s)
		}
		if n+len(b.source) > len(entries) {
			return fmt.Errorf("the source has more than the %d series that it had a moment ago: is it being written to?", len(entries))
		}
		b.entries = entries[n : n+len(b.source)]
		n += len(b.source)
		if len(b.source) == 0 {
			if n < len(entries) {
				return fmt.Errorf("the source has %d series, %d a moment ago: is it being written to?", n, len(entries))
			}
			return nil
		}
		for _, to := range []chan<- *batch{work, inOrder} {
			select {
			case to <- b:
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		}
	}
}

// encodeBatches is one worker.
func (r *rangeReader) encodeBatches(ctx context.Context, l *layout, known *existing, work <-chan *batch) (err error) {
	parts, err := r.open()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closeParts(parts)) }()
	dec, enc := r.decoder(parts), &encoder{}
	var got samples
	for {
		var b *batch
		select {
		case <-ctx.Done():
			return nil
		case b = <-work:
		}
		if b == nil {
			return nil
		}
		dec.counts = decodeCounts{}
		for i := range b.source {
			if b.err = dec.decode(&got, &b.source[i]); b.err != nil {
				break
			}
			if b.err = known.leaveOut(ctx, b, &b.source[i], &got); b.err != nil {
				break
			}
			if len(got.times) > 0 {
				b.series = append(b.series, l.encode(enc, &b.source[i], b.entries[i], &got))
			}
		}
		b.counts = dec.counts
		close(b.done)
	}
}

// encode puts the samples of one series on its column.
func (l *layout) encode(enc *encoder, s *sourceSeries, entry int32, got *samples) encodedSeries {
	out := encodedSeries{labels: s.labels, column: -1, count: len(got.times), digest: digestOf(got)}
	if entry >= 0 {
		key, _ := series.KeyOf(s.labels, nil)
		out.column = l.find(key, l.ofEntry[entry], got.times)
	}
	col := got.times
	if out.column >= 0 {
		col = l.columns[out.column].times
	} else {
		out.times = slices.Clone(got.times)
	}
	out.pieces = enc.encode(nil, col, got)
	return out
}

// blockSink adds encoded series to a block.
type blockSink struct {
	w      *block.Writer
	layout *layout
	ids    [][]part.ColumnID // of the layout's columns, cut as a block needs it
	pieces []part.Piece
	key    []byte
}

func newBlockSink(w *block.Writer, l *layout) *blockSink {
	return &blockSink{w: w, layout: l, ids: make([][]part.ColumnID, len(l.columns))}
}

func (k *blockSink) add(ctx context.Context, s *encodedSeries) error {
	var ids []part.ColumnID
	var err error
	if s.column >= 0 {
		c := &k.layout.columns[s.column]
		if k.ids[s.column] == nil {
			if k.ids[s.column], err = k.addColumns(c.key, c.times); err != nil {
				return err
			}
		}
		ids = k.ids[s.column]
	} else {
		var key series.Key
		key, k.key = series.KeyOf(s.labels, k.key)
		if ids, err = k.addColumns(key, s.times); err != nil {
			return err
		}
	}
	k.pieces = k.pieces[:0]
	for _, p := range s.pieces {
		at := p.from / block.ColumnPositionsMax
		base := at * block.ColumnPositionsMax
		c, err := part.Unpack(p.data, p.runs)
		if err != nil {
			return err
		}
		k.pieces = append(k.pieces, part.Piece{Column: ids[at], From: uint32(p.from - base), To: uint32(p.to - base), Chunk: c})
	}
	return k.w.AddSeries(ctx, s.labels, k.pieces)
}

func (k *blockSink) addColumns(key series.Key, times []int64) ([]part.ColumnID, error) {
	var ids []part.ColumnID
	for len(times) > 0 {
		n := min(len(times), block.ColumnPositionsMax)
		id, err := k.w.AddColumn(key, times[:n], nil)
		if err != nil {
			return nil, err
		}
		ids = append(ids, id)
		times = times[n:]
	}
	return ids, nil
}

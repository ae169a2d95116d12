package exec

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sort"
	"sync"

	format "github.com/nilometer/nilometer/format/column"
	"github.com/nilometer/nilometer/model/column"
	"github.com/nilometer/nilometer/promql/function"
	"github.com/nilometer/nilometer/storage"
)

// worker turns the series of batches into rows. One goroutine uses it; its
// buffers are reused from series to series.
type worker struct {
	run   *Run
	src   *rowSource
	grid  function.Grid
	sink  rowSink
	order *turns
	core  *core // of the goroutine
	// rankOf, if not nil, has the ranks of the series by those of the scan, -1 for
	// those that are left out.
	rankOf []int32

	// What is shared by the series of a batch, and by those of all on its path.
	path                           int
	tileFrom, tileTo               int // tiles that overlap the scan's times
	shared                         function.Windows
	sharedPresent                  Bits // nil when every step has a result
	sharedBits                     Bits // memory for it
	sharedAny                      bool
	private                        function.Windows // of a series with times of its own
	privatePresent                 Bits
	samples                        function.Samples
	times                          []int64
	values                         []float64
	chunkValues                    []float64
	resets                         []int32
	out                            []float64
	scratch                        function.Scratch
	touched                        Bits
	samplesRead, seriesRead, taken int64
	// What series with histograms need; nil until there is one.
	mixed   *spans
	stored  storage.Values
	decoded []column.Sample
	noted   map[uint32]noted // by rank
	// zeros are the values of functions that look at none.
	zeros [column.TilePositions]float64
}

func newWorker(r *Run, st *strand, g function.Grid, c *core) *worker {
	src, sink := st.src, st.sink
	w := &worker{run: r, src: src, grid: g, sink: sink, order: st.order, core: c, rankOf: st.rankOf}
	for _, win := range []*function.Windows{&w.shared, &w.private} {
		win.Grid, win.RangeMs = g, src.rangeMs
		win.Reference = func(step int) int64 { return st.ends[step] }
	}
	w.sharedBits, w.privatePresent = newBits(g.Steps), newBits(g.Steps)
	w.out = make([]float64, min(sink.piece(), g.Steps))
	if src.touched != nil {
		w.touched = newBits(g.Steps)
	}
	return w
}

// close hands in what the worker counted.
func (w *worker) close(touched *sync.Mutex) {
	w.tell()
	w.run.q.Budget.giveBytes(w.taken)
	touched.Lock()
	defer touched.Unlock()
	if w.touched != nil {
		w.src.touched.or(w.touched, w.grid.Steps)
	}
	if w.src.noted == nil {
		w.src.noted = w.noted
	} else {
		maps.Copy(w.src.noted, w.noted)
	}
}

// read makes the rows of a batch.
func (w *worker) read(ctx context.Context, b *storage.ColumnBatch) error {
	if err := w.open(b); err != nil {
		return err
	}
	lane := 0
	if w.order != nil {
		var ok bool
		if lane, ok = w.order.wait(b.Number, w.core); !ok {
			return nil // whoever failed reports it
		}
		defer w.order.done(b.Number)
		if err := w.core.take(ctx); err != nil {
			return err
		}
	}
	for i, rank := range b.Ranks {
		if err := w.core.pause(ctx); err != nil {
			return err
		}
		if w.rankOf != nil {
			if w.rankOf[rank] < 0 {
				continue
			}
			rank = uint32(w.rankOf[rank])
		}
		if err := w.series(ctx, b, i, rank, lane); err != nil {
			return fmt.Errorf("series of rank %d: %w", rank, err)
		}
	}
	return nil
}

// open does what is done once for all series of a batch, or of several on one path.
func (w *worker) open(b *storage.ColumnBatch) error {
	known := b.Path > 0 && b.Path == w.path
	if w.path = b.Path; !known {
		lo, hi := w.src.scan.MinTime, w.src.scan.MaxTime
		w.tileFrom = sort.Search(len(b.Tiles), func(i int) bool { return b.Times[b.Tiles[i].To-1] >= lo })
		w.tileTo = sort.Search(len(b.Tiles), func(i int) bool { return b.Times[b.Tiles[i].From] > hi })
	}
	times := b.Times[:0]
	if w.tileFrom < w.tileTo {
		times = b.Times[b.Tiles[w.tileFrom].From:b.Tiles[w.tileTo-1].To]
	}
	if known {
		w.shared.T = times
		return nil
	}
	// Windows (two bounds, factor and clamp a step) and the column decoded.
	if need := int64(w.grid.Steps)*48 + int64(len(times))*40; need > w.taken {
		if err := w.run.q.Budget.takeBytes(need-w.taken, w.src.where); err != nil {
			w.path = 0
			return err
		}
		w.taken = need
	}
	w.shared.Locate(times)
	w.sharedPresent, w.sharedAny = presence(&w.shared, w.src.fn.SamplesMin, w.sharedBits, false)
	if w.src.fn.Prepare != nil && w.sharedAny {
		w.src.fn.Prepare(&w.shared)
	}
	return nil
}

// presence returns the steps at which windows have at least least samples, in
// the memory of bits, and whether there is any. nil stands for all of them,
// unless the caller wants to take steps away.
func presence(win *function.Windows, least int32, bits Bits, mutable bool) (Bits, bool) {
	n := 0
	for i, lo := range win.Lo {
		if win.Hi[i]-lo >= least {
			n++
		}
	}
	if n == 0 {
		return nil, false
	}
	if n == len(win.Lo) && !mutable {
		return nil, true
	}
	clear(bits)
	for i, lo := range win.Lo {
		if win.Hi[i]-lo >= least {
			bits.set(i)
		}
	}
	return bits, true
}

// series makes the row of the i-th series of the batch.
func (w *worker) series(ctx context.Context, b *storage.ColumnBatch, i int, rank uint32, lane int) error {
	chunks := b.Series(i)[w.tileFrom:w.tileTo]
	tiles := b.Tiles[w.tileFrom:w.tileTo]
	whole, starts, mixed := true, false, w.src.general
	for j := range chunks {
		c := &chunks[j]
		mixed = mixed || c.HasHistograms() && !(w.src.fn.TimesOnly && !w.src.fn.Kinds)
		starts = starts || c.Starts != nil || len(c.StartData) > 0
		if c.Kind == storage.None || len(c.Runs) > 0 {
			whole = false
		}
	}
	if mixed || starts && w.src.starts {
		return w.seriesOfSpans(b, chunks, tiles, rank, lane, starts)
	}
	win, present, any := &w.shared, w.sharedPresent, w.sharedAny
	if whole {
		w.touch(win)
		if !any {
			return nil
		}
		if w.values = w.values[:0]; !w.src.timesOnly() { // else nobody looks at values
			if err := w.whole(chunks, tiles); err != nil {
				return err
			}
		}
		w.samples.T = win.T
	} else {
		if err := w.compact(b.Times, chunks, tiles); err != nil {
			return err
		}
		win = &w.private
		win.Locate(w.times)
		w.touch(win)
		if present, any = presence(win, w.src.fn.SamplesMin, w.privatePresent, w.src.staleEnds); !any {
			return nil
		}
		if w.src.staleEnds && !w.dropStale(win, present) {
			return nil
		}
		if w.src.fn.Prepare != nil {
			w.src.fn.Prepare(win)
		}
		w.samples.T = w.times
	}
	w.samples.V = w.values
	w.samplesRead += int64(win.Hi[len(win.Hi)-1] - win.Lo[0])
	if w.src.raw != nil {
		lo, hi := win.Lo[0], win.Hi[0]
		return w.src.raw(rank, w.samples.T[lo:hi], w.samples.V[lo:hi], nil)
	}
	if w.src.fn.Resets {
		if !whole {
			w.resets = appendResets(w.resets[:0], w.values, 1)
		}
		w.samples.Resets = w.resets
	}
	return w.emit(ctx, win, present, rank, lane)
}

// whole collects the values of a series that is present throughout, and where
// they fall. What no window looks at has a place, and any value.
func (w *worker) whole(chunks []storage.Chunk, tiles []storage.Tile) error {
	w.values, w.resets = slices.Grow(w.values[:0], len(w.shared.T)), w.resets[:0]
	first, end := int(w.shared.Lo[0]), int(w.shared.Hi[len(w.shared.Hi)-1])
	for j := range chunks {
		was, n := len(w.values), tiles[j].Len()
		if was >= end || was+n <= first {
			w.values = w.values[:was+n]
			continue
		}
		var err error
		if c := &chunks[j]; c.Kind == storage.Stream && c.At == 0 {
			skipped := max(0, first-was)
			w.values, err = format.DecodeStreamFrom(w.values[:was+skipped], c.Data, n, skipped)
			if err == nil && len(w.values) != was+n {
				err = fmt.Errorf("a stream has %d of %d values", len(w.values)-was, n)
			}
		} else {
			w.values, err = w.decode(w.values, c, n)
		}
		if err != nil {
			return err
		}
		if !w.src.fn.Resets {
			continue
		}
		to := len(w.values)
		if chunks[j].Kind == storage.Encoded && format.Rises(chunks[j].Data) {
			to = was + 1 // what comes before the chunk is not its to know
		}
		w.resets = appendResets(w.resets, w.values[:to], max(was, first+1))
	}
	return nil
}

// seriesOfSpans makes the row of a series for which kernels are not enough.
func (w *worker) seriesOfSpans(b *storage.ColumnBatch, chunks []storage.Chunk, tiles []storage.Tile, rank uint32, lane int, starts bool) error {
	if w.mixed == nil {
		w.mixed = newSpans(w.src, w.grid)
		w.mixed.touched = w.touched
	}
	s := w.mixed
	s.general = w.src.general || starts && w.src.starts
	if err := s.load(&w.stored, &w.decoded, b.Times, chunks, tiles); err != nil {
		return err
	}
	size := s.bytes()
	if err := w.run.q.Budget.takeBytes(size, w.src.where); err != nil {
		return err
	}
	defer w.run.q.Budget.giveBytes(size)
	if w.src.raw != nil {
		return s.raw(rank)
	}
	some := s.apply()
	for _, win := range []*function.Windows{&s.floatWin, &s.histWin} {
		w.samplesRead += int64(win.Hi[len(win.Hi)-1] - win.Lo[0])
	}
	if s.noted.remarks != 0 {
		if w.noted == nil {
			w.noted = map[uint32]noted{}
		}
		w.noted[rank] = s.noted
	}
	if !some {
		return nil
	}
	return w.sink.takeMixed(lane, rank, s.out, s.h, s.present)
}

// emit runs the kernel over the row, piece by piece.
func (w *worker) emit(ctx context.Context, win *function.Windows, present Bits, rank uint32, lane int) error {
	for from := 0; from < w.grid.Steps; from += len(w.out) {
		to := min(from+len(w.out), w.grid.Steps)
		out := w.out[:to-from]
		if err := w.core.paced(ctx, &w.src.fn, out, &w.samples, win, w.src.params, &w.scratch, from, to); err != nil {
			return err
		}
		if err := w.sink.take(lane, rank, from, out, present); err != nil {
			return err
		}
	}
	return nil
}

// decode appends the n present values of a chunk.
func (w *worker) decode(dst []float64, c *storage.Chunk, n int) ([]float64, error) {
	switch {
	case n == 0:
		return dst, nil
	case w.src.fn.TimesOnly:
		return append(dst, w.zeros[:n]...), nil
	case c.Kind == storage.Decoded:
		return append(dst, c.Values...), nil
	case c.Kind == storage.Stream:
		return w.stored.DecodeStream(dst, c)
	}
	return format.Decode(dst, c.Data, n)
}

// compact collects the samples of a series that is not present throughout,
// into w.times and w.values. Stale markers are left out unless they end
// lookback.
func (w *worker) compact(times []int64, chunks []storage.Chunk, tiles []storage.Tile) error {
	w.times, w.values = w.times[:0], w.values[:0]
	stale := column.StaleNaN()
	for j := range chunks {
		c, tile := &chunks[j], tiles[j]
		if c.Kind == storage.None {
			continue
		}
		var err error
		n := column.PresentCount(c.Runs, tile.Len())
		if w.chunkValues, err = w.decode(w.chunkValues[:0], c, n); err != nil {
			return err
		}
		at, next := tile.From, 0
		present := func(to int) {
			w.times = append(w.times, times[at:to]...)
			w.values = append(w.values, w.chunkValues[next:next+to-at]...)
			next += to - at
			at = to
		}
		for _, run := range c.Runs {
			present(tile.From + int(run.At))
			end := tile.From + run.End()
			if run.State == column.Stale && w.src.staleEnds {
				for ; at < end; at++ {
					w.times = append(w.times, times[at])
					w.values = append(w.values, stale)
				}
			}
			at = end
		}
		present(tile.To)
	}
	return nil
}

// dropStale removes the steps whose last sample is a stale marker, and reports
// whether any is left.
func (w *worker) dropStale(win *function.Windows, present Bits) bool {
	left := false
	for i, hi := range win.Hi {
		if hi == win.Lo[i] {
			continue
		}
		if column.IsStale(w.values[hi-1]) {
			present.clearBit(i)
			continue
		}
		left = true
	}
	return left
}

// touch notes the steps whose windows have a sample.
func (w *worker) touch(win *function.Windows) {
	if w.touched == nil {
		return
	}
	for i, lo := range win.Lo {
		if lo < win.Hi[i] {
			w.touched.set(i)
		}
	}
}

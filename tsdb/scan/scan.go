// Package scan reads several parts of one tenant as one: it merges the series
// of blocks, head spans and late buffers into the column batches of a
// storage.Scan, and answers for labels, series and costs over all of them.
//
// Series are matched inside each part and merged in label order. The pieces
// of a series, ordered by time, are its path of time columns; series whose
// paths agree wherever both have data share a batch, whose time column is the
// concatenation of the pieces (design: query engine, "Columns"). A series
// whose pieces overlap in time, because two parts brought samples for the same
// stretch, gets a private column with decoded values.
//
// It owns nothing of the parts: who calls keeps them until the scan and
// everything that it handed out is given up.
//
// Invariants:
//
//   - I1: each series is in exactly one batch, and ranks count series in label
//     order. Series without a piece in the range are left out.
//   - I2: the parts stand in order of acceptance: of two samples of one series
//     at one time the one of the earlier part is the sample (N1).
//   - I3: a tile holds at most one piece of a series, so that its chunk is
//     handed out as the part has it; only private columns are decoded.
//   - I4: what cannot be read is left out and named in a warning.
//   - I5: two label sets with one canonical hash (series.Hash) are told apart
//     inside a part, and taken for one between parts when they are neighbours
//     in both: 2^-64 for a pair, against materialising every label set of
//     every part.
package scan

import (
	"context"
	"sync"
	"sync/atomic"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/util/annotations"

	"github.com/nilometer/nilometer/storage"
	"github.com/nilometer/nilometer/tsdb/part"
)

// Bounds of one batch: small enough that workers share a scan of one target, large
// enough that what is done once for a batch serves many series.
const (
	batchSeriesMin = 16
	batchSeriesMax = 128
	batchChunksMax = 4096
	// batchesMin is into how many batches the series of one target are cut, if there
	// are enough of them.
	batchesMin = 4
)

// checkEvery is how many series are handled between two looks at the context.
const checkEvery = 1024

// Scan is a storage.Scan over parts.
type Scan struct {
	parts            []part.Part
	minTime, maxTime int64
	timesOnly        bool

	series  []entry // by rank
	members []member
	columns []timeColumn // by the scan's own column numbers
	numbers []numbering  // of each part's columns
	stretch []stretch    // of all paths
	paths   []path
	ranks   []uint32 // of all batches
	batches []batch
	next    atomic.Int64 // index of the next batch to hand out

	warnings *warnings

	mu      sync.Mutex // guards scratch
	scratch map[*storage.ColumnBatch]*scratch
}

var _ storage.Scan = (*Scan)(nil)

// batch is the series s.ranks[from:to] of one path, or one series on a
// private column (path < 0).
type batch struct {
	path     int32
	from, to int32
}

// Select returns the columns of the series of all parts that match and have
// samples in the selection's range. The parts stand in order of acceptance
// (I2). Selection.Partial is of no concern here.
func Select(ctx context.Context, parts []part.Part, sel storage.Selection) (*Scan, error) {
	f, err := Find(ctx, parts, sel)
	if err != nil {
		return nil, err
	}
	return f.Scan(ctx, sel)
}

// overlapping returns the parts that may have samples in the range.
func overlapping(parts []part.Part, minTime, maxTime int64) []part.Part {
	var out []part.Part
	for _, p := range parts {
		if from, to := p.Range(); from <= maxTime && to >= minTime && from <= to {
			out = append(out, p)
		}
	}
	return out
}

// times returns the time column of a piece of a part, nil when the selection did not meet
// it: then its page was damaged, and what a scan cannot read twice it does not
// read once.
func (s *Scan) times(p int32, piece *part.Piece) []int64 {
	n := s.numbers[p].find(piece.Column)
	if n == 0 {
		return nil
	}
	times := s.columns[n-1].times
	if int(piece.To) > len(times) || piece.From >= piece.To {
		return nil
	}
	return times
}

// cutBatches sorts the ranks by path, keeping their order, and cuts each
// path's ranks into batches. Series with private columns are batches of one.
func (s *Scan) cutBatches(pathOf []int32) {
	starts := make([]int32, len(s.paths)+1)
	private := 0
	for _, p := range pathOf {
		if p < 0 {
			private++
			continue
		}
		starts[p+1]++
	}
	for i := range s.paths {
		starts[i+1] += starts[i]
	}
	s.ranks = make([]uint32, len(pathOf))
	s.batches = make([]batch, 0, len(s.paths)+private)
	at := append([]int32(nil), starts...)
	own := starts[len(s.paths)]
	for rank, p := range pathOf {
		if p < 0 {
			s.ranks[own] = uint32(rank)
			s.batches = append(s.batches, batch{path: -1, from: own, to: own + 1})
			own++
			continue
		}
		s.ranks[at[p]] = uint32(rank)
		at[p]++
	}
	most := min(max(len(pathOf)/batchesMin, batchSeriesMin), batchSeriesMax)
	for i, p := range s.paths {
		size := int32(min(most, max(1, batchChunksMax/p.len)))
		for from := starts[i]; from < starts[i+1]; from += size {
			s.batches = append(s.batches, batch{path: int32(i), from: from, to: min(from+size, starts[i+1])})
		}
	}
}

// Series is the number of series.
func (s *Scan) Series() int { return len(s.series) }

// Labels returns the label set of a rank.
func (s *Scan) Labels(rank uint32) labels.Labels {
	m := s.members[s.series[rank].head]
	b := labels.NewScratchBuilder(16)
	s.parts[m.part].Labels(m.ref, &b)
	return b.Labels()
}

// LabelValue returns one label of a rank.
func (s *Scan) LabelValue(rank uint32, name string) string {
	m := s.members[s.series[rank].head]
	return s.parts[m.part].LabelValue(m.ref, name)
}

// Next fills b with the next batch.
func (s *Scan) Next(ctx context.Context, b *storage.ColumnBatch) (bool, error) {
	b.Reset()
	if err := ctx.Err(); err != nil {
		return false, err
	}
	i := s.next.Add(1) - 1
	if i >= int64(len(s.batches)) {
		return false, nil
	}
	next := s.batches[i]
	w := s.scratchOf(b)
	b.Number, b.Path = int(i), int(next.path)+1
	b.Ranks = append(b.Ranks, s.ranks[next.from:next.to]...)
	if next.path < 0 {
		return true, s.fillPrivate(b, w)
	}
	return true, s.fill(b, w, s.paths[next.path])
}

// scratchOf returns the memory that goes with a caller's batch.
func (s *Scan) scratchOf(b *storage.ColumnBatch) *scratch {
	s.mu.Lock()
	defer s.mu.Unlock()
	w := s.scratch[b]
	if w == nil {
		w = &scratch{}
		s.scratch[b] = w
	}
	w.runs = w.runs[:0]
	return w
}

// Warnings names what could not be read.
func (s *Scan) Warnings() annotations.Annotations { return s.warnings.all() }

// Close gives the scan's memory up.
func (s *Scan) Close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.scratch)
}

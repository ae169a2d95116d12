package storagetest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sort"
	"sync"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/util/annotations"

	format "github.com/nilometer/nilometer/format/column"
	"github.com/nilometer/nilometer/format/histogram"
	"github.com/nilometer/nilometer/model/tenant"
	"github.com/nilometer/nilometer/storage"
)

// memView has the slices of every series as they were.
type memView struct {
	opts     MemoryOptions
	series   []memSeries // in label order; samples are frozen
	metadata map[string]storage.Metadata

	mu     sync.Mutex // guards closed
	closed bool
}

// View pins the state of a tenant.
func (m *Memory) View(ctx context.Context, id tenant.ID) (storage.View, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if err := id.Validate(); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	t := m.tenantLocked(id)
	v := &memView{opts: m.opts, metadata: maps.Clone(t.metadata)}
	for _, s := range t.series {
		v.series = append(v.series, *s)
	}
	slices.SortFunc(v.series, func(a, b memSeries) int { return labels.Compare(a.labels, b.labels) })
	return v, nil
}

func (v *memView) Close() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.closed = true
}

// between returns the samples of a sorted slice in [minTime, maxTime].
func between(samples []Sample, minTime, maxTime int64) []Sample {
	from := sort.Search(len(samples), func(i int) bool { return samples[i].T >= minTime })
	to := sort.Search(len(samples), func(i int) bool { return samples[i].T > maxTime })
	return samples[from:max(from, to)]
}

// matching returns the series that match and have samples in the range, with
// those samples alone.
func (v *memView) matching(ctx context.Context, s storage.Selection) ([]memSeries, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.closed {
		return nil, errors.New("select: the view is closed")
	}
	var out []memSeries
	for _, x := range v.series {
		x.samples = between(x.samples, s.MinTime, s.MaxTime)
		if len(x.samples) > 0 && Matches(x.labels, s.Matchers...) {
			out = append(out, x)
		}
	}
	return out, nil
}

func (v *memView) Select(ctx context.Context, s storage.Selection) (storage.Scan, error) {
	found, err := v.matching(ctx, s)
	if err != nil {
		return nil, err
	}
	scan := &memScan{opts: v.opts, series: found}
	columns := map[*memGroup][]uint32{}
	var order []*memGroup
	for rank, x := range found {
		if x.mixed {
			scan.batches = append(scan.batches, []uint32{uint32(rank)})
			continue
		}
		if columns[x.owner] == nil {
			order = append(order, x.owner)
		}
		columns[x.owner] = append(columns[x.owner], uint32(rank))
	}
	for _, g := range order {
		scan.batches = slices.AppendSeq(scan.batches, slices.Chunk(columns[g], v.opts.BatchSeries))
	}
	return scan, nil
}

func (v *memView) LabelNames(ctx context.Context, s storage.Selection, limit int) ([]string, annotations.Annotations, error) {
	return v.collect(ctx, s, limit, func(l labels.Label) (string, bool) { return l.Name, true })
}

func (v *memView) LabelValues(ctx context.Context, name string, s storage.Selection, limit int) ([]string, annotations.Annotations, error) {
	return v.collect(ctx, s, limit, func(l labels.Label) (string, bool) { return l.Value, l.Name == name })
}

func (v *memView) collect(ctx context.Context, s storage.Selection, limit int, pick func(labels.Label) (string, bool)) ([]string, annotations.Annotations, error) {
	found, err := v.matching(ctx, s)
	if err != nil {
		return nil, nil, err
	}
	set := map[string]bool{}
	for _, x := range found {
		x.labels.Range(func(l labels.Label) {
			if str, ok := pick(l); ok {
				set[str] = true
			}
		})
	}
	out, warnings := cut(slices.Sorted(maps.Keys(set)), limit)
	return out, warnings, nil
}

func cut[T any](all []T, limit int) ([]T, annotations.Annotations) {
	if limit <= 0 || len(all) <= limit {
		return all, nil
	}
	return all[:limit], annotations.New().Add(storage.ErrTruncated)
}

func (v *memView) Series(ctx context.Context, s storage.Selection, limit int) ([]labels.Labels, annotations.Annotations, error) {
	found, err := v.matching(ctx, s)
	if err != nil {
		return nil, nil, err
	}
	var all []labels.Labels
	for _, x := range found {
		all = append(all, x.labels)
	}
	out, warnings := cut(all, limit)
	return out, warnings, nil
}

func (v *memView) Estimate(ctx context.Context, s storage.Selection) (storage.Estimate, error) {
	found, err := v.matching(ctx, s)
	var e storage.Estimate
	for _, x := range found {
		e.Series++
		e.Samples += int64(len(x.samples))
		e.Bytes += 8 * int64(len(x.samples))
	}
	return e, err
}

func (v *memView) Exemplars(context.Context, storage.Selection) ([]storage.SeriesExemplars, error) {
	return nil, fmt.Errorf("exemplars of a store in memory: %w", storage.ErrUnsupported)
}

func (v *memView) Metadata(ctx context.Context, family string, limit int) ([]storage.Metadata, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	var out []storage.Metadata
	for _, md := range v.metadata {
		if family == "" || md.Family == family {
			out = append(out, md)
		}
	}
	slices.SortFunc(out, func(a, b storage.Metadata) int { return cmp.Compare(a.Family, b.Family) })
	out, _ = cut(out, limit)
	return out, nil
}

// memScan hands out one batch for some series of one group, or for one series
// that several groups wrote.
type memScan struct {
	opts   MemoryOptions
	series []memSeries

	mu      sync.Mutex // guards what follows
	batches [][]uint32
	number  int // of the next batch
}

func (s *memScan) Series() int                                { return len(s.series) }
func (s *memScan) Labels(rank uint32) labels.Labels           { return s.series[rank].labels }
func (s *memScan) LabelValue(rank uint32, name string) string { return s.series[rank].labels.Get(name) }
func (s *memScan) Warnings() annotations.Annotations          { return nil }
func (s *memScan) Close()                                     {}

func (s *memScan) Next(ctx context.Context, b *storage.ColumnBatch) (bool, error) {
	b.Reset()
	if err := ctx.Err(); err != nil {
		return false, err
	}
	s.mu.Lock()
	if len(s.batches) == 0 {
		s.mu.Unlock()
		return false, nil
	}
	ranks := s.batches[0]
	s.batches = s.batches[1:]
	b.Number = s.number
	s.number++
	s.mu.Unlock()

	b.Ranks = append(b.Ranks, ranks...)
	times := map[int64]bool{}
	for _, rank := range ranks {
		for _, x := range s.series[rank].samples {
			times[x.T] = true
		}
	}
	b.Times = slices.AppendSeq(b.Times, maps.Keys(times))
	slices.Sort(b.Times)
	for from := 0; from < len(b.Times); from += s.opts.TilePositions {
		b.Tiles = append(b.Tiles, storage.Tile{From: from, To: min(len(b.Times), from+s.opts.TilePositions)})
	}
	var enc format.Encoder
	for _, rank := range ranks {
		for _, tile := range b.Tiles {
			b.Chunks = append(b.Chunks, s.chunk(&enc, s.series[rank].samples, b.Times[tile.From:tile.To]))
		}
	}
	return true, nil
}

// chunk is a series on one tile.
func (s *memScan) chunk(enc *format.Encoder, samples []Sample, times []int64) storage.Chunk {
	samples = between(samples, times[0], times[len(times)-1])
	if len(samples) == 0 {
		return storage.Chunk{}
	}
	c := storage.ChunkOf(times, samples)
	if s.opts.Decoded {
		return c
	}
	if len(c.Starts) > 0 {
		c.StartData = enc.AppendInts(nil, c.Starts)
	}
	switch {
	case c.Kind == storage.Histograms:
		c.Kind, c.Data = storage.EncodedHistograms, new(histogram.Encoder).Append(nil, c.Histograms, c.Values)
	default:
		c.Kind = storage.Encoded
		if len(c.Values) > 0 {
			c.Data = enc.Append(nil, c.Values)
		}
	}
	c.Values, c.Histograms, c.Starts = nil, nil, nil
	return c
}

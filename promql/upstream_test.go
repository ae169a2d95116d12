package promql_test

import (
	"context"
	"fmt"
	"sync"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"
	upstream "github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
	"github.com/prometheus/prometheus/util/annotations"

	"github.com/nilometer/nilometer/model/column"
	"github.com/nilometer/nilometer/model/tenant"
	"github.com/nilometer/nilometer/storage"
)

// upstreamReader is a storage.Reader over upstream's storage: series with the
// same timestamps share a batch. Only View, Select and Close work, and Changed,
// which says that all has changed.
type upstreamReader struct {
	storage.Reader
	q upstream.Queryable
}

func (r upstreamReader) View(context.Context, tenant.ID) (storage.View, error) {
	return &upstreamView{q: r.q}, nil
}

func (r upstreamReader) Changed(_ tenant.ID, _ uint64, mint int64) (now uint64, from int64) {
	return 0, mint
}

type upstreamView struct {
	storage.View
	q upstream.Queryable
}

func (*upstreamView) Close() {}

// Estimate knows nothing: upstream's storage has no estimates.
func (*upstreamView) Estimate(context.Context, storage.Selection) (storage.Estimate, error) {
	return storage.Estimate{}, nil
}

func (v *upstreamView) Select(ctx context.Context, sel storage.Selection) (storage.Scan, error) {
	querier, err := v.q.Querier(sel.MinTime, sel.MaxTime)
	if err != nil {
		return nil, err
	}
	defer querier.Close()
	s := &upstreamScan{byTimes: map[string][]int{}}
	set := querier.Select(ctx, true, nil, sel.Matchers...)
	for set.Next() {
		if err := s.add(set.At()); err != nil {
			return nil, err
		}
	}
	return s, set.Err()
}

type upstreamScan struct {
	series  []upstreamSeries
	byTimes map[string][]int
	keys    []string

	mu     sync.Mutex // guards keys and number
	number int        // of the next batch
}

type upstreamSeries struct {
	labels  labels.Labels
	times   []int64
	samples []column.Sample
}

func (s *upstreamScan) add(from upstream.Series) error {
	x := upstreamSeries{labels: from.Labels()}
	it := from.Iterator(nil)
	for kind := it.Next(); kind != chunkenc.ValNone; kind = it.Next() {
		s := column.Sample{T: it.AtT(), Start: it.AtST()}
		if kind == chunkenc.ValFloat {
			_, s.V = it.At()
		} else {
			_, s.H.Float = it.AtFloatHistogram(nil)
			if value.IsStaleNaN(s.H.Float.Sum) {
				s.H, s.V = column.Histogram{}, column.StaleNaN()
			}
		}
		x.times = append(x.times, s.T)
		x.samples = append(x.samples, s)
	}
	key := fmt.Sprint(x.times)
	if s.byTimes[key] == nil {
		s.keys = append(s.keys, key)
	}
	s.byTimes[key] = append(s.byTimes[key], len(s.series))
	s.series = append(s.series, x)
	return it.Err()
}

func (s *upstreamScan) Series() int                      { return len(s.series) }
func (s *upstreamScan) Labels(rank uint32) labels.Labels { return s.series[rank].labels }
func (s *upstreamScan) LabelValue(rank uint32, name string) string {
	return s.series[rank].labels.Get(name)
}
func (*upstreamScan) Warnings() annotations.Annotations { return nil }
func (*upstreamScan) Close()                            {}

func (s *upstreamScan) Next(_ context.Context, b *storage.ColumnBatch) (bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.keys) == 0 {
		return false, nil
	}
	members := s.byTimes[s.keys[0]]
	s.keys = s.keys[1:]
	b.Reset()
	b.Number = s.number
	s.number++
	b.Times = append(b.Times, s.series[members[0]].times...)
	for from := 0; from < len(b.Times); from += column.TilePositions {
		b.Tiles = append(b.Tiles, storage.Tile{From: from, To: min(from+column.TilePositions, len(b.Times))})
	}
	for _, rank := range members {
		b.Ranks = append(b.Ranks, uint32(rank))
		x := &s.series[rank]
		for _, tile := range b.Tiles {
			b.Chunks = append(b.Chunks, storage.ChunkOf(b.Times[tile.From:tile.To], x.samples[tile.From:tile.To]))
		}
	}
	return true, nil
}

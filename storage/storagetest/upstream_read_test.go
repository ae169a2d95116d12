package storagetest_test

import (
	"context"
	"errors"
	"math"
	"slices"
	"sync"

	"github.com/prometheus/prometheus/model/labels"
	prometheus "github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
	"github.com/prometheus/prometheus/util/annotations"

	"github.com/nilometer/nilometer/model/column"
	"github.com/nilometer/nilometer/model/tenant"
	"github.com/nilometer/nilometer/storage"
	"github.com/nilometer/nilometer/storage/storagetest"
)

// upstreamView is a querier of Prometheus: it pins samples, and the series that
// are there when it is made.
type upstreamView struct {
	store  *upstream
	tenant *upstreamTenant

	mu     sync.Mutex // guards what follows: a querier is one goroutine's
	q      prometheus.Querier
	kept   []upstreamFound // everything, where something was deleted since
	isKept bool
	closed bool
}

// View implements storage.Reader.
func (u *upstream) View(ctx context.Context, id tenant.ID) (storage.View, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	t, err := u.tenantLocked(id)
	if err != nil {
		return nil, err
	}
	q, err := t.db.Querier(math.MinInt64, math.MaxInt64)
	if err != nil {
		return nil, err
	}
	v := &upstreamView{store: u, tenant: t, q: q}
	t.views[v] = true
	return v, nil
}

// Close implements storage.View.
func (v *upstreamView) Close() {
	v.store.mu.Lock()
	defer v.store.mu.Unlock()
	delete(v.tenant.views, v)
	v.mu.Lock()
	defer v.mu.Unlock()
	if !v.closed {
		v.closed = true
		_ = v.q.Close() // it was only read
	}
}

// upstreamFound is one series of a selection.
type upstreamFound struct {
	labels labels.Labels
	times  []int64
	values []float64
}

// find returns the series that match and have samples in the range.
func (v *upstreamView) find(ctx context.Context, s storage.Selection) ([]upstreamFound, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if v.closed {
		return nil, errors.New("the view is closed")
	}
	if v.isKept {
		var out []upstreamFound
		for _, x := range v.kept {
			from, _ := slices.BinarySearch(x.times, s.MinTime)
			to := from
			for to < len(x.times) && x.times[to] <= s.MaxTime {
				to++
			}
			if from < to && storagetest.Matches(x.labels, s.Matchers...) {
				out = append(out, upstreamFound{x.labels, x.times[from:to], x.values[from:to]})
			}
		}
		return out, nil
	}
	return v.findLocked(ctx, s)
}

// keep reads everything that the view may be asked for.
func (v *upstreamView) keep() (err error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if !v.isKept {
		v.kept, err = v.findLocked(context.Background(), storage.Selection{MinTime: math.MinInt64, MaxTime: math.MaxInt64})
		v.isKept = err == nil
	}
	return err
}

func (v *upstreamView) findLocked(ctx context.Context, s storage.Selection) ([]upstreamFound, error) {
	var out []upstreamFound
	set := v.q.Select(ctx, true, &prometheus.SelectHints{Start: s.MinTime, End: s.MaxTime}, orAll(s.Matchers)...)
	for set.Next() {
		x := upstreamFound{labels: set.At().Labels()}
		for it := set.At().Iterator(nil); it.Next() == chunkenc.ValFloat; {
			if t, value := it.At(); t >= s.MinTime && t <= s.MaxTime {
				x.times, x.values = append(x.times, t), append(x.values, value)
			}
		}
		if len(x.times) > 0 {
			out = append(out, x)
		}
	}
	return out, set.Err()
}

// Select implements storage.View.
func (v *upstreamView) Select(ctx context.Context, s storage.Selection) (storage.Scan, error) {
	found, err := v.find(ctx, s)
	if err != nil {
		return nil, err
	}
	return &upstreamScan{found: found}, nil
}

// LabelNames implements storage.View. With a range or matchers, Prometheus'
// own answer may name series without samples there, so they are counted out.
func (v *upstreamView) LabelNames(ctx context.Context, s storage.Selection, limit int) ([]string, annotations.Annotations, error) {
	return v.collect(ctx, s, limit, func(l labels.Label) (string, bool) { return l.Name, true })
}

// LabelValues implements storage.View.
func (v *upstreamView) LabelValues(ctx context.Context, name string, s storage.Selection, limit int) ([]string, annotations.Annotations, error) {
	return v.collect(ctx, s, limit, func(l labels.Label) (string, bool) { return l.Value, l.Name == name })
}

func (v *upstreamView) collect(ctx context.Context, s storage.Selection, limit int, pick func(labels.Label) (string, bool)) ([]string, annotations.Annotations, error) {
	found, err := v.find(ctx, s)
	if err != nil {
		return nil, nil, err
	}
	var out []string
	for _, x := range found {
		x.labels.Range(func(l labels.Label) {
			if text, ok := pick(l); ok {
				out = append(out, text)
			}
		})
	}
	slices.Sort(out)
	out = slices.Compact(out)
	if limit > 0 && len(out) > limit {
		return out[:limit], annotations.New().Add(storage.ErrTruncated), nil
	}
	return out, nil, nil
}

// Series implements storage.View.
func (v *upstreamView) Series(ctx context.Context, s storage.Selection, limit int) ([]labels.Labels, annotations.Annotations, error) {
	found, err := v.find(ctx, s)
	if err != nil {
		return nil, nil, err
	}
	var out []labels.Labels
	for i, x := range found {
		if limit > 0 && i == limit {
			return out, annotations.New().Add(storage.ErrTruncated), nil
		}
		out = append(out, x.labels)
	}
	return out, nil, nil
}

// Estimate implements storage.View.
func (v *upstreamView) Estimate(ctx context.Context, s storage.Selection) (storage.Estimate, error) {
	found, err := v.find(ctx, s)
	e := storage.Estimate{Series: int64(len(found))}
	for _, x := range found {
		e.Samples += int64(len(x.times))
	}
	e.Bytes = 16 * e.Samples
	return e, err
}

// Exemplars implements storage.View.
func (v *upstreamView) Exemplars(context.Context, storage.Selection) ([]storage.SeriesExemplars, error) {
	return nil, storage.ErrUnsupported
}

// Metadata implements storage.View.
func (v *upstreamView) Metadata(context.Context, string, int) ([]storage.Metadata, error) {
	return nil, storage.ErrUnsupported
}

// upstreamScan hands out one series a batch.
type upstreamScan struct {
	found []upstreamFound

	mu   sync.Mutex // guards next
	next int
}

func (s *upstreamScan) Series() int                      { return len(s.found) }
func (s *upstreamScan) Labels(rank uint32) labels.Labels { return s.found[rank].labels }
func (s *upstreamScan) LabelValue(rank uint32, name string) string {
	return s.found[rank].labels.Get(name)
}
func (s *upstreamScan) Warnings() annotations.Annotations { return nil }
func (s *upstreamScan) Close()                            {}

func (s *upstreamScan) Next(ctx context.Context, b *storage.ColumnBatch) (bool, error) {
	b.Reset()
	if err := ctx.Err(); err != nil {
		return false, err
	}
	s.mu.Lock()
	rank := s.next
	s.next++
	s.mu.Unlock()
	if rank >= len(s.found) {
		return false, nil
	}
	x := s.found[rank]
	b.Number = rank
	b.Ranks, b.Times = append(b.Ranks, uint32(rank)), append(b.Times, x.times...)
	for from := 0; from < len(x.times); from += column.TilePositions {
		to := min(len(x.times), from+column.TilePositions)
		b.Tiles = append(b.Tiles, storage.Tile{From: from, To: to})
		c := storage.Chunk{Kind: storage.Decoded}
		for pos, value := range x.values[from:to] {
			if column.IsStale(value) {
				c.Runs = column.AppendState(c.Runs, pos, column.Stale)
			} else {
				c.Values = append(c.Values, value)
			}
		}
		b.Chunks = append(b.Chunks, c)
	}
	return true, nil
}

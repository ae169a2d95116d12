package head_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"

	"github.com/nilometer/nilometer/model/tenant"
	"github.com/nilometer/nilometer/storage"
	"github.com/nilometer/nilometer/storage/storagetest"
	"github.com/nilometer/nilometer/tsdb/head"
	"github.com/nilometer/nilometer/vfs/mem"
)

// pairOf opens two groups of one writer: commits bring the same value to both.
func pairOf(ctx context.Context, s *store, writer int) ([2]storage.Group, error) {
	var pair [2]storage.Group
	for i, kind := range []storage.GroupKind{storage.Closed, storage.Open} {
		var err error
		if pair[i], err = s.OpenGroup(ctx, tenant.Default, storagetest.Spec(kind, fmt.Sprint("writer", writer))); err != nil {
			return pair, err
		}
	}
	return pair, nil
}

// commitPair writes value to four series of both groups, and every third time
// to a series that all writers share.
func commitPair(ctx context.Context, s *store, pair [2]storage.Group, writer, value int) error {
	var prepared []storage.Prepared
	for i, g := range pair {
		var lsets []labels.Labels
		b := &storage.Batch{Time: origin + 1000*int64(value)}
		for k := range 4 {
			lsets = append(lsets, storagetest.Named(fmt.Sprintf("w%d_g%d_%d", writer, i, k)))
			b.Values = append(b.Values, float64(value))
		}
		if i == 1 && value%3 == 0 {
			lsets = append(lsets, storagetest.Named("shared"))
			b.Values = append(b.Values, float64(value))
		}
		out := make([]storage.Resolution, len(lsets))
		var err error
		if b.Version, err = g.Resolve(ctx, lsets, out); err != nil {
			return err
		}
		for _, r := range out {
			b.Slots = append(b.Slots, r.Slot)
		}
		p, err := g.Prepare(ctx, b)
		if err != nil {
			return err
		}
		prepared = append(prepared, p)
	}
	return s.Commit(ctx, storage.Durability(1+value%2), prepared...)
}

// TestViewsSeeWholeCommits has writers and readers at once: in every view all
// series of a writer have the same last value, and no less than what the writer
// knew to be committed before the view.
func TestViewsSeeWholeCommits(t *testing.T) {
	const writers, values = 3, 700
	s, _, err := openWith(mem.New(), nil, head.Options{BlockRange: 10 * time.Minute}, -1<<62)
	if err != nil {
		t.Fatal(err)
	}
	defer s.log.Close() //nolint:errcheck // in memory
	var committed [writers]atomic.Int64
	var writing, reading sync.WaitGroup
	for w := range writers {
		writing.Go(func() {
			pair, err := pairOf(t.Context(), s, w)
			for i := 1; i <= values && err == nil; i++ {
				if err = commitPair(t.Context(), s, pair, w, i); err == nil {
					committed[w].Store(int64(i))
				}
			}
			if err != nil {
				t.Error(err)
			}
		})
	}
	done := make(chan struct{})
	for range 2 {
		reading.Go(func() {
			for !t.Failed() {
				select {
				case <-done:
					return
				default:
				}
				var least [writers]int64
				for w := range least {
					least[w] = committed[w].Load()
				}
				if err := checkView(t.Context(), s, least[:]); err != nil {
					t.Error(err)
				}
			}
		})
	}
	writing.Wait()
	close(done)
	reading.Wait()
	if err := checkView(t.Context(), s, []int64{values, values, values}); err != nil {
		t.Error(err)
	}
}

func checkView(ctx context.Context, s *store, least []int64) error {
	got, err := storagetest.ReadAll(ctx, s, tenant.Default)
	if err != nil {
		return err
	}
	last := map[int]float64{}
	for _, x := range got {
		var w, g, k int
		if n, _ := fmt.Sscanf(x.Labels.Get(model.MetricNameLabel), "w%d_g%d_%d", &w, &g, &k); n != 3 {
			continue
		}
		for i, sample := range x.Samples {
			if sample.V != float64(i+1) || sample.T != origin+1000*int64(i+1) {
				return fmt.Errorf("series %s: sample %d is %+v", x.Labels, i, sample)
			}
		}
		v := x.Samples[len(x.Samples)-1].V
		if before, ok := last[w]; ok && before != v {
			return fmt.Errorf("series %s ends with %v, another of its commits with %v", x.Labels, v, before)
		}
		last[w] = v
	}
	for w, n := range least {
		if last[w] < float64(n) {
			return fmt.Errorf("writer %d has committed %d, the view has %v", w, n, last[w])
		}
	}
	return nil
}

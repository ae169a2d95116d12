package head_test

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/nilometer/nilometer/model/tenant"
	"github.com/nilometer/nilometer/storage"
	"github.com/nilometer/nilometer/storage/storagetest"
	"github.com/nilometer/nilometer/tsdb/head"
	"github.com/nilometer/nilometer/vfs/mem"
)

// BenchmarkDropStall forgets two fifths of a million series, whose labels are
// then copied to new memory, and reports how long the index made others wait.
func BenchmarkDropStall(b *testing.B) {
	const targets, each = 200, 5000
	for b.Loop() {
		s, _, err := openWith(mem.New(), nil, head.Options{BlockRange: time.Minute}, -1<<62)
		if err != nil {
			b.Fatal(err)
		}
		h := s.Head(tenant.Default)
		for n := range targets {
			g, err := s.OpenGroup(b.Context(), tenant.Default, storagetest.Spec(storage.Open, fmt.Sprint("target", n)))
			if err != nil {
				b.Fatal(err)
			}
			batch := storage.Batch{Time: origin, Values: make([]float64, each)}
			lsets := make([]labels.Labels, each)
			for i := range lsets {
				lsets[i] = labels.FromStrings("__name__", fmt.Sprint("m", i%50), "id", fmt.Sprintf("%d_%d", n, i), "instance", fmt.Sprint("i", n), "job", "j", "path", fmt.Sprint("/", i%500))
			}
			for _, at := range []int64{0, 60_000} {
				if n%5 < 2 && at > 0 {
					break
				}
				batch.Time = origin + at
				if err := write(s, g, batch, lsets, storage.Logged); err != nil {
					b.Fatal(err)
				}
			}
		}
		for _, span := range h.Spans(origin + 60_000) {
			h.Cut(span).Release()
		}
		done := make(chan struct{})
		var longest time.Duration
		var watching sync.WaitGroup
		watching.Go(func() {
			for {
				select {
				case <-done:
					return
				case <-time.After(100 * time.Microsecond):
				}
				begin := time.Now()
				_ = h.Series()
				longest = max(longest, time.Since(begin))
			}
		})
		begin := time.Now()
		h.Drop(h.Horizon())
		took := time.Since(begin)
		close(done)
		watching.Wait()
		b.ReportMetric(float64(longest.Milliseconds()), "stall-ms")
		b.ReportMetric(float64(took.Milliseconds()), "drop-ms")
		b.ReportMetric(float64(h.Series()), "series-left")
		if err := s.log.Close(); err != nil {
			b.Fatal(err)
		}
	}
}

package head_test

import (
	"fmt"
	"testing"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/nilometer/nilometer/model/tenant"
	"github.com/nilometer/nilometer/storage"
	"github.com/nilometer/nilometer/storage/storagetest"
	"github.com/nilometer/nilometer/tsdb/head"
	"github.com/nilometer/nilometer/vfs/mem"
)

// BenchmarkLate appends late samples with the log's bytes: a whole request of
// series at one time, and one of twenty samples of each series.
func BenchmarkLate(b *testing.B) {
	const series = 500
	for name, batches := range map[string]int{"one sample a series": 1, "twenty samples a series": 20} {
		b.Run(name, func(b *testing.B) {
			s, _, err := openWith(mem.New(), nil, head.Options{Backfill: true, LateBytesMax: 1 << 40}, -1<<62)
			if err != nil {
				b.Fatal(err)
			}
			g, err := s.OpenGroup(b.Context(), tenant.Default, storagetest.Spec(storage.Open, "push"))
			if err != nil {
				b.Fatal(err)
			}
			lsets := make([]labels.Labels, series)
			for i := range lsets {
				lsets[i] = labels.FromStrings("__name__", "http_requests_total", "code", "200", "handler", fmt.Sprint("/api/v1/path/", i), "instance", "10.0.0.7:9100", "job", "node", "method", "GET")
			}
			out := make([]storage.Resolution, series)
			version, err := g.Resolve(b.Context(), lsets, out)
			if err != nil {
				b.Fatal(err)
			}
			batch := func(at int64) *storage.Batch {
				x := &storage.Batch{Time: at, Version: version}
				for i, r := range out {
					x.Slots, x.Values = append(x.Slots, r.Slot), append(x.Values, float64(at/1000+int64(i)))
				}
				return x
			}
			const newest = 1_700_000_000_000
			if _, err := g.Append(b.Context(), batch(newest), storage.Logged); err != nil {
				b.Fatal(err)
			}
			at, n := int64(newest-1_000_000_000), 0
			b.ReportAllocs()
			for b.Loop() {
				var ps []storage.Prepared
				for range batches {
					at += 1000
					p, err := g.Prepare(b.Context(), batch(at))
					if err != nil {
						b.Fatal(err)
					}
					ps = append(ps, p)
				}
				if err := s.Commit(b.Context(), storage.Logged, ps...); err != nil {
					b.Fatal(err)
				}
				for _, p := range ps {
					n += p.Result().Appended
				}
			}
			if n != b.N*batches*series {
				b.Fatalf("%d samples of %d were taken", n, b.N*batches*series)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(n), "ns/sample")
			b.ReportMetric(float64(s.Head(tenant.Default).Late().UsedBytes())/float64(n), "B/sample")
		})
	}
}

package head_test

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/nilometer/nilometer/bench/corpus"
	"github.com/nilometer/nilometer/model/tenant"
	"github.com/nilometer/nilometer/storage"
	"github.com/nilometer/nilometer/storage/storagetest"
	"github.com/nilometer/nilometer/vfs"
	"github.com/nilometer/nilometer/vfs/mem"
)

// recording is one exporter's scrapes as batches: series by number, values by
// scrape, stale markers where a series is missing.
type recording struct {
	lsets  []labels.Labels
	values [][]float64
}

func recordingOf(tb testing.TB, name string, scrapes int) *recording {
	tb.Helper()
	loaded, err := corpus.Load(name, scrapes)
	if err != nil {
		tb.Fatal(err)
	}
	rec := &recording{values: loaded.Values}
	for _, lset := range loaded.Labels {
		rec.lsets = append(rec.lsets, labels.NewBuilder(lset).Set("job", name).Set("instance", "10.0.0.7:9100").Labels())
	}
	return rec
}

// append appends n scrapes of a recording, over and over, five seconds apart,
// and returns the number of samples. It starts the timer before the first.
func (r *recording) append(b *testing.B, g storage.Group, n int, durability storage.Durability) (samples int) {
	b.Helper()
	out := make([]storage.Resolution, len(r.lsets))
	version, err := g.Resolve(b.Context(), r.lsets, out)
	if err != nil {
		b.Fatal(err)
	}
	batch := &storage.Batch{Version: version, Slots: make([]storage.Slot, len(out))}
	for i, x := range out {
		batch.Slots[i] = x.Slot
	}
	b.ResetTimer()
	for i := range n {
		batch.Time = origin + 5000*int64(i)
		batch.Values = r.values[i%len(r.values)]
		res, err := g.Append(b.Context(), batch, durability)
		if err != nil || len(res.Rejected) > 0 {
			b.Fatal(res, err)
		}
		samples += len(batch.Slots)
	}
	return samples
}

// BenchmarkAppend appends recorded scrapes, the log included.
func BenchmarkAppend(b *testing.B) {
	for _, name := range corpus.Names() {
		b.Run(name, func(b *testing.B) { appendRecording(b, recordingOf(b, name, 400)) })
	}
	b.Run("every value changes", func(b *testing.B) {
		rec, rng := &recording{}, rand.New(rand.NewPCG(1, 1))
		const series, scrapes = 1000, 400
		counters := make([]float64, series)
		for i := range series {
			rec.lsets = append(rec.lsets, storagetest.Named(name("m%d", i)))
		}
		for range scrapes {
			row := make([]float64, series)
			for i := range row {
				counters[i] += float64(1 + rng.IntN(5000))
				row[i] = counters[i]
				if i%3 == 0 {
					row[i] = counters[i] / 1000
				}
			}
			rec.values = append(rec.values, row)
		}
		appendRecording(b, rec)
	})
}

func appendRecording(b *testing.B, rec *recording) {
	disk := mem.New()
	s, err := open(disk, nil)
	if err != nil {
		b.Fatal(err)
	}
	g, err := s.OpenGroup(b.Context(), tenant.Default, storagetest.Spec(storage.Closed, "scrape"))
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	samples := rec.append(b, g, b.N, storage.Logged)
	b.StopTimer()
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(samples), "ns/sample")
	if err := s.log.Sync(b.Context()); err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64(logBytes(b, disk))/float64(b.N*len(rec.lsets)), "logB/sample")
}

func name(format string, args ...any) string { return fmt.Sprintf(format, args...) }

func logBytes(tb testing.TB, fs vfs.FS) (n int64) {
	tb.Helper()
	names, err := fs.List("wal")
	if err != nil {
		tb.Fatal(err)
	}
	for _, name := range names {
		info, err := fs.Stat("wal/" + name)
		if err != nil {
			tb.Fatal(err)
		}
		n += info.Size()
	}
	return n
}

// BenchmarkReplay rebuilds a head from the log of 2,000 recorded scrapes.
func BenchmarkReplay(b *testing.B) {
	rec := recordingOf(b, "node", 400)
	disk := mem.New()
	s, err := open(disk, nil)
	if err != nil {
		b.Fatal(err)
	}
	g, err := s.OpenGroup(b.Context(), tenant.Default, storagetest.Spec(storage.Closed, "scrape"))
	if err != nil {
		b.Fatal(err)
	}
	samples := rec.append(b, g, 2000, storage.Logged)
	if err := s.log.Close(); err != nil {
		b.Fatal(err)
	}
	b.ResetTimer()
	for range b.N {
		s, err := open(disk, nil)
		if err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		if err := s.log.Close(); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*samples), "ns/sample")
}

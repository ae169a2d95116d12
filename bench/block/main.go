// Command block measures what a block of the recorded scrapes costs on disk:
//
//	go run ./bench/block [-every 3] [-hours 2] [-instances 1]
//
// every takes each n-th scrape (1: 5 s, 3: 15 s); instances repeats every
// exporter under so many instance labels, which shows the index: the chunks of
// the copies are equal, so only the first line of sizes means anything for
// samples then.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math"
	"os"
	"time"

	"github.com/klauspost/compress/zstd"
	"github.com/oklog/ulid/v2"
	"github.com/prometheus/prometheus/model/labels"

	"github.com/nilometer/nilometer/bench/corpus"
	"github.com/nilometer/nilometer/blob/mem"
	format "github.com/nilometer/nilometer/format/column"
	"github.com/nilometer/nilometer/format/index"
	"github.com/nilometer/nilometer/model/column"
	"github.com/nilometer/nilometer/model/tenant"
	"github.com/nilometer/nilometer/storage"
	"github.com/nilometer/nilometer/tsdb/block"
	"github.com/nilometer/nilometer/tsdb/part"
	"github.com/nilometer/nilometer/tsdb/part/parttest"
	"github.com/nilometer/nilometer/tsdb/scan"
)

func main() {
	every := flag.Int("every", 3, "take each n-th scrape")
	hours := flag.Int("hours", 2, "hours of scrapes")
	instances := flag.Int("instances", 1, "instances of each exporter")
	flag.Parse()
	if err := run(context.Background(), *every, time.Duration(*hours)*time.Hour, *instances); err != nil {
		fmt.Fprintln(os.Stderr, "bench/block:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, every int, length time.Duration, instances int) error {
	src := parttest.New("corpus")
	for _, name := range corpus.Names() {
		if err := load(src, name, every, length, instances); err != nil {
			return fmt.Errorf("load %s: %w", name, err)
		}
	}
	for _, o := range []struct {
		name string
		block.Options
	}{
		{"plain", block.Options{}},
		{"compact", block.Options{Compress: true}},
		{"final", block.Options{Compress: true, CompressMost: true}},
		{"16 KiB", block.Options{Compress: true, PageBytes: 16 << 10}},
	} {
		begin := time.Now()
		bucket := mem.New()
		meta, err := block.Write(ctx, bucket, tenant.Default, ulid.ULID{1}, o.Options, block.Meta{}, src)
		if err != nil {
			return err
		}
		s := meta.Stats
		n := float64(s.Samples)
		fmt.Printf("%-9s %d series, %d samples: %.4f B/sample whole = chunks %.4f + index %.4f; index %.2f B/series; %.0f ns/sample written\n",
			o.name, s.Series, s.Samples, float64(s.Bytes())/n, float64(s.ChunkBytes)/n, float64(s.IndexBytes)/n,
			float64(s.IndexBytes)/float64(s.Series), float64(time.Since(begin).Nanoseconds())/n)
		if err := sections(ctx, bucket, float64(s.Series)); err != nil {
			return err
		}
		if err := reads(ctx, bucket, n); err != nil {
			return err
		}
	}
	return nil
}

// sections prints the bytes a series of each section of the index.
func sections(ctx context.Context, bucket *mem.Bucket, series float64) error {
	raw, err := bucket.Get(ctx, block.Prefix(tenant.Default, ulid.ULID{1})+"index")
	if err != nil {
		return err
	}
	dec, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1))
	if err != nil {
		return err
	}
	defer dec.Close()
	x, err := index.Open(raw, dec)
	if err != nil {
		return err
	}
	for _, s := range x.Sizes() {
		fmt.Printf("  %s %.2f", s.Section, float64(s.Bytes)/series)
	}
	fmt.Println("  B/series")
	return nil
}

// reads prints the time to read and decode all samples of a block: when nothing
// of it is known yet, and the best of several rounds after that.
func reads(ctx context.Context, bucket *mem.Bucket, samples float64) error {
	b, err := block.Open(ctx, bucket, tenant.Default, ulid.ULID{1}, nil)
	if err != nil {
		return err
	}
	defer func() { _ = b.Release() }() // it was only read
	var cold, warm time.Duration
	var pieces []part.Piece
	var values storage.Values
	for round := range 12 {
		begin := time.Now()
		for ref := range part.Ref(b.SeriesCount()) {
			if pieces, err = b.Pieces(ref, math.MinInt64, math.MaxInt64, pieces[:0]); err != nil {
				return err
			}
			for i := range pieces {
				if err = values.Decode(&pieces[i].Chunk, int(pieces[i].To-pieces[i].From)); err != nil {
					return err
				}
			}
		}
		if took := time.Since(begin); round == 0 {
			cold = took
		} else if warm == 0 || took < warm {
			warm = took
		}
	}
	scanned, err := scans(ctx, b)
	if err != nil {
		return err
	}
	fmt.Printf("  read %.2f ns/sample cold, %.2f warm; scanned %.2f\n", float64(cold.Nanoseconds())/samples, float64(warm.Nanoseconds())/samples, float64(scanned.Nanoseconds())/samples)
	return nil
}

// scans returns the best time to select, lay out and decode all samples as a
// query does it.
func scans(ctx context.Context, b *block.Block) (best time.Duration, err error) {
	scratch := make([]float64, 0, column.TilePositions)
	var batch storage.ColumnBatch
	for range 12 {
		begin := time.Now()
		s, err := scan.Select(ctx, []part.Part{b}, storage.Selection{MinTime: math.MinInt64, MaxTime: math.MaxInt64})
		if err != nil {
			return 0, err
		}
		for {
			ok, err := s.Next(ctx, &batch)
			if err != nil {
				return 0, err
			}
			if !ok {
				break
			}
			for i, c := range batch.Chunks {
				if c.Kind != storage.Encoded {
					continue // its values are there
				}
				if _, err := format.Decode(scratch, c.Data, column.PresentCount(c.Runs, batch.Tiles[i%len(batch.Tiles)].Len())); err != nil {
					return 0, err
				}
			}
		}
		s.Close()
		if took := time.Since(begin); best == 0 || took < best {
			best = took
		}
	}
	return best, nil
}

// load adds the series of one exporter, all on one time column.
func load(src *parttest.Part, name string, every int, length time.Duration, instances int) error {
	r, err := corpus.Open(name)
	if err != nil {
		return err
	}
	defer func() { _ = r.Close() }() // it was only read
	var times []int64
	var order []string
	lsets := map[string]labels.Labels{}
	samples := map[string][]column.Sample{}
	for i := 0; ; i++ {
		s, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		if len(times) > 0 && s.UnixMs-times[0] >= length.Milliseconds() {
			break
		}
		if i%every != 0 || s.Failed() {
			continue
		}
		times = append(times, s.UnixMs)
		err = corpus.Parse(s.Body, labels.NewSymbolTable(), func(x corpus.Series) {
			lset := x.Labels()
			key := string(lset.Bytes(nil))
			if _, ok := lsets[key]; !ok {
				lsets[key] = lset
				order = append(order, key)
			}
			samples[key] = append(samples[key], column.Sample{T: s.UnixMs, V: x.Value})
		})
		if err != nil {
			return err
		}
	}
	for instance := range instances {
		id := src.AddColumn(times...)
		for _, key := range order {
			b := labels.NewBuilder(lsets[key])
			b.Set("job", name)
			b.Set("instance", fmt.Sprintf("10.0.%d.%d:9100", instance/250, instance%250))
			src.Samples(b.Labels(), id, samples[key]...)
		}
	}
	return nil
}

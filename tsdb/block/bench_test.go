package block_test

import (
	"fmt"
	"math"
	"testing"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/nilometer/nilometer/blob/mem"
	"github.com/nilometer/nilometer/model/column"
	"github.com/nilometer/nilometer/model/tenant"
	"github.com/nilometer/nilometer/storage"
	"github.com/nilometer/nilometer/tsdb/block"
	"github.com/nilometer/nilometer/tsdb/part"
	"github.com/nilometer/nilometer/tsdb/part/parttest"
)

// fleet is 100 targets of n series each on a column of their own; the chunks
// are constants, so that what is measured is all but the codec.
func fleet(n int) *parttest.Part {
	p := parttest.New("fleet")
	columns := make([]part.ColumnID, 100)
	for i := range columns {
		columns[i] = p.Regular(int64(i), 15_000, column.TilePositions)
	}
	values := make([]float64, column.TilePositions)
	for metric := range n {
		for i, id := range columns {
			lset := labels.FromStrings("__name__", fmt.Sprintf("metric_%05d_total", metric/5), "code", fmt.Sprint(200+metric%5), "instance", fmt.Sprintf("10.0.0.%02d:9100", i), "job", "node")
			p.AddSeries(lset, part.Piece{Column: id, To: column.TilePositions, Chunk: storage.Chunk{Kind: storage.Decoded, Values: values}})
		}
	}
	return p
}

func BenchmarkBlock(b *testing.B) {
	src := fleet(300)
	bucket := mem.New()
	meta, err := block.Write(b.Context(), bucket, tenant.Default, blockID(1), block.Options{}, block.Meta{}, src)
	if err != nil {
		b.Fatal(err)
	}
	series := float64(meta.Stats.Series)
	b.Run("write", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := block.Write(b.Context(), mem.New(), tenant.Default, blockID(1), block.Options{}, block.Meta{}, src); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/series, "ns/series")
	})
	b.Run("open", func(b *testing.B) {
		for b.Loop() {
			x, err := block.Open(b.Context(), bucket, tenant.Default, blockID(1), nil)
			if err != nil {
				b.Fatal(err)
			}
			_ = x.Release()
		}
	})
	x, err := block.Open(b.Context(), bucket, tenant.Default, blockID(1), nil)
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = x.Release() }()
	one := labels.MustNewMatcher(labels.MatchEqual, "__name__", "metric_00007_total")
	regex := labels.MustNewMatcher(labels.MatchRegexp, "instance", "10.0.0.[1-5].*")
	b.Run("select", func(b *testing.B) {
		for b.Loop() {
			if _, err := x.Select(b.Context(), one, regex); err != nil {
				b.Fatal(err)
			}
		}
	})
	refs, err := x.Select(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	b.Run("pieces", func(b *testing.B) {
		b.ReportAllocs()
		var pieces []part.Piece
		for b.Loop() {
			for _, ref := range refs {
				if pieces, err = x.Pieces(ref, math.MinInt64, math.MaxInt64, pieces[:0]); err != nil {
					b.Fatal(err)
				}
			}
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/series, "ns/series")
	})
	b.Run("labels", func(b *testing.B) {
		b.ReportAllocs()
		sb := labels.NewScratchBuilder(8)
		var lset labels.Labels
		for b.Loop() {
			for _, ref := range refs {
				x.Labels(ref, &sb)
				sb.Overwrite(&lset)
			}
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/series, "ns/series")
	})
	b.Run("cold", func(b *testing.B) {
		for b.Loop() {
			y, err := block.Open(b.Context(), bucket, tenant.Default, blockID(1), nil)
			if err != nil {
				b.Fatal(err)
			}
			sb := labels.NewScratchBuilder(8)
			var pieces []part.Piece
			for _, ref := range refs {
				y.Labels(ref, &sb)
				_ = y.Hash(ref)
				if pieces, err = y.Pieces(ref, math.MinInt64, math.MaxInt64, pieces[:0]); err != nil {
					b.Fatal(err)
				}
			}
			_ = y.Release()
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/series, "ns/series")
	})
}

// BenchmarkReferences reads chunks of which most refer to others.
func BenchmarkReferences(b *testing.B) {
	src := related(1)
	bucket := mem.New()
	_, err := block.Write(b.Context(), bucket, tenant.Default, blockID(1), block.Options{Compress: true}, block.Meta{}, src)
	if err != nil {
		b.Fatal(err)
	}
	x, err := block.Open(b.Context(), bucket, tenant.Default, blockID(1), nil)
	if err != nil {
		b.Fatal(err)
	}
	var values storage.Values
	var pieces []part.Piece
	n := 0
	b.ReportAllocs()
	for b.Loop() {
		n = 0
		for ref := range part.Ref(x.SeriesCount()) {
			if pieces, err = x.Pieces(ref, math.MinInt64, math.MaxInt64, pieces[:0]); err != nil {
				b.Fatal(err)
			}
			for i := range pieces {
				if err := values.Decode(&pieces[i].Chunk, int(pieces[i].To-pieces[i].From)); err != nil {
					b.Fatal(err)
				}
				n += len(values.Floats)
			}
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/sample")
}

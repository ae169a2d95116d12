package scan_test

import (
	"context"
	"fmt"
	"math"
	"testing"

	"github.com/oklog/ulid/v2"
	"github.com/prometheus/prometheus/model/labels"

	"github.com/nilometer/nilometer/blob/mem"
	format "github.com/nilometer/nilometer/format/column"
	"github.com/nilometer/nilometer/model/series"
	"github.com/nilometer/nilometer/model/tenant"
	"github.com/nilometer/nilometer/storage"
	"github.com/nilometer/nilometer/tsdb/block"
	"github.com/nilometer/nilometer/tsdb/part"
	"github.com/nilometer/nilometer/tsdb/part/parttest"
	"github.com/nilometer/nilometer/tsdb/scan"
)

// hashed keeps hashes, references and pieces at hand, as a block's index does.
type hashed struct {
	*parttest.Part
	hashes []series.Hash
	refs   []part.Ref
	pieces []part.Piece
}

func newHashed(p *parttest.Part) *hashed {
	h := &hashed{Part: p}
	h.refs, _ = p.Select(context.Background())
	for _, ref := range h.refs {
		h.hashes = append(h.hashes, p.Hash(ref))
		h.pieces, _ = p.Pieces(ref, math.MinInt64, math.MaxInt64, h.pieces)
	}
	return h
}

func (h *hashed) Hash(ref part.Ref) series.Hash { return h.hashes[ref] }

func (h *hashed) Pieces(ref part.Ref, _, _ int64, dst []part.Piece) ([]part.Piece, error) {
	return append(dst, h.pieces[ref]), nil
}

func (h *hashed) Select(context.Context, ...*labels.Matcher) ([]part.Ref, error) {
	return h.refs, nil
}

// blocks has 10,000 series in each of 12 parts, of which one in fifty lives in
// one part only. perColumn series share a time column.
func blocks(perColumn int) []part.Part {
	var enc format.Encoder
	chunk := storage.Chunk{Kind: storage.Encoded, Data: enc.Append(nil, constants(480, 7))}
	var out []part.Part
	for i := range 12 {
		p := parttest.New(fmt.Sprint("block ", i))
		var id part.ColumnID
		for k := range 10_000 {
			if k%perColumn == 0 {
				id = p.Regular(int64(i)*7_200_000+int64(k), 15_000, 480)
			}
			l := labels.FromStrings("__name__", "http_requests_total", "code", "200", "instance", fmt.Sprintf("10.0.0.%d:9100", k/100), "job", "node", "n", fmt.Sprint(k))
			if k%50 == 0 {
				l = labels.FromStrings("__name__", "http_requests_total", "code", "200", "instance", fmt.Sprintf("10.0.0.%d:9100", k/100), "job", "node", "n", fmt.Sprint(k), "pod", fmt.Sprint(i))
			}
			p.AddSeries(l, part.Piece{Column: id, From: 0, To: 480, Chunk: chunk})
		}
		out = append(out, newHashed(p))
	}
	return out
}

// written puts parts into blocks of a bucket in memory.
func written(b *testing.B, parts []part.Part) []part.Part {
	ctx := context.Background()
	bucket := mem.New()
	var out []part.Part
	for i, p := range parts {
		id := ulid.ULID{byte(i + 1)}
		if _, err := block.Write(ctx, bucket, tenant.Default, id, block.Options{}, block.Meta{Level: 1}, p); err != nil {
			b.Fatal(err)
		}
		opened, err := block.Open(ctx, bucket, tenant.Default, id, nil)
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { opened.Release() })
		out = append(out, opened)
	}
	return out
}

func BenchmarkSelect(b *testing.B) {
	for _, perColumn := range []int{100, 1} {
		benchmarkSelect(b, fmt.Sprintf("10000x12/%d_a_column", perColumn), blocks(perColumn))
		benchmarkSelect(b, fmt.Sprintf("10000x12_blocks/%d_a_column", perColumn), written(b, blocks(perColumn)))
	}
}

func benchmarkSelect(b *testing.B, name string, parts []part.Part) {
	b.Run(name, func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			s, err := scan.Select(context.Background(), parts, all())
			if err != nil {
				b.Fatal(err)
			}
			s.Close()
		}
	})
	b.Run(name+"_with_next", func(b *testing.B) {
		b.ReportAllocs()
		var batch storage.ColumnBatch
		for b.Loop() {
			s, err := scan.Select(context.Background(), parts, all())
			if err != nil {
				b.Fatal(err)
			}
			for ok := true; ok; {
				if ok, err = s.Next(context.Background(), &batch); err != nil {
					b.Fatal(err)
				}
			}
			s.Close()
		}
	})
}

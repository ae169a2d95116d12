package block_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/oklog/ulid/v2"

	"github.com/nilometer/nilometer/blob"
	"github.com/nilometer/nilometer/blob/mem"
	"github.com/nilometer/nilometer/model/tenant"
	"github.com/nilometer/nilometer/tsdb/block"
	"github.com/nilometer/nilometer/tsdb/part"
	"github.com/nilometer/nilometer/tsdb/part/parttest"
)

func blockID(n int) ulid.ULID { return ulid.ULID{15: byte(n), 14: byte(n >> 8)} }

func write(t *testing.T, bucket blob.Bucket, n int, o block.Options, src part.Part) block.Meta {
	t.Helper()
	meta, err := block.Write(t.Context(), bucket, tenant.Default, blockID(n), o, block.Meta{LowestSeq: 1, HighestSeq: 9}, src)
	if err != nil {
		t.Fatal(err)
	}
	return meta
}

func open(t *testing.T, bucket blob.Bucket, n int, c *block.Cache) *block.Block {
	t.Helper()
	b, err := block.Open(t.Context(), bucket, tenant.Default, blockID(n), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Release(); err != nil {
			t.Error(err)
		}
	})
	return b
}

func read(t *testing.T, p part.Part) []parttest.Series {
	t.Helper()
	out, err := parttest.Read(context.Background(), p)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestWriteRead(t *testing.T) {
	for seed := range uint64(12) {
		rng := rand.New(rand.NewPCG(seed, 1))
		o := parttest.RandomOptions{
			Targets: 1 + rng.IntN(6), Metrics: 1 + rng.IntN(30), Start: 1_700_000_000_000, Interval: 1000 * (1 + rng.Int64N(30)),
			Positions: 1 + rng.IntN(1500), Gaps: seed%3 != 0,
		}
		options := block.Options{Compress: seed%2 == 1, PageBytes: 4096 << rng.IntN(4), FileBytes: 1 << 20}
		if seed%4 == 0 {
			options.RowMs = 1 + rng.Int64N(3*o.Interval*int64(o.Positions))
		}
		t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) {
			src := parttest.Random(rng, "source", o)
			bucket := mem.New()
			meta := write(t, bucket, 1, options, src)
			b := open(t, bucket, 1, block.NewCache(100<<10))
			want := read(t, src)
			if diff := parttest.Diff(read(t, b), want); diff != "" {
				t.Fatal(diff)
			}
			samples := 0
			for _, s := range want {
				samples += len(s.Samples)
			}
			if int(meta.Stats.Series) != len(want) || int(meta.Stats.Samples) != samples {
				t.Errorf("stats %+v: want %d series, %d samples", meta.Stats, len(want), samples)
			}
		})
	}
}

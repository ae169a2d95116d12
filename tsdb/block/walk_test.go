package block_test

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/nilometer/nilometer/blob/mem"
	"github.com/nilometer/nilometer/model/tenant"
	"github.com/nilometer/nilometer/tsdb/block"
	"github.com/nilometer/nilometer/tsdb/part"
	"github.com/nilometer/nilometer/tsdb/part/parttest"
)

// TestWalk: a walk gives what Pieces and Outline give, and where these lie, damage
// included, in whatever order series are asked for.
func TestWalk(t *testing.T) {
	for seed := range uint64(8) {
		rng := rand.New(rand.NewPCG(seed, 3))
		o := parttest.RandomOptions{Targets: 1 + rng.IntN(6), Metrics: 20 + rng.IntN(60), Start: 1_700_000_000_000, Interval: 15_000, Positions: 1500, Gaps: seed%3 != 0}
		bucket := mem.New()
		write(t, bucket, 1, block.Options{Compress: seed%2 == 1, PageBytes: 4096 << rng.IntN(3)}, parttest.Random(rng, "source", o))
		if seed >= 4 {
			replace(t, bucket, block.Prefix(tenant.Default, blockID(1))+"chunks/000001", func(b []byte) []byte {
				b[len(b)/3] ^= 4
				return b
			})
		}
		b := open(t, bucket, 1, block.NewCache(50<<10))
		refs, err := b.Select(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		first, last := b.Range()
		some := first + rng.Int64N(last-first)
		backwards, shuffled := slices.Clone(refs), slices.Clone(refs)
		slices.Reverse(backwards)
		rng.Shuffle(len(shuffled), func(i, k int) { shuffled[i], shuffled[k] = shuffled[k], shuffled[i] })
		thinned := slices.DeleteFunc(slices.Clone(refs), func(part.Ref) bool { return rng.IntN(3) > 0 })
		for name, order := range map[string][]part.Ref{"in order": refs, "backwards": backwards, "shuffled": shuffled, "thinned": thinned} {
			for _, span := range [][2]int64{{math.MinInt64, math.MaxInt64}, {some, some}, {some, last + 1}, {last + 1, last + 2}} {
				if err := parttest.CheckWalk(b, order, span[0], span[1]); err != nil {
					t.Fatalf("seed %d, %s: %v", seed, name, err)
				}
			}
		}
	}
}

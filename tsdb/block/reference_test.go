package block_test

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/nilometer/nilometer/blob/mem"
	"github.com/nilometer/nilometer/model/column"
	"github.com/nilometer/nilometer/model/tenant"
	"github.com/nilometer/nilometer/tsdb/block"
	"github.com/nilometer/nilometer/tsdb/part"
	"github.com/nilometer/nilometer/tsdb/part/parttest"
)

// related is a source of series that have to do with one another: sums,
// remainders, copies, decimals, and others that change when they do, on two
// columns of several tiles, some of them with holes.
func related(seed uint64) *parttest.Part {
	rng := rand.New(rand.NewPCG(seed, 1))
	p := parttest.New("related")
	for target := range 2 {
		const positions = 2*column.TilePositions + 100
		id := p.Regular(int64(target), 15_000, positions)
		vectors := map[string][]float64{}
		used, all, count, sum := 5e6, 16e6, 0.0, 0.0
		for range positions {
			used += float64(rng.IntN(20001) - 10000)
			if rng.IntN(5) == 0 {
				count++
				sum += float64(rng.IntN(1e6)) / 1e9
			}
			if rng.IntN(100) == 0 {
				all += 4096
			}
			for name, v := range map[string]float64{
				"all": all, "used": used, "free": all - used, "share": used / 100, "copy": used + 7,
				"count": count, "sum": sum, "mean": sum / (count + 1), "twice": 2 * used,
				fmt.Sprintf("alone_%d", seed%3): float64(rng.IntN(1000)),
			} {
				vectors[name] = append(vectors[name], v)
			}
		}
		for name, values := range vectors {
			for _, holes := range []bool{false, true} {
				lset := labels.FromStrings("__name__", name, "holes", fmt.Sprint(holes), "instance", fmt.Sprint(target), "job", "related")
				p.Samples(lset, id, samplesOf(values, int64(target), holes)...)
			}
		}
	}
	return p
}

func samplesOf(values []float64, start int64, holes bool) []column.Sample {
	var out []column.Sample
	for i, v := range values {
		if !holes || i%50 > 2 {
			out = append(out, column.Sample{T: start + 15_000*int64(i), V: v})
		}
	}
	return out
}

// TestReferences: chunks that refer to others come back, also after another
// writing, and save much.
func TestReferences(t *testing.T) {
	for seed := range uint64(6) {
		src := related(seed)
		want := read(t, src)
		bucket := mem.New()
		plain := write(t, bucket, 1, block.Options{}, src)
		options := block.Options{Compress: true, PageBytes: 4096 << seed}
		meta := write(t, bucket, 2, options, src)
		b := open(t, bucket, 2, nil)
		again := write(t, bucket, 3, options, b)
		if again.Stats != meta.Stats {
			t.Errorf("written again: %+v, at first %+v", again.Stats, meta.Stats)
		}
		for _, x := range []part.Part{b, open(t, bucket, 3, block.NewCache(1))} {
			if diff := parttest.Diff(read(t, x), want); diff != "" {
				t.Errorf("seed %d, %s: %s", seed, x.Name(), diff)
			}
		}
		if limit := plain.Stats.ChunkBytes * 3 / 4; options.PageBytes >= 32<<10 && meta.Stats.ChunkBytes > limit {
			t.Errorf("%d bytes of chunks, plain %d; want at most %d", meta.Stats.ChunkBytes, plain.Stats.ChunkBytes, limit)
		}
		if r, err := block.Verify(t.Context(), bucket, tenant.Default, blockID(2)); err != nil || len(r.Problems) > 0 {
			t.Errorf("verify: %v, %v", err, r.Problems)
		}
	}
}

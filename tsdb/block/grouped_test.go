package block_test

import (
	"math/rand/v2"
	"testing"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/nilometer/nilometer/blob/mem"
	"github.com/nilometer/nilometer/storage"
	"github.com/nilometer/nilometer/tsdb/block"
	"github.com/nilometer/nilometer/tsdb/part"
	"github.com/nilometer/nilometer/tsdb/part/parttest"
)

// TestGroupKeys: series have equal keys exactly where what a grouping leaves of
// their labels is equal, in whatever order they are asked for.
func TestGroupKeys(t *testing.T) {
	bucket := mem.New()
	source := parttest.New("source")
	column := source.Regular(0, 1000, 2)
	for i := range 700 {
		b := labels.NewScratchBuilder(5)
		for name, value := range map[string]int{"__name__": i / 100, "code": i % 5, "instance": i, "job": i % 3, "path": i % 7} {
			if name == "__name__" || value > 0 {
				b.Add(name, string(rune('a'+value)))
			}
		}
		b.Sort()
		source.AddSeries(b.Labels(), part.Piece{Column: column, To: 2, Chunk: storage.Chunk{Kind: storage.Decoded, Values: []float64{1, 2}}})
	}
	write(t, bucket, 1, block.Options{}, source)
	x := open(t, bucket, 1, nil)
	refs, err := x.Select(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(1, 2))
	for _, names := range [][]string{nil, {"job"}, {"code", "job"}, {"absent", "path"}, {"code", "job", "path"}, {"__name__", "code", "instance", "path"}} {
		for _, without := range []bool{false, true} {
			keys := make([]uint64, len(refs))
			if !x.GroupKeys(names, without, refs, keys) {
				t.Fatal("a block knows no groups")
			}
			rest, groups := map[uint64]string{}, map[string]uint64{}
			var b labels.ScratchBuilder
			for i, ref := range refs {
				x.Labels(ref, &b)
				left := string(b.Labels().BytesWithLabels(nil, names...))
				if without {
					left = string(b.Labels().BytesWithoutLabels(nil, names...))
				}
				if was, ok := rest[keys[i]]; ok && was != left {
					t.Fatalf("by %v, without %v: %q and %q have one key", names, without, was, left)
				}
				if key, ok := groups[left]; ok && key != keys[i] {
					t.Fatalf("by %v, without %v: %q has two keys", names, without, left)
				}
				rest[keys[i]], groups[left] = left, keys[i]
			}
			rng.Shuffle(len(refs), func(i, k int) { refs[i], refs[k] = refs[k], refs[i] })
		}
	}

}

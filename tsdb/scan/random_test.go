package scan_test

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/prometheus/prometheus/model/labels"

	format "github.com/nilometer/nilometer/format/column"
	"github.com/nilometer/nilometer/model/column"
	"github.com/nilometer/nilometer/storage"
	"github.com/nilometer/nilometer/storage/storagetest"
	"github.com/nilometer/nilometer/tsdb/part"
	"github.com/nilometer/nilometer/tsdb/part/parttest"
	"github.com/nilometer/nilometer/tsdb/scan"
)

// model merges the obvious way: every sample of every part in a map.
func model(t *testing.T, parts []part.Part, sel storage.Selection) []storagetest.Series {
	t.Helper()
	byLabels := map[string]map[int64]storagetest.Sample{}
	lsets := map[string]labels.Labels{}
	for _, p := range parts {
		refs, err := p.Select(context.Background(), sel.Matchers...)
		if err != nil {
			t.Fatal(err)
		}
		for _, ref := range refs {
			b := labels.NewScratchBuilder(0)
			p.Labels(ref, &b)
			key := b.Labels().String()
			lsets[key] = b.Labels()
			if byLabels[key] == nil {
				byLabels[key] = map[int64]storagetest.Sample{}
			}
			pieces, err := p.Pieces(ref, math.MinInt64, math.MaxInt64, nil)
			if err != nil {
				t.Fatal(err)
			}
			for _, piece := range pieces {
				times, err := p.Column(piece.Column)
				if err != nil {
					t.Fatal(err)
				}
				samples, err := storagetest.Samples(nil, times[piece.From:piece.To], piece.Chunk)
				if err != nil {
					t.Fatal(err)
				}
				for _, x := range samples {
					if _, ok := byLabels[key][x.T]; !ok && x.T >= sel.MinTime && x.T <= sel.MaxTime {
						byLabels[key][x.T] = x
					}
				}
			}
		}
	}
	var out []storagetest.Series
	for key, samples := range byLabels {
		s := storagetest.Series{Labels: lsets[key]}
		for _, x := range samples {
			s.Samples = append(s.Samples, x)
		}
		slices.SortFunc(s.Samples, func(a, b storagetest.Sample) int { return int(a.T - b.T) })
		if len(s.Samples) > 0 {
			out = append(out, s)
		}
	}
	slices.SortFunc(out, func(a, b storagetest.Series) int { return labels.Compare(a.Labels, b.Labels) })
	return out
}

// randomParts builds parts whose series, columns, cuts and overlaps are drawn
// from rng.
func randomParts(rng *rand.Rand) []part.Part {
	var parts []part.Part
	start := int64(0)
	for i := range 1 + rng.IntN(5) {
		p := parttest.New(fmt.Sprint("part ", i))
		var ids []part.ColumnID
		for range 1 + rng.IntN(3) {
			n := 1 + rng.IntN(40)
			if rng.IntN(10) == 0 {
				n = column.TilePositions + rng.IntN(600)
			}
			ids = append(ids, p.Regular(start+int64(rng.IntN(3)), 10, n))
		}
		for k := range 1 + rng.IntN(12) {
			if rng.IntN(4) == 0 {
				continue
			}
			id := ids[k%len(ids)]
			times, _ := p.Column(id)
			addRandom(rng, p, labels.FromStrings("__name__", "m", "n", fmt.Sprint(k)), id, times)
		}
		parts = append(parts, p)
		if rng.IntN(3) > 0 {
			start += 12_000
		} else if rng.IntN(2) == 0 {
			start -= 100
		}
	}
	rng.Shuffle(len(parts), func(i, j int) { parts[i], parts[j] = parts[j], parts[i] })
	return parts
}

// addRandom cuts a column into random pieces of a series, some missing.
func addRandom(rng *rand.Rand, p *parttest.Part, l labels.Labels, id part.ColumnID, times []int64) {
	var enc format.Encoder
	for from := 0; from < len(times); {
		to := min(len(times), from+column.TilePositions)
		if rng.IntN(3) == 0 {
			to = from + 1 + rng.IntN(to-from)
		}
		c := storage.Chunk{Kind: storage.Encoded}
		var values []float64
		for pos := range to - from {
			state := column.Present
			if rng.IntN(8) == 0 {
				state = column.State(rng.IntN(3))
			}
			c.Runs = column.AppendState(c.Runs, pos, state)
			if state == column.Present {
				values = append(values, rng.NormFloat64())
				c.Starts = append(c.Starts, int64(rng.IntN(2)))
			}
		}
		if len(values) > 0 {
			c.Data = enc.Append(nil, values)
		}
		if rng.IntN(2) == 0 {
			c.Kind, c.Values, c.Data = storage.Decoded, values, nil
		}
		if rng.IntN(5) > 0 {
			p.AddSeries(l, part.Piece{Column: id, From: uint32(from), To: uint32(to), Chunk: c})
		}
		from = to
	}
}

func checkRandom(t *testing.T, seed uint64) {
	t.Helper()
	rng := rand.New(rand.NewPCG(seed, 1))
	parts := randomParts(rng)
	sel := all()
	if rng.IntN(2) == 0 {
		sel.MinTime = int64(rng.IntN(40_000))
		sel.MaxTime = sel.MinTime + int64(rng.IntN(40_000))
	}
	if rng.IntN(3) == 0 {
		sel.Matchers = []*labels.Matcher{labels.MustNewMatcher(labels.MatchRegexp, "n", "[0-4]")}
	}
	s, err := scan.Select(context.Background(), parts, sel)
	if err != nil {
		t.Fatal(err)
	}
	got, err := storagetest.ReadScan(context.Background(), s, sel)
	if err != nil {
		t.Fatalf("seed %d: %s", seed, err)
	}
	if d := storagetest.Diff(model(t, parts, sel), got); d != "" {
		t.Fatalf("seed %d: %s", seed, d)
	}
}

func TestRandomParts(t *testing.T) {
	for seed := range uint64(2000) {
		checkRandom(t, seed)
	}
}

func FuzzScan(f *testing.F) {
	f.Add(uint64(1))
	f.Fuzz(checkRandom)
}

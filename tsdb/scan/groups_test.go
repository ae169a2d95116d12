package scan_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/nilometer/nilometer/tsdb/part"
	"github.com/nilometer/nilometer/tsdb/part/parttest"
)

// keyed is a part that knows its groups: a key for each, and another for series
// whose references are odd.
type keyed struct {
	part.Part
	refuses bool
}

func (k keyed) GroupKeys(names []string, without bool, refs []part.Ref, keys []uint64) bool {
	known := map[string]uint64{}
	b := labels.NewScratchBuilder(8)
	for i, ref := range refs {
		k.Labels(ref, &b)
		key := string(b.Labels().BytesWithLabels(nil, names...))
		if without {
			key = string(b.Labels().BytesWithoutLabels(nil, names...))
		}
		if _, ok := known[key]; !ok {
			known[key] = uint64(len(known))
		}
		keys[i] = 2*known[key] + uint64(ref)%2
	}
	return !k.refuses
}

// TestGroups: whichever parts know their groups, they are the same.
func TestGroups(t *testing.T) {
	make3 := func() (out []part.Part) {
		for i := range 3 {
			p := parttest.New(fmt.Sprint("p", i))
			c := p.Regular(int64(i)*1000, 10, 5)
			for k := range 40 {
				if k%(i+2) == 0 {
					lset := labels.FromStrings("__name__", fmt.Sprint("m", k%3), "a", fmt.Sprint(k%5), "b", fmt.Sprint(k))
					p.Samples(lset, c, every(int64(i)*1000, 10, 5, 1)...)
				}
			}
			out = append(out, p)
		}
		return out
	}
	for variant := range 27 {
		parts := make3()
		for i, v := 0, variant; i < len(parts); i, v = i+1, v/3 {
			if v%3 > 0 {
				parts[i] = keyed{parts[i], v%3 == 2}
			}
		}
		s := selectAll(t, parts...)
		for _, names := range [][]string{nil, {"a"}, {"__name__", "a"}, {"b"}, {"unknown"}} {
			for _, without := range []bool{false, true} {
				got := make([]int32, s.Series())
				first := s.Groups(names, without, got)
				numbers := map[string]int32{}
				for rank := range got {
					lset := s.Labels(uint32(rank))
					key := string(lset.BytesWithLabels(nil, names...))
					if without {
						key = string(lset.BytesWithoutLabels(nil, names...))
					}
					want, ok := numbers[key]
					if !ok {
						want = int32(len(numbers))
						numbers[key] = want
						if int(want) >= len(first) || first[want] != uint32(rank) {
							t.Fatalf("%q without %v: the first series of group %d are %v, want %d", names, without, want, first, rank)
						}
					}
					if got[rank] != want {
						t.Fatalf("%q without %v: series %d is in group %d, want %d", names, without, rank, got[rank], want)
					}
				}
				if len(first) != len(numbers) {
					t.Fatalf("%q without %v: %d groups, want %d", names, without, len(first), len(numbers))
				}
			}
		}
		if sorted := s.Groups(nil, false, make([]int32, s.Series())); !slices.Equal(sorted, []uint32{0}) {
			t.Fatalf("one group begins with %v", sorted)
		}
	}
}

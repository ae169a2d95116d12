package histogram_test

import (
	"flag"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/prometheus/model/histogram"

	"github.com/nilometer/nilometer/format/formattest"
	format "github.com/nilometer/nilometer/format/histogram"
)

var rewrite = flag.Bool("rewrite", false, "write the golden file anew")

const goldenFile = "testdata/v1.golden"

// example is what FORMAT.md takes apart.
func example() []row {
	h := func(n uint64, buckets ...int64) row {
		x := &histogram.Histogram{Schema: 3, ZeroThreshold: 0x1p-128, ZeroCount: 1, Sum: float64(n) / 2, PositiveBuckets: buckets}
		x.Count = 1
		v := int64(0)
		for _, d := range buckets {
			v += d
			x.Count += uint64(v)
		}
		x.PositiveSpans = []histogram.Span{{Offset: 5, Length: uint32(len(buckets))}}
		return integer(x)
	}
	return []row{h(1, 4, 3), h(2, 5, 3), h(3, 7, 4, -9), {v: 6}}
}

// TestGolden holds the bytes of version 1.
func TestGolden(t *testing.T) {
	all := shapes()
	all["example"] = example()
	names := make([]string, 0, len(all))
	for name := range all {
		names = append(names, name)
	}
	slices.Sort(names)
	var got strings.Builder
	for _, name := range names {
		rows := all[name]
		if strings.HasPrefix(name, "big") {
			continue
		}
		hs, values := lists(rows)
		fmt.Fprintf(&got, "%s | %d | % x\n", name, len(rows), new(format.Encoder).Append(nil, hs, values))
	}
	want := formattest.Golden(t, *rewrite, goldenFile, got.String())
	for line := range strings.Lines(string(want)) {
		f := strings.Split(strings.TrimSuffix(line, "\n"), " | ")
		var data []byte
		if _, err := fmt.Sscanf(strings.ReplaceAll(f[2], " ", ""), "%x", &data); err != nil {
			t.Fatal(err)
		}
		hs, _, err := format.Decode(nil, nil, data, len(all[f[0]]))
		if err != nil {
			t.Fatalf("%s: %v", f[0], err)
		}
		for i, r := range all[f[0]] {
			if !hs[i].Equal(r.h) {
				t.Errorf("%s: value %d is %+v", f[0], i, hs[i])
			}
		}
	}
}

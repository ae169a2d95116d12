package chunk_test

import (
	"bytes"
	"encoding/hex"
	"flag"
	"fmt"
	"strings"
	"testing"

	"github.com/prometheus/prometheus/tsdb/tsdbutil"

	"github.com/nilometer/nilometer/format/chunk"
	format "github.com/nilometer/nilometer/format/column"
	"github.com/nilometer/nilometer/format/formattest"
	"github.com/nilometer/nilometer/format/histogram"
	"github.com/nilometer/nilometer/model/column"
)

var rewrite = flag.Bool("rewrite", false, "write the golden file anew")

type named struct {
	name string
	c    chunk.Chunk
}

// chunks are one of each kind.
func chunks() []named {
	var enc format.Encoder
	var hists histogram.Encoder
	var hs []column.Histogram
	for _, h := range tsdbutil.GenerateTestHistograms(4) {
		hs = append(hs, column.Histogram{Int: h})
	}
	floats := enc.Append(nil, []float64{100, 103, 104, 109})
	starts := enc.AppendInts(nil, []int64{1795343225000, 1795343225000, 1795343225000, 1795343225000})
	histograms := hists.Append(nil, hs, nil)
	return []named{
		{"none", chunk.Chunk{}},
		{"constant", chunk.Chunk{Values: []byte{0}}},
		{"floats", chunk.Chunk{Values: floats}},
		{"floats, starts", chunk.Chunk{Values: floats, Starts: starts}},
		{"histograms", chunk.Chunk{Values: histograms, Histograms: true}},
		{"histograms, starts", chunk.Chunk{Values: histograms, Histograms: true, Starts: starts}},
	}
}

func same(a, b chunk.Chunk) bool {
	return a.Histograms == b.Histograms && bytes.Equal(a.Values, b.Values) && bytes.Equal(a.Starts, b.Starts)
}

func TestRoundTrip(t *testing.T) {
	for _, c := range chunks() {
		data := chunk.Append([]byte{0xaa}, c.c)[1:]
		got, err := chunk.Parse(data)
		if err != nil || !same(got, c.c) {
			t.Errorf("%s: %x is %+v, %v", c.name, data, got, err)
		}
		if plain := len(c.c.Values) > 0 && !c.c.Histograms && c.c.Starts == nil; chunk.Plain(data) != plain {
			t.Errorf("%s: plain is %v", c.name, !plain)
		}
	}
}

func TestFaults(t *testing.T) {
	for _, data := range []string{"04", "0f", "7f", "10", "11", "1100", "110102", "11020102", "11010211"} {
		b, _ := hex.DecodeString(data)
		if c, err := chunk.Parse(b); err == nil {
			t.Errorf("%s is %+v", data, c)
		}
	}
}

const goldenFile = "testdata/v1.golden"

// TestGolden holds the bytes of version 1, those of format/histogram among them.
func TestGolden(t *testing.T) {
	var got strings.Builder
	for _, c := range chunks() {
		fmt.Fprintf(&got, "%s | % x\n", c.name, chunk.Append(nil, c.c))
	}
	formattest.Golden(t, *rewrite, goldenFile, got.String())
}

func FuzzParse(f *testing.F) {
	for _, c := range chunks() {
		f.Add(chunk.Append(nil, c.c))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := chunk.Parse(data)
		if err != nil {
			return
		}
		again, err := chunk.Parse(chunk.Append(nil, c))
		if err != nil || !same(again, c) {
			t.Fatalf("%+v comes back as %+v, %v", c, again, err)
		}
	})
}

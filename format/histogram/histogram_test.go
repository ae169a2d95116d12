package histogram_test

import (
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/tsdb/tsdbutil"

	format "github.com/nilometer/nilometer/format/histogram"
	"github.com/nilometer/nilometer/model/column"
)

// row is one value: a histogram, or a float.
type row struct {
	h column.Histogram
	v float64
}

func integer(h *histogram.Histogram) row       { return row{h: column.Histogram{Int: h}} }
func float(h *histogram.FloatHistogram) row    { return row{h: column.Histogram{Float: h}} }
func integers(hs []*histogram.Histogram) []row { return mapped(hs, integer) }
func floats(hs []*histogram.FloatHistogram) []row {
	return mapped(hs, float)
}

func mapped[T any](in []T, f func(T) row) []row {
	out := make([]row, len(in))
	for i, v := range in {
		out[i] = f(v)
	}
	return out
}

func lists(rows []row) (hs []column.Histogram, values []float64) {
	for _, r := range rows {
		hs = append(hs, r.h)
		values = append(values, r.v)
	}
	return hs, values
}

// check encodes rows, decodes them again, and returns the chunk.
func check(t *testing.T, rows []row) []byte {
	t.Helper()
	hs, values := lists(rows)
	data := new(format.Encoder).Append([]byte{0xaa}, hs, values)[1:]
	got, gotValues, err := format.Decode(nil, nil, data, len(rows))
	if err != nil {
		t.Fatalf("decode %x: %v", data, err)
	}
	if len(got) != len(rows) {
		t.Fatalf("%d values, want %d", len(got), len(rows))
	}
	for i, r := range rows {
		if !got[i].Equal(r.h) {
			t.Fatalf("value %d is\n%+v %+v, want\n%+v %+v", i, got[i].Int, got[i].Float, r.h.Int, r.h.Float)
		}
		if r.h.IsZero() && math.Float64bits(gotValues[i]) != math.Float64bits(r.v) {
			t.Fatalf("value %d is %v, want %v", i, gotValues[i], r.v)
		}
	}
	return data
}

// shapes are histories of one series.
func shapes() map[string][]row {
	stale := math.Float64frombits(value.StaleNaN)
	out := map[string][]row{
		"integers":        integers(tsdbutil.GenerateTestHistograms(60)),
		"gauges":          integers(tsdbutil.GenerateTestGaugeHistograms(60)),
		"custom":          integers(tsdbutil.GenerateTestCustomBucketsHistograms(60)),
		"floats":          floats(tsdbutil.GenerateTestFloatHistograms(60)),
		"custom floats":   floats(tsdbutil.GenerateTestCustomBucketsFloatHistograms(60)),
		"gauge floats":    floats(tsdbutil.GenerateTestGaugeFloatHistograms(60)),
		"big":             integers(histogram.GenerateBigTestHistograms(5, 400)),
		"bigger":          integers(histogram.GenerateBigTestHistograms(3, 3000)),
		"bigger, whole":   integers(histogram.GenerateBigTestHistograms(480, 1000)),
		"one":             integers(tsdbutil.GenerateTestHistograms(1)),
		"empty":           {integer(&histogram.Histogram{}), float(&histogram.FloatHistogram{})},
		"stale":           {integer(&histogram.Histogram{Sum: stale}), float(&histogram.FloatHistogram{Sum: stale})},
		"floats between":  nil,
		"spans":           spans(),
		"all bits":        allBits(),
		"nothing but one": {{v: 5}, {v: 5}, {v: stale}},
	}
	for i, h := range tsdbutil.GenerateTestHistograms(20) {
		rows := []row{integer(h)}
		if i%5 == 2 {
			rows = []row{{v: float64(i)}, {v: math.Inf(1)}, float(h.ToFloat(nil)), integer(h)}
		}
		out["floats between"] = append(out["floats between"], rows...)
	}
	return out
}

// spans has the same buckets cut into spans in several ways, and buckets that
// come and go.
func spans() []row {
	var rows []row
	for _, s := range [][]histogram.Span{
		{{Offset: 2, Length: 3}},
		{{Offset: 2, Length: 1}, {Offset: 0, Length: 2}},
		{{Offset: 2, Length: 0}, {Offset: 0, Length: 3}, {Offset: 5, Length: 0}},
		{{Offset: -4, Length: 1}, {Offset: 5, Length: 2}},
		{{Offset: 4, Length: 3}},
		{{Offset: 2, Length: 3}},
		{},
		{{Offset: math.MaxInt32, Length: 3}},
		{{Offset: math.MinInt32, Length: 1}, {Offset: math.MaxInt32, Length: 1}},
	} {
		n := 0
		for _, x := range s {
			n += int(x.Length)
		}
		h := &histogram.Histogram{Schema: 3, PositiveSpans: s, NegativeSpans: s, ZeroThreshold: math.Ldexp(1, -128), Count: 77, Sum: 1.5}
		for i := range n {
			h.PositiveBuckets = append(h.PositiveBuckets, int64(10*i+len(rows)))
			h.NegativeBuckets = append(h.NegativeBuckets, int64(-i))
		}
		rows = append(rows, integer(h), integer(h), float(h.ToFloat(nil)))
	}
	return rows
}

// allBits has values that no observation makes.
func allBits() []row {
	nan := math.Float64frombits(0x7ff8000000001234)
	var rows []row
	for i := range uint64(20) {
		s := []histogram.Span{{Offset: 0, Length: 3}}
		rows = append(rows,
			integer(&histogram.Histogram{
				CounterResetHint: histogram.CounterResetHint(i % 4), Schema: int32(i) - 9, ZeroThreshold: nan,
				Count: math.MaxUint64 - i, ZeroCount: math.MaxUint64 * i, Sum: nan, PositiveSpans: s,
				PositiveBuckets: []int64{math.MinInt64 + int64(i), math.MaxInt64, -1}, CustomValues: []float64{nan, 1, math.Inf(-1)},
			}),
			float(&histogram.FloatHistogram{
				Schema: int32(i / 3), Count: nan, ZeroCount: math.Copysign(0, -1), Sum: math.Inf(-1), NegativeSpans: s,
				NegativeBuckets: []float64{nan, math.Copysign(0, -1), float64(i)},
			}))
	}
	return rows
}

func TestRoundTrip(t *testing.T) {
	for name, rows := range shapes() {
		t.Run(name, func(t *testing.T) { check(t, rows) })
	}
}

// random makes a history: buckets appear, resets happen, kinds alternate.
func random(rng *rand.Rand, n int) []row {
	var rows []row
	h := tsdbutil.GenerateTestHistogram(rng.Int64N(100))
	for len(rows) < n {
		switch rng.IntN(30) {
		case 0:
			h = tsdbutil.GenerateTestHistogram(rng.Int64N(1000))
		case 1:
			h = tsdbutil.GenerateTestCustomBucketsHistogram(rng.Int64N(1000))
		case 2:
			h = h.Copy()
			h.PositiveSpans = append(h.PositiveSpans, histogram.Span{Offset: rng.Int32N(9), Length: 1})
			h.PositiveBuckets = append(h.PositiveBuckets, rng.Int64N(50)-25)
		case 3:
			h = h.Copy()
			h.CounterResetHint = histogram.CounterResetHint(rng.IntN(4))
		case 4:
			rows = append(rows, row{v: rng.NormFloat64()})
			continue
		case 5:
			rows = append(rows, float(tsdbutil.GenerateTestFloatHistogram(rng.Int64N(9))))
			continue
		case 6:
			h = h.Copy()
			h.Schema = rng.Int32N(8)
		}
		h = h.Copy()
		for i := range h.PositiveBuckets {
			h.PositiveBuckets[i] += rng.Int64N(3)
		}
		h.Sum += rng.ExpFloat64()
		h.Count += uint64(rng.IntN(9))
		if rng.IntN(8) == 0 {
			rows = append(rows, float(h.ToFloat(nil)))
		} else {
			rows = append(rows, integer(h))
		}
	}
	return rows
}

func TestRandomHistories(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 7))
	var enc format.Encoder
	for range 200 {
		rows := random(rng, 1+rng.IntN(format.ValuesMax))
		data := check(t, rows)
		hs, values := lists(rows)
		if again := enc.Append(nil, hs, values); string(again) != string(data) {
			t.Fatal("an encoder remembers what it encoded before")
		}
	}
}

// TestSections holds what splits a chunk, by how much a split costs: the
// common part of a section and its columns once more.
func TestSections(t *testing.T) {
	plain := integers(tsdbutil.GenerateTestHistograms(100))
	size := len(check(t, plain))
	hints := integers(tsdbutil.GenerateTestHistograms(100))
	for i, r := range hints {
		r.h.Int.CounterResetHint = histogram.CounterResetHint(i / 50 * 2)
	}
	if n := len(check(t, hints)); n > size+4 {
		t.Errorf("a reset's hint costs %d bytes", n-size)
	}
	buckets := integers(tsdbutil.GenerateTestHistograms(100))
	for _, r := range buckets[50:] {
		r.h.Int.PositiveSpans = []histogram.Span{{Offset: 0, Length: 2}, {Offset: 1, Length: 3}}
		r.h.Int.PositiveBuckets = append(r.h.Int.PositiveBuckets, 3)
	}
	if n := len(check(t, buckets)); n > size+40 {
		t.Errorf("a new bucket costs %d bytes", n-size)
	}
}

func TestCheck(t *testing.T) {
	span := func(offset int32, length uint32) histogram.Span {
		return histogram.Span{Offset: offset, Length: length}
	}
	for name, h := range map[string]*histogram.Histogram{
		"hint":      {CounterResetHint: 4},
		"backwards": {PositiveSpans: []histogram.Span{span(0, 1), span(-1, 1)}, PositiveBuckets: []int64{1, 2}},
		"few":       {PositiveSpans: []histogram.Span{span(0, 3)}, PositiveBuckets: []int64{1, 2}},
		"many":      {NegativeSpans: []histogram.Span{span(0, 1)}, NegativeBuckets: []int64{1, 2}},
		"too many":  {NegativeSpans: []histogram.Span{span(0, math.MaxUint32)}},
	} {
		if err := format.Check(column.Histogram{Int: h}); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	if err := format.Check(column.Histogram{Int: &histogram.Histogram{}, Float: &histogram.FloatHistogram{}}); err == nil {
		t.Error("two histograms in one are accepted")
	}
}

func TestDecodeFaults(t *testing.T) {
	for name, rows := range shapes() {
		data := check(t, rows)
		for cut := 0; cut < len(data); cut += 1 + len(data)/100 {
			if hs, _, err := format.Decode(nil, nil, data[:cut], len(rows)); err == nil || len(hs) != 0 {
				t.Errorf("%s: cut at %d of %d: %d values, error %v", name, cut, len(data), len(hs), err)
			}
		}
		if _, _, err := format.Decode(nil, nil, append(data, 0), len(rows)); err == nil {
			t.Errorf("%s: a byte after the end is accepted", name)
		}
		if _, _, err := format.Decode(nil, nil, data, len(rows)-1); err == nil {
			t.Errorf("%s: one value less is decoded", name)
		}
	}
}

func FuzzDecode(f *testing.F) {
	for name, rows := range shapes() {
		if len(rows) < 100 && !strings.HasPrefix(name, "big") {
			hs, values := lists(rows)
			f.Add(new(format.Encoder).Append(nil, hs, values), uint16(len(rows)))
		}
	}
	f.Fuzz(func(t *testing.T, data []byte, n uint16) {
		hs, values, err := format.Decode(nil, nil, data, int(n))
		if err != nil {
			if len(hs) != 0 {
				t.Fatalf("%d values beside %v", len(hs), err)
			}
			return
		}
		rows := make([]row, len(hs))
		for i := range hs {
			rows[i].h = hs[i]
			if values != nil {
				rows[i].v = values[i]
			}
		}
		check(t, rows)
	})
}

func FuzzRoundTrip(f *testing.F) {
	f.Add(uint64(1), uint64(2), uint16(100))
	f.Fuzz(func(t *testing.T, a, b uint64, n uint16) {
		check(t, random(rand.New(rand.NewPCG(a, b)), 1+int(n)%format.ValuesMax))
	})
}

package record_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/tsdb/tsdbutil"

	"github.com/nilometer/nilometer/format/formattest"
	"github.com/nilometer/nilometer/format/record"
	"github.com/nilometer/nilometer/model/column"
)

func integer(h *histogram.Histogram) column.Histogram    { return column.Histogram{Int: h} }
func float(h *histogram.FloatHistogram) column.Histogram { return column.Histogram{Float: h} }

// histories are what one member may have one after another.
func histories() map[string][]column.Histogram {
	nan := math.Float64frombits(0x7ff8000000001234)
	out := map[string][]column.Histogram{
		"one bucket more": {
			integer(&histogram.Histogram{Count: 4, Sum: 2, PositiveSpans: []histogram.Span{{Length: 2}}, PositiveBuckets: []int64{1, 2}}),
			integer(&histogram.Histogram{Count: 5, Sum: 2.5, PositiveSpans: []histogram.Span{{Length: 3}}, PositiveBuckets: []int64{1, 2, -2}}),
		},
		"all bits": {
			integer(&histogram.Histogram{Count: math.MaxUint64, Sum: nan, PositiveSpans: []histogram.Span{{Offset: -5, Length: 2}, {Length: 0}}, PositiveBuckets: []int64{math.MinInt64, -1}, CustomValues: []float64{nan}}),
			integer(&histogram.Histogram{Sum: 0, PositiveSpans: []histogram.Span{{Offset: -5, Length: 2}, {Length: 0}}, PositiveBuckets: []int64{math.MaxInt64, 9}, CustomValues: []float64{nan}}),
			float(&histogram.FloatHistogram{Count: nan, Sum: math.Inf(1), NegativeSpans: []histogram.Span{{Length: 2}}, NegativeBuckets: []float64{nan, 1}}),
			float(&histogram.FloatHistogram{Count: 1, Sum: nan, NegativeSpans: []histogram.Span{{Length: 2}}, NegativeBuckets: []float64{nan, math.Copysign(0, -1)}}),
		},
	}
	for i := range 12 {
		out["integers"] = append(out["integers"], integer(tsdbutil.GenerateTestHistogram(int64(i*i))))
		out["floats"] = append(out["floats"], float(tsdbutil.GenerateTestFloatHistogram(int64(i*i))))
		out["gauges"] = append(out["gauges"], integer(tsdbutil.GenerateTestGaugeHistogram(int64(100*math.Sin(float64(i))+100))))
		out["custom"] = append(out["custom"], integer(tsdbutil.GenerateTestCustomBucketsHistogram(int64(i))))
	}
	for i := range out["integers"] {
		out["kinds"] = append(out["kinds"], out["integers"][i], out["floats"][i/3], out["custom"][i/2])
	}
	return out
}

func TestHistograms(t *testing.T) {
	for name, hs := range histories() {
		var prev column.Histogram
		for i, h := range hs {
			data := append(record.AppendHistogram(nil, prev, h), 0xaa)
			got, rest, err := record.ReadHistogram(data, prev)
			if err != nil || len(rest) != 1 || !got.Equal(h) {
				t.Fatalf("%s %d: %x is %+v, %d bytes more, error %v", name, i, data, got, len(rest), err)
			}
			for cut := range len(data) - 1 {
				if _, rest, err := record.ReadHistogram(data[:cut], prev); err == nil && len(rest) == 0 && cut < len(data)-1 {
					t.Errorf("%s %d: cut at %d of %d is read", name, i, cut, len(data)-1)
				}
			}
			prev = h
		}
	}
}

// TestHistogramsAreSmall: the same buckets again cost what has changed.
func TestHistogramsAreSmall(t *testing.T) {
	h := histogram.GenerateBigTestHistograms(1, 160)[0]
	if n := len(record.AppendHistogram(nil, integer(h), integer(h.Copy()))); n > 12 {
		t.Errorf("an equal one takes %d bytes", n)
	}
	next := h.Copy()
	next.Count, next.Sum = next.Count+1, next.Sum+0.25
	next.PositiveBuckets[7]++
	next.PositiveBuckets[8]--
	if n := len(record.AppendHistogram(nil, integer(h), integer(next))); n > 20 {
		t.Errorf("one observation takes %d bytes", n)
	}
}

// exampleMore is a batch of a value, two histograms and two start timestamps.
func exampleMore() []byte {
	var w record.BatchWriter
	w.Reset(7, 43, 1_700_000_030_000, 0)
	w.AddMember(5, 1<<64-1, labels.FromStrings("__name__", "h"))
	var hint record.Hint
	w.AddValue(4, math.Float64bits(0.25), math.Float64bits(0.5), &hint)
	first := &histogram.Histogram{Schema: 3, ZeroThreshold: 0x1p-128, Count: 9, Sum: 4.5, PositiveSpans: []histogram.Span{{Offset: 2, Length: 3}}, PositiveBuckets: []int64{2, 1, 1}}
	next := first.Copy()
	next.Count, next.Sum, next.PositiveBuckets = 11, 5.5, []int64{2, 3, -1}
	w.AddHistogram(5, record.AppendHistogram(nil, column.Histogram{}, integer(first)))
	w.AddHistogram(6, record.AppendHistogram(nil, integer(first), integer(next)))
	w.AddStart(4, 1_699_990_000_000)
	w.AddStart(5, 0)
	return w.Append(nil)
}

func TestMoreGolden(t *testing.T) {
	got := fmt.Sprintf("% x\n", exampleMore())
	formattest.Golden(t, *rewrite, "testdata/more.golden", got)
	formattest.Documented(t, got)
}

// readMore decodes all of a batch, as if every member had had prev.
func readMore(body []byte, prev column.Histogram) (values map[uint32]uint64, hists map[uint32]column.Histogram, starts map[uint32]int64, err error) {
	b, err := record.ReadBatch(body)
	if err != nil {
		return nil, nil, nil, err
	}
	values, hists, starts = map[uint32]uint64{}, map[uint32]column.Histogram{}, map[uint32]int64{}
	for {
		slot, ok, err := b.Next()
		if err != nil {
			return nil, nil, nil, err
		}
		if !ok {
			break
		}
		if values[slot], err = b.Bits(math.Float64bits(0.25)); err != nil {
			return nil, nil, nil, err
		}
	}
	for {
		slot, ok, err := b.NextHistogram()
		if err != nil {
			return nil, nil, nil, err
		}
		if !ok {
			break
		}
		if hists[slot], err = b.Histogram(prev); err != nil {
			return nil, nil, nil, err
		}
	}
	for {
		slot, ok, err := b.NextStart()
		if err != nil || !ok {
			return values, hists, starts, err
		}
		if starts[slot], err = b.Start(); err != nil {
			return nil, nil, nil, err
		}
	}
}

func TestBatchOfHistogramsAndStarts(t *testing.T) {
	first := integer(&histogram.Histogram{Schema: 3, ZeroThreshold: 0x1p-128, Count: 9, Sum: 4.5, PositiveSpans: []histogram.Span{{Offset: 2, Length: 3}}, PositiveBuckets: []int64{2, 1, 1}})
	values, hists, starts, err := readMore(exampleMore(), first)
	if err != nil {
		t.Fatal(err)
	}
	if values[4] != math.Float64bits(0.5) || !hists[5].Equal(first) || hists[6].Int.Count != 11 || hists[6].Int.PositiveBuckets[1] != 3 ||
		starts[4] != 1_699_990_000_000 || starts[5] != 0 || len(starts) != 2 {
		t.Errorf("values %v, histograms %+v, starts %v", values, hists, starts)
	}
	for _, body := range [][]byte{append(exampleMore(), 0), exampleMore()[:len(exampleMore())-1]} {
		if _, _, _, err := readMore(body, first); err == nil {
			t.Errorf("%x is read", body)
		}
	}
	if _, _, _, err := readMore(exampleMore(), column.Histogram{}); err == nil {
		t.Error("a histogram against one that is not there is read")
	}
}

func TestBaseOfHistograms(t *testing.T) {
	base := exampleBase()
	h := integer(tsdbutil.GenerateTestHistogram(3))
	base.Members = append(base.Members,
		record.Member{Slot: 5, Series: 1<<64 - 1, Labels: labels.FromStrings("__name__", "h"), HasValue: true, Histogram: h, Time: base.Last - 15000, Present: true, Start: base.Last - 1e6},
		record.Member{Slot: 6, Series: 10, Labels: labels.FromStrings("__name__", "i"), HasValue: true, Bits: 7, Time: base.Last, Start: 1})
	got, err := record.ReadBase(record.AppendBase(nil, base))
	if err != nil {
		t.Fatal(err)
	}
	for i, m := range base.Members {
		g := got.Members[i]
		if !g.Histogram.Equal(m.Histogram) || g.Start != m.Start || g.Series != m.Series || g.Bits != m.Bits || g.Time != m.Time || g.Present != m.Present || !labels.Equal(g.Labels, m.Labels) {
			t.Errorf("member %d is %+v, want %+v", i, g, m)
		}
	}
}

func FuzzReadHistogram(f *testing.F) {
	for _, hs := range histories() {
		var prev column.Histogram
		for _, h := range hs {
			f.Add(record.AppendHistogram(nil, prev, h))
			prev = h
		}
	}
	prevs := []column.Histogram{{}, integer(tsdbutil.GenerateTestHistogram(3)), float(tsdbutil.GenerateTestFloatHistogram(3))}
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, prev := range prevs {
			h, _, err := record.ReadHistogram(data, prev)
			if err != nil {
				continue
			}
			again, rest, err := record.ReadHistogram(record.AppendHistogram(nil, prev, h), prev)
			if err != nil || len(rest) > 0 || !again.Equal(h) {
				t.Fatalf("%+v comes back as %+v, %d bytes more, error %v", h, again, len(rest), err)
			}
		}
	})
}

func FuzzReadMore(f *testing.F) {
	f.Add(exampleMore())
	f.Fuzz(func(t *testing.T, body []byte) {
		values, hists, starts, err := readMore(body, integer(tsdbutil.GenerateTestHistogram(3)))
		if err == nil && len(values)+len(hists)+len(starts) > len(body) {
			t.Errorf("%d entries of %d bytes", len(values)+len(hists)+len(starts), len(body))
		}
	})
}

// TestRandomHistograms goes on and on from one histogram to the next.
func TestRandomHistograms(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 3))
	prev := integer(tsdbutil.GenerateTestHistogram(1))
	for range 2000 {
		h := prev.Copy()
		if h.Int != nil {
			h.Int.Count += rng.Uint64N(100)
			h.Int.Sum += rng.NormFloat64()
			h.Int.NegativeBuckets[rng.IntN(4)] += rng.Int64N(9) - 4
		} else {
			h.Float.Sum = rng.NormFloat64()
			h.Float.PositiveBuckets[rng.IntN(4)] += rng.Float64()
		}
		if rng.IntN(20) == 0 {
			h = float(tsdbutil.GenerateTestFloatHistogram(rng.Int64N(10)))
		} else if rng.IntN(20) == 0 {
			h = integer(tsdbutil.GenerateTestHistogram(rng.Int64N(10)))
		}
		got, _, err := record.ReadHistogram(record.AppendHistogram(nil, prev, h), prev)
		if err != nil || !got.Equal(h) {
			t.Fatalf("%+v after %+v is %+v: %v", h, prev, got, err)
		}
		prev = got
	}
}

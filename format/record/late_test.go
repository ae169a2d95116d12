package record_test

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/nilometer/nilometer/format/formattest"
	"github.com/nilometer/nilometer/format/record"
	"github.com/nilometer/nilometer/model/column"
)

func TestLateRoundTrip(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	var w record.LateWriter
	var all []column.Histogram
	for _, name := range []string{"all bits", "kinds", "gauges"} {
		all = append(all, histories()[name]...)
	}
	for round := range 50 {
		want := record.Late{Tenant: fmt.Sprint("tenant-", round), First: rng.Uint64N(1 << 40)}
		w.Reset(want.Tenant, want.First)
		for i := range 1 + rng.IntN(5) {
			lset := labels.FromStrings("__name__", fmt.Sprint("m", i), "round", fmt.Sprint(round))
			if n := w.AddSeries(lset); n != uint32(i) {
				t.Fatalf("series %d has number %d", i, n)
			}
			want.Series = append(want.Series, lset)
		}
		for range rng.IntN(100) {
			s := record.LateSample{Series: uint32(rng.IntN(len(want.Series))), Time: rng.Int64N(1<<42) - 1<<41, Bits: rng.Uint64()}
			if rng.IntN(2) == 0 {
				s.Bits = math.Float64bits(float64(rng.IntN(1000)) / 8)
			}
			if rng.IntN(3) == 0 {
				s.Bits, s.Histogram = 0, record.AppendHistogram(nil, column.Histogram{}, all[rng.IntN(len(all))])
			}
			if rng.IntN(3) == 0 {
				s.Start = s.Time - rng.Int64N(1<<32)
			}
			w.AddSample(s)
			want.Samples = append(want.Samples, s)
		}
		if w.Samples() != len(want.Samples) {
			t.Errorf("%d samples, want %d", w.Samples(), len(want.Samples))
		}
		got, err := record.ReadLate(w.Append(nil))
		if err != nil {
			t.Fatal(err)
		}
		if fmt.Sprintf("%+v", *got) != fmt.Sprintf("%+v", want) {
			t.Fatalf("round %d: got %+v\nwant %+v", round, *got, want)
		}
	}
}

func TestLateDamage(t *testing.T) {
	body := exampleLateHistogram()
	for name, b := range map[string][]byte{
		"more behind the end": append(append([]byte{}, body...), 0),
		"no such series":      {1, 'a', 5, 0, 1, 0, 2, 17},
		"no histogram":        {1, 'a', 5, 1, 0, 1, 1, 2, 0x0f, 1, 1},
		"start is none":       {1, 'a', 5, 1, 0, 1, 2, 2, 2, 17},
		"sequence overflows":  {1, 'a', 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 1, 0, 1, 0, 2, 17},
	} {
		var corrupt *record.CorruptError
		if l, err := record.ReadLate(b); !errors.As(err, &corrupt) {
			t.Errorf("%s: %+v, %v", name, l, err)
		}
	}
	for n := range body {
		if _, err := record.ReadLate(body[:n]); err == nil {
			t.Errorf("the first %d bytes were read as a whole record", n)
		}
	}
}

// exampleLateHistogram has a float and a histogram with start timestamps.
func exampleLateHistogram() []byte {
	var w record.LateWriter
	w.Reset("default", 14)
	h := w.AddSeries(labels.FromStrings("__name__", "h"))
	w.AddSample(record.LateSample{Series: h, Time: 1_699_999_000_000, Bits: math.Float64bits(2), Start: 1_699_998_000_000})
	w.AddSample(record.LateSample{
		Series: h, Time: 1_699_999_015_000, Start: 1_699_998_000_000,
		Histogram: record.AppendHistogram(nil, column.Histogram{}, histories()["one bucket more"][0]),
	})
	return w.Append(nil)
}

func TestLateGolden(t *testing.T) {
	got := fmt.Sprintf("% x\n", exampleLateHistogram())
	formattest.Golden(t, *rewrite, "testdata/late.golden", got)
	formattest.Documented(t, got)
	l, err := record.ReadLate(exampleLateHistogram())
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []column.Sample{
		{T: 1_699_999_000_000, V: 2, Start: 1_699_998_000_000},
		{T: 1_699_999_015_000, H: histories()["one bucket more"][0], Start: 1_699_998_000_000},
	} {
		if x, err := l.Samples[i].Sample(); err != nil || x.T != want.T || x.Start != want.Start || !x.SameValue(want) {
			t.Errorf("sample %d is %+v, %v, want %+v", i, x, err, want)
		}
	}
}

// FuzzReadLate: what is read is written and read again as the same, and every
// sample can be decoded.
func FuzzReadLate(f *testing.F) {
	f.Add(exampleLate())
	f.Add(exampleLateHistogram())
	f.Fuzz(func(t *testing.T, body []byte) {
		l, err := record.ReadLate(body)
		if err != nil {
			return
		}
		if 3*len(l.Samples) > len(body) {
			t.Errorf("%d late samples of %d bytes", len(l.Samples), len(body))
		}
		var w record.LateWriter
		w.Reset(l.Tenant, l.First)
		for _, lset := range l.Series {
			w.AddSeries(lset)
		}
		for _, s := range l.Samples {
			if _, err := s.Sample(); err != nil {
				t.Fatalf("%+v: %v", s, err)
			}
			w.AddSample(s)
		}
		again, err := record.ReadLate(w.Append(nil))
		if err != nil || fmt.Sprintf("%+v", *again) != fmt.Sprintf("%+v", *l) {
			t.Fatalf("%+v comes back as %+v, error %v", l, again, err)
		}
	})
}

package record_test

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/nilometer/nilometer/format/record"
)

func TestLateRoundTrip(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	var w record.LateWriter
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
			w.AddSample(s.Series, s.Time, s.Bits)
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
	body := exampleLate()
	for name, b := range map[string][]byte{
		"more behind the end": append(append([]byte{}, body...), 0),
		"no such series":      {1, 'a', 5, 0, 1, 0, 2, 17},
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

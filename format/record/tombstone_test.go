package record_test

import (
	"errors"
	"math/rand/v2"
	"reflect"
	"testing"

	"github.com/nilometer/nilometer/format/record"
)

func exampleTombstone() *record.Tombstone {
	return &record.Tombstone{
		Tenant: "default", ID: "EXAMPLE", MinTime: 1_699_999_000_000, MaxTime: 1_700_000_000_000, Late: 13,
		Matchers: []record.TombstoneMatcher{{Op: "=~", Name: "__name__", Value: "u.*"}},
		Series:   []record.TombstoneSeries{{Hash: 0x1122334455667788, Last: 1_700_000_000_000}},
	}
}

func TestTombstoneRoundTrip(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	many := exampleTombstone()
	many.Series = many.Series[:0]
	for i := range 1000 {
		many.Series = append(many.Series, record.TombstoneSeries{Hash: uint64(i) << 32, Last: rng.Int64N(1<<43) - 1<<42})
	}
	for _, want := range []*record.Tombstone{exampleTombstone(), many, {Series: []record.TombstoneSeries{}}} {
		got, err := record.ReadTombstone(record.AppendTombstone(nil, want))
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("got %+v, want %+v", got, want)
		}
	}
}

func TestTombstoneDamage(t *testing.T) {
	body := record.AppendTombstone(nil, exampleTombstone())
	for n := range body {
		var corrupt *record.CorruptError
		if _, err := record.ReadTombstone(body[:n]); !errors.As(err, &corrupt) {
			t.Fatalf("%d bytes: %v", n, err)
		}
	}
	if _, err := record.ReadTombstone(append(body, 0)); err == nil {
		t.Error("a byte too many was taken")
	}
	wrong := exampleTombstone()
	wrong.Series = []record.TombstoneSeries{{Hash: 2}, {Hash: 1}}
	if _, err := record.ReadTombstone(record.AppendTombstone(nil, wrong)); err == nil {
		t.Error("series out of order were taken")
	}
}

func FuzzTombstone(f *testing.F) {
	f.Add(record.AppendTombstone(nil, exampleTombstone()))
	f.Fuzz(func(t *testing.T, data []byte) {
		got, err := record.ReadTombstone(data)
		if err != nil {
			return
		}
		again, err := record.ReadTombstone(record.AppendTombstone(nil, got))
		if err != nil || !reflect.DeepEqual(again, got) {
			t.Fatalf("%+v comes back as %+v, %v", got, again, err)
		}
	})
}

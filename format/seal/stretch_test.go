package seal_test

import (
	"encoding/hex"
	"errors"
	"flag"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/nilometer/nilometer/format/formattest"
	"github.com/nilometer/nilometer/format/seal"
	"github.com/nilometer/nilometer/model/column"
)

var rewrite = flag.Bool("rewrite", false, "write the golden files anew")

// entry is what a slot was given.
type entry struct {
	typ   seal.Type
	chunk []byte
	runs  []column.Run
}

func build(entries []entry) []byte {
	var b seal.Builder
	for _, e := range entries {
		b.Add(e.typ, e.chunk, e.runs)
	}
	return b.Append(nil)
}

func check(t *testing.T, s seal.Stretch, entries []entry) {
	t.Helper()
	if s.Slots() != len(entries) {
		t.Fatalf("%d slots of %d", s.Slots(), len(entries))
	}
	for slot, e := range entries {
		typ, chunk, runs := s.Entry(slot, nil)
		if typ != e.typ || string(chunk) != string(e.chunk) || !slices.Equal(runs, e.runs) {
			t.Fatalf("slot %d: %d %x %v instead of %v", slot, typ, chunk, runs, e)
		}
	}
	if _, chunk, runs := s.Entry(len(entries), nil); chunk != nil || runs != nil {
		t.Errorf("a slot after the last has %x %v", chunk, runs)
	}
}

var example = []entry{
	{chunk: []byte{1}},
	{}, // no sample
	{chunk: []byte{2, 7}, runs: []column.Run{{At: 0, Len: 3, State: column.Absent}, {At: 9, Len: 1, State: column.Stale}}},
	{runs: []column.Run{{At: 5, Len: 1, State: column.Stale}, {At: 6, Len: 4, State: column.Absent}}},
	{typ: 1, chunk: []byte{3}},
}

func TestStretch(t *testing.T) {
	b := build(example)
	formattest.Golden(t, *rewrite, "testdata/v1-stretch.hex", hex.Dump(b))
	s, err := seal.ReadStretch(b, 10)
	if err != nil {
		t.Fatal(err)
	}
	check(t, s, example)
	if _, err := seal.ReadStretch(b, 9); err == nil {
		t.Error("a stretch with runs beyond its end is accepted")
	}
}

func TestRandomStretches(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 7))
	for range 200 {
		entries := make([]entry, rng.IntN(150))
		for i := range entries {
			n := []int{0, 1, 3, 40, 5000}[rng.IntN(5)]
			if n == 5000 && rng.IntN(5) > 0 {
				n = 4095 - rng.IntN(20)
			}
			entries[i] = entry{typ: seal.Type(rng.IntN(4)), chunk: make([]byte, n)}
			for k := range entries[i].chunk {
				entries[i].chunk[k] = byte(rng.Uint32())
			}
			if rng.IntN(4) == 0 {
				for at := rng.IntN(50); at < 120 && len(entries[i].runs) < 40; at += 2 + rng.IntN(30) {
					entries[i].runs = append(entries[i].runs, column.Run{At: uint16(at), Len: 1, State: column.State(1 + rng.IntN(2))})
				}
			}
		}
		s, err := seal.ReadStretch(build(entries), 120)
		if err != nil {
			t.Fatal(err)
		}
		check(t, s, entries)
	}
}

func FuzzReadStretch(f *testing.F) {
	f.Add(build(example))
	f.Add(build(nil))
	f.Add(build([]entry{{chunk: make([]byte, 5000), runs: example[2].runs}}))
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := seal.ReadStretch(b, 10)
		if err != nil {
			var broken *seal.CorruptError
			if !errors.As(err, &broken) {
				t.Fatalf("%v is no *CorruptError", err)
			}
			return
		}
		var again seal.Builder
		for slot := range s.Slots() {
			typ, chunk, runs := s.Entry(slot, nil)
			if err := column.ValidateRuns(runs, 10); err != nil {
				t.Fatalf("slot %d: %v", slot, err)
			}
			again.Add(typ, chunk, runs)
		}
		if _, err := seal.ReadStretch(again.Append(nil), 10); err != nil {
			t.Fatalf("what was read cannot be written: %v", err)
		}
	})
}

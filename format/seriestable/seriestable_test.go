package seriestable_test

import (
	"encoding/hex"
	"errors"
	"flag"
	"os"
	"reflect"
	"testing"

	"pgregory.net/rapid"

	"github.com/nilometer/nilometer/format/seriestable"
)

var rewrite = flag.Bool("rewrite", false, "write the golden files anew")

func two() []byte {
	b := seriestable.AppendBegin(nil)
	b = seriestable.AppendSeries(b, []seriestable.Row{{Left: 1, Right: 2, Hash: 17, Group: 7}, {Left: 1, Right: 3, Hash: 18, Group: 7, Slot: 1}})
	b = seriestable.AppendTuples(b, [][]uint32{{0}, {1}, {2}})
	b = seriestable.AppendPairs(b, []seriestable.Pair{{Name: 0, Value: 1}, {Name: 2, Value: 3}, {Name: 2, Value: 4}})
	b = seriestable.AppendStrings(b, []string{"job", "j", "__name__", "up", "down"})
	return seriestable.AppendEnd(b, seriestable.Totals{Series: 2, Tuples: 3, Pairs: 3, Strings: 5})
}

func TestGolden(t *testing.T) {
	const name = "testdata/v1-two.hex"
	got := hex.Dump(two())
	if *rewrite {
		if err := os.WriteFile(name, []byte(got), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("got\n%s", got)
	}
}

func TestRoundTrip(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		rows := rapid.SliceOf(rapid.Make[seriestable.Row]()).Draw(rt, "series")
		places := rapid.SliceOf(rapid.Make[seriestable.Place]()).Draw(rt, "places")
		tuples := rapid.SliceOf(rapid.SliceOf(rapid.Uint32())).Draw(rt, "tuples")
		pairs := rapid.SliceOf(rapid.Make[seriestable.Pair]()).Draw(rt, "pairs")
		strings := rapid.SliceOf(rapid.String()).Draw(rt, "strings")
		b := seriestable.AppendBegin(nil)
		b = seriestable.AppendSeries(b, rows)
		b = seriestable.AppendPlaces(b, places)
		b = seriestable.AppendTuples(b, tuples)
		b = seriestable.AppendPairs(b, pairs)
		b = seriestable.AppendStrings(b, strings)
		b = append(seriestable.AppendEnd(b, seriestable.Totals{Series: 1, Places: 1 << 40}), "behind"...)
		r := seriestable.NewReader(b)
		for i := range 7 {
			s, err := r.Next()
			if err != nil || s.Type != seriestable.Type(i+1) {
				rt.Fatalf("section %d: %+v, %v", i, s, err)
			}
			var same bool
			switch s.Type {
			case seriestable.Begin:
				same = true
			case seriestable.Series:
				same = equal(s.Series, rows)
			case seriestable.Places:
				same = equal(s.Places, places)
			case seriestable.Tuples:
				same = len(s.Tuples) == len(tuples)
				for i := range s.Tuples {
					same = same && equal(s.Tuples[i], tuples[i])
				}
			case seriestable.Pairs:
				same = equal(s.Pairs, pairs)
			case seriestable.Strings:
				same = len(s.Strings) == len(strings)
				for i := range s.Strings {
					same = same && string(s.Strings[i]) == strings[i]
				}
			case seriestable.End:
				same = s.Totals == seriestable.Totals{Series: 1, Places: 1 << 40}
			}
			if !same {
				rt.Fatalf("section %d came back as %+v", i, s)
			}
		}
	})
}

func equal[T any](a, b []T) bool { return len(a) == len(b) && (len(a) == 0 || reflect.DeepEqual(a, b)) }

func TestFaults(t *testing.T) {
	whole := two()
	for n := range len(whole) {
		if err := readAll(whole[:n]); err == nil {
			t.Fatalf("the first %d of %d bytes are a whole table", n, len(whole))
		}
		broken := append([]byte(nil), whole...)
		broken[n] ^= 0x10
		if err := readAll(broken); err == nil {
			t.Fatalf("byte %d is broken, and nobody sees it", n)
		}
	}
	if err := readAll(seriestable.AppendBegin(nil)); !errors.Is(err, seriestable.ErrIncomplete) {
		t.Errorf("a table without an end: %v", err)
	}
	if err := readAll(seriestable.AppendEnd(nil, seriestable.Totals{})); err == nil {
		t.Error("a table without a beginning is read")
	}
}

func readAll(b []byte) error {
	r := seriestable.NewReader(b)
	for {
		s, err := r.Next()
		if err != nil {
			return err
		}
		if s.Type == seriestable.End {
			return nil
		}
	}
}

func FuzzReader(f *testing.F) {
	f.Add(two())
	f.Add(seriestable.AppendPlaces(seriestable.AppendBegin(nil), []seriestable.Place{{Series: 1, Group: 2, Slot: 3}}))
	f.Fuzz(func(t *testing.T, b []byte) {
		var corrupt *seriestable.CorruptError
		err := readAll(b)
		if errors.As(err, &corrupt) && (corrupt.Offset < 0 || corrupt.Offset > len(b)) {
			t.Fatalf("%v, of %d bytes", err, len(b))
		}
	})
}

package postings_test

import (
	"encoding/hex"
	"errors"
	"flag"
	"maps"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/nilometer/nilometer/format/formattest"
	"github.com/nilometer/nilometer/format/postings"
)

var rewrite = flag.Bool("rewrite", false, "write the golden files anew")

func golden(t *testing.T, name string, l postings.List) []byte {
	t.Helper()
	b, err := postings.Append(nil, l)
	if err != nil {
		t.Fatal(err)
	}
	got := hex.Dump(b)
	formattest.Golden(t, *rewrite, name, got)
	back, err := postings.Decode(b, 1<<20)
	if err != nil || !slices.Equal(back, l) {
		t.Errorf("%s: %v %v", name, back, err)
	}
	return b
}

func TestGolden(t *testing.T) {
	golden(t, "testdata/v1-runs.hex", postings.Of(3, 7, 8, 9, 1000, 1002, 1003))
	var dense []uint32 // irregular and dense: a bitmap is smaller than runs
	x := uint32(1)
	for o := range uint32(60_000) {
		x = x*1664525 + 1013904223
		if x>>31 == 1 {
			dense = append(dense, o)
		}
	}
	if b := golden(t, "testdata/v1-roaring.hex", postings.Of(dense...)); b[0] != 1 {
		t.Error("the dense list is not a bitmap")
	}
}

func draw(rt *rapid.T, name string) (postings.List, map[uint32]bool) {
	set := map[uint32]bool{}
	for range rapid.IntRange(0, 12).Draw(rt, name) {
		from := rapid.Uint32Range(0, 300).Draw(rt, "from")
		for o := range rapid.Uint32Range(1, 20).Draw(rt, "length") {
			set[from+o] = true
		}
	}
	return listOf(set), set
}

func listOf(set map[uint32]bool) postings.List {
	return postings.Of(slices.Sorted(maps.Keys(set))...)
}

// TestSets compares the operations with maps.
func TestSets(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		a, as := draw(rt, "a")
		b, bs := draw(rt, "b")
		c, cs := draw(rt, "c")
		and, without, or := map[uint32]bool{}, map[uint32]bool{}, map[uint32]bool{}
		for o := range as {
			or[o] = true
			if bs[o] {
				and[o] = true
			} else {
				without[o] = true
			}
		}
		maps.Copy(or, bs)
		maps.Copy(or, cs)
		for _, tc := range []struct {
			name      string
			got, want postings.List
		}{
			{"intersect", postings.Intersect(a, b), listOf(and)},
			{"without", postings.Without(a, b), listOf(without)},
			{"union", postings.Union(a, b, c), listOf(or)},
			{"arguments stay", a, listOf(as)},
			{"arguments stay", b, listOf(bs)},
		} {
			if !slices.Equal(tc.got, tc.want) || !tc.got.Valid() {
				rt.Fatalf("%s of %v, %v, %v: %v, want %v", tc.name, a, b, c, tc.got, tc.want)
			}
		}
		if a.Count() != len(as) {
			rt.Fatalf("%v: count %d, want %d", a, a.Count(), len(as))
		}
		bytes, err := postings.Append(nil, a)
		if err != nil {
			rt.Fatal(err)
		}
		back, err := postings.Decode(bytes, 320)
		if err != nil || !slices.Equal(back, a) {
			rt.Fatalf("%v came back as %v, %v", a, back, err)
		}
		if k := len(a) - 1; k >= 0 {
			if _, err := postings.Decode(bytes, a[k].To-1); err == nil {
				rt.Fatalf("%v is below %d", a, a[k].To-1)
			}
		}
	})
}

func FuzzDecode(f *testing.F) {
	for _, l := range []postings.List{nil, postings.Of(1, 2, 5), postings.All(1000)} {
		b, err := postings.Append(nil, l)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Add([]byte{1, 0x3b, 0x30, 0, 0, 1, 0, 0, 1, 0, 0, 0, 9, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		l, err := postings.Decode(b, 1<<20)
		if err != nil {
			var broken *postings.CorruptError
			if !errors.As(err, &broken) {
				t.Fatal(err)
			}
			return
		}
		if !l.Valid() || len(l) > 0 && l[len(l)-1].To > 1<<20 {
			t.Fatalf("%v from %x", l, b)
		}
		again, err := postings.Append(nil, l)
		if err != nil {
			t.Fatal(err)
		}
		if back, err := postings.Decode(again, 1<<20); err != nil || !slices.Equal(back, l) {
			t.Fatalf("%v came back as %v, %v", l, back, err)
		}
	})
}

package symbols_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/nilometer/nilometer/format/formattest"
	"github.com/nilometer/nilometer/format/symbols"
)

var rewrite = flag.Bool("rewrite", false, "write the golden files anew")

func table(t testing.TB, sorted ...string) (symbols.Table, []byte) {
	t.Helper()
	b, err := symbols.Append(nil, sorted)
	if err != nil {
		t.Fatal(err)
	}
	table, n, err := symbols.Open(b)
	if err != nil || n != len(b) {
		t.Fatalf("%d of %d bytes, %v", n, len(b), err)
	}
	return table, b
}

func TestGolden(t *testing.T) {
	_, b := table(t, "go_gc_duration_seconds", "go_goroutines", "node_cpu_seconds_total", "node_load1", "up")
	formattest.Golden(t, *rewrite, "testdata/v1-five.hex", hex.Dump(b))
	var many []string
	for i := range 70 {
		many = append(many, fmt.Sprintf("host-%02d", i))
	}
	_, b = table(t, many...)
	formattest.Golden(t, *rewrite, "testdata/v1-restarts.hex", hex.Dump(b))
}

func TestLookups(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		set := rapid.SliceOfNDistinct(rapid.StringOfN(rapid.RuneFrom([]rune("abcé\x00")), 0, 6, -1), 0, 200, rapid.ID[string]).Draw(rt, "set")
		slices.Sort(set)
		b, err := symbols.Append([]byte("x"), set)
		if err != nil {
			rt.Fatal(err)
		}
		table, n, err := symbols.Open(append(b[1:], "behind"...))
		if err != nil || n != len(b)-1 || table.Len() != len(set) {
			rt.Fatalf("%d symbols in %d bytes, %v", table.Len(), n, err)
		}
		for i, s := range set {
			got, err := table.At(i, nil)
			if err != nil || string(got) != s {
				rt.Fatalf("symbol %d is %q, %v; want %q", i, got, err, s)
			}
		}
		probe := rapid.StringOfN(rapid.RuneFrom([]rune("abcé\x00")), 0, 6, -1).Draw(rt, "probe")
		for _, s := range append(set, probe) {
			want, found := slices.BinarySearch(set, s)
			got, ok, err := table.Seek(s)
			if err != nil || got != want || ok != found {
				rt.Fatalf("seek %q: %d %v %v, want %d %v", s, got, ok, err, want, found)
			}
		}
		from := rapid.IntRange(0, len(set)).Draw(rt, "from")
		var all []string
		if err := table.Range(from, func(_ int, s []byte) bool { all = append(all, string(s)); return true }); err != nil {
			rt.Fatal(err)
		}
		if !slices.Equal(all, set[from:]) {
			rt.Fatalf("range from %d: %q, want %q", from, all, set[from:])
		}
	})
}

func TestAppendRefuses(t *testing.T) {
	for _, set := range [][]string{{"b", "a"}, {"a", "a"}, {strings.Repeat("x", symbols.SymbolBytesMax+1)}} {
		if _, err := symbols.Append(nil, set); err == nil {
			t.Errorf("%.20q was accepted", set)
		}
	}
}

func FuzzOpen(f *testing.F) {
	for _, set := range [][]string{nil, {""}, {"a", "ab", "b"}} {
		_, b := table(f, set...)
		f.Add(b, "a")
	}
	f.Fuzz(func(t *testing.T, b []byte, probe string) {
		table, n, err := symbols.Open(b)
		if err != nil {
			var broken *symbols.CorruptError
			if !errors.As(err, &broken) {
				t.Fatal(err)
			}
			return
		}
		if n > len(b) || table.Len() > len(b) {
			t.Fatalf("%d symbols in %d of %d bytes", table.Len(), n, len(b))
		}
		var all []string
		sorted := true
		failed := table.Range(0, func(_ int, s []byte) bool {
			sorted = sorted && (len(all) == 0 || all[len(all)-1] < string(s))
			all = append(all, string(s))
			return len(all) < 1000
		})
		_, _, _ = table.Seek(probe)
		_, _ = table.At(table.Len()/2, nil)
		if failed == nil && sorted && len(all) == table.Len() {
			again, err := symbols.Append(nil, all)
			if err != nil {
				t.Fatal(err)
			}
			if reread, _, err := symbols.Open(again); err != nil || reread.Len() != table.Len() {
				t.Fatal(err, bytes.Equal(again, b))
			}
		}
	})
}

package document_test

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"hash/crc32"
	"math"
	"strings"
	"testing"

	"github.com/nilometer/nilometer/format/document"
	"github.com/nilometer/nilometer/format/formattest"
)

var rewrite = flag.Bool("rewrite", false, "write the golden file anew")

const golden = "testdata/v1.golden"

var (
	errDamaged = errors.New("damaged")
	errFuture  = errors.New("of the future")
)

type example struct {
	Name  string `json:"name"`
	Count int    `json:"count"`
}

func kind() document.Kind {
	return document.Kind{Name: "nilometer-example", Version: 1, BytesMax: 1 << 20, ErrDamaged: errDamaged, ErrFuture: errFuture}
}

func encoded(t testing.TB) []byte {
	t.Helper()
	b, err := kind().Append(nil, example{Name: "a<b", Count: 3})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// framed puts a header that fits before a body.
func framed(body string) string {
	return fmt.Sprintf("nilometer-example 1 crc32c=%08x bytes=%d\n%s", crc32.Checksum([]byte(body), crc32.MakeTable(crc32.Castagnoli)), len(body), body)
}

func TestGolden(t *testing.T) {
	got := encoded(t)
	want := formattest.Golden(t, *rewrite, golden, string(got))
	var x example
	if err := kind().Decode([]byte(want), &x); err != nil || x != (example{"a<b", 3}) {
		t.Errorf("decoded as %+v, %v", x, err)
	}
}

func TestEveryByteIsGuarded(t *testing.T) {
	whole := encoded(t)
	for at := range whole {
		b := bytes.Clone(whole)
		b[at] ^= 1
		var x example
		if err := kind().Decode(b, &x); err == nil {
			// Checksums are hex digits of either case.
			if x != (example{"a<b", 3}) {
				t.Errorf("byte %d: %+v", at, x)
			}
		} else if !errors.Is(err, errDamaged) && !errors.Is(err, errFuture) {
			t.Errorf("byte %d: %v", at, err)
		}
		if err := kind().Decode(whole[:at], &x); !errors.Is(err, errDamaged) {
			t.Errorf("cut at %d: %v", at, err)
		}
	}
}

func TestRefused(t *testing.T) {
	whole := string(encoded(t))
	for _, c := range []struct {
		name, bytes string
		want        error
		says        string
	}{
		{"empty", "", errDamaged, "no header line"},
		{"no end of the header", strings.Repeat("x", 1000), errDamaged, "no header line in the first 100 bytes"},
		{"another kind", strings.Replace(whole, "example", "backup", 1), errDamaged, `does not begin with "nilometer-example"`},
		{"the future", strings.Replace(whole, " 1 ", " 2 ", 1), errFuture, "format 2, known up to 1"},
		{"version 0", strings.Replace(whole, " 1 ", " 0 ", 1), errDamaged, "header"},
		{"no version", strings.Replace(whole, " 1 ", " ", 1), errDamaged, "header"},
		{"no checksum", "nilometer-example 1 bytes=2\n{}", errDamaged, "header"},
		{"longer", whole + "\n", errDamaged, "bytes after the header, which says"},
		{"an unknown key", framed(`{"name":"a","more":1}`), errDamaged, "offset"},
		{"no JSON", framed(`{"name"`), errDamaged, "offset"},
		{"two documents", framed(`{"name":"a"}{}`), errDamaged, "bytes after the end"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if err := kind().Decode([]byte(c.bytes), new(example)); !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.says) {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestAppendRefuses(t *testing.T) {
	small := kind()
	small.BytesMax = 10
	before := []byte("before")
	if b, err := small.Append(before, example{Name: "longer than that"}); err == nil || !strings.Contains(err.Error(), "at most 10") || string(b) != "before" {
		t.Errorf("%q, %v", b, err)
	}
	if b, err := kind().Append(before, math.NaN()); err == nil || string(b) != "before" {
		t.Errorf("%q, %v", b, err)
	}
}

// FuzzDecode draws bodies behind a header that fits them, and headers.
func FuzzDecode(f *testing.F) {
	head, body, _ := strings.Cut(string(encoded(f)), "\n")
	f.Add("", body)
	f.Add(head, body)
	f.Fuzz(func(t *testing.T, head, body string) {
		b := head + "\n" + body
		if head == "" {
			b = framed(body)
		}
		var x, y example
		if err := kind().Decode([]byte(b), &x); err != nil {
			if !errors.Is(err, errDamaged) && !errors.Is(err, errFuture) {
				t.Fatal(err)
			}
			return
		}
		again, err := kind().Append(nil, x)
		if err != nil {
			t.Fatal(err)
		}
		if err := kind().Decode(again, &y); err != nil || y != x {
			t.Fatalf("%+v, %v", y, err)
		}
	})
}

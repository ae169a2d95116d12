package index_test

import (
	"errors"
	"fmt"
	"io"
	"testing"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/nilometer/nilometer/format/index"
)

// afar counts what is read, and fails while broken.
type afar struct {
	b      []byte
	bytes  int
	reads  int
	broken bool
}

var errAway = errors.New("the bucket is away")

func (a *afar) ReadAt(p []byte, off int64) (int, error) {
	if a.broken {
		return 0, errAway
	}
	n := copy(p, a.b[min(off, int64(len(a.b))):])
	a.bytes, a.reads = a.bytes+n, a.reads+1
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// large builds an index that is too large to be packed.
func large(t *testing.T) []byte {
	t.Helper()
	b := index.NewBuilder(1)
	for i := range 60_000 {
		lset := labels.FromStrings("__name__", fmt.Sprintf("metric_%03d", i/600), "instance", fmt.Sprintf("host-%03d", i%600), "serial", fmt.Sprintf("%08x", i*2654435761%(1<<32)))
		if _, err := b.AddSeries(lset); err != nil {
			t.Fatal(err)
		}
	}
	raw, err := b.Build(nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(raw) <= index.PackedBytesMax {
		t.Fatalf("%d bytes could be packed", len(raw))
	}
	return raw
}

// same compares what two indexes say of some series and values.
func same(t *testing.T, got, want *index.Index) {
	t.Helper()
	if got.Series() != want.Series() || fmt.Sprint(got.Names()) != fmt.Sprint(want.Names()) {
		t.Fatalf("%d series of %v", got.Series(), got.Names())
	}
	for _, i := range []int{0, 100, 59_999} {
		a, err := got.SeriesPage(i / index.SeriesPerPage)
		if err != nil {
			t.Fatal(err)
		}
		b, err := want.SeriesPage(i / index.SeriesPerPage)
		if err != nil {
			t.Fatal(err)
		}
		_, x := a.Refs(i % index.SeriesPerPage)
		_, y := b.Refs(i % index.SeriesPerPage)
		if fmt.Sprint(x) != fmt.Sprint(y) {
			t.Errorf("series %d has %v, want %v", i, x, y)
		}
	}
	for name := range want.Names() {
		for _, value := range []int{0, 1, 63, 64, 99} {
			a, err := got.Postings(name, value)
			if err != nil {
				t.Fatal(err)
			}
			b, err := want.Postings(name, value)
			if err != nil || fmt.Sprint(a) != fmt.Sprint(b) {
				t.Errorf("postings of %s %d: %v, want %v, %v", want.Names()[name], value, a, b, err)
			}
		}
	}
}

func TestAnIndexFromAfar(t *testing.T) {
	raw := large(t)
	want, err := index.Open(raw, nil)
	if err != nil {
		t.Fatal(err)
	}
	src := &afar{b: raw}
	x, err := index.OpenAt(src, int64(len(raw)), nil)
	if err != nil || src.bytes > 80<<10 || src.reads > 3 {
		t.Fatalf("%v; opening read %d bytes of %d in %d reads", err, src.bytes, len(raw), src.reads)
	}
	if _, err := x.Rows(); err != nil {
		t.Error(err)
	}
	src.broken = true
	if err := x.CheckSeries(); !errors.Is(err, errAway) {
		t.Errorf("while the bucket is away: %v", err)
	}
	src.broken = false
	same(t, x, want)
	read := src.bytes
	same(t, x, want)
	if src.bytes != read {
		t.Errorf("%d bytes were read again", src.bytes-read)
	}
	if errs := x.Check(); len(errs) > 0 {
		t.Error(errs)
	}
}

// TestAnIndexFromAfarThatIsDamaged: every byte is guarded there, too.
func TestAnIndexFromAfarThatIsDamaged(t *testing.T) {
	raw := large(t)
	for at := 0; at < len(raw); at += len(raw)/60 + 1 {
		raw[at] ^= 8
		x, err := index.OpenAt(&afar{b: raw}, int64(len(raw)), nil)
		var broken *index.CorruptError
		if err == nil {
			if errs := x.Check(); len(errs) > 0 {
				err = errs[0]
			}
		}
		if !errors.As(err, &broken) {
			t.Errorf("byte %d of %d: %v", at, len(raw), err)
		}
		raw[at] ^= 8
	}
	for _, size := range []int64{0, 10, 1000, int64(len(raw)) - 1} {
		if _, err := index.OpenAt(&afar{b: raw[:size]}, size, nil); err == nil {
			t.Errorf("cut at %d", size)
		}
	}
	if _, err := index.OpenAt(&afar{b: raw[:1000]}, int64(len(raw)), nil); err == nil {
		t.Error("shorter than it was said to be")
	}
}

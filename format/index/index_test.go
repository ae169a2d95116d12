package index_test

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"hash/crc32"
	"slices"
	"testing"

	"github.com/klauspost/compress/zstd"
	"github.com/prometheus/prometheus/model/labels"
	"pgregory.net/rapid"

	"github.com/nilometer/nilometer/format/formattest"
	"github.com/nilometer/nilometer/format/index"
)

var rewrite = flag.Bool("rewrite", false, "write the golden files anew")

func example(t testing.TB) []byte {
	t.Helper()
	b := index.NewBuilder(7_200_000)
	column := index.Column{
		Key: 0x1122334455667788, Hash: 0x99, Times: []byte{1, 2, 3},
		Tiles: []index.Tile{{From: 0, To: 480, First: 1000, Last: 7_186_000}, {From: 480, To: 481, First: 7_201_000, Last: 7_201_000}},
	}
	if _, err := b.AddColumn(&column); err != nil {
		t.Fatal(err)
	}
	for _, lset := range []labels.Labels{
		labels.FromStrings("__name__", "cpu", "instance", "a", "mode", "idle"),
		labels.FromStrings("__name__", "cpu", "instance", "a", "mode", "user"),
		labels.FromStrings("__name__", "cpu", "instance", "b", "mode", "idle"),
		labels.FromStrings("__name__", "up", "instance", "a"),
		labels.FromStrings("__name__", "up", "instance", "b"),
	} {
		if _, err := b.AddSeries(lset); err != nil {
			t.Fatal(err)
		}
	}
	b.AddPage(1, index.Page{First: 0, Last: 4, File: 1, Offset: 900, Bytes: 100, Entries: 5, Samples: 5, MinTime: 7_201_000, MaxTime: 7_201_000})
	b.AddPage(0, index.Page{First: 0, Last: 4, File: 1, Offset: 16, Bytes: 884, Entries: 5, Samples: 2400, MinTime: 1000, MaxTime: 7_186_000})
	out, err := b.Build(nil)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestGolden(t *testing.T) {
	b := example(t)
	formattest.Golden(t, *rewrite, "testdata/v1.hex", hex.Dump(b))
	x, err := index.Open(b, nil)
	if err != nil {
		t.Fatal(err)
	}
	if errs := x.Check(); len(errs) > 0 {
		t.Error(errs)
	}
	rows, err := x.Rows()
	if err != nil || len(rows) != 2 || rows[0].EndPage != 1 || rows[1].MinTime != 7_201_000 || x.Files() != 1 {
		t.Errorf("%+v %v", rows, err)
	}
	c, err := x.Column(0)
	if err != nil || c.Positions() != 481 || !bytes.Equal(c.Times, []byte{1, 2, 3}) {
		t.Errorf("%+v %v", c, err)
	}
	if from, to := c.RowTiles(1, x.RowMs()); from != 1 || to != 2 {
		t.Errorf("tiles %d to %d in row 1", from, to)
	}
	l, err := x.Postings(2, 0) // mode="idle"
	if err != nil || !slices.Equal(x.Names(), []string{"__name__", "instance", "mode"}) || fmt.Sprint(l) != "[{0 1} {2 3}]" {
		t.Errorf("%v %v", l, err)
	}
	if at, err := x.FindPage(rows[1], 3); err != nil || at != 1 {
		t.Errorf("page %d, %v", at, err)
	}
}

// TestRoundTrip draws label sets and compares sets and postings.
func TestRoundTrip(t *testing.T) {
	enc, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1))
	if err != nil {
		t.Fatal(err)
	}
	dec, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1))
	if err != nil {
		t.Fatal(err)
	}
	defer dec.Close()
	rapid.Check(t, func(rt *rapid.T) {
		sets := rapid.SliceOfN(rapid.MapOfN(rapid.SampledFrom([]string{"A", "__name__", "b", "c", "le", "é"}), rapid.StringOfN(rapid.RuneFrom([]rune("01ab")), 1, 3, -1), 0, 6), 0, 700).Draw(rt, "sets")
		var lsets []labels.Labels
		for _, m := range sets {
			lsets = append(lsets, labels.FromMap(m))
		}
		slices.SortFunc(lsets, labels.Compare)
		lsets = slices.CompactFunc(lsets, labels.Equal)
		b := index.NewBuilder(1)
		for _, lset := range lsets {
			if _, err := b.AddSeries(lset); err != nil {
				rt.Fatal(err)
			}
		}
		var c index.Compressor
		if rapid.Bool().Draw(rt, "compress") {
			c = enc
		}
		raw, err := b.Build(c)
		if err != nil {
			rt.Fatal(err)
		}
		if rapid.Bool().Draw(rt, "pack") {
			raw = index.Pack(raw, enc)
		}
		x, err := index.Open(raw, dec)
		if err != nil || x.Series() != len(lsets) {
			rt.Fatal(err, x)
		}
		has := map[string][]uint32{}
		for i, want := range lsets {
			sp, err := x.SeriesPage(i / index.SeriesPerPage)
			if err != nil {
				rt.Fatal(err)
			}
			names, values := sp.Refs(i % index.SeriesPerPage)
			var kv []string
			for k, n := range names {
				table, err := x.Values(int(n))
				if err != nil {
					rt.Fatal(err)
				}
				v, err := table.At(int(values[k]), nil)
				if err != nil {
					rt.Fatal(err)
				}
				kv = append(kv, x.Names()[n], string(v))
				key := fmt.Sprint(n, "=", values[k])
				has[key] = append(has[key], uint32(i))
			}
			if got := labels.FromStrings(kv...); !labels.Equal(got, want) {
				rt.Fatalf("series %d is %s, want %s", i, got, want)
			}
		}
		for n := range x.Names() {
			table, err := x.Values(n)
			if err != nil {
				rt.Fatal(err)
			}
			for v := range table.Len() {
				l, err := x.Postings(n, v)
				if err != nil {
					rt.Fatal(err)
				}
				var got []uint32
				l.Each(func(o uint32) { got = append(got, o) })
				if !slices.Equal(got, has[fmt.Sprint(n, "=", v)]) {
					rt.Fatalf("postings of %s: %v, want %v", x.Names()[n], got, has[fmt.Sprint(n, "=", v)])
				}
			}
		}
	})
}

// FuzzPacked opens a packed index with bytes changed, its checksum right.
func FuzzPacked(f *testing.F) {
	enc, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1))
	if err != nil {
		f.Fatal(err)
	}
	dec, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(1<<20))
	if err != nil {
		f.Fatal(err)
	}
	whole := index.Pack(example(f), enc)
	for at := 8; at < len(whole); at += 3 {
		f.Add(uint16(at), []byte{whole[at] + 1})
	}
	f.Add(uint16(16), []byte{0xff, 0xff, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, at uint16, patch []byte) {
		b := bytes.Clone(whole)
		copy(b[int(at)%len(b):], patch)
		table := crc32.MakeTable(crc32.Castagnoli)
		binary.LittleEndian.PutUint32(b[12:], crc32.Update(crc32.Checksum(b[:12], table), table, b[16:]))
		var broken *index.CorruptError
		if x, err := index.Open(b, dec); err == nil {
			_ = x.Check()
		} else if !errors.As(err, &broken) {
			t.Fatal(err)
		}
	})
}

func TestOutOfOrderIsRefused(t *testing.T) {
	b := index.NewBuilder(1)
	lset := labels.FromStrings("a", "b")
	if _, err := b.AddSeries(lset); err != nil {
		t.Fatal(err)
	}
	if _, err := b.AddSeries(lset); err == nil {
		t.Error("a series twice")
	}
}

// FuzzOpen reads everything of an index with some bytes changed. The checksums
// of the sections and the footer are made right first, so that what they guard
// is reached.
func FuzzOpen(f *testing.F) {
	whole := example(f)
	for at := 0; at < len(whole); at += 7 {
		f.Add(uint16(at), []byte{whole[at] + 1})
	}
	f.Add(uint16(20), []byte{0xff, 0xff, 0xff, 0xff, 0x7f})
	dec, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(1<<20))
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, at uint16, patch []byte) {
		b := bytes.Clone(whole)
		copy(b[int(at)%len(b):], patch)
		fixChecksums(b)
		x, err := index.Open(b, dec)
		if err != nil {
			var broken *index.CorruptError
			if !errors.As(err, &broken) {
				t.Fatal(err)
			}
			return
		}
		_ = x.Check()
		_, _ = x.Rows()
		for i := range min(x.Series(), 1000) {
			if sp, err := x.SeriesPage(i / index.SeriesPerPage); err == nil {
				sp.Refs(i % index.SeriesPerPage)
			}
		}
		for n := range x.Names() {
			if table, err := x.Values(n); err == nil {
				for v := range min(table.Len(), 100) {
					_, _ = x.Postings(n, v)
				}
			}
		}
		for id := range min(x.Columns(), 100) {
			if c, err := x.Column(uint32(id)); err == nil {
				c.RowTiles(1, x.RowMs())
			}
		}
		for i := range min(x.Pages(), 100) {
			_, _ = x.Page(i)
		}
	})
}

// fixChecksums walks the footer as FORMAT.md draws it.
func fixChecksums(b []byte) {
	const footer, sections = 200, 8
	if len(b) < footer {
		return
	}
	table := crc32.MakeTable(crc32.Castagnoli)
	f := b[len(b)-footer:]
	for i := range sections {
		s := f[20*i:]
		from, size := binary.LittleEndian.Uint64(s), binary.LittleEndian.Uint64(s[8:])
		if from > uint64(len(b)) || size > uint64(len(b))-from {
			continue
		}
		binary.LittleEndian.PutUint32(s[16:], crc32.Checksum(b[from:from+size], table))
	}
	binary.LittleEndian.PutUint32(f[footer-8:], crc32.Checksum(f[:footer-8], table))
}

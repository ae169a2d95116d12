package page_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"flag"
	"slices"
	"testing"

	"github.com/klauspost/compress/zstd"
	"pgregory.net/rapid"

	"github.com/nilometer/nilometer/format/formattest"
	"github.com/nilometer/nilometer/format/page"
	"github.com/nilometer/nilometer/model/column"
)

var rewrite = flag.Bool("rewrite", false, "write the golden files anew")

// twoTiles: column 2 has two tiles in the row, all others one.
func twoTiles(id uint32) int {
	if id == 2 {
		return 2
	}
	return 1
}

func exampleFrame(t testing.TB) []byte {
	t.Helper()
	var b page.Builder
	b.Add(10, 0, []page.Chunk{{Data: []byte{0xa0}}})
	b.Add(11, 0, []page.Chunk{{Data: []byte{0xa1, 0xa1}, Runs: []column.Run{{At: 0, Len: 3, State: column.Absent}}}})
	b.Add(12, 1, []page.Chunk{{Data: []byte{0xa2}}})
	b.Add(13, 2, []page.Chunk{{}, {Data: []byte{0xa3}}})
	b.Add(14, 2, []page.Chunk{{}, {Data: []byte{0xa4}, Refs: []page.Ref{{Back: 1, Role: page.Minus}, {Back: 1, Role: page.Positions}}}})
	b.Add(20, 0, []page.Chunk{{Runs: []column.Run{{At: 0, Len: 3, State: column.Absent}, {At: 3, Len: 1, State: column.Stale}, {At: 4, Len: 476, State: column.Absent}}}})
	frame, err := page.AppendFrame(page.AppendFileHeader(nil), page.Chunks, b.AppendPayload(nil), nil)
	if err != nil {
		t.Fatal(err)
	}
	return frame
}

func TestGolden(t *testing.T) {
	b := exampleFrame(t)
	formattest.Golden(t, *rewrite, "testdata/v1.hex", hex.Dump(b))
	if err := page.CheckFileHeader(b); err != nil {
		t.Error(err)
	}
	h, payload, err := page.Open(b[page.FileHeaderBytes:], nil)
	if err != nil || h.FrameBytes() != len(b)-page.FileHeaderBytes {
		t.Fatal(err, h)
	}
	p, err := page.Parse(payload, twoTiles)
	if err != nil || len(p.Entries()) != 6 {
		t.Fatal(err)
	}
	if e := p.Entries(); !p.Refers(e[4], 1) || p.Refers(e[4], 0) || p.Refers(e[3], 1) {
		t.Error("series 14 refers to others in its second tile, and nothing else does")
	}
	e := p.Entries()[p.Find(13)]
	if _, _, ok, err := p.Chunk(e, 0, 480); ok || err != nil {
		t.Errorf("chunk 0 of series 13: %v %v", ok, err)
	}
	if data, _, ok, err := p.Chunk(e, 1, 480); !ok || err != nil || !bytes.Equal(data, []byte{0xa3}) {
		t.Errorf("chunk 1 of series 13: %x %v %v", data, ok, err)
	}
	data, q, ok, err := p.Chunk(p.Entries()[p.Find(15)], 0, 480)
	if len(data) != 0 || !ok || err != nil || q.Lead != 3 || q.Trail != 476 || len(q.Runs) != 1 || q.Runs[0] != (column.Run{At: 0, Len: 1, State: column.Stale}) {
		t.Errorf("series 20: %x %+v %v %v", data, q, ok, err)
	}
	if _, _, _, err := p.Chunk(p.Entries()[1], 0, 2); err == nil {
		t.Error("runs of three positions fit a tile of two")
	}
}

// TestRoundTrip draws pages and compares what comes back.
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
		type entry struct {
			series, column uint32
			chunks         []page.Chunk
		}
		var want []entry
		var b page.Builder
		series := rapid.Uint32Range(0, 1<<31).Draw(rt, "first")
		for range rapid.IntRange(0, 40).Draw(rt, "entries") {
			series += rapid.SampledFrom([]uint32{1, 1, 1, 0, 5}).Draw(rt, "step")
			e := entry{series: series, column: rapid.Uint32Range(0, 4).Draw(rt, "column")}
			for range twoTiles(e.column) {
				e.chunks = append(e.chunks, drawChunk(rt))
			}
			b.Add(e.series, e.column, e.chunks)
			want = append(want, e)
		}
		var c page.Compressor
		if rapid.Bool().Draw(rt, "compress") {
			c = enc
		}
		frame, err := page.AppendFrame(nil, page.Chunks, b.AppendPayload(nil), c)
		if err != nil {
			rt.Fatal(err)
		}
		_, payload, err := page.Open(frame, dec)
		if err != nil {
			rt.Fatal(err)
		}
		p, err := page.Parse(payload, twoTiles)
		if err != nil || len(p.Entries()) != len(want) {
			rt.Fatalf("%d entries, %v; want %d", len(p.Entries()), err, len(want))
		}
		for i, e := range p.Entries() {
			if e.Series != want[i].series || e.Column != want[i].column {
				rt.Fatalf("entry %d is %+v, want %+v", i, e, want[i])
			}
			for k, c := range want[i].chunks {
				data, q, ok, err := p.Chunk(e, k, 100)
				if err != nil || ok == c.None() || !bytes.Equal(data, c.Data) || !slices.Equal(untrim(q, 100), c.Runs) {
					rt.Fatalf("entry %d chunk %d: %x %+v %v %v, want %+v", i, k, data, q, ok, err, c)
				}
			}
		}
	})
}

func drawChunk(rt *rapid.T) page.Chunk {
	var c page.Chunk
	if rapid.IntRange(0, 3).Draw(rt, "none") == 0 {
		return c
	}
	at := 0
	for range rapid.SampledFrom([]int{0, 0, 1, 3}).Draw(rt, "runs") {
		from := min(99, at+rapid.IntRange(0, 20).Draw(rt, "gap"))
		n := min(100-from, rapid.IntRange(1, 30).Draw(rt, "length"))
		if from < at || n < 1 {
			break
		}
		for pos := from; pos < from+n; pos++ {
			c.Runs = column.AppendState(c.Runs, pos, column.Absent+column.State(n%2))
		}
		at = from + n
	}
	if column.PresentCount(c.Runs, 100) > 0 {
		c.Data = rapid.SliceOfN(rapid.Byte(), 1, 20).Draw(rt, "data")
	}
	return c
}

// untrim puts the absent begin and end back.
func untrim(q page.Presence, n int) []column.Run {
	var out []column.Run
	add := func(at, length int, s column.State) {
		for pos := at; pos < at+length; pos++ {
			out = column.AppendState(out, pos, s)
		}
	}
	add(0, q.Lead, column.Absent)
	for _, r := range q.Runs {
		add(q.Lead+int(r.At), int(r.Len), r.State)
	}
	add(n-q.Trail, q.Trail, column.Absent)
	return out
}

func TestEveryBitIsGuarded(t *testing.T) {
	frame := exampleFrame(t)[page.FileHeaderBytes:]
	for at := range len(frame) - page.PadBytes {
		b := bytes.Clone(frame)
		b[at] ^= 1 << (at % 8)
		if _, _, err := page.Open(b, nil); err == nil {
			t.Errorf("byte %d is not guarded", at)
		}
		if _, _, err := page.Open(frame[:at], nil); err == nil {
			t.Errorf("cut at %d", at)
		}
	}
}

func FuzzParse(f *testing.F) {
	_, payload, err := page.Open(exampleFrame(f)[page.FileHeaderBytes:], nil)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(payload)
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := page.Parse(b, twoTiles)
		if err != nil {
			var broken *page.CorruptError
			if !errors.As(err, &broken) {
				t.Fatal(err)
			}
			return
		}
		if p.MemoryBytes() > 100_000+300*len(b) { // decoded chunks are kept
			t.Fatalf("%d bytes of memory for %d", p.MemoryBytes(), len(b))
		}
		for k, e := range p.Entries() {
			for i := range twoTiles(e.Column) {
				if _, err := p.Values(k, i, 480); err != nil {
					continue
				}
				data, q, ok, err := p.Chunk(e, i, 480)
				if err == nil && ok && q.Lead+q.Trail+column.PresentCount(q.Runs, 0) > 480 {
					t.Fatalf("%x %+v", data, q)
				}
			}
		}
	})
}

func FuzzOpen(f *testing.F) {
	f.Add(exampleFrame(f)[page.FileHeaderBytes:])
	dec, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(page.RawBytesMax))
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		h, payload, err := page.Open(b, dec)
		if err == nil && len(payload) != int(h.Raw) {
			t.Fatalf("%d bytes, %+v", len(payload), h)
		}
	})
}

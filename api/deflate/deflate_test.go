package deflate_test

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/nilometer/nilometer/api/deflate"
)

// rows are series of points as the API writes them.
func rows(series, points int, value func(i int) float64) []byte {
	var b bytes.Buffer
	b.WriteString(`{"status":"success","data":{"resultType":"matrix","result":[`)
	for s := range series {
		if s > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `{"metric":{"__name__":"temperature_celsius","instance":"10.0.0.%d:9100","job":"api"},"values":[`, s)
		for i := range points {
			if i > 0 {
				b.WriteByte(',')
			}
			fmt.Fprintf(&b, `[%d,"%v"]`, 1732372830+60*i, value(i))
		}
		b.WriteString(`]}`)
	}
	b.WriteString(`]}}`)
	return b.Bytes()
}

// through compresses data in pieces of some bytes and returns what came out.
func through(tb testing.TB, data []byte, piece int) []byte {
	tb.Helper()
	var out bytes.Buffer
	w := deflate.NewWriter(&out)
	for rest := data; len(rest) > 0; {
		n := min(piece, len(rest))
		if got, err := w.Write(rest[:n]); err != nil || got != n {
			tb.Fatalf("wrote %d of %d: %v", got, n, err)
		}
		rest = rest[n:]
	}
	if err := w.Close(); err != nil {
		tb.Fatal(err)
	}
	return out.Bytes()
}

// inParts is through with every other piece compressed apart.
func inParts(tb testing.TB, data []byte, piece int) []byte {
	tb.Helper()
	var out bytes.Buffer
	w := deflate.NewWriter(&out)
	var part deflate.Part
	for apart := false; len(data) > 0; apart = !apart {
		n := min(piece, len(data))
		var err error
		if apart {
			part.Compress(data[:n])
			err = w.Append(&part)
		} else {
			_, err = w.Write(data[:n])
		}
		if err != nil {
			tb.Fatal(err)
		}
		data = data[n:]
	}
	if err := w.Close(); err != nil {
		tb.Fatal(err)
	}
	return out.Bytes()
}

// back is what the standard library makes of it.
func back(tb testing.TB, compressed []byte) []byte {
	tb.Helper()
	r, err := gzip.NewReader(bytes.NewReader(compressed))
	if err != nil {
		tb.Fatal(err)
	}
	r.Multistream(false)
	data, err := io.ReadAll(r)
	if err != nil {
		tb.Fatal(err)
	}
	return data
}

func TestRoundTrip(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	every := make([]byte, 256)
	for i := range every {
		every[i] = byte(i)
	}
	noise := make([]byte, 200_000)
	for i := range noise {
		noise[i] = byte(rnd.Uint32())
	}
	var all []byte // matches of every length at many distances
	for n := range 300 {
		all = append(all, `"],`+strings.Repeat("x", n)+`"],`+strings.Repeat("x", n)+"y"...)
		all = append(all, noise[:n*n/8]...)
	}
	for name, data := range map[string][]byte{
		"nothing":   nil,
		"one byte":  {7},
		"all bytes": every,
		"noise":     noise,
		"matches":   all,
		"quotes":    bytes.Repeat([]byte(`"],"`), 9000),
		"far":       append(append([]byte(`"abcdefghijk"`), bytes.Repeat([]byte("z"), 32<<10-13)...), `"abcdefghijk"`...),
		"too far":   append(append([]byte(`"abcdefghijk"`), bytes.Repeat([]byte("z"), 32<<10-12)...), `"abcdefghijk"`...),
		"random":    rows(20, 300, func(int) float64 { return rnd.Float64() * 100 }),
		"constant":  rows(20, 300, func(int) float64 { return 1 }),
		"counter":   rows(20, 300, func(i int) float64 { return float64(123456 + 7*i) }),
		"not a number": rows(3, 300, func(i int) float64 {
			return []float64{math.NaN(), math.Inf(1), 1e300, -0.5}[i%4]
		}),
	} {
		for _, piece := range []int{1, 7, 1000, 64 << 10, 1 << 30} {
			if got := back(t, through(t, data, piece)); !bytes.Equal(got, data) {
				t.Errorf("%s in pieces of %d: %d bytes came back of %d", name, piece, len(got), len(data))
			}
			if got := back(t, inParts(t, data, piece)); !bytes.Equal(got, data) {
				t.Errorf("%s in parts of %d: %d bytes came back of %d", name, piece, len(got), len(data))
			}
		}
	}
}

// TestRatio: rows of points become small.
func TestRatio(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	for _, c := range []struct {
		name  string
		value func(int) float64
		most  float64 // bytes a point
	}{
		{"constant", func(int) float64 { return 1 }, 4.5},
		{"counter", func(i int) float64 { return float64(123456 + 7*i) }, 7},
		{"random", func(int) float64 { return rnd.Float64() * 100 }, 13.5},
	} {
		data := rows(10, 360, c.value)
		if got := float64(len(through(t, data, 64<<10))) / 3600; got > c.most {
			t.Errorf("%s: %.2f bytes a point", c.name, got)
		}
	}
}

// TestSent: nothing that was written waits for what comes after it.
func TestSent(t *testing.T) {
	var out bytes.Buffer
	w := deflate.NewWriter(&out)
	data := rows(1, 100, func(i int) float64 { return float64(i) })
	if _, err := w.Write(data); err != nil {
		t.Fatal(err)
	}
	r, err := gzip.NewReader(bytes.NewReader(out.Bytes()))
	if err != nil {
		t.Fatal(err)
	}
	got := make([]byte, len(data)-2)
	if _, err := io.ReadFull(r, got); err != nil || !bytes.Equal(got, data[:len(got)]) {
		t.Errorf("what was sent ends early: %v", err)
	}
}

var errGone = errors.New("gone")

type gone struct{}

func (gone) Write([]byte) (int, error) { return 0, errGone }

func TestError(t *testing.T) {
	w := deflate.NewWriter(gone{})
	if _, err := w.Write([]byte("x")); !errors.Is(err, errGone) {
		t.Errorf("Write: %v", err)
	}
	if err := w.Close(); !errors.Is(err, errGone) {
		t.Errorf("Close: %v", err)
	}
}

func FuzzRoundTrip(f *testing.F) {
	f.Add(rows(2, 30, func(i int) float64 { return float64(i) / 3 }), 100)
	f.Add([]byte(`"]"],","`), 3)
	f.Fuzz(func(t *testing.T, data []byte, piece int) {
		if got := back(t, through(t, data, max(1, piece))); !bytes.Equal(got, data) {
			t.Errorf("%q came back as %q", data, got)
		}
		if got := back(t, inParts(t, data, max(1, piece))); !bytes.Equal(got, data) {
			t.Errorf("%q came back in parts as %q", data, got)
		}
	})
}

func BenchmarkRows(b *testing.B) {
	rnd := rand.New(rand.NewPCG(1, 2))
	for _, c := range []struct {
		name  string
		value func(int) float64
	}{
		{"constant", func(int) float64 { return 1 }},
		{"counter", func(i int) float64 { return float64(123456 + 7*i) }},
		{"random", func(int) float64 { return rnd.Float64() * 100 }},
	} {
		data := rows(10, 360, c.value)
		b.Run(c.name, func(b *testing.B) {
			b.SetBytes(int64(len(data)))
			n := 0
			for b.Loop() {
				n = len(through(b, data, 64<<10))
			}
			b.ReportMetric(float64(n)/3600, "B/point")
		})
	}
}

package inflate_test

import (
	"bytes"
	"compress/flate"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"

	fast "github.com/klauspost/compress/gzip"

	"github.com/nilometer/nilometer/scrape/inflate"
)

var errMemory = errors.New("no more memory")

// upTo gives memory for max bytes.
func upTo(limit int) inflate.Grow {
	return func(p []byte, n int) ([]byte, error) {
		if len(p)+n > limit {
			return p, errMemory
		}
		return append(make([]byte, 0, len(p)+n), p...), nil
	}
}

const plenty = 64 << 20

// text is an exposition of some lines.
func text(r *rand.Rand, lines int) []byte {
	var b bytes.Buffer
	for i := range lines {
		fmt.Fprintf(&b, "http_requests_total{handler=\"/api/v1/%d\",code=\"%d\",instance=\"host-%02d:9100\"} %d\n", i%37, 200+i%5*100, i%7, r.IntN(1e9))
	}
	return b.Bytes()
}

func bodies() map[string][]byte {
	r := rand.New(rand.NewPCG(3, 4))
	noise := make([]byte, 100_000)
	for i := range noise {
		noise[i] = byte(r.Uint32())
	}
	skewed := make([]byte, 300_000) // literals with codes of up to 15 bits
	for i := range skewed {
		skewed[i] = byte(min(r.ExpFloat64()*9, 255))
	}
	out := map[string][]byte{
		"nothing": nil, "a byte": {1}, "text": text(r, 3000), "noise": noise, "skewed": skewed,
		"zeros": make([]byte, 1<<20), "words": []byte(strings.Repeat("ab", 40_000) + strings.Repeat("abc", 40_000) + strings.Repeat("abcdefghijk", 9000)),
		"far": append(append(bytes.Clone(noise[:32<<10]), noise[:32<<10]...), noise[:100]...),
	}
	return out
}

func compressed(t testing.TB, body []byte, level int) []byte {
	var b bytes.Buffer
	w, err := gzip.NewWriterLevel(&b, level)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(body); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestLevels(t *testing.T) {
	d := inflate.NewDecoder()
	for name, body := range bodies() {
		for level := flate.HuffmanOnly; level <= flate.BestCompression; level++ {
			src := compressed(t, body, level)
			got, err := d.Gzip([]byte("before"), src, upTo(plenty))
			if err != nil || string(got[:6]) != "before" || !bytes.Equal(got[6:], body) {
				t.Errorf("%s, level %d: %d bytes of %d, error %v", name, level, len(got)-6, len(body), err)
			}
			src[len(src)-1] ^= 1 // the size that the trailer says
			if _, err := d.Gzip(nil, src, upTo(plenty)); !errors.Is(err, inflate.ErrChecksum) {
				t.Errorf("%s, level %d: a wrong size gave %v", name, level, err)
			}
		}
	}
}

func TestMembersAndHeaders(t *testing.T) {
	var b bytes.Buffer
	for i, part := range []string{"first ", "", "third"} {
		w := gzip.NewWriter(&b)
		if i == 0 {
			w.Name, w.Comment, w.Extra = "name", "a comment", []byte("extra")
		}
		if _, err := io.WriteString(w, part); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
	}
	got, err := inflate.NewDecoder().Gzip(nil, b.Bytes(), upTo(plenty))
	if err != nil || string(got) != "first third" {
		t.Errorf("%q, error %v", got, err)
	}
	if _, err := inflate.NewDecoder().Gzip(nil, append(b.Bytes(), "behind it"...), upTo(plenty)); err == nil {
		t.Error("bytes behind the last member were taken")
	}
}

// TestDamage: every cut and every changed bit is an error or no difference.
func TestDamage(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	body := text(r, 60)
	src := compressed(t, body, 6)
	d := inflate.NewDecoder()
	for n := range src {
		if _, err := d.Gzip(nil, src[:n], upTo(plenty)); err == nil {
			t.Fatalf("the first %d of %d bytes were taken", n, len(src))
		}
	}
	for i := range src {
		for bit := range 8 {
			damaged := bytes.Clone(src)
			damaged[i] ^= 1 << bit
			got, err := d.Gzip(nil, damaged, upTo(1<<20))
			if want, wantErr := reference(damaged); (err == nil) != (wantErr == nil) || err == nil && !bytes.Equal(got, want) {
				t.Fatalf("byte %d, bit %d: %v; compress/gzip: %v", i, bit, err, wantErr)
			}
		}
	}
}

// TestBomb: what a bomb says and what it does are bounded by the caller.
func TestBomb(t *testing.T) {
	src := compressed(t, make([]byte, 32<<20), 9)
	most := 0
	_, err := inflate.NewDecoder().Gzip(nil, src, func(p []byte, n int) ([]byte, error) {
		if most = max(most, len(p)); len(p)+n > 1<<20 {
			return p, errMemory
		}
		return append(make([]byte, 0, len(p)+n), p...), nil
	})
	if !errors.Is(err, errMemory) || most > 1<<20 {
		t.Errorf("error %v, %d bytes", err, most)
	}
}

func reference(src []byte) ([]byte, error) {
	r, err := gzip.NewReader(bytes.NewReader(src))
	if err != nil {
		return nil, err
	}
	return io.ReadAll(io.LimitReader(r, plenty))
}

func FuzzGzip(f *testing.F) {
	for _, body := range bodies() {
		for _, level := range []int{flate.HuffmanOnly, 0, 1, 6} {
			f.Add(compressed(f, body[:min(len(body), 2000)], level))
		}
	}
	d := inflate.NewDecoder()
	f.Fuzz(func(t *testing.T, src []byte) {
		got, err := d.Gzip(nil, src, upTo(plenty))
		want, wantErr := reference(src)
		if len(want) == plenty {
			return
		}
		if (err == nil) != (wantErr == nil) || err == nil && !bytes.Equal(got, want) {
			t.Fatalf("%d bytes, error %v; compress/gzip: %d bytes, error %v", len(got), err, len(want), wantErr)
		}
		// Without the checks of gzip: the same blocks behind a header of our own.
		raw := append([]byte{0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0}, src...)
		_, err = d.Gzip(nil, raw, upTo(plenty))
		_, wantErr = reference(raw)
		if (err == nil) != (wantErr == nil) || errors.Is(err, inflate.ErrChecksum) != errors.Is(wantErr, gzip.ErrChecksum) {
			t.Fatalf("blocks: %v; compress/gzip: %v", err, wantErr)
		}
	})
}

func BenchmarkGzip(b *testing.B) {
	body := text(rand.New(rand.NewPCG(7, 8)), 1000)
	for _, level := range []int{1, 6} {
		src := compressed(b, body, level)
		b.Run(fmt.Sprintf("level=%d/own", level), func(b *testing.B) {
			d, dst := inflate.NewDecoder(), make([]byte, 0, 2*len(body))
			b.SetBytes(int64(len(body)))
			for b.Loop() {
				if _, err := d.Gzip(dst, src, upTo(plenty)); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(fmt.Sprintf("level=%d/klauspost", level), func(b *testing.B) {
			var r fast.Reader
			dst := make([]byte, len(body)+1)
			b.SetBytes(int64(len(body)))
			for b.Loop() {
				if err := r.Reset(bytes.NewReader(src)); err != nil {
					b.Fatal(err)
				}
				if n, _ := io.ReadFull(&r, dst); n != len(body) {
					b.Fatal(n)
				}
			}
		})
	}
}

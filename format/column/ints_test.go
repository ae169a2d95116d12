package column_test

import (
	"encoding/binary"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/nilometer/nilometer/format/column"
)

type namedInts struct {
	name string
	x    []int64
}

// intColumns are shapes of start timestamps and of counts.
func intColumns() []namedInts {
	const start = 1795343225000
	cols := []namedInts{
		{"zero", []int64{0, 0, 0}},
		{"one start", []int64{start, start, start, start}},
		{"restart", nil},
		{"delta", nil},
		{"sometimes", nil},
		{"all bits", []int64{math.MinInt64, math.MaxInt64, -1, 0, 1, math.MinInt64}},
		{"one", []int64{-7}},
	}
	for i := range int64(60) {
		cols[2].x = append(cols[2].x, start+i/50*750000)
		cols[3].x = append(cols[3].x, start+15000*i)
		cols[4].x = append(cols[4].x, start*(i%3/2))
	}
	return cols
}

func checkInts(t *testing.T, x []int64) []byte {
	t.Helper()
	data := new(column.Encoder).AppendInts([]byte{0xaa}, x)[1:]
	got, err := column.DecodeInts([]int64{5}, data, len(x))
	if err != nil {
		t.Fatalf("%v: % x: %v", x, data, err)
	}
	if got[0] != 5 || !slices.Equal(got[1:], x) {
		t.Fatalf("% x decodes to %v, want %v", data, got[1:], x)
	}
	return data
}

func TestInts(t *testing.T) {
	for _, c := range intColumns() {
		checkInts(t, c.x)
	}
	rng := rand.New(rand.NewPCG(1, 2))
	for range 300 {
		x := make([]int64, 1+rng.IntN(column.ChunkValuesMax))
		bits, change := rng.IntN(64), rng.Float64()
		for i := range x {
			if i > 0 && rng.Float64() > change {
				x[i] = x[i-1]
			} else {
				x[i] = int64(rng.Uint64()) >> bits
			}
		}
		checkInts(t, x)
	}
}

func TestIntsAreSmall(t *testing.T) {
	long := make([]int64, column.ChunkValuesMax)
	for i := range long {
		long[i] = 1795343225000 + int64(i)*15000
	}
	if n := len(checkInts(t, long)); n > 16 {
		t.Errorf("starts that move each position take %d bytes", n)
	}
	for i := range long {
		long[i] = 1795343225000 + int64(i)/200*3e6
	}
	if n := len(checkInts(t, long)); n > 32 {
		t.Errorf("three runs take %d bytes", n)
	}
}

func TestDecodeIntsFaults(t *testing.T) {
	for _, c := range intColumns() {
		data := checkInts(t, c.x)
		for cut := range data {
			if _, err := column.DecodeInts(nil, data[:cut], len(c.x)); err == nil {
				t.Errorf("%s: cut at %d of %d is decoded", c.name, cut, len(data))
			}
		}
		if _, err := column.DecodeInts(nil, append(data, 0), len(c.x)); err == nil {
			t.Errorf("%s: a byte after the end is accepted", c.name)
		}
	}
	for _, n := range []int{0, column.ChunkValuesMax + 1} {
		if _, err := column.DecodeInts(nil, []byte{0}, n); err == nil {
			t.Errorf("%d values are decoded", n)
		}
	}
	if _, err := column.DecodeInts(nil, []byte{2, 1, 2}, 1); err == nil {
		t.Error("a decimal is taken for integers")
	}
}

func FuzzDecodeInts(f *testing.F) {
	var enc column.Encoder
	for _, c := range intColumns() {
		f.Add(enc.AppendInts(nil, c.x), uint16(len(c.x)))
	}
	f.Fuzz(func(t *testing.T, data []byte, n uint16) {
		x, err := column.DecodeInts(nil, data, int(n))
		if err == nil {
			checkInts(t, x)
		}
	})
}

func FuzzInts(f *testing.F) {
	f.Add([]byte("12345678abcdefgh12345678"), uint8(3))
	f.Fuzz(func(t *testing.T, raw []byte, shift uint8) {
		var x []int64
		for ; len(raw) >= 8 && len(x) < column.ChunkValuesMax; raw = raw[1:] {
			x = append(x, int64(binary.LittleEndian.Uint64(raw))>>(shift%64))
		}
		if len(x) > 0 {
			checkInts(t, x)
		}
	})
}

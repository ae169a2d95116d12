package exposition

import (
	"math"
	"math/rand/v2"
	"strconv"
	"testing"
)

// TestFastFloat: what is answered is what strconv says, whatever follows the
// number and however little.
func TestFastFloat(t *testing.T) {
	r := rand.New(rand.NewPCG(9, 10))
	for range 300_000 {
		var b []byte
		if r.IntN(4) == 0 {
			b = append(b, '-')
		}
		for range r.IntN(20) {
			b = append(b, byte('0'+r.IntN(10)))
		}
		if r.IntN(2) == 0 {
			b = append(b, '.')
			for range r.IntN(12) {
				b = append(b, byte('0'+r.IntN(10)))
			}
		}
		if r.IntN(4) == 0 {
			b = strconv.AppendInt(append(b, 'e'), int64(r.IntN(40)-20), 10)
		}
		if r.IntN(50) == 0 && len(b) > 0 {
			b[r.IntN(len(b))] = byte(r.Uint32())
		}
		end := len(b)
		b = append(b, " \n:/x"[r.IntN(5)])
		for range r.IntN(12) {
			b = append(b, byte(r.Uint32()))
		}
		v, next, ok := fastFloat(b, 0)
		if !ok {
			continue
		}
		want, err := strconv.ParseFloat(string(b[:next]), 64)
		if err != nil || math.Float64bits(v) != math.Float64bits(want) {
			t.Fatalf("%q: %v up to %d, want %v, %v", b, v, next, want, err)
		}
		if c := b[next]; c != ' ' && c != '\n' || next > end {
			t.Fatalf("%q: ends at %d", b, next)
		}
	}
}

// TestFastFloatAnswers: short numbers are not left to strconv.
func TestFastFloatAnswers(t *testing.T) {
	for text, want := range map[string]float64{
		"0\n": 0, "1 ": 1, "12345678\n": 12345678, "123456789\n": 123456789, "-0.5\n": -0.5, "1.7e+09\n": 1.7e9, "0.00012\n": 0.00012,
		"1234567890.12345\n": 1234567890.12345, "9007199254740992\n": 1 << 53,
	} {
		if v, _, ok := fastFloat([]byte(text), 0); !ok || v != want {
			t.Errorf("%q: %v, %t", text, v, ok)
		}
	}
	for _, text := range []string{"\n", "-\n", ".\n", "1", "NaN\n", "+Inf\n", "1x\n", "12345678901234567890\n", "1e\n"} {
		if v, _, ok := fastFloat([]byte(text), 0); ok {
			t.Errorf("%q is answered: %v", text, v)
		}
	}
}

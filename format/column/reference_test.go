package column_test

import (
	"errors"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/nilometer/nilometer/format/column"
)

// buckets are two neighbours of a histogram, and the first once more, shifted.
func buckets() (le1, le2, shifted []float64) {
	rng := rand.New(rand.NewPCG(5, 6))
	a, b := 0.0, 0.0
	for range 480 {
		step := float64(rng.IntN(4000))
		a += step
		b += step
		if rng.IntN(20) == 0 {
			b++
		}
		le1, le2, shifted = append(le1, a), append(le2, b), append(shifted, a+1e6)
	}
	return le1, le2, shifted
}

func checkRef(t *testing.T, values, ref []float64) (chunk []byte, reference bool) {
	t.Helper()
	var enc column.Encoder
	chunk = enc.AppendRef(nil, values, ref)
	if again := enc.AppendRef(nil, values, ref); string(again) != string(chunk) {
		t.Fatalf("%d bytes at first, %d other ones the second time", len(chunk), len(again))
	}
	got, err := column.DecodeRef([]float64{3}, chunk, len(values), ref)
	if err != nil {
		t.Fatal(err)
	}
	sameBits(t, got[1:], values)
	checkInfo(t, chunk, values)
	info, err := column.Inspect(chunk, len(values))
	if err != nil {
		t.Fatal(err)
	}
	_, err = column.Decode(nil, chunk, len(values))
	if (err != nil) != info.Reference {
		t.Fatalf("reference %v, but plain decoding says %v", info.Reference, err)
	}
	if plain := enc.Append(nil, values); len(plain) < len(chunk) || !info.Reference && string(plain) != string(chunk) {
		t.Fatalf("%d bytes, plain %d", len(chunk), len(plain))
	}
	return chunk, info.Reference
}

func TestReference(t *testing.T) {
	le1, le2, shifted := buckets()
	for _, c := range []struct {
		name        string
		values, ref []float64
		bytesMax    int
	}{
		{"neighbouring bucket", le2, le1, 50},
		{"a copy", le1, le1, 12},
		{"a copy at a distance", shifted, le1, 12},
		{"decimals", scaled(le2, 1000), scaled(le1, 1000), 50},
	} {
		t.Run(c.name, func(t *testing.T) {
			chunk, reference := checkRef(t, c.values, c.ref)
			if !reference || len(chunk) > c.bytesMax {
				t.Errorf("%d bytes, reference %v; want a reference of at most %d", len(chunk), reference, c.bytesMax)
			}
		})
	}
}

func scaled(values []float64, by float64) []float64 {
	out := make([]float64, len(values))
	for i, v := range values {
		out[i] = v / by
	}
	return out
}

func TestReferenceThatDoesNotFit(t *testing.T) {
	le1, le2, _ := buckets()
	for _, c := range columns() {
		t.Run(c.name, func(t *testing.T) {
			n := len(c.values)
			checkRef(t, c.values, le1[:min(n, 480)])
			checkRef(t, le1[:n], c.values)
			checkRef(t, c.values, nil)
		})
	}
	var enc column.Encoder
	chunk := enc.AppendRef(nil, le2, le1)
	for _, ref := range [][]float64{nil, le1[1:], le2, scaled(le1, 3), make([]float64, 480)} {
		_, err := column.DecodeRef(nil, chunk, 480, ref)
		var corrupt *column.CorruptError
		if !errors.As(err, &corrupt) {
			t.Errorf("a foreign reference of %d values gave %v, want a CorruptError", len(ref), err)
		}
	}
}

func FuzzReference(f *testing.F) {
	var enc column.Encoder
	le1, le2, _ := buckets()
	f.Add(enc.AppendRef(nil, le2[:70], le1[:70]), floatBytes(le1[:70]), floatBytes(le2[:70]))
	f.Fuzz(func(t *testing.T, chunk, rawRef, rawValues []byte) {
		ref, values := bytesFloats(rawRef), bytesFloats(rawValues)
		if len(ref) == 0 || len(ref) > column.ChunkValuesMax {
			return
		}
		if got, err := column.DecodeRef(nil, chunk, len(ref), ref); err == nil {
			checkRef(t, got, ref)
		} else if len(got) != 0 {
			t.Fatalf("%d values beside %v", len(got), err)
		}
		if len(values) > 0 && len(values) <= column.ChunkValuesMax {
			for i := range values {
				values[i] = math.Trunc(values[i])
			}
			checkRef(t, values, ref)
		}
	})
}

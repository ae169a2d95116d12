package column_test

import (
	"errors"
	"math"
	"math/rand/v2"
	"slices"
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

// difference refers to one other chunk.
func difference(ref []float64) column.Reference {
	return column.Reference{Terms: []column.Term{{Values: ref}}}
}

func checkRef(t *testing.T, values []float64, ref column.Reference) (chunk []byte, reference bool) {
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
	var rest, sum []float64
	for i, v := range le1 {
		rest, sum = append(rest, 1e9-v), append(sum, v+le2[i])
	}
	for _, c := range []struct {
		name     string
		values   []float64
		ref      column.Reference
		bytesMax int
	}{
		{"neighbouring bucket", le2, difference(le1), 50},
		{"a copy", le1, difference(le1), 12},
		{"a copy at a distance", shifted, difference(le1), 12},
		{"decimals", scaled(le2, 1000), difference(scaled(le1, 1000)), 50},
		{"what is left", rest, column.Reference{Terms: []column.Term{{Values: le1, Minus: true}}}, 14},
		{"a sum", sum, column.Reference{Terms: []column.Term{{Values: le1}, {Values: le2}}}, 14},
		{"a difference", le2, column.Reference{Terms: []column.Term{{Values: sum}, {Values: le1, Minus: true}}}, 14},
	} {
		t.Run(c.name, func(t *testing.T) {
			chunk, reference := checkRef(t, c.values, c.ref)
			if !reference || len(chunk) > c.bytesMax {
				t.Errorf("%d bytes, reference %v; want a reference of at most %d", len(chunk), reference, c.bytesMax)
			}
		})
	}
}

// TestReferenceOfPositions: values of any domain that change where others do.
func TestReferenceOfPositions(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 8))
	var count, sum, bits, special []float64
	n, s := 0.0, 0.0
	for i := range 480 {
		if rng.IntN(3) == 0 {
			n++
			s += float64(rng.IntN(1e9)) / 1e9
		}
		count, sum, bits, special = append(count, n), append(sum, s), append(bits, math.Sqrt(s)), append(special, n)
		if i > 470 {
			special[i] = math.NaN()
		}
	}
	more := slices.Clone(count)
	quiet := 1
	for count[quiet] != count[quiet-1] {
		quiet++
	}
	for i := quiet; i < len(more); i++ {
		more[i] += 0.5
	}
	for _, c := range []struct {
		name   string
		values []float64
		want   bool
	}{
		{"integers", count, true},
		{"near", sum, true},
		{"bits", bits, true},
		{"specials at the end", special, false},
		{"one change more", more, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			chunk, reference := checkRef(t, c.values, column.Reference{Positions: count})
			info, err := column.Inspect(chunk, len(c.values))
			if err != nil || reference != c.want || info.Positions != c.want || info.Terms {
				t.Errorf("%+v, %v; want positions shared: %v", info, err, c.want)
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
			checkRef(t, c.values, difference(le1[:min(n, 480)]))
			checkRef(t, le1[:n], difference(c.values))
			checkRef(t, le1[:n], column.Reference{Terms: difference(c.values).Terms, Positions: c.values})
			checkRef(t, c.values, column.Reference{Positions: c.values})
			checkRef(t, c.values, difference(nil))
			checkRef(t, c.values, column.Reference{})
		})
	}
	var enc column.Encoder
	chunk := enc.AppendRef(nil, le2, difference(le1))
	for _, ref := range [][]float64{nil, le1[1:], le2, scaled(le1, 3), make([]float64, 480)} {
		for _, r := range []column.Reference{difference(ref), {Positions: ref}, {Terms: make([]column.Term, 3)}} {
			_, err := column.DecodeRef(nil, chunk, 480, r)
			var corrupt *column.CorruptError
			if !errors.As(err, &corrupt) {
				t.Errorf("a foreign reference of %d values gave %v, want a CorruptError", len(ref), err)
			}
		}
	}
}

func FuzzReference(f *testing.F) {
	var enc column.Encoder
	le1, le2, _ := buckets()
	f.Add(enc.AppendRef(nil, le2[:70], difference(le1[:70])), floatBytes(le1[:70]), floatBytes(le2[:70]))
	steps := stairs(90, func(i int) bool { return i%3 == 1 }, 1000)
	f.Add(enc.AppendRef(nil, steps, column.Reference{Positions: scaled(steps, 7)}), floatBytes(steps), floatBytes(le2[:90]))
	f.Fuzz(func(t *testing.T, chunk, rawRef, rawValues []byte) {
		ref, values := bytesFloats(rawRef), bytesFloats(rawValues)
		if len(ref) == 0 || len(ref) > column.ChunkValuesMax {
			return
		}
		both := column.Reference{Terms: []column.Term{{Values: ref}, {Values: ref, Minus: true}}, Positions: ref}
		for _, r := range []column.Reference{difference(ref), both} {
			if got, err := column.DecodeRef(nil, chunk, len(ref), r); err == nil {
				checkRef(t, got, r)
			} else if len(got) != 0 {
				t.Fatalf("%d values beside %v", len(got), err)
			}
		}
		if len(values) > 0 && len(values) <= column.ChunkValuesMax {
			for i := range values {
				values[i] = math.Trunc(values[i])
			}
			checkRef(t, values, both)
			checkRef(t, values, difference(ref))
		}
	})
}

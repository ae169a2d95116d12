package column_test

import (
	"errors"
	"math"
	"testing"

	"github.com/nilometer/nilometer/format/column"
)

// checkChunk encodes values, compares what every decoder says with them, and
// returns the chunk.
func checkChunk(t *testing.T, enc *column.Encoder, values []float64) []byte {
	t.Helper()
	chunk := enc.Append([]byte("x"), values)[1:]
	// Nothing behind the chunk may be looked at.
	chunk = append(make([]byte, 0, len(chunk)), chunk...)
	chunk = chunk[:len(chunk):len(chunk)]
	got, err := column.Decode([]float64{7}, chunk, len(values))
	if err != nil {
		t.Fatalf("%v, chunk % x", err, chunk)
	}
	if got[0] != 7 {
		t.Fatal("the values before were overwritten")
	}
	sameBits(t, got[1:], values)
	checkInfo(t, chunk, values)
	if most := 20 + 9*len(values); len(chunk) > most {
		t.Fatalf("%d bytes for %d values", len(chunk), len(values))
	}
	return chunk
}

func checkInfo(t *testing.T, chunk []byte, values []float64) {
	t.Helper()
	info, err := column.Inspect(chunk, len(values))
	if err != nil {
		t.Fatal(err)
	}
	first, last := values[0], values[len(values)-1]
	same, ordinary, rising := true, true, true
	for i, v := range values {
		same = same && math.Float64bits(v) == math.Float64bits(first)
		if math.IsNaN(v) || math.IsInf(v, 0) || math.Float64bits(v) == 1<<63 {
			ordinary = false
		}
		rising = rising && (i == 0 || v >= values[i-1])
	}
	if info.Constant != same {
		t.Fatalf("constant %v, want %v", info.Constant, same)
	}
	if info.Ends && (math.Float64bits(info.First) != math.Float64bits(first) || math.Float64bits(info.Last) != math.Float64bits(last)) {
		t.Fatalf("ends %v and %v, want %v and %v", info.First, info.Last, first, last)
	}
	if info.Ends == info.HasSpecials {
		t.Fatalf("ends known: %v, with specials: %v", info.Ends, info.HasSpecials)
	}
	if info.NonDecreasing && !(rising && ordinary) {
		t.Fatal("values decrease, but the summary says that they don't")
	}
	if rising && ordinary && !info.NonDecreasing && !info.HasSpecials {
		t.Fatal("values do not decrease, but the summary does not say so")
	}
	if got, want := column.Rises(chunk), info.Constant || info.NonDecreasing; got != want {
		t.Fatalf("Rises is %v, want %v", got, want)
	}
	if info.Ends && !same && math.Float64bits(info.Delta()) != math.Float64bits(last-first) {
		t.Fatalf("delta %v, want %v", info.Delta(), last-first)
	}
}

func TestChunk(t *testing.T) {
	var enc column.Encoder
	for _, c := range columns() {
		t.Run(c.name, func(t *testing.T) {
			for _, n := range []int{len(c.values), 1, 2, 3, len(c.values) / 2} {
				if n > 0 && n <= len(c.values) {
					checkChunk(t, &enc, c.values[:n])
				}
			}
		})
	}
}

func TestChunkDomains(t *testing.T) {
	want := map[string]struct {
		domain   column.Domain
		bytesMax int
	}{
		"integer counter with resets": {column.Integer, 1040},
		"zero":                        {column.Integer, 1},
		"constant integer":            {column.Integer, 8},
		"constant decimal":            {column.Decimal, 3},
		"constant raw":                {column.Bits, 9},
		"sum of nanoseconds":          {column.Near, 1840},
		"ulp neighbours":              {column.Near, 120},
		"two decimals":                {column.Decimal, 860},
		"random bits":                 {column.Bits, 3880},
		"random in unit":              {column.Bits, 3500},
		"huge integers":               {column.Bits, 24},
		"integers from 2^53":          {column.Integer, 24},
		"negative pages":              {column.Integer, 1220},
		"changes every fifth":         {column.Integer, 100},
		"changes every sixtieth":      {column.Integer, 24},
		"changes once":                {column.Integer, 12},
		"integers with specials":      {column.Integer, 1010},
		"specials among constants":    {column.Integer, 40},
		"outliers":                    {column.Integer, 240},
	}
	var enc column.Encoder
	for _, c := range columns() {
		w, ok := want[c.name]
		if !ok {
			continue
		}
		t.Run(c.name, func(t *testing.T) {
			chunk := checkChunk(t, &enc, c.values)
			info, err := column.Inspect(chunk, len(c.values))
			if err != nil {
				t.Fatal(err)
			}
			if info.Domain != w.domain || len(chunk) > w.bytesMax {
				t.Errorf("%s, %d bytes; want %s, at most %d", info.Domain, len(chunk), w.domain, w.bytesMax)
			}
		})
	}
}

func TestEncoderDoesNotRemember(t *testing.T) {
	var used column.Encoder
	for _, c := range columns() {
		used.Append(nil, c.values)
	}
	for _, c := range columns() {
		var fresh column.Encoder
		if a, b := used.Append(nil, c.values), fresh.Append(nil, c.values); string(a) != string(b) {
			t.Errorf("%s: % x after other chunks, % x at first", c.name, a, b)
		}
	}
}

func TestDecodeReusesMemory(t *testing.T) {
	var enc column.Encoder
	dst := make([]float64, 0, column.ChunkValuesMax)
	buf := make([]byte, 0, 8192)
	for _, c := range columns() {
		chunk := enc.Append(buf, c.values)
		allocs := testing.AllocsPerRun(5, func() {
			if _, err := column.Decode(dst, chunk, len(c.values)); err != nil {
				t.Fatal(err)
			}
			enc.Append(buf, c.values)
		})
		if allocs != 0 {
			t.Errorf("%s: %v allocations", c.name, allocs)
		}
	}
}

func TestEveryWidth(t *testing.T) {
	var enc column.Encoder
	for w := 1; w <= 63; w++ {
		for _, n := range []int{2, 64, 65, 100, 193, 480} {
			values := make([]float64, n)
			x := uint64(w) * 0x9e3779b97f4a7c15
			for i := range values {
				x ^= x << 13
				x ^= x >> 7
				x ^= x << 17
				values[i] = math.Float64frombits(x>>(64-w) ^ 0x10000)
			}
			checkChunk(t, &enc, values)
		}
	}
}

func TestDecodeFaults(t *testing.T) {
	var enc column.Encoder
	for _, c := range columns() {
		chunk := enc.Append(nil, c.values)
		for cut := range chunk {
			if _, err := column.Decode(nil, chunk[:cut], len(c.values)); err == nil {
				t.Fatalf("%s: the first %d of %d bytes were taken for a chunk", c.name, cut, len(chunk))
			}
		}
		if _, err := column.Decode(nil, append(chunk, 0), len(c.values)); err == nil {
			t.Fatalf("%s: a byte too many was not noticed", c.name)
		}
	}
	for _, c := range []struct {
		name, chunk string
		n           int
	}{
		{"no values", "\x00", 0},
		{"too many values", "\x00", column.ChunkValuesMax + 1},
		{"a kind of the future", "\x04", 3},
		{"a position layer of the future", "\x8c\x00\x00\x00\x00", 3},
		{"a flag of the future", "\x80\x00\x00\x80\x04\x00", 3},
		{"a width that packing does not have", "\x80\x00\x00\x3a\x00", 3},
		{"a reference", "\xc0\x00\x00\x00\x00", 3},
		{"a summary that is not true", "\x80\x00\x08\x00\x02", 3},
		{"an exponent out of range", "\x02\x17\x01", 3},
		{"a bitmap with a bit too many", "\x84\x00\x02\x01\x04\x00\x02", 3},
		{"a bitmap with a bit missing", "\x84\x00\x02\x01\x00\x00\x02", 3},
		{"a gap past the end", "\x88\x00\x02\x01\x00\x06\x00\x02", 3},
		{"more changes than positions", "\x88\x00\x02\x07\x00\x02\x00\x02", 3},
		{"a special past the end", "\xa0\x00\x00\x01\x30\x00\x00", 3},
		{"an exception past the end", "\x80\x00\x00\x80\x02\x00\x01\x02\x01", 3},
		{"a varint without end", "\x01\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02", 3},
	} {
		t.Run(c.name, func(t *testing.T) {
			values, err := column.Decode([]float64{1}, []byte(c.chunk), c.n)
			var corrupt *column.CorruptError
			if !errors.As(err, &corrupt) {
				t.Fatalf("error %v, want a CorruptError", err)
			}
			if len(values) != 1 {
				t.Fatalf("%d values in front of the error, want the one that was there", len(values))
			}
		})
	}
}

func FuzzChunkRoundTrip(f *testing.F) {
	for _, c := range columns() {
		f.Add(floatBytes(c.values[:min(len(c.values), 40)]), uint8(2), uint16(480))
	}
	f.Fuzz(func(t *testing.T, raw []byte, shape uint8, n uint16) {
		values := shaped(raw, shape, int(n)%column.ChunkValuesMax+1)
		if values != nil {
			checkChunk(t, new(column.Encoder), values)
		}
	})
}

// shaped makes n values of one of the shapes that encoders look for from raw
// bytes: repeats, sums, decimals and sums of decimals.
func shaped(raw []byte, shape uint8, n int) []float64 {
	if shape%4 == 0 {
		values := bytesFloats(raw)
		return values[:min(len(values), column.ChunkValuesMax)]
	}
	if len(raw) == 0 {
		return nil
	}
	values := make([]float64, n)
	sum, scale := 0.0, math.Pow(10, float64(shape>>4))
	for i := range values {
		c := float64(int8(raw[i*7%len(raw)]))
		switch shape % 4 {
		case 1:
			sum += c
		case 2:
			sum += c / scale
		case 3:
			sum = c / scale
		}
		if shape&8 != 0 && i%5 != 0 {
			values[i] = values[i-1]
			continue
		}
		values[i] = sum
	}
	return values
}

func FuzzDecode(f *testing.F) {
	var enc column.Encoder
	for _, c := range columns() {
		n := min(len(c.values), 70)
		f.Add(enc.Append(nil, c.values[:n]), uint16(n))
	}
	f.Fuzz(func(t *testing.T, chunk []byte, n uint16) {
		values, err := column.Decode(nil, chunk, int(n))
		_, infoErr := column.Inspect(chunk, int(n))
		if err == nil && infoErr != nil {
			t.Fatalf("decoded, but not inspected: %v", infoErr)
		}
		if err != nil {
			if len(values) != 0 {
				t.Fatalf("%d values beside %v", len(values), err)
			}
			return
		}
		if len(values) != int(n) {
			t.Fatalf("%d values, want %d", len(values), n)
		}
		checkChunk(t, new(column.Encoder), values)
	})
}

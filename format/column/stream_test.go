package column_test

import (
	"encoding/binary"
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"unsafe"

	"github.com/nilometer/nilometer/format/column"
)

func TestStreamStateIsSmall(t *testing.T) {
	if size := unsafe.Sizeof(column.StreamState{}); size > 24 {
		t.Fatalf("a state takes %d bytes, want at most 24: the head keeps one a series", size)
	}
}

// appendChanges writes values as an open stream beginning at position first,
// leaving out repeats, and checks record by record that a decoder's state
// follows the encoder's.
func appendChanges(t *testing.T, values []float64, first int) []byte {
	t.Helper()
	var enc, dec column.StreamState
	var data []byte
	for i, v := range values {
		if !enc.Empty() && enc.Bits() == math.Float64bits(v) {
			continue
		}
		from := len(data)
		data = column.AppendStream(data, &enc, first+i, v)
		if n := len(data) - from; n > column.StreamRecordMax {
			t.Fatalf("record of %x at %d takes %d bytes, want at most %d", math.Float64bits(v), i, n, column.StreamRecordMax)
		}
		n, err := column.ReadStream(data[from:], &dec)
		if err != nil || n != len(data)-from {
			t.Fatalf("read record %x: %d bytes, %v", data[from:], n, err)
		}
		if dec != enc || dec.Bits() != math.Float64bits(v) || dec.Position() != first+i {
			t.Fatalf("state after %x at %d is %+v, want %+v", math.Float64bits(v), i, dec, enc)
		}
		packed := column.AppendStreamState(nil, enc)
		st, rest, err := column.ReadStreamState(append(packed, 0xee))
		if err != nil || st != enc || len(rest) != 1 {
			t.Fatalf("state %+v came back as %+v, rest %x, %v", enc, st, rest, err)
		}
	}
	return data
}

func checkStream(t *testing.T, values []float64, first int) {
	t.Helper()
	data := appendChanges(t, values, first)
	end := first + len(values)
	got, err := column.DecodeStream(nil, data, end)
	if err != nil {
		t.Fatal(err)
	}
	sameBits(t, got, values)
	// A reader behind the writer sees a prefix.
	if short := len(values) / 2; short > 0 {
		got, err = column.DecodeStream(nil, data, first+short)
		if err != nil {
			t.Fatal(err)
		}
		sameBits(t, got, values[:short])
	}
	// One that looks at the end alone.
	for _, skipped := range []int{1, 2, len(values) / 3, len(values) - 1, len(values)} {
		if skipped < 0 || skipped > len(values) {
			continue
		}
		got, err = column.DecodeStreamFrom(nil, data, first+len(values), first+skipped)
		if err != nil {
			t.Fatal(err)
		}
		sameBits(t, got, values[skipped:])
	}
}

func sameBits(t *testing.T, got, want []float64) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%d values, want %d", len(got), len(want))
	}
	for i := range want {
		if math.Float64bits(got[i]) != math.Float64bits(want[i]) {
			t.Fatalf("value %d is %x (%v), want %x (%v)", i, math.Float64bits(got[i]), got[i], math.Float64bits(want[i]), want[i])
		}
	}
}

func TestStream(t *testing.T) {
	for _, c := range columns() {
		t.Run(c.name, func(t *testing.T) {
			for _, first := range []int{0, 1, 300, 2000} {
				checkStream(t, c.values, first)
			}
		})
	}
}

func TestStreamRecordBytes(t *testing.T) {
	for _, c := range []struct {
		name   string
		values []float64
		want   string
	}{
		{"small steps need one byte each", []float64{0, 1, 3, 8, 6}, "\x00\x0b\x0c\x0f\x09"},
		{"integer steps", []float64{1000, 1300, 1300, 1299}, "\x02\xd0\x07\x02\x58\x02\x1a"},
		{"a new exponent, then deltas", []float64{0.25, 0.5}, "\x41\x02\x32\x01\x32"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := appendChanges(t, c.values, 0); string(got) != c.want {
				t.Fatalf("% x, want % x", got, c.want)
			}
		})
	}
}

func TestContinueStream(t *testing.T) {
	values := columns()[0].values
	var st column.StreamState
	data := appendChanges(t, values, 5)
	got, err := column.ContinueStream(nil, &st, data, 5+7)
	if err != nil {
		t.Fatal(err)
	}
	sameBits(t, got, values[:7])
}

func TestAppendStreamRefusesAPositionThatDoesNotAdvance(t *testing.T) {
	for _, pos := range []int{-1, 3, column.StreamPositionMax + 1} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("position %d after 3 was taken", pos)
				}
			}()
			var st column.StreamState
			data := column.AppendStream(nil, &st, 3, 1)
			column.AppendStream(data, &st, pos, 2)
		}()
	}
}

func TestDecodeStreamFaults(t *testing.T) {
	for _, c := range []struct {
		name string
		data string
	}{
		{"cut in a delta", "\x02\xd0"},
		{"cut in a gap", "\x20"},
		{"a gap of none", "\x30\x00\x00"},
		{"positions past the maximum", "\x30\xff\xff\x00"},
		{"unknown low code", "\x89"},
		{"unknown high code", "\xcf"},
		{"exponent beyond float64", "\x41\x1f\x01"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := column.DecodeStream(nil, []byte(c.data), column.StreamPositionMax+1)
			var corrupt *column.CorruptError
			if !errors.As(err, &corrupt) {
				t.Fatalf("error %v, want a CorruptError", err)
			}
		})
	}
}

func FuzzStreamRoundTrip(f *testing.F) {
	for _, c := range columns() {
		f.Add(floatBytes(c.values[:min(len(c.values), 20)]), uint16(3))
	}
	f.Fuzz(func(t *testing.T, raw []byte, first uint16) {
		values := bytesFloats(raw)
		if len(values) == 0 || len(values) > 2000 {
			return
		}
		checkStream(t, values, int(first%4000))
	})
}

func FuzzDecodeStream(f *testing.F) {
	for _, c := range columns() {
		var st column.StreamState
		var data []byte
		for i, v := range c.values[:min(len(c.values), 20)] {
			data = column.AppendStream(data, &st, i*7, v)
		}
		f.Add(data, uint16(100))
	}
	f.Fuzz(func(t *testing.T, data []byte, end uint16) {
		end %= 1000
		got, err := column.DecodeStream(nil, data, int(end))
		if len(got) > int(end) {
			t.Fatalf("%d values of a stream that ends at %d", len(got), end)
		}
		want, werr := byRecords(data, int(end))
		if (err == nil) != (werr == nil) || err == nil && !slices.EqualFunc(got, want, func(a, b float64) bool { return math.Float64bits(a) == math.Float64bits(b) }) {
			t.Fatalf("%v, %v; record by record %v, %v", got, err, want, werr)
		}
		from := int(end) / 3
		tail, terr := column.DecodeStreamFrom(nil, data, int(end), from)
		if want := got[max(0, len(got)-(int(end)-from)):]; (terr == nil) != (err == nil) || err == nil && !slices.EqualFunc(tail, want, func(a, b float64) bool { return math.Float64bits(a) == math.Float64bits(b) }) {
			t.Fatalf("from %d: %v, %v; want %v, %v", from, tail, terr, want, err)
		}
		if err != nil || len(got) == 0 {
			return
		}
		checkStream(t, got, int(end)-len(got))
	})
}

// byRecords is DecodeStream, one record after another.
func byRecords(data []byte, end int) (out []float64, err error) {
	var st column.StreamState
	for len(data) > 0 {
		before := st
		n, err := column.ReadStream(data, &st)
		if err != nil {
			return nil, err
		}
		if st.Position() >= end {
			st = before
			break
		}
		data = data[n:]
		for range st.Position() - before.Position() - 1 {
			if !before.Empty() {
				out = append(out, before.Value())
			}
		}
		out = append(out, st.Value())
	}
	for !st.Empty() && len(out) > 0 && st.Position() < end-1 {
		out = append(out, st.Value())
		end--
	}
	return out, nil
}

func floatBytes(values []float64) []byte {
	var b []byte
	for _, v := range values {
		b = binary.LittleEndian.AppendUint64(b, math.Float64bits(v))
	}
	return b
}

func bytesFloats(b []byte) []float64 {
	var values []float64
	for ; len(b) >= 8; b = b[8:] {
		values = append(values, math.Float64frombits(binary.LittleEndian.Uint64(b)))
	}
	return values
}

type namedColumn struct {
	name   string
	values []float64
}

// columns are the shapes that every encoding must bring back bit for bit.
func columns() []namedColumn {
	rng := rand.New(rand.NewPCG(1, 2))
	inf, nan := math.Inf(1), math.NaN()
	stale := math.Float64frombits(0x7ff0000000000002)
	negZero := math.Copysign(0, -1)
	up := func(v float64, ulps int) float64 {
		return math.Float64frombits(math.Float64bits(v) + uint64(int64(ulps)))
	}
	series := func(n int, next func(i int) float64) []float64 {
		values := make([]float64, n)
		for i := range values {
			values[i] = next(i)
		}
		return values
	}
	counter, sum := 0.0, 0.0
	reset := func(i int) float64 {
		counter += float64(rng.IntN(900))
		if i%100 == 99 {
			counter = 0
		}
		return counter
	}
	nanos := func(int) float64 { sum += float64(rng.Int64N(5e7)) / 1e9; return sum }
	sparse := func(every int) func(i int) float64 {
		v := 0.0
		return func(i int) float64 {
			if i%every == 0 {
				v += 1 + float64(rng.IntN(50))
			}
			return v
		}
	}
	mixed := series(480, reset)
	for i, v := range []float64{nan, stale, inf, -inf, negZero, 0.5, math.MaxFloat64} {
		mixed[17+i*60] = v
	}
	return []namedColumn{
		{"integer counter with resets", series(480, reset)},
		{"one value", []float64{42}},
		{"two values", []float64{42, 43}},
		{"zero", series(480, func(int) float64 { return 0 })},
		{"minus zero", series(7, func(int) float64 { return negZero })},
		{"constant integer", series(480, func(int) float64 { return 1 << 40 })},
		{"constant decimal", series(480, func(int) float64 { return 0.1 })},
		{"constant raw", series(480, func(int) float64 { return math.Pi })},
		{"constant NaN payload", series(9, func(int) float64 { return math.Float64frombits(0xfff8dead0000beef) })},
		{"sum of nanoseconds", series(480, nanos)},
		{"tricky", []float64{
			0, negZero, inf, -inf, nan, stale, math.Float64frombits(0xffffffffffffffff),
			math.SmallestNonzeroFloat64, -math.SmallestNonzeroFloat64, math.Float64frombits(0x000fffffffffffff),
			1 << 53, 1<<53 - 1, 1<<53 + 2, -(1 << 53), 1 << 62, 1 << 63, -(1 << 63), 1 << 64, 1e22, 1e23, 1e300, math.MaxFloat64,
			0.1 + 0.2, 0.3, up(0.3, 1), up(0.3, -1), up(1e-9, 3), 1e-9, 1e-22, 5e-324, 123456.789012345, math.Pi,
		}},
		{"ulp neighbours", series(200, func(i int) float64 { return up(float64(1000+i)/1e9, i%7-3) })},
		{"two decimals", series(480, func(int) float64 { return float64(rng.IntN(10000)) / 100 })},
		{"random bits", series(480, func(int) float64 { return math.Float64frombits(rng.Uint64()) })},
		{"random in unit", series(480, func(int) float64 { return rng.Float64() })},
		{"noise around zero", series(480, func(int) float64 { return rng.NormFloat64() })},
		{"huge integers", series(480, func(i int) float64 { return 1.8e19 + float64(i)*65536 })},
		{"integers from 2^53", series(480, func(i int) float64 { return 1<<53 + float64(i*2) })},
		{"negative pages", series(480, func(int) float64 { return -4096 * float64(rng.IntN(1e6)) })},
		{"changes every fifth", series(480, sparse(5))},
		{"changes every sixtieth", series(480, sparse(60))},
		{"changes once", series(480, sparse(400))},
		{"integers with specials", mixed},
		{"specials among constants", series(300, func(i int) float64 {
			if i%37 == 5 {
				return nan
			}
			return 7
		})},
		{"begins with NaN", append([]float64{nan, nan}, series(100, reset)...)},
		{"outliers", series(480, func(i int) float64 {
			if i%111 == 3 {
				return 1e12
			}
			return float64(rng.IntN(8))
		})},
		{"alternating extremes", series(480, func(i int) float64 { return float64(math.MinInt64) * float64(i&1*2-1) })},
		{"63 values", series(63, reset)}, {"64 values", series(64, reset)}, {"65 values", series(65, reset)},
		{"66 values", series(66, reset)}, {"129 values", series(129, reset)},
	}
}

// TestStreamCounts: what a record says of integers is what anybody finds who looks
// at the values.
func TestStreamCounts(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 8))
	counted := 0
	for range 300 {
		var st column.StreamState
		var v, sum float64
		scale := []float64{1, 10, 1000, 3, 1e9}[rng.IntN(5)]
		for pos := range 100 {
			last, counts, from := v, st.Counts(math.Float64bits(v)), st.Integer()
			switch rng.IntN(20) {
			case 0:
				v = math.NaN()
			case 1:
				v = rng.NormFloat64()
			default:
				sum += float64(rng.IntN(1e6)) / scale
				v = sum
			}
			if r := st.Record(pos, v); !counts || !r.Counted() {
				continue
			}
			counted++
			p := math.Pow10(st.Exponent())
			if got := float64(st.Integer()) / p; math.Float64bits(got) != math.Float64bits(v) || math.RoundToEven(last*p) != float64(from) {
				t.Fatalf("%v after %v: %d after %d, exponent %d", v, last, st.Integer(), from, st.Exponent())
			}
		}
	}
	if counted < 10_000 {
		t.Errorf("%d records counted", counted)
	}
}

package simd

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// The vector code computes what the Go code does: every test compares the two, at
// all lengths that fill vectors or do not.

const lengthMax = 41

// odd are numbers at which conversions and comparisons change their ways.
var odd = []float64{
	0, math.Copysign(0, -1), 1, -1, 0.1, 1 << 51, 1 << 52, 1 << 53, 1<<53 + 2, 1e300, -1e300, math.SmallestNonzeroFloat64,
	math.Inf(1), math.Inf(-1), math.NaN(), math.MaxFloat64,
}

var oddInts = []uint64{
	0, 1, 0xffff, 1<<31 - 1, 1 << 31, 1 << 32, 1<<47 - 1, 1 << 47, 1 << 48, 1<<52 - 1, 1 << 53, 1<<53 + 1, 1<<54 + 2, 1<<63 - 1, 1 << 63,
	1<<63 + 1, math.MaxUint64, math.MaxUint64 - 1, -1 << 53 & math.MaxUint64, ^uint64(1<<53 + 1),
}

func anyFloat(r *rand.Rand) float64 {
	switch r.IntN(4) {
	case 0:
		return odd[r.IntN(len(odd))]
	case 1:
		return math.Float64frombits(r.Uint64())
	}
	return math.Trunc(r.NormFloat64() * 1000)
}

func anyInt(r *rand.Rand) uint64 {
	switch r.IntN(3) {
	case 0:
		return oddInts[r.IntN(len(oddInts))]
	case 1:
		return r.Uint64() >> r.IntN(64)
	}
	return uint64(r.IntN(200))
}

func floats(r *rand.Rand, n int) []float64 {
	v := make([]float64, n)
	for i := range v {
		v[i] = anyFloat(r)
	}
	return v
}

func residuals(r *rand.Rand, n int) []float64 {
	v := make([]float64, n)
	for i := range v {
		v[i] = math.Float64frombits(anyInt(r))
	}
	return v
}

// same compares bits, but for those of NaNs.
func same(a, b []float64) bool {
	return slices.EqualFunc(a, b, func(x, y float64) bool {
		return math.Float64bits(x) == math.Float64bits(y) || x != x && y != y
	})
}

// sameBits compares all bits.
func sameBits(a, b []float64) bool {
	return slices.EqualFunc(a, b, func(x, y float64) bool { return math.Float64bits(x) == math.Float64bits(y) })
}

// each calls f many times with every length.
func each(t *testing.T, f func(r *rand.Rand, n int)) {
	t.Helper()
	r := rand.New(rand.NewPCG(1, 2))
	for round := range 400 {
		for n := range lengthMax {
			f(r, n)
			if t.Failed() {
				t.Fatalf("round %d, %d values", round, n)
			}
		}
	}
}

func TestAddEach(t *testing.T) {
	each(t, func(r *rand.Rand, n int) {
		sum, c, x := floats(r, n), floats(r, n), floats(r, n)
		wantSum, wantC := slices.Clone(sum), slices.Clone(c)
		addEach(wantSum, wantC, x)
		AddEach(sum, c, x)
		if !same(sum, wantSum) || !same(c, wantC) {
			t.Errorf("got %v, %v, want %v, %v", sum, c, wantSum, wantC)
		}
	})
}

func scaleOf(r *rand.Rand) uint64 {
	return []uint64{1, 1, 2, 1000, 1<<32 - 1, 1 << 32, math.MaxUint64}[r.IntN(7)]
}

func divisorOf(r *rand.Rand) float64 { return []float64{1, 10, 1000, 1e22}[r.IntN(4)] }

func TestDeltas(t *testing.T) {
	each(t, func(r *rand.Rand, n int) {
		v, acc, base, scale, divisor := residuals(r, n), anyInt(r), anyInt(r), scaleOf(r), divisorOf(r)
		want := slices.Clone(v)
		wantLast := deltas(want, acc, base, scale, divisor)
		if last := Deltas(v, acc, base, scale, divisor); last != wantLast || !sameBits(v, want) {
			t.Errorf("scale %d, divisor %g: got %d %v, want %d %v", scale, divisor, last, v, wantLast, want)
		}
	})
}

func TestOffsets(t *testing.T) {
	each(t, func(r *rand.Rand, n int) {
		v, from, scale, divisor := residuals(r, n), anyInt(r), scaleOf(r), divisorOf(r)
		want := slices.Clone(v)
		offsets(want, from, scale, divisor)
		wantLast := from
		if n > 0 {
			wantLast += scale * math.Float64bits(v[n-1])
		}
		if last := Offsets(v, from, scale, divisor); last != wantLast || !sameBits(v, want) {
			t.Errorf("scale %d, divisor %g: got %d %v, want %d %v", scale, divisor, last, v, wantLast, want)
		}
	})
}

func TestAddBits(t *testing.T) {
	each(t, func(r *rand.Rand, n int) {
		v, x, base, scale := residuals(r, n), residuals(r, n), anyInt(r), scaleOf(r)
		want := slices.Clone(v)
		addBits(want, x, base, scale)
		if AddBits(v, x, base, scale); !sameBits(v, want) {
			t.Errorf("scale %d: got %v, want %v", scale, v, want)
		}
	})
}

// TestSpread: every position has the value of the last change.
func TestSpread(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for range 30_000 {
		n := 1 + r.IntN(140)
		bitmap := make([]byte, (n+6)/8)
		share := r.IntN(101)
		out, want := make([]float64, n), make([]float64, n)
		for i := range out {
			out[i] = float64(1000 + i)
		}
		want[0] = out[0]
		changes := 0
		for i := 1; i < n; i++ {
			if r.IntN(100) < share {
				bitmap[(i-1)>>3] |= 1 << ((i - 1) & 7)
				changes++
			}
			want[i] = out[changes]
		}
		if Spread(out, bitmap, changes); !sameBits(out, want) {
			t.Fatalf("bitmap %08b: got %v, want %v", bitmap, out, want)
		}
	}
}

func TestNextFall(t *testing.T) {
	each(t, func(r *rand.Rand, n int) {
		v := floats(r, n)
		if r.IntN(2) == 0 { // mostly rising
			for i := range v {
				v[i] = float64(i / 3)
			}
			if n > 0 && r.IntN(2) == 0 {
				v[r.IntN(n)] = anyFloat(r)
			}
		}
		from := 1 + r.IntN(n+1)
		if got, want := NextFall(v, from), nextFall(v, from); got != want {
			t.Errorf("%v from %d: got %d, want %d", v, from, got, want)
		}
	})
}

// TestRises: what is done is right, and no more is left than has to be.
func TestRises(t *testing.T) {
	each(t, func(r *rand.Rand, n int) {
		step, least := int32(r.IntN(5)), int32(r.IntN(3))
		lo, hi := make([]int32, n), make([]int32, n)
		at := int32(0)
		for i := range lo {
			lo[i], hi[i] = at, at+least+int32(r.IntN(2))
			if i > 0 {
				hi[i] = max(hi[i], hi[i-1])
			}
			at += step
			if r.IntN(16) == 0 {
				at++
			}
		}
		size := 0
		if n > 0 {
			size = int(hi[n-1])
		}
		v, factor, clamp := floats(r, size), floats(r, n), floats(r, n)
		if r.IntN(2) == 0 {
			for i := range v {
				v[i] = float64(1000 + i)
			}
			for i := range clamp {
				clamp[i] = float64(r.IntN(10)) / 10
			}
		}
		dst := make([]float64, n)
		done := Rises(dst, v, lo, hi, factor, clamp)
		careful := func(i int) bool {
			if hi[i]-lo[i] < 2 {
				return true
			}
			return v[lo[i]] < clamp[i]*(v[hi[i]-1]-v[lo[i]])
		}
		for i := range done {
			if careful(i) {
				t.Errorf("window %d was not left alone", i)
			} else if want := (v[hi[i]-1] - v[lo[i]]) * factor[i]; !same(dst[i:i+1], []float64{want}) {
				t.Errorf("window %d: got %v, want %v", i, dst[i], want)
			}
		}
		if !avx2 || n-done < quad {
			return
		}
		for i := done; i < done+quad; i++ {
			if careful(i) {
				return
			}
		}
		t.Errorf("stopped at %d of %d windows for no reason", done, n)
	})
}

func TestLasts(t *testing.T) {
	each(t, func(r *rand.Rand, n int) {
		step := int32(r.IntN(5))
		lo, hi := make([]int32, n), make([]int32, n)
		at := int32(0)
		for i := range lo {
			lo[i], hi[i] = at, at+min(1, int32(r.IntN(30)))
			if i > 0 {
				hi[i] = max(hi[i], hi[i-1])
			}
			at += step
		}
		size := 0
		if n > 0 {
			size = int(hi[n-1])
		}
		v, dst := floats(r, size), make([]float64, n)
		done := Lasts(dst, v, lo, hi)
		for i := range done {
			if lo[i] == hi[i] {
				t.Errorf("window %d is empty and done", i)
			} else if want := v[hi[i]-1]; !sameBits(dst[i:i+1], []float64{want}) {
				t.Errorf("window %d: got %v, want %v", i, dst[i], want)
			}
		}
		if !avx2 || n-done < quad {
			return
		}
		for i := done; i < done+quad; i++ {
			if lo[i] == hi[i] {
				return
			}
		}
		t.Errorf("stopped at %d of %d windows for no reason", done, n)
	})
}

func TestFillAndAddTo(t *testing.T) {
	each(t, func(r *rand.Rand, n int) {
		v, want, x := floats(r, n), make([]float64, n), anyFloat(r)
		for i := range want {
			want[i] = v[i] + x
		}
		if AddTo(v, x); !same(v, want) {
			t.Errorf("added: got %v, want %v", v, want)
		}
		for i := range want {
			want[i] = x
		}
		if Fill(v, x); !sameBits(v, want) {
			t.Errorf("filled: got %v, want %v", v, want)
		}
	})
}

// TestExtremes: also of 0 and -0, of which the first counts.
func TestExtremes(t *testing.T) {
	each(t, func(r *rand.Rand, n int) {
		v := floats(r, n+1)
		zeros := r.IntN(3)
		for i, x := range v {
			if x != x || zeros == 0 {
				v[i] = math.Copysign(0, float64(r.IntN(2))-0.5)
			}
			if zeros == 1 && r.IntN(2) == 0 {
				v[i] = -math.Abs(v[i])
			}
		}
		least, most := v[0], v[0]
		for _, x := range v {
			if x < least {
				least = x
			}
			if x > most {
				most = x
			}
		}
		if a, b := Min(v), Max(v); !sameBits([]float64{a, b}, []float64{least, most}) {
			t.Errorf("%v: got %v and %v, want %v and %v", v, a, b, least, most)
		}
	})
}

func TestFields(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 8))
	for range 20_000 {
		w, n := 1+r.IntN(fieldMax), r.IntN(80)
		src := make([]byte, (n*w+7)/8+r.IntN(20))
		for i := range src {
			src[i] = byte(r.Uint32())
		}
		dst := make([]float64, n)
		done := Fields(dst, src, w)
		if done%8 != 0 || done > n {
			t.Fatalf("%d of %d done", done, n)
		}
		if avx2 && n-done >= 8 && (done/8*w+w/2+8) <= len(src) {
			t.Fatalf("width %d, %d bytes: only %d of %d done", w, len(src), done, n)
		}
		for i, got := range dst[:done] {
			want := uint64(0)
			for k := range w {
				bit := i*w + k
				want |= uint64(src[bit/8]>>(bit%8)&1) << k
			}
			if math.Float64bits(got) != want {
				t.Fatalf("width %d, field %d: got %d, want %d", w, i, math.Float64bits(got), want)
			}
		}
		for _, rest := range dst[done:] {
			if rest != 0 {
				t.Fatal("written behind what was done")
			}
		}
	}
}

var sink uint64

func BenchmarkDeltas(b *testing.B) {
	work, v := make([]float64, 120), residualsBelow(120, 60)
	b.Run("go", func(b *testing.B) {
		for b.Loop() {
			copy(work, v)
			sink += deltas(work, 1000, 3, 1, 1)
		}
	})
	b.Run("vectors", func(b *testing.B) {
		for b.Loop() {
			copy(work, v)
			sink += Deltas(work, 1000, 3, 1, 1)
		}
	})
}

func residualsBelow(n, most int) []float64 {
	v := make([]float64, n)
	for i := range v {
		v[i] = math.Float64frombits(uint64(i * 7 % most))
	}
	return v
}

func BenchmarkAddEach(b *testing.B) {
	sum, c, x := make([]float64, 512), make([]float64, 512), make([]float64, 512)
	b.Run("go", func(b *testing.B) {
		for b.Loop() {
			addEach(sum, c, x)
		}
	})
	b.Run("vectors", func(b *testing.B) {
		for b.Loop() {
			AddEach(sum, c, x)
		}
	})
}

func BenchmarkSpread(b *testing.B) {
	out, bitmap := make([]float64, 121), make([]byte, 15)
	for i := range bitmap {
		bitmap[i] = 0b01010110
	}
	b.Run("go", func(b *testing.B) {
		for b.Loop() {
			spread(out, bitmap, 120, 60)
		}
	})
	b.Run("vectors", func(b *testing.B) {
		for b.Loop() {
			Spread(out, bitmap, 60)
		}
	})
}

func BenchmarkNextFall(b *testing.B) {
	v := make([]float64, 5760)
	for i := range v {
		v[i] = float64(i)
	}
	b.Run("go", func(b *testing.B) {
		for b.Loop() {
			sink += uint64(nextFall(v, 1))
		}
	})
	b.Run("vectors", func(b *testing.B) {
		for b.Loop() {
			sink += uint64(NextFall(v, 1))
		}
	})
}

func BenchmarkRises(b *testing.B) {
	for _, step := range []int32{1, 4} {
		v, lo, hi := make([]float64, 5000), make([]int32, 512), make([]int32, 512)
		for i := range v {
			v[i] = float64(1000 + i)
		}
		for i := range lo {
			lo[i] = int32(i) * step
			hi[i] = lo[i] + 20
		}
		factor, clamp, dst := make([]float64, 512), make([]float64, 512), make([]float64, 512)
		b.Run(map[int32]string{1: "each", 4: "every fourth"}[step], func(b *testing.B) {
			for b.Loop() {
				sink += uint64(Rises(dst, v, lo, hi, factor, clamp))
			}
		})
	}
}

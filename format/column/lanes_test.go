package column

import (
	"math"
	"math/rand/v2"
	"testing"
)

// TestLanes: the vector code and the Go code unpack the same values, which are
// those that were packed.
func TestLanes(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	for w := 1; w <= laneWidth; w++ {
		for groups := range 5 {
			n := groups * groupLen
			values := make([]uint64, n)
			for i := range values {
				values[i] = r.Uint64() & (1<<w - 1)
			}
			src := appendPacked(nil, values, w)
			plain, vectors := make([]float64, n), make([]float64, n+1)
			unpackLanesGo(plain, src, w)
			unpackLanes(vectors[:n], src, w)
			for i, want := range values {
				if a, b := math.Float64bits(plain[i]), math.Float64bits(vectors[i]); a != want || b != want {
					t.Fatalf("width %d, value %d of %d: %#x and %#x of vectors, want %#x", w, i, n, a, b, want)
				}
			}
			if vectors[n] != 0 {
				t.Fatalf("width %d: written past the end", w)
			}
		}
	}
}

func BenchmarkUnpackLanes(b *testing.B) {
	src, dst := make([]byte, 8*groupLen*laneWidth), make([]float64, 4*groupLen)
	for _, w := range []int{1, 6, 11} {
		for name, f := range map[string]func([]float64, []byte, int){"go": unpackLanesGo, "vectors": unpackLanes} {
			b.Run(name, func(b *testing.B) {
				for b.Loop() {
					f(dst, src, w)
				}
			})
		}
	}
}

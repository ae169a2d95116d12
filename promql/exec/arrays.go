package exec

import (
	"math/bits"
	"sync"
)

// arrays are the larger ones that queries have given back, for others to use: to
// make them new for each query is a good part of all garbage. What nobody asks for
// goes with the second collection.
type arrays struct {
	free [bits.UintSize + 1]sync.Pool // *[]float64, by the length of their lengths
}

// arraysLeast is from which length an array is worth its place.
const arraysLeast = 256

// get returns an array of n numbers, whatever they are.
func (a *arrays) get(n int) []float64 {
	if n >= arraysLeast {
		if v, ok := a.free[bits.Len(uint(n))].Get().(*[]float64); ok && cap(*v) >= n {
			return (*v)[:n]
		}
	}
	return make([]float64, n)
}

// put takes an array that nobody uses any more.
func (a *arrays) put(v []float64) {
	if cap(v) >= arraysLeast {
		v = v[:cap(v)]
		a.free[bits.Len(uint(len(v)))].Put(&v)
	}
}

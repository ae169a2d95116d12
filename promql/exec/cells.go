package exec

import (
	"errors"
	"math"

	"github.com/prometheus/prometheus/promql/parser"

	"github.com/nilometer/nilometer/model/simd"
	"github.com/nilometer/nilometer/promql/function"
)

// errOverflow: a mean's sum left the finite numbers, so that the rows have to
// be taken in another way.
var errOverflow = errors.New("sum overflows")

// errHistograms: there is a histogram among what was to be added as it came.
var errHistograms = errors.New("histograms among the values")

// cells aggregate one group over all steps in a constant amount of memory per
// step, and can be merged.
type cells struct {
	op parser.ItemType
	// v is the sum (from -0, which adds nothing, not even a sign), the extreme
	// (from NaN, which gives way to anything) or the count.
	v []float64
	// c is the correction of a sum.
	c []float64
	// n counts the values of a mean.
	n []float64
	// wholes are rows with a value at every step that are counted, but not in v yet.
	wholes float64
	// full: every step has a value; else present has those that have.
	full    bool
	present Bits
	memory  []float64 // of v, c and n
}

// newCells makes cells in a memory of cellValues(op) times steps, which may have
// been used before.
func newCells(op parser.ItemType, steps int, memory []float64) *cells {
	a := &cells{op: op, present: newBits(steps), v: memory[:steps:steps], memory: memory}
	clear(memory)
	switch op {
	case parser.AVG:
		a.n = memory[2*steps : 3*steps]
		fallthrough
	case parser.SUM:
		a.c = memory[steps : 2*steps : 2*steps]
		for i := range a.v {
			a.v[i] = math.Copysign(0, -1)
		}
	case parser.MIN, parser.MAX:
		for i := range a.v {
			a.v[i] = math.NaN()
		}
	case parser.GROUP:
		for i := range a.v {
			a.v[i] = 1
		}
	}
	return a
}

// cellValues is how many numbers a step of a group takes.
func cellValues(op parser.ItemType) int {
	switch op {
	case parser.AVG:
		return 3
	case parser.SUM:
		return 2
	}
	return 1
}

// cellBytes is what a step of a group takes.
func cellBytes(op parser.ItemType) int64 { return int64(cellValues(op))*8 + 1 }

// addPiece takes the values of the steps from from on that are in present.
func (a *cells) addPiece(from int, v []float64, present Bits) {
	if present == nil && a.op == parser.COUNT {
		if a.full = true; from == 0 {
			a.wholes++
		}
		return
	}
	if present == nil {
		a.addRun(from, v)
		a.full = a.full || from+len(v) == len(a.v)
		return
	}
	if from == 0 {
		a.present.or(present, len(a.v))
	}
	to := from + len(v)
	for at := from; at < to; {
		first, end := present.run(at, to)
		a.addRun(first, v[first-from:end-from])
		at = end
	}
}

// addRun takes the values of consecutive steps.
func (a *cells) addRun(from int, v []float64) {
	to := from + len(v)
	switch a.op {
	case parser.SUM:
		a.addEach(from, to, v)
	case parser.AVG:
		a.addEach(from, to, v)
		increment(a.n[from:to])
	case parser.COUNT:
		increment(a.v[from:to])
	case parser.MIN:
		best := a.v[from:to]
		for i, x := range v {
			if m := best[i]; m > x || m != m {
				best[i] = x
			}
		}
	case parser.MAX:
		best := a.v[from:to]
		for i, x := range v {
			if m := best[i]; m < x || m != m {
				best[i] = x
			}
		}
	}
}

// addEach adds values to sums. Many counters stand still most of the time: 0
// changes no sum but -0, and no correction.
func (a *cells) addEach(from, to int, v []float64) {
	sum := a.v[from:to]
	if !allZero(v) {
		function.AddEach(sum, a.c[from:to], v)
		return
	}
	for i := range sum {
		sum[i] += 0
	}
}

// allZero tells whether all values are 0, and none is -0.
func allZero(v []float64) bool {
	for _, x := range v {
		if math.Float64bits(x) != 0 {
			return false
		}
	}
	return true
}

func increment(n []float64) { simd.AddTo(n, 1) }

func (a *cells) add(step int, v float64) {
	switch a.op {
	case parser.SUM:
		a.v[step], a.c[step] = function.Add(v, a.v[step], a.c[step])
	case parser.AVG:
		a.v[step], a.c[step] = function.Add(v, a.v[step], a.c[step])
		a.n[step]++
	case parser.COUNT:
		a.v[step]++
	case parser.MIN:
		if m := a.v[step]; m > v || math.IsNaN(m) {
			a.v[step] = v
		}
	case parser.MAX:
		if m := a.v[step]; m < v || math.IsNaN(m) {
			a.v[step] = v
		}
	}
}

// merge adds what another worker's lane has of the same group.
func (a *cells) merge(b *cells) {
	switch a.op {
	case parser.SUM, parser.AVG:
		function.AddEach(a.v, a.c, b.v)
		for i, c := range b.c {
			a.c[i] += c
		}
		for i, n := range b.n {
			a.n[i] += n
		}
	case parser.COUNT:
		for i, n := range b.v {
			a.v[i] += n
		}
	case parser.MIN, parser.MAX:
		a.addRun(0, b.v)
	}
	a.wholes += b.wholes
	a.full = a.full || b.full
	a.present.or(b.present, len(a.v))
}

func (a *cells) value(step int) float64 {
	switch a.op {
	case parser.SUM:
		return function.Total(a.v[step], a.c[step])
	case parser.AVG:
		return a.v[step]/a.n[step] + a.c[step]/a.n[step]
	case parser.COUNT:
		return a.v[step] + a.wholes
	}
	return a.v[step]
}

// row returns the values of all steps, in the memory of the cells. It fails
// with errOverflow when a mean has to be computed in another way.
func (a *cells) row() (groupRow, error) {
	if a.full {
		a.present.setAll(len(a.v))
	}
	for i := range a.v {
		if a.op == parser.AVG && a.n[i] > 0 && math.IsInf(a.v[i], 0) {
			return groupRow{}, errOverflow
		}
		a.v[i] = a.value(i)
	}
	return groupRow{v: a.v, present: a.present}, nil
}

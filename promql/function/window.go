package function

import (
	"time"
)

// Grid is a row of evaluation times: Start, Start+Step … up to End (ms), Steps
// of them.
type Grid struct {
	Start, End, Step int64
	Steps            int
}

// NewGrid returns the grid from start to end.
func NewGrid(start, end, step int64) Grid {
	g := Grid{Start: start, End: end, Step: step}
	if end >= start {
		g.Steps = int((end-start)/step) + 1
	}
	return g
}

// Instant reports whether the grid was asked for one time only. (A range may
// have one step too; a few functions behave differently then.)
func (g Grid) Instant() bool { return g.Start == g.End }

// At is the time of a step.
func (g Grid) At(step int) int64 { return g.Start + int64(step)*g.Step }

// Samples are those of one series, without stale markers, in order of time.
type Samples struct {
	T []int64
	V []float64
	// Resets are the positions whose value is smaller than the one before; set
	// for functions with RangeFunc.Resets.
	Resets []int32
}

// Windows are the windows of every step on one time column. Step i's samples
// are those at positions [Lo[i], Hi[i]).
type Windows struct {
	Grid    Grid // evaluation times
	RangeMs int64
	// Reference maps a step to the right end of its window (ms, included).
	Reference func(step int) int64
	T         []int64
	Lo, Hi    []int32

	extrapolation
}

// RangeSeconds is the windows' length as upstream computes it.
func (w *Windows) RangeSeconds() float64 {
	return (time.Duration(w.RangeMs) * time.Millisecond).Seconds()
}

// Locate finds the windows of every step on the times t, which must be
// strictly increasing. References must not fall with the step. It reuses the
// memory of w.
func (w *Windows) Locate(t []int64) {
	w.T = t
	w.Lo, w.Hi = resize(w.Lo, w.Grid.Steps), resize(w.Hi, w.Grid.Steps)
	lo, hi := 0, 0
	for i := range w.Lo {
		right := w.Reference(i)
		left := right - w.RangeMs
		for hi < len(t) && t[hi] <= right {
			hi++
		}
		for lo < hi && t[lo] <= left {
			lo++
		}
		w.Lo[i], w.Hi[i] = int32(lo), int32(hi)
	}
}

func resize[E any](s []E, n int) []E {
	if cap(s) < n {
		return make([]E, n)
	}
	return s[:n]
}

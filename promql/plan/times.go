package plan

import (
	"math"
)

// boundTimes sets each Scan's range of times: what any step can look at.
func boundTimes(n Node, p Params) Node {
	bound(n, p.Start, p.End)
	return n
}

// bound handles n, evaluated at times between from and to (ms, both included).
func bound(n Node, from, to int64) {
	switch n := n.(type) {
	case *Instant:
		// Windows are open on the left.
		n.Scan.MinTime = subtract(n.Reference(from), n.Lookback-1)
		n.Scan.MaxTime = n.Reference(to)
		if n.Smoothed {
			n.Scan.MaxTime = add(n.Scan.MaxTime, n.Lookback)
		}
		return
	case *Info:
		n.MinTime, n.MaxTime = subtract(n.Reference(from), n.Lookback-1), n.Reference(to)
	case *Window:
		if n.Scan != nil {
			n.Scan.MinTime = subtract(subtract(n.Reference(from), n.RangeMs-1), n.Behind())
			n.Scan.MaxTime = add(n.Reference(to), n.Ahead())
		}
	case *Subquery:
		from, to = n.GridStart(from), n.Reference(to)
	}
	for _, in := range n.Inputs() {
		bound(in, from, to)
	}
}

// GridStart is the first evaluation time of a subquery whose own first
// evaluation time is ts: the first multiple of Step after the window's open
// left end.
func (n *Subquery) GridStart(ts int64) int64 {
	left := subtract(n.Reference(ts), n.RangeMs)
	start := n.Step * (left / n.Step)
	if start <= left {
		start += n.Step
	}
	return start
}

// subtract returns a - b without wrapping around, for b ≥ -1.
func subtract(a, b int64) int64 {
	if a < math.MinInt64+b {
		return math.MinInt64
	}
	return a - b
}

// add returns a + b without wrapping around, for b ≥ 0.
func add(a, b int64) int64 {
	if a > math.MaxInt64-b {
		return math.MaxInt64
	}
	return a + b
}

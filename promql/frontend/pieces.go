package frontend

import "math"

// Grid are the steps of a range query: Start, Start+Step … up to End, which is
// one of them. Times are in ms.
type Grid struct {
	Start, End, Step int64
}

// Piece is a part of a query's steps, first and last one included, ms. It is Kept
// when the cache has it.
type Piece struct {
	Start, End int64
	Kept       bool
}

// Valid says which steps of an extent from start to end (ms) still hold when the
// earliest change since is at a time. Each step looks at samples up to ahead after
// it. ok is false when none does.
func Valid(start, end, step, ahead, changed int64) (last int64, ok bool) {
	if changed == math.MaxInt64 {
		return end, true
	}
	// The last step t with t+ahead < changed.
	t := changed - 1 - ahead
	if t < start {
		return 0, false
	}
	return min(end, start+(t-start)/step*step), true
}

// Plan cuts the steps of a query into pieces in order: those that are kept, from
// keptStart to keptEnd (of the same phase as the query's; none when keptEnd is
// before keptStart), and between them those that are to be evaluated. What of them
// is longer than split ms is cut at multiples of it; 0 does not split.
func Plan(q Grid, keptStart, keptEnd, split int64) []Piece {
	keptStart, keptEnd = max(keptStart, q.Start), min(keptEnd, q.End)
	if keptStart > keptEnd || q.Start == q.End {
		return q.missing(nil, q.Start, q.End, split)
	}
	// A missing piece of one step takes one more from what is kept.
	if keptStart == q.Start+q.Step {
		keptStart += q.Step
	}
	if keptEnd == q.End-q.Step {
		keptEnd -= q.Step
	}
	if keptStart > keptEnd {
		return q.missing(nil, q.Start, q.End, split)
	}
	out := q.missing(nil, q.Start, keptStart-q.Step, split)
	out = append(out, Piece{keptStart, keptEnd, true})
	return q.missing(out, keptEnd+q.Step, q.End, split)
}

// missing appends the steps from one to another, cut.
func (q Grid) missing(out []Piece, from, to, split int64) []Piece {
	for from <= to {
		end := to
		if split > 0 && to-from > split {
			next := (floorDiv(from, split) + 1) * split // the first time of the next piece
			end = min(to, from+(next-1-from)/q.Step*q.Step)
			if end == from { // one step: it goes with the next ones
				end = min(to, from+q.Step)
			}
			if end == to-q.Step { // and the last one with those before it
				end = to
			}
		}
		out = append(out, Piece{Start: from, End: end})
		from = end + q.Step
	}
	return out
}

func floorDiv(a, b int64) int64 {
	n := a / b
	if a%b < 0 {
		n--
	}
	return n
}

// Package postings is a sorted set of series ordinals: as runs in memory, with
// the operations of sets, and as bytes. FORMAT.md draws the bytes.
//
// A block's series are numbered in the order of their labels, so that most
// labels' postings are few long runs: a List costs 8 bytes a run, whatever the
// number of series.
//
// Invariants:
//
//   - I1: the runs of a List are sorted, not empty, and neither overlap nor
//     touch.
//   - I2: operations are pure: they change no argument. A result may share
//     memory with an argument.
//   - I3: Decode given any bytes returns a List that satisfies I1 or a
//     *CorruptError; it allocates at most in proportion to them.
package postings

import (
	"container/heap"
)

// Run is the ordinals in [From, To).
type Run struct {
	From, To uint32
}

// List is a set of ordinals (I1). nil is the empty set.
type List []Run

// All is the set of the ordinals below n.
func All(n uint32) List {
	if n == 0 {
		return nil
	}
	return List{{0, n}}
}

// Of returns the set of sorted ordinals; repeats count once.
func Of(ordinals ...uint32) List {
	var l List
	for _, o := range ordinals {
		l = l.Append(o)
	}
	return l
}

// Append returns l with an ordinal that is not less than any in it.
func (l List) Append(o uint32) List {
	if k := len(l) - 1; k >= 0 && o <= l[k].To {
		l[k].To = max(l[k].To, o+1)
		return l
	}
	return append(l, Run{o, o + 1})
}

// Count is the number of ordinals.
func (l List) Count() int {
	n := 0
	for _, r := range l {
		n += int(r.To - r.From)
	}
	return n
}

// Valid reports whether l satisfies I1.
func (l List) Valid() bool {
	for i, r := range l {
		if r.From >= r.To || i > 0 && r.From <= l[i-1].To {
			return false
		}
	}
	return true
}

// Each calls fn with every ordinal in order.
func (l List) Each(fn func(uint32)) {
	for _, r := range l {
		for o := r.From; o < r.To; o++ {
			fn(o)
		}
	}
}

// Intersect returns what is in both.
func Intersect(a, b List) List {
	var out List
	for i, j := 0, 0; i < len(a) && j < len(b); {
		from, to := max(a[i].From, b[j].From), min(a[i].To, b[j].To)
		if from < to {
			out = append(out, Run{from, to})
		}
		if a[i].To < b[j].To {
			i++
		} else {
			j++
		}
	}
	return out
}

// Without returns what is in a and not in b.
func Without(a, b List) List {
	var out List
	j := 0
	for _, r := range a {
		for j < len(b) && b[j].To <= r.From {
			j++
		}
		at := r.From
		for k := j; k < len(b) && b[k].From < r.To; k++ {
			if b[k].From > at {
				out = append(out, Run{at, b[k].From})
			}
			at = max(at, b[k].To)
		}
		if at < r.To {
			out = append(out, Run{at, r.To})
		}
	}
	return out
}

// Union returns what is in any of lists: O(runs · log lists).
func Union(lists ...List) List {
	h := make(cursors, 0, len(lists))
	for _, l := range lists {
		if len(l) > 0 {
			h = append(h, l)
		}
	}
	switch len(h) {
	case 0:
		return nil
	case 1:
		return h[0]
	}
	heap.Init(&h)
	var out List
	for len(h) > 0 {
		r := h[0][0]
		if k := len(out) - 1; k >= 0 && r.From <= out[k].To {
			out[k].To = max(out[k].To, r.To)
		} else {
			out = append(out, r)
		}
		if h[0] = h[0][1:]; len(h[0]) == 0 {
			heap.Pop(&h)
		} else {
			heap.Fix(&h, 0)
		}
	}
	return out
}

// cursors is a heap of lists that are not empty, by the begin of their first
// run.
type cursors []List

func (h cursors) Len() int           { return len(h) }
func (h cursors) Less(i, j int) bool { return h[i][0].From < h[j][0].From }
func (h cursors) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }

// Push is never needed: a union starts with all lists.
func (h *cursors) Push(x any) { *h = append(*h, x.(List)) }

// Pop removes the last cursor.
func (h *cursors) Pop() any {
	last := (*h)[len(*h)-1]
	*h = (*h)[:len(*h)-1]
	return last
}

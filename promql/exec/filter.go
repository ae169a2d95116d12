package exec

import (
	"github.com/prometheus/prometheus/promql/parser"

	"github.com/nilometer/nilometer/promql/plan"
)

// filter keeps the values of rows for which a comparison with a number is true.
type filter struct {
	op    parser.ItemType // with the number on the right
	value float64
}

// filterOf returns the filter of what an aggregation's rows flow through, nil for
// none.
func filterOf(n *plan.Aggregate) *filter {
	return newFilter(plan.Compared(n.Input))
}

// newFilter returns the filter of a comparison, nil for none.
func newFilter(c *plan.Comparison) *filter {
	if c == nil {
		return nil
	}
	f := &filter{op: c.Op, value: c.Value}
	if c.Swapped {
		f.op = mirrored(c.Op)
	}
	return f
}

// mirrored is the comparison that is true of b and a where op is of a and b.
func mirrored(op parser.ItemType) parser.ItemType {
	switch op {
	case parser.GTR:
		return parser.LSS
	case parser.LSS:
		return parser.GTR
	case parser.GTE:
		return parser.LTE
	case parser.LTE:
		return parser.GTE
	}
	return op
}

// bits sets words to those of v, at the steps from from on, that stay; present has
// the steps with a value. from is a multiple of 64. some is false when none stays.
func (f *filter) bits(words Bits, from int, v []float64, present Bits) (some bool) {
	for at := 0; at < len(v); at += 64 {
		w := f.word(v[at:min(at+64, len(v))])
		i := (from + at) / 64
		if present != nil {
			w &= present[i]
		}
		words[i] = w
		some = some || w != 0
	}
	return some
}

// some tells whether any value of a row stays; present has the steps with one.
func (f *filter) some(v []float64, present Bits) bool {
	for at := 0; at < len(v); at += 64 {
		w := f.word(v[at:min(at+64, len(v))])
		if present != nil {
			w &= present[at/64]
		}
		if w != 0 {
			return true
		}
	}
	return false
}

// word has a bit for each of up to 64 values. One loop for each operator: none has
// a branch that depends on a value.
func (f *filter) word(v []float64) (w uint64) {
	c := f.value
	bit := func(b bool) uint64 {
		if b {
			return 1
		}
		return 0
	}
	switch f.op {
	case parser.EQLC:
		for i, x := range v {
			w |= bit(x == c) << (i & 63)
		}
	case parser.NEQ:
		for i, x := range v {
			w |= bit(x != c) << (i & 63)
		}
	case parser.GTR:
		for i, x := range v {
			w |= bit(x > c) << (i & 63)
		}
	case parser.LSS:
		for i, x := range v {
			w |= bit(x < c) << (i & 63)
		}
	case parser.GTE:
		for i, x := range v {
			w |= bit(x >= c) << (i & 63)
		}
	case parser.LTE:
		for i, x := range v {
			w |= bit(x <= c) << (i & 63)
		}
	}
	return w
}

// takeFiltered is take of what the filter leaves of a row's piece.
func (f *fused) takeFiltered(lane int, rank uint32, from int, v []float64, present Bits) error {
	if f.rows != nil {
		f.rows.takeFiltered(rank, from, v, present, f.filter)
		return nil
	}
	kept := f.kept[lane]
	if !f.filter.bits(kept, from, v, present) {
		return nil
	}
	c, err := f.cellsOf(lane, rank)
	if err != nil {
		return err
	}
	c.addKept(from, v, kept)
	return nil
}

// takeFiltered keeps a piece of a row, and which of its values stay.
func (p *pending) takeFiltered(rank uint32, from int, v []float64, present Bits, f *filter) {
	copy(p.v[int(rank)*p.steps+from:], v)
	p.partial[rank] = true
	f.bits(Bits(p.present[int(rank)*p.words:][:p.words]), from, v, present)
}

// addKept is addPiece of a piece that has bits of its own, from a multiple of 64
// on.
func (a *cells) addKept(from int, v []float64, kept Bits) {
	to := from + len(v)
	for i := from / 64; i < (to+63)/64; i++ {
		a.present[i] |= kept[i]
	}
	for at := from; at < to; {
		first, end := kept.run(at, to)
		a.addRun(first, v[first-from:end-from])
		at = end
	}
}

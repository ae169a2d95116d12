package page_test

import (
	"errors"
	"slices"
	"testing"

	format "github.com/nilometer/nilometer/format/column"
	"github.com/nilometer/nilometer/format/page"
	"github.com/nilometer/nilometer/model/column"
)

const tilePositions = 100

func oneTile(uint32) int { return 1 }

// linked is a page in the making in which chunks refer to others.
type linked struct {
	t      testing.TB
	enc    format.Encoder
	b      page.Builder
	values [][]float64
}

// add appends an entry that refers to entries so many before.
func (l *linked) add(column uint32, runs []column.Run, values []float64, refs ...page.Ref) {
	var ref format.Reference
	for _, r := range refs {
		other := l.values[len(l.values)-r.Back]
		if r.Role == page.Positions {
			ref.Positions = other
		} else {
			ref.Terms = append(ref.Terms, format.Term{Values: other, Minus: r.Role == page.Minus})
		}
	}
	data := l.enc.AppendRef(nil, values, ref)
	if info, err := format.Inspect(data, len(values)); err != nil || info.Reference != (len(refs) > 0) {
		l.t.Fatalf("entry %d: %+v, %v, with %d references", len(l.values), info, err, len(refs))
	}
	l.b.Add(uint32(len(l.values)), column, []page.Chunk{{Data: data, Runs: runs, Refs: refs}})
	l.values = append(l.values, values)
}

func (l *linked) parse() *page.Page {
	p, err := page.Parse(l.b.AppendPayload(nil), oneTile)
	if err != nil {
		l.t.Fatal(err)
	}
	return p
}

// noise are values that no small formula makes.
func noise(n int, seed uint64) []float64 {
	values := make([]float64, n)
	for i := range values {
		seed = seed*6364136223846793005 + 1442695040888963407
		values[i] = float64(seed >> 40)
	}
	return values
}

func plus(a, b []float64) []float64 {
	sum := slices.Clone(a)
	for i := range sum {
		sum[i] += b[i]
	}
	return sum
}

func TestValuesOfReferences(t *testing.T) {
	l := linked{t: t}
	x, y := noise(tilePositions, 1), noise(tilePositions, 2)
	l.add(3, nil, x)
	l.add(3, nil, y)
	l.add(3, nil, plus(x, y), page.Ref{Back: 2}, page.Ref{Back: 1})
	l.add(3, nil, plus(plus(x, y), y), page.Ref{Back: 1}, page.Ref{Back: 2})
	absent := []column.Run{{At: 10, Len: 5, State: column.Absent}}
	l.add(3, absent, noise(tilePositions-5, 3))
	l.add(3, absent, plus(l.values[4], l.values[4]), page.Ref{Back: 1}, page.Ref{Back: 1})
	rest := slices.Clone(y)
	for i := range rest {
		rest[i] = 1e9 - rest[i]
	}
	l.add(3, nil, rest, page.Ref{Back: 5, Role: page.Minus})
	steps := make([]float64, tilePositions)
	for i := range steps {
		steps[i] = float64((i*i)>>7) * 1000 / 7
	}
	floors := slices.Clone(steps)
	for i := range floors {
		floors[i] = float64((i*i)>>7) * 3
	}
	l.add(3, nil, steps)
	l.add(3, nil, floors, page.Ref{Back: 1, Role: page.Positions})
	p := l.parse()
	for range 2 { // the second time from what is kept
		for i, want := range l.values {
			got, err := p.Values(i, 0, tilePositions)
			if err != nil || !slices.Equal(got, want) {
				t.Errorf("entry %d: %v\n%v\nwant %v", i, err, got, want)
			}
		}
	}
}

// TestReferencesThatAreRefused: what no writer makes is an error and no value.
func TestReferencesThatAreRefused(t *testing.T) {
	x := noise(tilePositions, 1)
	chain := func(n int) *linked {
		l := linked{t: t}
		l.add(0, nil, x)
		for range n {
			l.add(0, nil, plus(l.values[len(l.values)-1], x), page.Ref{Back: 1}, page.Ref{Back: len(l.values)})
		}
		return &l
	}
	if _, err := chain(page.OthersMax).parse().Values(page.OthersMax, 0, tilePositions); err != nil {
		t.Errorf("a chunk that needs %d others: %v", page.OthersMax, err)
	}
	otherPositions := linked{t: t}
	otherPositions.add(0, []column.Run{{At: 3, Len: 1, State: column.Stale}}, x[1:])
	otherPositions.add(0, []column.Run{{At: 4, Len: 1, State: column.Stale}}, plus(x[1:], x[1:]), page.Ref{Back: 1}, page.Ref{Back: 1})
	for name, c := range map[string]struct {
		p     *page.Page
		entry int
	}{
		"one more than is allowed":   {chain(page.OthersMax + 1).parse(), page.OthersMax + 1},
		"present at other positions": {otherPositions.parse(), 1},
	} {
		_, err := c.p.Values(c.entry, 0, tilePositions)
		var broken *page.CorruptError
		if !errors.As(err, &broken) {
			t.Errorf("%s: %v", name, err)
		}
	}
	chunk := page.Chunk{Data: []byte{0}}
	for name, refs := range map[string][]page.Ref{
		"before the page":  {{Back: 3}},
		"itself":           {{Back: 0}},
		"another column":   {{Back: 1}},
		"three terms":      {{Back: 2}, {Back: 2}, {Back: 2}},
		"positions twice":  {{Back: 2, Role: page.Positions}, {Back: 2, Role: page.Positions}},
		"an unknown role":  {{Back: 2, Role: 3}},
		"without a second": {{Back: 1 << 40}},
	} {
		var b page.Builder
		b.Add(1, 5, []page.Chunk{chunk})
		b.Add(2, 6, []page.Chunk{chunk})
		b.Add(3, 5, []page.Chunk{{Data: []byte{0}, Refs: refs}})
		_, err := page.Parse(b.AppendPayload(nil), oneTile)
		var broken *page.CorruptError
		if !errors.As(err, &broken) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

package exec

import (
	"slices"

	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"

	"github.com/nilometer/nilometer/promql/function"
)

// Join makes one matrix over a grid of matrices over consecutive parts of it,
// whose grids cover it in order. Rows with the same labels become one. What the
// result takes beside them counts against the budget, if there is one.
func Join(b *Budget, g function.Grid, parts []Matrix) (Matrix, error) {
	if len(parts) == 1 && parts[0].Grid.Start == g.Start && parts[0].Grid.Steps == g.Steps {
		return parts[0], nil
	}
	j := joiner{grid: g, at: map[uint64][]int{}}
	for i := range parts {
		offset := int((parts[i].Grid.Start - g.Start) / g.Step)
		for k := range parts[i].Rows {
			j.place(&parts[i].Rows[k], offset)
		}
	}
	points := int64(0)
	for i := range j.rows {
		points += int64(j.rows[i].end - j.rows[i].first)
	}
	if b != nil {
		if err := b.takePoints(points, "the parts of the answer"); err != nil {
			return Matrix{}, err
		}
	}
	m := Matrix{Grid: g, Rows: make([]Row, len(j.rows)), held: points}
	for i := range j.rows {
		m.Rows[i] = j.rows[i].row()
	}
	return m, nil
}

// joiner puts rows behind one another.
type joiner struct {
	grid function.Grid
	at   map[uint64][]int // rows by the hash of their labels
	rows []joined
}

// joined are the pieces of one row, and the steps that they span.
type joined struct {
	first, end int
	pieces     []placed
}

type placed struct {
	row    *Row
	offset int // of its grid
}

func (j *joiner) place(r *Row, offset int) {
	if len(r.V) == 0 {
		return
	}
	first := offset + r.First
	p := placed{r, offset}
	hash := r.Labels.Hash()
	for _, i := range j.at[hash] {
		if have := &j.rows[i]; labels.Equal(have.pieces[0].row.Labels, r.Labels) {
			have.pieces = append(have.pieces, p)
			have.end = max(have.end, first+len(r.V))
			return
		}
	}
	j.at[hash] = append(j.at[hash], len(j.rows))
	j.rows = append(j.rows, joined{first: first, end: first + len(r.V), pieces: []placed{p}})
}

// row makes one row of the pieces.
func (j *joined) row() Row {
	n := j.end - j.first
	out := Row{Labels: j.pieces[0].row.Labels, First: j.first, V: make([]float64, n)}
	present := 0
	for _, p := range j.pieces {
		present += p.row.Present.Count(len(p.row.V))
	}
	if present < n {
		out.Present = newBits(n)
	}
	for _, p := range j.pieces {
		from := p.offset + p.row.First - j.first
		copy(out.V[from:], p.row.V)
		for i := 0; present < n && i < len(p.row.V); i++ {
			if p.row.Present.Has(i) {
				out.Present.set(from + i)
			}
		}
		if p.row.H != nil {
			if out.H == nil {
				out.H = make([]*histogram.FloatHistogram, n)
			}
			copy(out.H[from:], p.row.H)
		}
	}
	return out
}

// Cut returns the part of a matrix between two times, both of which are steps of
// its grid. The rows share their memory with m's.
func (m *Matrix) Cut(start, end int64) Matrix {
	g := m.Grid
	from, to := int((start-g.Start)/g.Step), int((end-g.Start)/g.Step)+1
	out := Matrix{Grid: function.NewGrid(start, end, g.Step), Rows: make([]Row, 0, len(m.Rows))}
	for i := range m.Rows {
		r := &m.Rows[i]
		a, b := max(from-r.First, 0), min(to-r.First, len(r.V))
		if a >= b {
			continue
		}
		c := Row{Labels: r.Labels, First: r.First + a - from, V: r.V[a:b:b], Present: r.Present.slice(a, b)}
		if first, end := c.Present.span(b - a); first == end {
			continue
		}
		if r.H != nil {
			c.H = r.H[a:b:b]
		}
		out.Rows = append(out.Rows, c)
	}
	return out
}

// slice returns the steps [from, to) of a set, moved to 0.
func (b Bits) slice(from, to int) Bits {
	if b == nil || from == 0 && (to+63)/64 == len(b) && to&63 == 0 {
		return b
	}
	out := newBits(to - from)
	for i := from; i < to; i++ {
		if b.Has(i) {
			out.set(i - from)
		}
	}
	return out
}

// Points is the number of values that the rows have room for.
func (m *Matrix) Points() int64 {
	n := int64(0)
	for i := range m.Rows {
		n += int64(len(m.Rows[i].V))
	}
	return n
}

// Own returns a matrix of the same values that is independent of the view that
// this one came from: its labels are its own.
func (m *Matrix) Own() Matrix {
	out := Matrix{Grid: m.Grid, Rows: slices.Clone(m.Rows)}
	for i := range out.Rows {
		out.Rows[i].Labels = out.Rows[i].Labels.Copy()
	}
	return out
}

// Bytes is about what the rows take.
func (m *Matrix) Bytes() int64 {
	size := int64(0)
	for i := range m.Rows {
		r := &m.Rows[i]
		size += r.ownBytes() + r.ValueBytes()
	}
	return size
}

// ValueBytes is what the values of a row take.
func (r *Row) ValueBytes() int64 {
	return 8*int64(cap(r.V)+cap(r.Present)+cap(r.H)) + 16*histogramPoints(r.H)
}

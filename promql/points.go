package promql

import (
	"iter"

	"github.com/nilometer/nilometer/promql/exec"
	"github.com/nilometer/nilometer/promql/function"
)

// Points are the values of a series in order of time: the row that the evaluation
// of a range query has made, 8 bytes each and a bit where some are missing, or
// the samples of a range. They are shared, and not to be changed.
type Points struct {
	grid *function.Grid // of row
	row  *exec.Row
	raw  *exec.RawSeries // without a row
	n    int
}

// rowPoints are the points of a row over a grid, both of which stay as they are.
func rowPoints(g *function.Grid, row *exec.Row) Points {
	return Points{grid: g, row: row, n: row.Present.Count(len(row.V))}
}

// rawPoints are the samples of a range, which stay as they are.
func rawPoints(s *exec.RawSeries) Points { return Points{raw: s, n: len(s.T) + len(s.Histograms)} }

// Len is the number of points.
func (p Points) Len() int { return p.n }

// Histograms tells whether any may be a native histogram.
func (p Points) Histograms() bool {
	if p.row != nil {
		return p.row.H != nil
	}
	return p.raw != nil && len(p.raw.Histograms) > 0
}

// All goes through the points.
func (p Points) All() iter.Seq[Point] {
	if p.row == nil {
		return p.rawAll
	}
	return func(yield func(Point) bool) {
		t := p.grid.At(p.row.First)
		for i, v := range p.row.V {
			x := Point{T: t, V: v}
			t += p.grid.Step
			if !p.row.Present.Has(i) {
				continue
			}
			if h := p.row.H; h != nil && h[i] != nil {
				x.V, x.H = 0, h[i]
			}
			if !yield(x) {
				return
			}
		}
	}
}

func (p Points) rawAll(yield func(Point) bool) {
	if p.raw == nil {
		return
	}
	h := p.raw.Histograms
	for i := 0; i < len(p.raw.T) || len(h) > 0; {
		var x Point
		if i == len(p.raw.T) || len(h) > 0 && h[0].T < p.raw.T[i] {
			x, h = Point{T: h[0].T, H: h[0].H}, h[1:]
		} else {
			x = Point{T: p.raw.T[i], V: p.raw.V[i]}
			i++
		}
		if !yield(x) {
			return
		}
	}
}

// bytes is what the points take of memory.
func (p Points) bytes() int64 {
	if p.row != nil {
		return p.row.ValueBytes()
	}
	n := int64(len(p.raw.T)) * 16
	for _, h := range p.raw.Histograms {
		n += 16 + histogramBytes(h.H)
	}
	return n
}

package part

import "github.com/nilometer/nilometer/storage"

// Gathered are values of several chunks, one after another. The zero value is
// empty.
type Gathered struct {
	storage.Values
	n int
}

// Len is the number of values.
func (g *Gathered) Len() int { return g.n }

// Reset empties g and keeps its memory.
func (g *Gathered) Reset() {
	g.n = 0
	g.Floats, g.Histograms, g.Starts = g.Floats[:0], g.Histograms[:0], g.Starts[:0]
}

// Add appends values [from, to) of v. A list that v has not is zero there; a
// list that nobody has had yet stays empty.
func (g *Gathered) Add(v *storage.Values, from, to int) {
	g.Floats = extend(g.Floats, v.Floats, g.n, from, to)
	g.Histograms = extend(g.Histograms, v.Histograms, g.n, from, to)
	g.Starts = extend(g.Starts, v.Starts, g.n, from, to)
	g.n += to - from
}

func extend[T any](dst, list []T, n, from, to int) []T {
	if list == nil && len(dst) == 0 {
		return dst
	}
	if len(dst) < n {
		dst = append(dst, make([]T, n-len(dst))...)
	}
	if list == nil {
		return append(dst, make([]T, to-from)...)
	}
	return append(dst, list[from:to]...)
}

// Chunk returns the values as a decoded chunk, which shares their memory.
func (g *Gathered) Chunk() storage.Chunk {
	c := storage.Chunk{Kind: storage.Decoded, Values: g.Floats}
	if len(g.Histograms) > 0 {
		c.Kind, c.Histograms = storage.Histograms, g.Histograms
		if len(g.Floats) == 0 {
			c.Values = nil
		}
	}
	if len(g.Starts) > 0 {
		c.Starts = g.Starts
	}
	return c
}

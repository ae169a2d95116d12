package head

import (
	"math"

	"github.com/nilometer/nilometer/model/column"
	"github.com/nilometer/nilometer/storage"
	"github.com/nilometer/nilometer/tsdb/part"
)

// richLocked tells whether a member's open values may be more than floats: any
// of them boxed, or start timestamps.
func (g *group) richLocked(slot uint32) bool { return g.boxes != nil || g.starts[slot] != nil }

// openValuesLocked returns what the bits of a member's present positions on
// [from, to) of the open tile stand for, with their start timestamps.
func (g *group) openValuesLocked(slot uint32, bits []float64, runs []column.Run, from, to int) storage.Values {
	v := storage.Values{Floats: bits}
	boxed := false
	for _, f := range bits {
		boxed = boxed || isBoxed(math.Float64bits(f))
	}
	if boxed {
		v.Floats, v.Histograms = make([]float64, len(bits)), make([]storage.Histogram, len(bits))
		floats := false
		var u unboxer
		for i, f := range bits {
			x := u.open(g, math.Float64bits(f))
			v.Floats[i], v.Histograms[i] = math.Float64frombits(x.bits), x.hist
			floats = floats || x.hist.IsZero()
		}
		if !floats {
			v.Floats = nil
		}
	}
	if s := g.starts[slot]; s != nil {
		v.Starts = column.AppendPresent(make([]int64, 0, len(bits)), s.append(make([]int64, 0, to-from), from, to), 0, runs)
	}
	return v
}

// encodeLocked appends the chunk of a member's present positions on [from, to)
// of the open tile: bits has one value for each, or the only one there is.
func (g *group) encodeLocked(s *sealer, dst []byte, slot uint32, bits []float64, runs []column.Run, from, to int) []byte {
	if !g.richLocked(slot) {
		return s.enc.Floats().Append(dst, bits)
	}
	for n := column.PresentCount(runs, to-from); len(bits) < n; {
		bits = append(bits, bits[0])
	}
	v := g.openValuesLocked(slot, bits, runs, from, to)
	return s.enc.Append(dst, &v)
}

// decoded returns the values of a chunk on n positions of the head's own memory.
func decoded(c *storage.Chunk, n int) *storage.Values {
	v := &storage.Values{}
	if err := v.Decode(c, n); err != nil {
		panic("head: a chunk does not decode: " + err.Error())
	}
	return v
}

// cutChunk returns a chunk on n positions as it is on the first to of them.
func cutChunk(c storage.Chunk, n, to int) storage.Chunk {
	if c.Kind == storage.None {
		return c
	}
	runs := cutRuns(c.Runs, to)
	if column.SampleCount(runs, to) == 0 {
		return storage.Chunk{}
	}
	var out part.Gathered
	out.Add(decoded(&c, n), 0, column.PresentCount(runs, to))
	cut := out.Chunk()
	cut.Runs = runs
	return cut
}

// joined returns a chunk of n positions and one of the more that follow as one.
func joined(a storage.Chunk, n int, b storage.Chunk, more int) storage.Chunk {
	if a.Kind == storage.None && b.Kind == storage.None {
		return a
	}
	var all part.Gathered
	var runs []column.Run
	for _, c := range []struct {
		storage.Chunk
		at, n int
	}{{a, 0, n}, {b, n, more}} {
		if c.Kind == storage.None {
			runs = addRun(runs, c.at, c.at+c.n, column.Absent)
			continue
		}
		for _, r := range c.Runs {
			runs = addRun(runs, c.at+int(r.At), c.at+r.End(), r.State)
		}
		all.Add(decoded(&c.Chunk, c.n), 0, column.PresentCount(c.Runs, c.n))
	}
	out := all.Chunk()
	out.Runs = runs
	return out
}

// openChunkLocked returns the chunk of a member whose open values are more than
// floats, on positions [from, to) of the open tile. It has some.
func (g *group) openChunkLocked(m *member, slot uint32, runs []column.Run, from, to int) storage.Chunk {
	present := column.PresentCount(runs, to-from)
	bits := make([]float64, 0, present)
	if m.changed() {
		bits = g.openLocked(bits, m, runs, to-from)
	} else {
		for range present {
			bits = append(bits, math.Float64frombits(m.bits))
		}
	}
	v := g.openValuesLocked(slot, bits, runs, from, to)
	out := storage.Chunk{Kind: storage.Decoded, Values: v.Floats, Histograms: v.Histograms, Starts: v.Starts, Runs: runs}
	if v.Histograms != nil {
		out.Kind = storage.Histograms
	}
	return out
}

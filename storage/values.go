package storage

import (
	"fmt"

	format "github.com/nilometer/nilometer/format/column"
	"github.com/nilometer/nilometer/format/histogram"
	"github.com/nilometer/nilometer/model/column"
)

// Values are the values of a chunk's present positions, decoded. The zero
// Values is ready; its memory is used again by the next Decode. It is used by
// one goroutine.
type Values struct {
	// Floats are the values; nil when all are histograms. Where there are both,
	// a place has a histogram that is not zero, or a float.
	Floats []float64
	// Histograms are nil when all values are floats.
	Histograms []Histogram
	// Starts are the start timestamps, 0 where there is none; nil without any.
	Starts []int64

	floats []float64
	stream []float64
	hists  []Histogram
	starts []int64
}

// Decode overwrites v with the values of a chunk on a tile of n positions. What
// the chunk holds decoded is taken as it is, not copied. It fails when the
// bytes are damaged, and when there are not as many values as present
// positions.
func (v *Values) Decode(c *Chunk, n int) error {
	v.Floats, v.Histograms, v.Starts = nil, nil, nil
	if c.Kind == None {
		return nil
	}
	n = column.PresentCount(c.Runs, n)
	if c.Kind == Stream {
		var err error
		v.floats, err = v.DecodeStream(v.floats[:0], c)
		v.Floats = v.floats
		if err == nil && len(v.Floats) != n {
			err = fmt.Errorf("a stream of %d present values for %d present positions", len(v.Floats), n)
		}
		return err
	}
	var err error
	switch {
	case c.Kind == Decoded:
		v.Floats = c.Values
	case c.Kind == Histograms:
		v.Floats, v.Histograms = c.Values, c.Histograms
	case n == 0:
	case c.Kind == Encoded:
		v.floats, err = format.Decode(v.floats[:0], c.Data, n)
		v.Floats = v.floats
	default:
		v.floats, v.hists = v.floats[:0], v.hists[:0]
		v.hists, v.floats, err = histogram.Decode(v.hists, v.floats, c.Data, n)
		v.Histograms = v.hists
		if len(v.floats) > 0 {
			v.Floats = v.floats
		}
	}
	if err != nil {
		return err
	}
	if c.HasHistograms() {
		if len(v.Histograms) != n || v.Floats != nil && len(v.Floats) != n {
			return fmt.Errorf("a chunk of %d histograms and %d floats for %d present positions", len(v.Histograms), len(v.Floats), n)
		}
	} else if len(v.Floats) != n {
		return fmt.Errorf("a chunk of %d values for %d present positions", len(v.Floats), n)
	}
	return v.decodeStarts(c, n)
}

// DecodeStream appends the values of a chunk of Kind Stream at its present
// positions to dst.
func (v *Values) DecodeStream(dst []float64, c *Chunk) ([]float64, error) {
	var err error
	if v.stream, err = format.DecodeStream(v.stream[:0], c.Data, int(c.Len)); err != nil {
		return dst, err
	}
	return column.AppendPresent(dst, v.stream, int(c.At), c.Runs), nil
}

func (v *Values) decodeStarts(c *Chunk, n int) error {
	v.Starts = c.Starts
	if len(c.StartData) > 0 && n > 0 {
		var err error
		if v.starts, err = format.DecodeInts(v.starts[:0], c.StartData, n); err != nil {
			return err
		}
		v.Starts = v.starts
	}
	if v.Starts != nil && len(v.Starts) != n {
		return fmt.Errorf("a chunk of %d start timestamps for %d present positions", len(v.Starts), n)
	}
	return nil
}

// At returns the i-th value as a sample at time t.
func (v *Values) At(i int, t int64) column.Sample {
	s := column.Sample{T: t}
	if v.Floats != nil {
		s.V = v.Floats[i]
	}
	if v.Histograms != nil {
		s.H = v.Histograms[i]
	}
	if v.Starts != nil {
		s.Start = v.Starts[i]
	}
	return s
}

// AppendSamples appends to dst the samples of a tile, in order of time: v has
// the values of its present positions, stale markers come as floats with
// StaleNaN's exact bits, absent positions are left out.
func (v *Values) AppendSamples(dst []column.Sample, times []int64, runs []column.Run) []column.Sample {
	next, r := 0, 0
	for pos, t := range times {
		for r < len(runs) && runs[r].End() <= pos {
			r++
		}
		if r < len(runs) && int(runs[r].At) <= pos {
			if runs[r].State == column.Stale {
				dst = append(dst, column.Sample{T: t, V: column.StaleNaN()})
			}
			continue
		}
		dst = append(dst, v.At(next, t))
		next++
	}
	return dst
}

// ChunkOf returns the decoded chunk of samples on the positions times, each of
// which is the time of one sample or absent. The samples are in order of time.
func ChunkOf(times []int64, samples []column.Sample) Chunk {
	c := Chunk{Kind: Decoded, Values: make([]float64, 0, min(len(times), len(samples)))}
	for pos, t := range times {
		if len(samples) == 0 || samples[0].T != t {
			c.Runs = column.AppendState(c.Runs, pos, column.Absent)
			continue
		}
		s := samples[0]
		samples = samples[1:]
		if s.IsStale() {
			c.Runs = column.AppendState(c.Runs, pos, column.Stale)
			continue
		}
		n := len(c.Values)
		c.Values = append(c.Values, s.V)
		if !s.H.IsZero() && c.Histograms == nil {
			c.Kind, c.Histograms = Histograms, make([]Histogram, n)
		}
		if c.Kind == Histograms {
			c.Histograms = append(c.Histograms, s.H)
		}
		if s.Start != 0 && c.Starts == nil {
			c.Starts = make([]int64, n)
		}
		if c.Starts != nil {
			c.Starts = append(c.Starts, s.Start)
		}
	}
	return c
}

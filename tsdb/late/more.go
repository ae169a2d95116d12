package late

import (
	"bytes"
	"math"

	"github.com/nilometer/nilometer/format/record"
	"github.com/nilometer/nilometer/model/column"
)

// Sample is one sample on its way into a buffer.
type Sample struct {
	Time int64 // ms
	// Bits are a float's, 0 of a histogram.
	Bits uint64
	// Histogram, unless nil, is the value, as record.AppendHistogram writes it
	// against no other: equal bytes are equal values. The buffer copies it.
	Histogram []byte
	// Start is the start timestamp, ms, 0: none. A stale marker has none.
	Start int64
}

// more is what samples have beside a float, by sequence: most have nothing.
type more struct {
	of    map[uint64]extra
	bytes int64
}

// extra is what one sample has. Nothing of it is ever changed.
type extra struct {
	histogram []byte // nil: a float
	start     int64
}

// extraBytes is what an extra takes beside its histogram: it and its key, in a
// map at its usual load.
const extraBytes = 80

func newMore() more { return more{of: map[uint64]extra{}} }

// add keeps what a new sample has.
func (m *more) add(seq uint64, x Sample) {
	if x.Histogram == nil && x.Start == 0 {
		return
	}
	m.of[seq] = extra{bytes.Clone(x.Histogram), x.Start}
	m.bytes += extraBytes + int64(len(x.Histogram))
}

// remove forgets what a sample had.
func (m *more) remove(seq uint64) {
	x, ok := m.of[seq]
	if !ok {
		return
	}
	delete(m.of, seq)
	m.bytes -= extraBytes + int64(len(x.histogram))
}

// shown is a sample that a part shows, on its way to a reader.
type shown struct {
	sample
	extra
}

// open returns the sample with its histogram decoded.
func (x *shown) open() column.Sample {
	s := column.Sample{T: x.t, Start: x.start}
	if x.histogram == nil {
		s.V = math.Float64frombits(x.bits)
		return s
	}
	var err error
	if s.H, _, err = record.ReadHistogram(x.histogram, column.Histogram{}); err != nil { // our own memory
		panic("late: a histogram cannot be read: " + err.Error())
	}
	return s
}

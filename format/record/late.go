package record

import (
	"encoding/binary"
	"fmt"
	"math"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/nilometer/nilometer/model/column"
)

// What follows a late sample's time, in the low bits of its series' number.
const (
	lateHistogram = 1 << iota
	lateStart
	lateFlagBits = iota
)

// LateWriter encodes the body of a late record: samples of one tenant that are
// older than their series' last one, with the label sets that they belong to,
// so that the record leans on no other.
type LateWriter struct {
	// Tenant is whose samples they are, First the acceptance sequence of the
	// first one; the others follow without gaps.
	Tenant string
	First  uint64

	labels, samples         []byte
	labelCount, sampleCount int
	lastTime                int64
	last                    []uint64 // value before, by series
	hints                   []Hint   // likewise
}

// Reset begins a new record and keeps the memory.
func (w *LateWriter) Reset(tenant string, first uint64) {
	*w = LateWriter{
		Tenant: tenant, First: first,
		labels: w.labels[:0], samples: w.samples[:0], last: w.last[:0], hints: w.hints[:0],
	}
}

// AddSeries introduces a label set and returns its number in this record.
func (w *LateWriter) AddSeries(lset labels.Labels) uint32 {
	w.labels = appendLabels(w.labels, lset)
	w.last, w.hints = append(w.last, 0), append(w.hints, 0)
	w.labelCount++
	return uint32(w.labelCount - 1)
}

// AddSample adds a sample of a series; samples stand in the order in which they
// were accepted.
func (w *LateWriter) AddSample(s LateSample) {
	head := uint64(s.Series) << lateFlagBits
	if s.Histogram != nil {
		head |= lateHistogram
	}
	if s.Start != 0 {
		head |= lateStart
	}
	w.samples = binary.AppendUvarint(w.samples, head)
	w.samples = binary.AppendVarint(w.samples, s.Time-w.lastTime)
	if s.Start != 0 {
		w.samples = binary.AppendVarint(w.samples, s.Time-s.Start)
	}
	if s.Histogram != nil {
		w.samples = append(w.samples, s.Histogram...)
	} else {
		w.samples = appendValue(w.samples, w.last[s.Series], s.Bits, &w.hints[s.Series])
		w.last[s.Series] = s.Bits
	}
	w.lastTime = s.Time
	w.sampleCount++
}

// Samples is the number of samples added.
func (w *LateWriter) Samples() int { return w.sampleCount }

// Append appends the body to dst.
func (w *LateWriter) Append(dst []byte) []byte {
	dst = appendString(dst, w.Tenant)
	dst = binary.AppendUvarint(dst, w.First)
	dst = binary.AppendUvarint(dst, uint64(w.labelCount))
	dst = append(dst, w.labels...)
	dst = binary.AppendUvarint(dst, uint64(w.sampleCount))
	return append(dst, w.samples...)
}

// Late is a decoded late record.
type Late struct {
	Tenant  string
	First   uint64
	Series  []labels.Labels
	Samples []LateSample
}

// LateSample is one sample of a late record; its acceptance sequence is
// Late.First plus its index. Series is an index into Late.Series.
type LateSample struct {
	Series uint32
	Time   int64 // ms
	// Bits are a float's, 0 of a histogram.
	Bits uint64
	// Histogram, unless nil, is the value: bytes of AppendHistogram against no
	// other. A reader's are in the record's memory.
	Histogram []byte
	// Start is the start timestamp, ms, 0: none.
	Start int64
}

// Sample returns the sample with its histogram decoded. It does not fail on what
// ReadLate has returned.
func (s LateSample) Sample() (column.Sample, error) {
	x := column.Sample{T: s.Time, Start: s.Start}
	if s.Histogram == nil {
		x.V = math.Float64frombits(s.Bits)
		return x, nil
	}
	var err error
	x.H, _, err = ReadHistogram(s.Histogram, column.Histogram{})
	return x, err
}

// ReadLate decodes the body of a late record. The label sets are copies, the
// histograms stay encoded, in body: a few bytes can be one of many buckets.
func ReadLate(body []byte) (*Late, error) {
	r := reader{data: body}
	l := &Late{Tenant: string(r.bytes()), First: r.uvarint()}
	n := r.count(1)
	builder := labels.NewScratchBuilder(16)
	for range n {
		lset := r.labels(&builder)
		if r.err != nil {
			break
		}
		l.Series = append(l.Series, lset)
	}
	n = r.count(3)
	if l.First+uint64(n) < l.First {
		r.fail("a sequence out of range")
	}
	l.Samples = make([]LateSample, 0, n)
	last := make([]uint64, len(l.Series))
	time := int64(0)
	for range n {
		s := r.lateSample(last, time)
		if r.err != nil {
			break
		}
		time = s.Time
		l.Samples = append(l.Samples, s)
	}
	if r.err == nil && r.pos != len(body) {
		r.fail("bytes after the end of a late record")
	}
	if r.err != nil {
		return nil, fmt.Errorf("late samples: %w", r.err)
	}
	return l, nil
}

// lateSample reads one sample: last has the floats before, by series, time is
// that of the sample before.
func (r *reader) lateSample(last []uint64, time int64) (s LateSample) {
	head := r.uvarint()
	series := head >> lateFlagBits
	if series >= uint64(len(last)) {
		r.fail("a sample of no series")
	}
	if s.Time = time + r.varint(); r.err != nil {
		return s
	}
	s.Series = uint32(series)
	if head&lateStart != 0 {
		if s.Start = s.Time - r.varint(); s.Start == 0 {
			r.fail("a start timestamp that is none")
		}
	}
	if head&lateHistogram == 0 {
		last[series] = r.value(last[series])
		s.Bits = last[series]
		return s
	}
	from := r.pos
	if r.histogram(column.Histogram{}); r.err == nil {
		s.Histogram = r.data[from:r.pos:r.pos]
	}
	return s
}

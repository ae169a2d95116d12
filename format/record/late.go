package record

import (
	"encoding/binary"
	"fmt"

	"github.com/prometheus/prometheus/model/labels"
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
func (w *LateWriter) AddSample(series uint32, time int64, bits uint64) {
	w.samples = binary.AppendUvarint(w.samples, uint64(series))
	w.samples = binary.AppendVarint(w.samples, time-w.lastTime)
	w.samples = appendValue(w.samples, w.last[series], bits, &w.hints[series])
	w.lastTime, w.last[series] = time, bits
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
	Time   int64
	Bits   uint64
}

// ReadLate decodes the body of a late record. The label sets are copies.
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
		series := r.uvarint()
		if series >= uint64(len(last)) {
			r.fail("a sample of no series")
		}
		time += r.varint()
		if r.err != nil {
			break
		}
		last[series] = r.value(last[series])
		l.Samples = append(l.Samples, LateSample{Series: uint32(series), Time: time, Bits: last[series]})
	}
	if r.err == nil && r.pos != len(body) {
		r.fail("bytes after the end of a late record")
	}
	if r.err != nil {
		return nil, fmt.Errorf("late samples: %w", r.err)
	}
	return l, nil
}

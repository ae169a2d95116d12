package load

import (
	"encoding/binary"
	"math"

	"github.com/prometheus/prometheus/model/labels"
)

// WriteRequest gathers time series as remote write 1.0 sends them
// (prometheus.WriteRequest in protobuf, before snappy). The zero value is an
// empty request; it is for one goroutine.
type WriteRequest struct {
	buf     []byte
	scratch []byte
	series  int
	samples int
}

// Reset empties the request and keeps its memory.
func (w *WriteRequest) Reset() { w.buf, w.series, w.samples = w.buf[:0], 0, 0 }

// Bytes is the request so far, valid until the next call.
func (w *WriteRequest) Bytes() []byte { return w.buf }

// Samples is how many samples the request carries.
func (w *WriteRequest) Samples() int { return w.samples }

// Point is a value at a time.
type Point struct {
	UnixMs int64
	Value  float64
}

// Field numbers and wire types of remote.proto and types.proto.
const (
	tagTimeSeries   = 1<<3 | 2
	tagLabels       = 1<<3 | 2
	tagSamples      = 2<<3 | 2
	tagName         = 1<<3 | 2
	tagValue        = 2<<3 | 2
	tagSampleValue  = 1<<3 | 1
	tagSampleUnixMs = 2 << 3 // a varint, wire type 0
)

// Add appends a series with the labels of target and own, both sorted by name
// and disjoint, and its points in order of time.
func (w *WriteRequest) Add(target, own []labels.Label, points ...Point) {
	s := w.scratch[:0]
	for len(target) > 0 || len(own) > 0 {
		var l labels.Label
		if len(own) == 0 || len(target) > 0 && target[0].Name < own[0].Name {
			l, target = target[0], target[1:]
		} else {
			l, own = own[0], own[1:]
		}
		if l.Value == "" {
			continue // an empty label is no label, and senders leave it out
		}
		size := 2 + uvarintLen(len(l.Name)) + len(l.Name) + uvarintLen(len(l.Value)) + len(l.Value)
		s = append(s, tagLabels)
		s = binary.AppendUvarint(s, uint64(size))
		s = appendString(append(s, tagName), l.Name)
		s = appendString(append(s, tagValue), l.Value)
	}
	for _, p := range points {
		size := 1 + 8 + 1 + len(binary.AppendUvarint(nil, uint64(p.UnixMs)))
		s = append(s, tagSamples, byte(size))
		s = binary.LittleEndian.AppendUint64(append(s, tagSampleValue), math.Float64bits(p.Value))
		s = binary.AppendUvarint(append(s, tagSampleUnixMs), uint64(p.UnixMs))
	}
	w.scratch = s
	w.buf = append(w.buf, tagTimeSeries)
	w.buf = binary.AppendUvarint(w.buf, uint64(len(s)))
	w.buf = append(w.buf, s...)
	w.series++
	w.samples += len(points)
}

func appendString(dst []byte, s string) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(s))), s...)
}

func uvarintLen(n int) int {
	size := 1
	for ; n >= 0x80; n >>= 7 {
		size++
	}
	return size
}

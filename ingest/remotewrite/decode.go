package remotewrite

import (
	"errors"
	"fmt"
	"math"
	"unicode/utf8"

	"github.com/klauspost/compress/snappy"
	"github.com/prometheus/prometheus/prompb"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/nilometer/nilometer/storage"
)

// request is a decoded prometheus.WriteRequest (remote write 1.0) or
// io.prometheus.write.v2.Request (2.0), as columns over the decompressed body,
// which the byte slices point into.
type request struct {
	body    []byte
	symbols [][]byte // of 2.0
	series  []seriesEntry
	labels  []labelEntry
	samples []sampleEntry
	hists   []histogramEntry

	exemplars      []exemplarEntry
	exemplarLabels []labelEntry
	metadata       int // entries of metadata, which remote write 1.0 sends apart
}

// seriesEntry is one TimeSeries: ranges of the shared slices.
type seriesEntry struct {
	labelsFrom, labelsTo   int
	samplesFrom, samplesTo int
	histsFrom, histsTo     int
	exemplarsFrom          int
	exemplarsTo            int
}

// values is the number of samples of all types.
func (s *seriesEntry) values() int     { return s.floats() + s.histograms() }
func (s *seriesEntry) floats() int     { return s.samplesTo - s.samplesFrom }
func (s *seriesEntry) histograms() int { return s.histsTo - s.histsFrom }
func (s *seriesEntry) exemplars() int  { return s.exemplarsTo - s.exemplarsFrom }

type labelEntry struct{ name, value []byte }

type sampleEntry struct {
	t     int64
	v     float64
	start int64 // 0: none, as in 1.0
}

// histogramEntry is a native histogram. It does not point into the body.
type histogramEntry struct {
	t     int64
	h     storage.Histogram
	start int64
}

// exemplarEntry is one exemplar: its labels are a range of a shared slice.
type exemplarEntry struct {
	labelsFrom, labelsTo int
	t                    int64
	v                    float64
}

// errTooLarge is a body over the limit.
var errTooLarge = errors.New("the request is too large")

// decompress inflates a snappy block into r.body, at most bytesMax bytes: the
// length that the block claims is checked before any memory is taken.
func (r *request) decompress(compressed []byte, bytesMax int) error {
	n, err := snappy.DecodedLen(compressed)
	if err != nil {
		return fmt.Errorf("decompress: the body is not a snappy block: %w", err)
	}
	if n > bytesMax {
		return fmt.Errorf("%w: %d bytes decompressed, at most %d are taken: send fewer samples a request (max_samples_per_send)", errTooLarge, n, bytesMax)
	}
	if cap(r.body) < n {
		r.body = make([]byte, n)
	}
	r.body, err = snappy.Decode(r.body[:cap(r.body)], compressed)
	if err != nil {
		return fmt.Errorf("decompress: the body is not a snappy block: %w", err)
	}
	return nil
}

// Field numbers of prometheus.WriteRequest and its messages (remote.proto and
// types.proto of Prometheus).
const (
	fieldTimeSeries = 1
	fieldMetadata   = 3

	fieldLabels     = 1
	fieldSamples    = 2
	fieldExemplars  = 3
	fieldHistograms = 4

	fieldFirst  = 1 // Label.name, Sample.value
	fieldSecond = 2 // Label.value, Sample.timestamp
)

func (r *request) reset() {
	r.series, r.labels, r.samples, r.hists, r.metadata = r.series[:0], r.labels[:0], r.samples[:0], r.hists[:0], 0
	r.exemplars, r.exemplarLabels = r.exemplars[:0], r.exemplarLabels[:0]
}

// decode reads r.body as a message of remote write 1.0.
func (r *request) decode() error {
	r.reset()
	return eachField(r.body, 0, func(num protowire.Number, typ protowire.Type, value []byte, at int) error {
		switch {
		case num == fieldTimeSeries && typ == protowire.BytesType:
			return r.decodeSeries(value, at)
		case num == fieldMetadata && typ == protowire.BytesType:
			r.metadata++
		}
		return nil
	})
}

func (r *request) decodeSeries(b []byte, offset int) error {
	s := r.beginSeries()
	err := eachField(b, offset, func(num protowire.Number, typ protowire.Type, value []byte, at int) error {
		if typ != protowire.BytesType {
			return nil
		}
		switch num {
		case fieldLabels:
			return decodeLabel(&r.labels, value, at)
		case fieldSamples:
			return r.decodeSample(value, at)
		case fieldExemplars:
			return r.decodeExemplar(value, at)
		case fieldHistograms:
			return r.decodeHistogram(value, at)
		}
		return nil
	})
	r.endSeries(s)
	return err
}

func (r *request) beginSeries() seriesEntry {
	return seriesEntry{labelsFrom: len(r.labels), samplesFrom: len(r.samples), histsFrom: len(r.hists), exemplarsFrom: len(r.exemplars)}
}

func (r *request) endSeries(s seriesEntry) {
	s.labelsTo, s.samplesTo, s.histsTo, s.exemplarsTo = len(r.labels), len(r.samples), len(r.hists), len(r.exemplars)
	r.series = append(r.series, s)
}

func decodeLabel(dst *[]labelEntry, b []byte, offset int) error {
	var l labelEntry
	err := eachField(b, offset, func(num protowire.Number, typ protowire.Type, value []byte, at int) error {
		if typ != protowire.BytesType {
			return nil
		}
		if !utf8.Valid(value) {
			return fmt.Errorf("a label at offset %d is not valid UTF-8", at)
		}
		switch num {
		case fieldFirst:
			l.name = value
		case fieldSecond:
			l.value = value
		}
		return nil
	})
	*dst = append(*dst, l)
	return err
}

func (r *request) decodeSample(b []byte, offset int) error {
	var s sampleEntry
	for pos := 0; pos < len(b); {
		num, typ, n := protowire.ConsumeTag(b[pos:])
		if n < 0 {
			return fieldError(offset+pos, n)
		}
		pos += n
		switch {
		case num == fieldFirst && typ == protowire.Fixed64Type:
			v, n := protowire.ConsumeFixed64(b[pos:])
			if n < 0 {
				return fieldError(offset+pos, n)
			}
			s.v = math.Float64frombits(v)
			pos += n
		case num == fieldSecond && typ == protowire.VarintType:
			v, n := protowire.ConsumeVarint(b[pos:])
			if n < 0 {
				return fieldError(offset+pos, n)
			}
			s.t = int64(v)
			pos += n
		default:
			n := protowire.ConsumeFieldValue(num, typ, b[pos:])
			if n < 0 {
				return fieldError(offset+pos, n)
			}
			pos += n
		}
	}
	r.samples = append(r.samples, s)
	return nil
}

// decodeHistogram reads a native histogram. Whether it makes sense is for the
// engine to say.
func (r *request) decodeHistogram(b []byte, offset int) error {
	var h prompb.Histogram
	if err := h.Unmarshal(b); err != nil {
		return fmt.Errorf("decode: the histogram at offset %d is damaged: %w", offset, err)
	}
	x := histogramEntry{t: h.Timestamp}
	if h.IsFloatHistogram() {
		x.h.Float = h.ToFloatHistogram()
	} else {
		x.h.Int = h.ToIntHistogram()
	}
	r.hists = append(r.hists, x)
	return nil
}

// eachField calls fn for every field of a message; value is the content of
// length-delimited fields, at its offset in the body.
func eachField(b []byte, offset int, fn func(num protowire.Number, typ protowire.Type, value []byte, at int) error) error {
	for pos := 0; pos < len(b); {
		num, typ, n := protowire.ConsumeTag(b[pos:])
		if n < 0 {
			return fieldError(offset+pos, n)
		}
		pos += n
		if typ != protowire.BytesType {
			n = protowire.ConsumeFieldValue(num, typ, b[pos:])
			if n < 0 {
				return fieldError(offset+pos, n)
			}
			if err := fn(num, typ, nil, offset+pos); err != nil {
				return err
			}
			pos += n
			continue
		}
		value, n := protowire.ConsumeBytes(b[pos:])
		if n < 0 {
			return fieldError(offset+pos, n)
		}
		if err := fn(num, typ, value, offset+pos+n-len(value)); err != nil {
			return err
		}
		pos += n
	}
	return nil
}

func fieldError(at, code int) error {
	return fmt.Errorf("decode: the protobuf message is damaged at offset %d: %w", at, protowire.ParseError(code))
}

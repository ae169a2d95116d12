package remotewrite

import (
	"fmt"
	"math"
	"unicode/utf8"

	writev2 "github.com/prometheus/prometheus/prompb/io/prometheus/write/v2"
	"google.golang.org/protobuf/encoding/protowire"
)

// Field numbers of io.prometheus.write.v2.Request and its messages (types.proto
// of Prometheus).
const (
	fieldSymbolsV2    = 4
	fieldTimeSeriesV2 = 5

	fieldLabelRefsV2  = 1
	fieldSamplesV2    = 2
	fieldHistogramsV2 = 3
	fieldExemplarsV2  = 4

	fieldValueV2 = 1
	fieldTimeV2  = 2
	fieldStartV2 = 3
)

// decodeV2 reads r.body as a message of remote write 2.0. A reference to a
// symbol is a byte or two, the symbol may be long: bytesMax bounds the labels
// that references stand for.
func (r *request) decodeV2(bytesMax int) error {
	r.reset()
	r.symbols = r.symbols[:0]
	err := eachField(r.body, 0, func(num protowire.Number, typ protowire.Type, value []byte, at int) error {
		if num != fieldSymbolsV2 || typ != protowire.BytesType {
			return nil
		}
		if !utf8.Valid(value) {
			return fmt.Errorf("decode: the symbol at offset %d is not valid UTF-8", at)
		}
		r.symbols = append(r.symbols, value)
		return nil
	})
	if err != nil {
		return err
	}
	left := bytesMax
	return eachField(r.body, 0, func(num protowire.Number, typ protowire.Type, value []byte, at int) error {
		if num != fieldTimeSeriesV2 || typ != protowire.BytesType {
			return nil
		}
		err := r.decodeSeriesV2(value, at, &left)
		if err == nil && left < 0 {
			err = fmt.Errorf("%w: its labels have more than %d bytes, at most that are taken: send fewer samples a request (max_samples_per_send)", errTooLarge, bytesMax)
		}
		return err
	})
}

func (r *request) decodeSeriesV2(b []byte, offset int, left *int) error {
	s := r.beginSeries()
	err := eachField(b, offset, func(num protowire.Number, typ protowire.Type, value []byte, at int) error {
		if typ != protowire.BytesType {
			if num == fieldLabelRefsV2 {
				return fmt.Errorf("decode: the label references at offset %d are not packed", at)
			}
			return nil
		}
		switch num {
		case fieldLabelRefsV2:
			return r.decodeRefs(&r.labels, value, at, left)
		case fieldSamplesV2:
			return r.decodeSampleV2(value, at)
		case fieldHistogramsV2:
			return r.decodeHistogramV2(value, at)
		case fieldExemplarsV2:
			return r.decodeExemplarV2(value, at, left)
		}
		return nil
	})
	r.endSeries(s)
	return err
}

// decodeRefs reads references to symbols: of a name, of its value, and so on.
func (r *request) decodeRefs(dst *[]labelEntry, b []byte, offset int, left *int) error {
	var pair [2][]byte
	n := 0
	for pos := 0; pos < len(b); n++ {
		ref, size := protowire.ConsumeVarint(b[pos:])
		if size < 0 {
			return fieldError(offset+pos, size)
		}
		if ref >= uint64(len(r.symbols)) {
			return fmt.Errorf("decode: a label at offset %d refers to symbol %d, there are %d", offset+pos, ref, len(r.symbols))
		}
		pos += size
		pair[n%2] = r.symbols[ref]
		if n%2 == 0 {
			continue
		}
		if *left -= len(pair[0]) + len(pair[1]); *left < 0 {
			return nil // the caller refuses the request
		}
		*dst = append(*dst, labelEntry{name: pair[0], value: pair[1]})
	}
	if n%2 != 0 {
		return fmt.Errorf("decode: the last label name at offset %d has no value", offset)
	}
	return nil
}

func (r *request) decodeSampleV2(b []byte, offset int) error {
	var s sampleEntry
	for pos := 0; pos < len(b); {
		num, typ, n := protowire.ConsumeTag(b[pos:])
		if n < 0 {
			return fieldError(offset+pos, n)
		}
		pos += n
		var v uint64
		switch {
		case num == fieldValueV2 && typ == protowire.Fixed64Type:
			if v, n = protowire.ConsumeFixed64(b[pos:]); n >= 0 {
				s.v = math.Float64frombits(v)
			}
		case num == fieldTimeV2 && typ == protowire.VarintType:
			if v, n = protowire.ConsumeVarint(b[pos:]); n >= 0 {
				s.t = int64(v)
			}
		case num == fieldStartV2 && typ == protowire.VarintType:
			if v, n = protowire.ConsumeVarint(b[pos:]); n >= 0 {
				s.start = int64(v)
			}
		default:
			n = protowire.ConsumeFieldValue(num, typ, b[pos:])
		}
		if n < 0 {
			return fieldError(offset+pos, n)
		}
		pos += n
	}
	s.start = startOf(s.start, s.t)
	r.samples = append(r.samples, s)
	return nil
}

// startOf leaves out a start timestamp that cannot be one: it is after its
// sample.
func startOf(start, t int64) int64 {
	if start > t {
		return 0
	}
	return start
}

// decodeHistogramV2 is decodeHistogram for the message of 2.0.
func (r *request) decodeHistogramV2(b []byte, offset int) error {
	var h writev2.Histogram
	if err := h.Unmarshal(b); err != nil {
		return fmt.Errorf("decode: the histogram at offset %d is damaged: %w", offset, err)
	}
	x := histogramEntry{t: h.Timestamp, start: startOf(h.StartTimestamp, h.Timestamp)}
	if h.IsFloatHistogram() {
		x.h.Float = h.ToFloatHistogram()
	} else {
		x.h.Int = h.ToIntHistogram()
	}
	r.hists = append(r.hists, x)
	return nil
}

package histogram

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/prometheus/prometheus/model/histogram"

	format "github.com/nilometer/nilometer/format/column"
	"github.com/nilometer/nilometer/model/column"
)

// Decode appends to hs and values the n values of a chunk, n between 1 and
// ValuesMax: each place has a histogram, or none and a float. values grows only
// when the chunk has floats; a caller that passes nil gets nil for histograms
// alone. With an error hs and values are returned as they were.
func Decode(hs []column.Histogram, values []float64, data []byte, n int) ([]column.Histogram, []float64, error) {
	d := decoder{reader: reader{b: data}}
	if n < 1 || n > ValuesMax {
		d.fail(0, fmt.Sprintf("%d values asked of a chunk, which holds 1 to %d", n, ValuesMax))
		return hs, values, d.err
	}
	wasHs, wasValues := len(hs), len(values)
	hs = slices.Grow(hs, n)
	d.hs = hs[wasHs : wasHs : wasHs+n]
	for len(d.hs) < n && d.err == nil {
		d.section(n)
	}
	if d.err == nil && d.off != len(d.b) {
		d.fail(d.off, "bytes after the end")
	}
	if d.err != nil {
		return hs[:wasHs], values[:wasValues], d.err
	}
	if d.values != nil {
		values = append(values, d.values...)
	}
	return hs[:wasHs+n], values, nil
}

type decoder struct {
	reader
	hs     []column.Histogram
	values []float64 // of all n places, nil without a float
}

// section reads the next section of a chunk of n values.
func (d *decoder) section(n int) {
	at := d.off
	head := d.uvarint()
	from, size := len(d.hs), int(min(head>>2, ValuesMax+1))
	if d.err == nil && (size == 0 || size > n-from) {
		d.fail(at, fmt.Sprintf("a section of %d values where %d are left", size, n-from))
	}
	if d.err != nil {
		return
	}
	s := section{common: common{kind: kind(head & 3)}, to: size}
	switch s.kind {
	case floats:
		if d.values == nil {
			d.values = make([]float64, n)
		}
		values := d.floatCell(size, nil)
		if d.err == nil {
			copy(d.values[from:], values)
			d.hs = d.hs[:from+size]
			clear(d.hs[from:])
		}
	case intHists, floatHists:
		hints := d.front(&s)
		if d.err != nil {
			return
		}
		if s.kind == intHists {
			d.intSection(&s, hints)
		} else {
			d.floatSection(&s, hints)
		}
	default:
		d.fail(at, "unknown kind of section, of a newer version or damaged")
	}
}

// front reads what appendFront wrote, and returns the hint of each value.
func (d *decoder) front(s *section) []histogram.CounterResetHint {
	at := d.off
	schema := d.varint()
	if schema < math.MinInt32 || schema > math.MaxInt32 {
		d.fail(at, "schema out of range")
	}
	s.schema = int32(schema)
	at = d.off
	switch d.byte() {
	case thresholdOther:
		s.threshold = d.fixed()
	case thresholdZero:
	case threshold128:
		s.threshold = threshold128Bits()
	default:
		d.fail(at, "unknown code of the zero threshold")
	}
	if bounds := d.count((len(d.b)-d.off)/8, "number of custom bounds"); bounds > 0 {
		s.custom = make([]float64, bounds)
		for i := range s.custom {
			s.custom[i] = math.Float64frombits(d.fixed())
		}
	}
	layouts := d.count(s.to, "number of layouts")
	if d.err == nil && layouts == 0 {
		d.fail(d.off, "no layout")
	}
	for range layouts {
		d.layout(s)
		if d.err != nil {
			return nil
		}
	}
	return d.states(s)
}

// layout reads one layout and adds it to the union.
func (d *decoder) layout(s *section) {
	at := d.off
	l := layout{d.spans(), d.spans()}
	if d.err != nil {
		return
	}
	p, err := spanned(l.positive)
	n := 0
	if err == nil {
		n, err = spanned(l.negative)
	}
	if err == nil && p+n > BucketsMax {
		err = fmt.Errorf("more than %d buckets", BucketsMax)
	}
	if err != nil {
		d.fail(at, "bad layout: "+err.Error())
		return
	}
	if len(s.layouts) == 0 {
		s.positive, s.negative = indexes(nil, l.positive), indexes(nil, l.negative)
	} else {
		s.positive = union(nil, s.positive, indexes(nil, l.positive))
		s.negative = union(nil, s.negative, indexes(nil, l.negative))
	}
	s.layouts = append(s.layouts, l)
	cells := len(s.positive) + len(s.negative)
	if len(s.layouts) > 1 && cells > UnionMax || cells*s.to > CellsMax {
		d.fail(at, fmt.Sprintf("%d buckets in %d values with %d layouts", cells, s.to, len(s.layouts)))
	}
}

func (d *decoder) spans() []histogram.Span {
	n := d.count((len(d.b)-d.off)/2, "number of spans")
	if n == 0 {
		return nil
	}
	spans := make([]histogram.Span, n)
	for i := range spans {
		at := d.off
		offset, length := d.varint(), d.uvarint()
		if offset < math.MinInt32 || offset > math.MaxInt32 || length > BucketsMax {
			d.fail(at, "span out of range")
			return nil
		}
		spans[i] = histogram.Span{Offset: int32(offset), Length: uint32(length)}
	}
	return spans
}

// states reads which layout and hint each value has.
func (d *decoder) states(s *section) []histogram.CounterResetHint {
	hints := make([]histogram.CounterResetHint, 0, s.to)
	s.of = make([]uint16, 0, s.to)
	for len(hints) < s.to && d.err == nil {
		at := d.off
		state, length := d.uvarint(), d.count(s.to-len(hints), "length of a run")
		if d.err == nil && (state>>2 >= uint64(len(s.layouts)) || length == 0) {
			d.fail(at, "bad run of layouts")
		}
		for range length {
			s.of = append(s.of, uint16(state>>2))
			hints = append(hints, histogram.CounterResetHint(state&3))
		}
	}
	return hints
}

// cell reads the frame of a column.
func (d *decoder) cell() (data []byte, differences bool) {
	n := d.uvarint()
	if d.err == nil && n>>1 > uint64(len(d.b)-d.off) {
		d.fail(d.off, "a column is cut off")
	}
	if d.err != nil {
		return nil, false
	}
	data = d.b[d.off : d.off+int(n>>1)]
	d.off += len(data)
	return data, n&1 != 0
}

// intCell reads a column of n integers into dst; ref is the column before.
func (d *decoder) intCell(dst []int64, n int, ref []int64) []int64 {
	at := d.off
	data, differences := d.cell()
	if d.err != nil {
		return nil
	}
	dst, err := format.DecodeInts(dst[:0], data, n)
	d.column(at, err)
	if differences && d.err == nil {
		if ref == nil {
			d.fail(at, "differences to a column that is not there")
			return nil
		}
		for i, v := range ref {
			dst[i] += v
		}
	}
	return dst
}

// floatCell reads a column of n floats; ref is the column before.
func (d *decoder) floatCell(n int, ref []float64) []float64 {
	at := d.off
	data, differences := d.cell()
	if differences {
		d.fail(at, "unknown flag of a column of floats")
	}
	if d.err != nil {
		return nil
	}
	values, err := format.DecodeRef(make([]float64, 0, n), data, n, differencesTo(ref))
	d.column(at, err)
	return values
}

// column notes the error of a column that begins at off.
func (d *decoder) column(off int, err error) {
	var broken *format.CorruptError
	switch {
	case err == nil:
	case errors.As(err, &broken):
		d.fail(off+broken.Offset, broken.Part+": "+broken.Reason)
	default:
		d.fail(off, err.Error())
	}
}

// reader takes fields from the front of a slice. The first fault sticks.
type reader struct {
	b   []byte
	off int
	err error
}

func (r *reader) fail(off int, reason string) {
	if r.err == nil {
		r.err = &CorruptError{Offset: off, Reason: reason}
	}
}

func (r *reader) byte() byte {
	if r.err != nil || r.off >= len(r.b) {
		r.fail(r.off, "unexpected end")
		return 0
	}
	r.off++
	return r.b[r.off-1]
}

func (r *reader) fixed() uint64 {
	if r.err != nil || len(r.b)-r.off < 8 {
		r.fail(r.off, "unexpected end")
		return 0
	}
	r.off += 8
	return binary.LittleEndian.Uint64(r.b[r.off-8:])
}

func (r *reader) uvarint() uint64 {
	if r.err != nil {
		return 0
	}
	v, n := binary.Uvarint(r.b[r.off:])
	if n <= 0 {
		r.fail(r.off, "bad varint")
		return 0
	}
	r.off += n
	return v
}

func (r *reader) varint() int64 {
	u := r.uvarint()
	return int64(u>>1) ^ -int64(u&1)
}

func (r *reader) count(most int, what string) int {
	at := r.off
	v := r.uvarint()
	if v > uint64(most) {
		r.fail(at, fmt.Sprintf("%s of %d exceeds %d", what, v, most))
		return 0
	}
	return int(v)
}

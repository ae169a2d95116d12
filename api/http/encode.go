package httpapi

import (
	"encoding/json"
	"math"
	"strconv"
	"unicode/utf8"

	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"

	"github.com/nilometer/nilometer/promql"
)

// appendResult appends a query's data object: {"resultType":…,"result":…} in
// Prometheus' JSON. Its end is always returned.
func appendResult(dst []byte, res *promql.Result, out *sink) []byte {
	dst = append(dst, `{"resultType":"`...)
	dst = append(dst, string(res.Type)...)
	dst = append(dst, `","result":`...)
	switch res.Type {
	case parser.ValueTypeMatrix:
		dst = appendMatrix(dst, res.Matrix, out)
	case parser.ValueTypeVector:
		dst = appendVector(dst, res.Vector, out)
	case parser.ValueTypeScalar:
		dst = appendPoint(dst, res.Scalar.T, res.Scalar.V)
	case parser.ValueTypeString:
		dst = append(dst, '[')
		dst = appendTime(dst, res.String.T)
		dst = append(dst, ',')
		dst = appendString(dst, res.String.V)
		dst = append(dst, ']')
	default:
		dst = append(dst, `null`...)
	}
	return append(dst, '}')
}

func appendMatrix(dst []byte, m []promql.Series, out *sink) []byte {
	dst = append(dst, '[')
	if least := byTwo(m); least > 0 {
		dst = appendByTwo(dst, m, least, out)
	} else {
		dst = appendSeries(dst, m, 0, len(m), out)
	}
	return append(dst, ']')
}

// appendSeries appends the series [from, to), with a comma in front of all but the
// first of m.
func appendSeries(dst []byte, m []promql.Series, from, to int, out *sink) []byte {
	for i := from; i < to && !out.broken(); i++ {
		s := &m[i]
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, `{"metric":`...)
		dst = appendLabels(dst, s.Labels)
		dst = appendPoints(dst, `,"values":[`, s.Points, false, out)
		if s.Points.Histograms() {
			dst = appendPoints(dst, `,"histograms":[`, s.Points, true, out)
		}
		dst = append(dst, '}')
	}
	return dst
}

// appendPoints writes the points of one kind as a field; without any it is
// left out.
func appendPoints(dst []byte, field string, points promql.Points, histograms bool, out *sink) []byte {
	some := false
	var c clock
	for p := range points.All() {
		if (p.H != nil) != histograms {
			continue
		}
		if some {
			dst = append(dst, ',')
		} else {
			dst = append(dst, field...)
			some = true
		}
		if histograms {
			dst = appendHistogramPoint(dst, p.T, p.H)
		} else {
			dst = c.append(append(dst, '['), p.T)
			dst = appendFloat(append(dst, ',', '"'), p.V)
			dst = append(dst, '"', ']')
		}
		dst = out.pass(dst)
	}
	if some {
		dst = append(dst, ']')
	}
	return dst
}

func appendVector(dst []byte, v []promql.Sample, out *sink) []byte {
	dst = append(dst, '[')
	for i, s := range v {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, `{"metric":`...)
		dst = appendLabels(dst, s.Labels)
		if s.H != nil {
			dst = append(dst, `,"histogram":`...)
			dst = appendHistogramPoint(dst, s.T, s.H)
		} else {
			dst = append(dst, `,"value":`...)
			dst = appendPoint(dst, s.T, s.V)
		}
		dst = out.pass(append(dst, '}'))
	}
	return append(dst, ']')
}

func appendPoint(dst []byte, t int64, v float64) []byte {
	dst = append(dst, '[')
	dst = appendTime(dst, t)
	dst = append(dst, ',', '"')
	dst = appendFloat(dst, v)
	return append(dst, '"', ']')
}

func appendHistogramPoint(dst []byte, t int64, h *histogram.FloatHistogram) []byte {
	dst = append(dst, '[')
	dst = appendTime(dst, t)
	dst = append(dst, ',')
	dst = appendHistogram(dst, h)
	return append(dst, ']')
}

// appendHistogram writes {"count":…,"sum":…,"buckets":[[bounds,lower,upper,
// count],…]} with the buckets that are not empty. bounds says which of them
// belong to the bucket: 0 the upper, 1 the lower, 2 neither, 3 both.
func appendHistogram(dst []byte, h *histogram.FloatHistogram) []byte {
	number := func(v float64) {
		dst = append(dst, '"')
		dst = appendFloat(dst, v)
		dst = append(dst, '"')
	}
	dst = append(dst, `{"count":`...)
	number(h.Count)
	dst = append(dst, `,"sum":`...)
	number(h.Sum)
	lead := `,"buckets":[`
	for it := h.AllBucketIterator(); it.Next(); {
		b := it.At()
		if b.Count == 0 {
			continue
		}
		dst = append(dst, lead...)
		lead = `,`
		bounds := byte('2')
		switch {
		case b.LowerInclusive && b.UpperInclusive:
			bounds = '3'
		case b.LowerInclusive:
			bounds = '1'
		case b.UpperInclusive:
			bounds = '0'
		}
		dst = append(dst, '[', bounds)
		for _, v := range []float64{b.Lower, b.Upper, b.Count} {
			dst = append(dst, ',')
			number(v)
		}
		dst = append(dst, ']')
	}
	if lead == `,` {
		dst = append(dst, ']')
	}
	return append(dst, '}')
}

// appendTime writes milliseconds as seconds with up to three decimals.
func appendTime(dst []byte, t int64) []byte {
	if t < 0 {
		dst = append(dst, '-')
		t = -t
	}
	dst = strconv.AppendInt(dst, t/1000, 10)
	if ms := t % 1000; ms != 0 {
		dst = append(dst, '.', byte('0'+ms/100), byte('0'+ms/10%10), byte('0'+ms%10))
	}
	return dst
}

// clock writes times, of which one after the other differ in the last digits
// alone.
type clock struct {
	high int64 // seconds before the last four digits
	text []byte
}

// append is appendTime.
func (c *clock) append(dst []byte, t int64) []byte {
	s, ms := t/1000, t%1000
	high, low := s/10_000, s%10_000
	if t < 0 || high == 0 {
		return appendTime(dst, t)
	}
	if high != c.high {
		c.high, c.text = high, strconv.AppendInt(c.text[:0], high, 10)
	}
	dst = append(dst, c.text...)
	dst = append(dst, byte('0'+low/1000), byte('0'+low/100%10), byte('0'+low/10%10), byte('0'+low%10))
	if ms != 0 {
		dst = append(dst, '.', byte('0'+ms/100), byte('0'+ms/10%10), byte('0'+ms%10))
	}
	return dst
}

// wholeMax bounds the whole numbers that are written as such: each is the shortest
// form of itself, as they are all different floats up to 2^53.
const wholeMax = 1e15

// appendFloat writes v as Prometheus does: the shortest form, exponents only
// for very small and very large values.
func appendFloat(dst []byte, v float64) []byte {
	if n := int64(v); float64(n) == v && -wholeMax < n && n < wholeMax && (n != 0 || !math.Signbit(v)) {
		return strconv.AppendInt(dst, n, 10)
	}
	format := byte('f')
	if abs := math.Abs(v); abs != 0 && (abs < 1e-6 || abs >= 1e21) {
		format = 'e'
	}
	return strconv.AppendFloat(dst, v, format, -1, 64)
}

// appendValue writes the value of an alert: always with an exponent, as
// Prometheus does there.
func appendValue(dst []byte, v float64) []byte {
	return strconv.AppendFloat(dst, v, 'e', -1, 64)
}

func appendLabels(dst []byte, lset labels.Labels) []byte {
	dst = append(dst, '{')
	first := true
	lset.Range(func(l labels.Label) {
		if !first {
			dst = append(dst, ',')
		}
		first = false
		dst = appendString(dst, l.Name)
		dst = append(dst, ':')
		dst = appendString(dst, l.Value)
	})
	return append(dst, '}')
}

// appendString writes a JSON string; what needs escaping takes the library's
// way.
func appendString(dst []byte, s string) []byte {
	if !plain(s) {
		quoted, err := json.Marshal(s)
		if err != nil { // strings always marshal
			panic("httpapi: marshal a string: " + err.Error())
		}
		return append(dst, quoted...)
	}
	dst = append(dst, '"')
	dst = append(dst, s...)
	return append(dst, '"')
}

func plain(s string) bool {
	for i := 0; i < len(s); i++ {
		if c := s[i]; c < ' ' || c == '"' || c == '\\' || c == '<' || c == '>' || c == '&' || c >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

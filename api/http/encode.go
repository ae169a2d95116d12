package httpapi

import (
	"encoding/json"
	"math"
	"strconv"
	"unicode/utf8"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"

	"github.com/nilometer/nilometer/promql"
)

// appendResult appends a query's data object: {"resultType":…,"result":…} in
// Prometheus' JSON.
func appendResult(dst []byte, res *promql.Result) []byte {
	dst = append(dst, `{"resultType":"`...)
	dst = append(dst, string(res.Type)...)
	dst = append(dst, `","result":`...)
	switch res.Type {
	case parser.ValueTypeMatrix:
		dst = appendMatrix(dst, res.Matrix)
	case parser.ValueTypeVector:
		dst = appendVector(dst, res.Vector)
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

func appendMatrix(dst []byte, m []promql.Series) []byte {
	dst = append(dst, '[')
	for i, s := range m {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, `{"metric":`...)
		dst = appendLabels(dst, s.Labels)
		dst = append(dst, `,"values":[`...)
		for k, p := range s.Points {
			if k > 0 {
				dst = append(dst, ',')
			}
			dst = appendPoint(dst, p.T, p.V)
		}
		dst = append(dst, `]}`...)
	}
	return append(dst, ']')
}

func appendVector(dst []byte, v []promql.Sample) []byte {
	dst = append(dst, '[')
	for i, s := range v {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, `{"metric":`...)
		dst = appendLabels(dst, s.Labels)
		dst = append(dst, `,"value":`...)
		dst = appendPoint(dst, s.T, s.V)
		dst = append(dst, '}')
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

// appendFloat writes v as Prometheus does: the shortest form, exponents only
// for very small and very large values.
func appendFloat(dst []byte, v float64) []byte {
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

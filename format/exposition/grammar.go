package exposition

import (
	"bytes"
	"unicode/utf8"
)

// Format is one of the formats.
type Format uint8

// The formats.
const (
	// Text is the Prometheus text format 0.0.4 and 1.0.0.
	Text Format = iota + 1
	// OpenMetrics is OpenMetrics text 1.0.
	OpenMetrics
	// Protobuf is a sequence of io.prometheus.client.MetricFamily messages,
	// each with its length before it.
	Protobuf
)

// span is a part of a body.
type span struct{ start, end uint32 }

// sample is one parsed line.
type sample struct {
	name   span   // of the metric, without quotes
	labels []span // name, value, name, value, …, without quotes, escapes as they are
	value  int    // where the value begins: the line's memorable part ends here
	end    int    // after the line feed
	v      float64
	time   int64
	timed  bool
	start  int64 // of a metric with a line _created, 0 without one
	// exemplar is the line's, from after its opening brace; it was checked.
	exemplar span
}

// reader parses the lines of one body, one at a time. Its errors are
// *ParseError.
type reader struct {
	body   []byte
	format Format
	spans  []span // scratch for labels

	exemplarSpans []span   // the labels of the last exemplar, as sample.labels
	exemplarLast  Exemplar // its value and time
}

func isNameStart(c byte) bool {
	return c|0x20 >= 'a' && c|0x20 <= 'z' || c == '_' || c == ':'
}

func isDigit(c byte) bool { return c-'0' <= 9 }

func (r *reader) fail(offset int, reason string) error {
	return newParseError(r.body, offset, reason)
}

// blanks skips spaces and tabs where the format allows any number of them.
func (r *reader) blanks(i int) int {
	if r.format == Text {
		for i < len(r.body) && (r.body[i] == ' ' || r.body[i] == '\t') {
			i++
		}
	}
	return i
}

// name returns the end of the name at i, i when there is none. colons are part
// of metric names only.
func (r *reader) name(i int, colons bool) int {
	start := i
	for i < len(r.body) {
		c := r.body[i]
		if isNameStart(c) && (colons || c != ':') || i > start && isDigit(c) {
			i++
			continue
		}
		break
	}
	return i
}

// quoted returns the end of the quoted string at i (which holds a quote), after
// its closing quote, or -1. A backslash makes the next byte part of the string,
// but not a line feed.
func (r *reader) quoted(i int, feeds bool) int {
	for i++; i < len(r.body); i++ {
		switch r.body[i] {
		case '"':
			return i + 1
		case '\\':
			i++
			if i >= len(r.body) || r.body[i] == '\n' {
				return -1
			}
		case '\n':
			if !feeds {
				return -1
			}
		}
	}
	return -1
}

// sample parses the line at i, which begins with a name or a brace. The labels
// are valid until the next call.
func (r *reader) sample(i int) (s sample, err error) {
	r.spans = r.spans[:0]
	named := false
	if end := r.name(i, true); end > i {
		s.name, named = span{uint32(i), uint32(end)}, true
		i = r.blanks(end)
	}
	if i < len(r.body) && r.body[i] == '{' {
		if i, err = r.labels(i+1, &s, &named, false); err != nil {
			return s, err
		}
	}
	if !named {
		return s, r.fail(i, "a line begins with a metric name or a brace with one")
	}
	s.labels = r.spans
	return s, r.suffix(i, &s)
}

// labels parses from after the opening brace to after the closing one. In an
// exemplar no metric name is allowed.
func (r *reader) labels(i int, s *sample, named *bool, exemplar bool) (int, error) {
	b := r.body
	for {
		i = r.blanks(i)
		if i < len(b) && b[i] == '}' {
			return i + 1, nil
		}
		var name span
		isQuoted := i < len(b) && b[i] == '"'
		if isQuoted {
			end := r.quoted(i, !exemplar)
			if end < 0 {
				return i, r.fail(i, "a quoted name does not end")
			}
			name = span{uint32(i + 1), uint32(end - 1)}
			i = r.blanks(end)
			if i < len(b) && (b[i] == ',' || b[i] == '}') {
				if *named || exemplar {
					return i, r.fail(int(name.start), "a second metric name")
				}
				s.name, *named = name, true
				if b[i] == '}' {
					return i + 1, nil
				}
				i = r.blanks(i + 1)
				continue
			}
		} else {
			end := r.name(i, false)
			if end == i {
				return i, r.fail(i, "expected a label name")
			}
			name = span{uint32(i), uint32(end)}
			i = r.blanks(end)
		}
		if i >= len(b) || b[i] != '=' {
			return i, r.fail(i, "expected = after a label name")
		}
		i = r.blanks(i + 1)
		if i >= len(b) || b[i] != '"' {
			return i, r.fail(i, "expected a quoted label value")
		}
		end := r.quoted(i, r.format == Text)
		if end < 0 {
			return i, r.fail(i, "a label value does not end")
		}
		if !utf8.Valid(b[i:end]) {
			return i, r.fail(i, "a label value is not valid UTF-8")
		}
		if exemplar {
			r.exemplarSpans = append(r.exemplarSpans, name, span{uint32(i + 1), uint32(end - 1)})
		} else {
			r.spans = append(r.spans, name, span{uint32(i + 1), uint32(end - 1)})
		}
		i = r.blanks(end)
		if i < len(b) && b[i] == ',' {
			i++
		} else if r.format == OpenMetrics && (i >= len(b) || b[i] != '}') {
			return i, r.fail(i, "expected a comma or } after a label")
		}
	}
}

// token returns the end of the run of bytes at i that a value or timestamp
// consists of.
func (r *reader) token(i int) int {
	for i < len(r.body) {
		switch r.body[i] {
		case '\n', ' ':
			return i
		case '\t', '{':
			if r.format == Text {
				return i
			}
		}
		i++
	}
	return i
}

// suffix parses a sample's line from after its labels.
func (r *reader) suffix(i int, s *sample) error {
	if r.format == OpenMetrics {
		if i >= len(r.body) || r.body[i] != ' ' {
			return r.fail(i, "expected one space and a value")
		}
		i++
	}
	s.value = r.blanks(i)
	return r.valueOn(s)
}

// valueOn parses a sample's line from its value on.
func (r *reader) valueOn(s *sample) (err error) {
	i, ok := 0, false
	if s.v, i, ok = fastFloat(r.body, s.value); !ok {
		i = r.token(s.value)
		if i == s.value {
			return r.fail(i, "expected a value")
		}
		if s.v, err = parseFloat(r.body[s.value:i]); err != nil {
			return r.fail(s.value, "the value "+err.Error())
		}
	}
	return r.tail(i, s)
}

// tail parses what follows a value: an optional timestamp, in OpenMetrics an
// optional exemplar, and the end of the line.
func (r *reader) tail(i int, s *sample) (err error) {
	if r.format == OpenMetrics {
		return r.openMetricsTail(i, s)
	}
	i = r.blanks(i)
	if start := i; i < len(r.body) && r.body[i] != '\n' {
		for i < len(r.body) && isDigit(r.body[i]) {
			i++
		}
		if s.time, s.timed = parseInt(r.body[start:i]); !s.timed {
			return r.fail(start, "the timestamp is no whole number of milliseconds")
		}
		i = r.blanks(i)
	}
	if i < len(r.body) {
		if r.body[i] != '\n' {
			return r.fail(i, "expected the end of the line")
		}
		i++
	}
	s.end = i
	return nil
}

func (r *reader) openMetricsTail(i int, s *sample) (err error) {
	b := r.body
	if hasPrefixAt(b, i, " ") && !hasPrefixAt(b, i, exemplarMark) {
		end := r.token(i + 1)
		if s.time, err = r.seconds(i+1, end); err != nil {
			return err
		}
		s.timed = true
		i = end
	}
	if hasPrefixAt(b, i, exemplarMark) {
		start := i + len(exemplarMark)
		if i, err = r.exemplar(start); err != nil {
			return err
		}
		s.exemplar = span{uint32(start), uint32(i)}
	}
	if i >= len(b) || b[i] != '\n' {
		return r.fail(i, "expected the end of the line")
	}
	s.end = i + 1
	return nil
}

// exemplar parses an exemplar from after its opening brace into exemplarSpans
// and exemplarLast.
func (r *reader) exemplar(i int) (end int, err error) {
	r.exemplarSpans, r.exemplarLast = r.exemplarSpans[:0], Exemplar{}
	named := false
	if i, err = r.labels(i, nil, &named, true); err != nil {
		return i, err
	}
	if !hasPrefixAt(r.body, i, " ") {
		return i, r.fail(i, "expected one space and the exemplar's value")
	}
	end = r.token(i + 1)
	if r.exemplarLast.Value, err = parseFloat(r.body[i+1 : end]); err != nil {
		return i, r.fail(i+1, "the exemplar's value "+err.Error())
	}
	if hasPrefixAt(r.body, end, " ") {
		i = end + 1
		end = r.token(i)
		if r.exemplarLast.Time, err = r.seconds(i, end); err != nil {
			return i, err
		}
		r.exemplarLast.Timed = true
	}
	return end, nil
}

// seconds parses a timestamp in seconds to milliseconds, cut towards zero.
func (r *reader) seconds(start, end int) (int64, error) {
	v, err := parseFloat(r.body[start:end])
	if err != nil {
		return 0, r.fail(start, "the timestamp "+err.Error())
	}
	if v != v || v > 9e15 || v < -9e15 {
		return 0, r.fail(start, "the timestamp is out of range")
	}
	return int64(v * 1000), nil
}

// parseInt parses digits alone.
func parseInt(token []byte) (v int64, ok bool) {
	const cutoff = (1<<63 - 1) / 10
	for _, c := range token {
		d := int64(c - '0')
		if v > cutoff || v == cutoff && d > 7 {
			return 0, false
		}
		v = v*10 + d
	}
	return v, len(token) > 0
}

func hasPrefixAt(b []byte, i int, prefix string) bool {
	return i <= len(b) && len(b)-i >= len(prefix) && string(b[i:i+len(prefix)]) == prefix
}

// lineEnd returns the index after the line feed at or after i.
func (r *reader) lineEnd(i int) int {
	if n := bytes.IndexByte(r.body[i:], '\n'); n >= 0 {
		return i + n + 1
	}
	return len(r.body)
}

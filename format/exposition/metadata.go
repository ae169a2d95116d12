package exposition

import (
	"bytes"
	"strings"
	"unicode/utf8"

	"github.com/prometheus/common/model"
)

// Field says which part of a family's metadata a line gives.
type Field uint8

// The fields.
const (
	FieldNone Field = iota // a comment
	FieldType
	FieldHelp
	FieldUnit
)

// Metadata is one line about a family.
type Metadata struct {
	Field  Field
	Family string
	// Type is set for FieldType, Text for the others (escapes resolved).
	Type model.MetricType
	Text string
}

// comment is a parsed line that begins with #.
type comment struct {
	meta Metadata
	eof  bool // OpenMetrics' # EOF
	end  int  // after the line feed
}

// comment parses the line at i, which holds #.
func (r *reader) comment(i int) (c comment, err error) {
	c.end = r.lineEnd(i)
	line := r.body[i:c.end]
	feed := bytes.HasSuffix(line, []byte{'\n'})
	line = bytes.TrimSuffix(line, []byte{'\n'})
	if r.format == OpenMetrics {
		if string(line) == "# EOF" {
			c.eof = true
			return c, nil
		}
		if !feed {
			return c, r.fail(c.end, "the body does not end with # EOF")
		}
	}
	rest, field := r.keyword(line)
	switch {
	case field == FieldNone && r.format == Text:
		return c, nil
	case field == FieldNone:
		return c, r.fail(i, "expected HELP, TYPE, UNIT or EOF after #")
	}
	at := i + len(line) - len(rest)
	end := r.familyEnd(at, i+len(line))
	if end < 0 {
		return c, r.fail(at, "expected a metric name")
	}
	c.meta.Field = field
	c.meta.Family = string(r.body[at:end])
	if r.body[at] == '"' {
		c.meta.Family = string(r.body[at+1 : end-1])
	}
	text, err := r.metaText(end, i+len(line))
	if err != nil {
		return c, err
	}
	return c, r.describe(&c.meta, at, text)
}

// keyword finds HELP, TYPE or UNIT in a line and returns what follows the
// blanks behind it.
func (r *reader) keyword(line []byte) (rest []byte, f Field) {
	rest = line[1:]
	if r.format == OpenMetrics {
		for f, word := range [...]string{FieldType: " TYPE ", FieldHelp: " HELP ", FieldUnit: " UNIT "} {
			if word != "" && bytes.HasPrefix(rest, []byte(word)) {
				return rest[len(word):], Field(f)
			}
		}
		return rest, FieldNone
	}
	word := bytes.TrimLeft(rest, " \t")
	if len(word) == len(rest) || len(word) < len("HELP ") {
		return rest, FieldNone
	}
	switch string(word[:4]) {
	case "HELP":
		f = FieldHelp
	case "TYPE":
		f = FieldType
	default:
		return rest, FieldNone
	}
	rest = bytes.TrimLeft(word[4:], " \t")
	if len(rest) == len(word)-4 {
		return rest, FieldNone
	}
	return rest, f
}

// familyEnd returns the end of the name at i, plain or quoted, -1 without one.
func (r *reader) familyEnd(i, lineEnd int) int {
	if i < lineEnd && r.body[i] == '"' {
		if end := r.quoted(i, false); end >= 0 && end <= lineEnd {
			return end
		}
		return -1
	}
	if end := r.name(i, true); end > i {
		return end
	}
	return -1
}

// metaText returns the text between a family's name and the end of its line:
// what follows one separator, which is a space in OpenMetrics and, as upstream
// has it, any byte in the text format.
func (r *reader) metaText(i, lineEnd int) ([]byte, error) {
	text := r.body[i:lineEnd]
	if r.format == OpenMetrics {
		if len(text) == 0 || text[0] != ' ' {
			return nil, r.fail(i, "expected one space after the metric name")
		}
		return text[1:], nil
	}
	if len(bytes.Trim(text, " \t")) == 0 {
		return nil, nil
	}
	return text[1:], nil
}

// describe fills meta from the text of its line.
func (r *reader) describe(meta *Metadata, at int, text []byte) error {
	switch meta.Field {
	case FieldType:
		t, ok := r.metricType(string(text))
		if !ok {
			return r.fail(at, "unknown metric type "+Shorten(text))
		}
		meta.Type = t
	case FieldHelp:
		if !utf8.Valid(text) {
			return r.fail(at, "the help text is not valid UTF-8")
		}
		if r.format == OpenMetrics {
			meta.Text = unescape(string(text))
		} else {
			meta.Text = unescapeHelp(string(text))
		}
	case FieldUnit:
		meta.Text = string(text)
		if meta.Text != "" && !strings.HasSuffix(meta.Family, "_"+meta.Text) {
			return r.fail(at, "the unit is no suffix of the metric's name")
		}
	}
	return nil
}

func (r *reader) metricType(word string) (model.MetricType, bool) {
	switch word {
	case "counter", "gauge", "histogram", "summary":
		return model.MetricType(word), true
	case "untyped":
		return model.MetricTypeUnknown, r.format == Text
	case "gaugehistogram", "info", "stateset", "unknown":
		return model.MetricType(word), r.format == OpenMetrics
	}
	return "", false
}

// unescape resolves \\, \" and \n; other backslashes stay.
func unescape(text string) string { return replaceEscapes(text, true) }

// unescapeHelp resolves \\ and \n.
func unescapeHelp(text string) string { return replaceEscapes(text, false) }

func replaceEscapes(text string, quotes bool) string {
	if strings.IndexByte(text, '\\') < 0 {
		return text
	}
	var out strings.Builder
	for i := 0; i < len(text); i++ {
		c := text[i]
		if c == '\\' && i+1 < len(text) {
			switch next := text[i+1]; {
			case next == 'n':
				c = '\n'
				i++
			case next == '\\', next == '"' && quotes:
				c = next
				i++
			}
		}
		out.WriteByte(c)
	}
	return out.String()
}

package hostmetrics

import (
	"strconv"
	"strings"
)

// The types of families.
const (
	counter = "counter"
	gauge   = "gauge"
	untyped = "untyped"
)

// writer appends an exposition to a buffer.
type writer struct {
	buf  []byte
	name string
}

// family begins a metric family: the samples that follow are its.
func (w *writer) family(name, kind, help string) {
	w.name = name
	w.buf = append(w.buf, "# HELP "...)
	w.buf = append(w.buf, name...)
	w.buf = append(w.buf, ' ')
	w.buf = append(w.buf, help...)
	w.buf = append(w.buf, "\n# TYPE "...)
	w.buf = append(w.buf, name...)
	w.buf = append(w.buf, ' ')
	w.buf = append(w.buf, kind...)
	w.buf = append(w.buf, '\n')
}

// labels appends the name and pairs of label names and values.
func (w *writer) labels(pairs []string) {
	w.buf = append(w.buf, w.name...)
	for i := 0; i+1 < len(pairs); i += 2 {
		if i == 0 {
			w.buf = append(w.buf, '{')
		} else {
			w.buf = append(w.buf, ',')
		}
		w.buf = append(w.buf, pairs[i]...)
		w.buf = append(w.buf, '=', '"')
		w.text(pairs[i+1])
		w.buf = append(w.buf, '"')
	}
	if len(pairs) > 0 {
		w.buf = append(w.buf, '}')
	}
	w.buf = append(w.buf, ' ')
}

// text appends a label value, escaped, as valid UTF-8.
func (w *writer) text(v string) {
	for _, r := range strings.ToValidUTF8(v, "\uFFFD") {
		switch r {
		case '\\', '"':
			w.buf = append(w.buf, '\\', byte(r))
		case '\n':
			w.buf = append(w.buf, '\\', 'n')
		default:
			w.buf = append(w.buf, string(r)...)
		}
	}
}

func (w *writer) float(v float64, pairs ...string) {
	w.labels(pairs)
	w.buf = strconv.AppendFloat(w.buf, v, 'g', -1, 64)
	w.buf = append(w.buf, '\n')
}

func (w *writer) uint(v uint64, pairs ...string) {
	w.labels(pairs)
	w.buf = strconv.AppendUint(w.buf, v, 10)
	w.buf = append(w.buf, '\n')
}

func (w *writer) bool(v bool, pairs ...string) {
	if v {
		w.uint(1, pairs...)
	} else {
		w.uint(0, pairs...)
	}
}

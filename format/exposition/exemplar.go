package exposition

import (
	"math"
	"unicode/utf8"

	"github.com/prometheus/prometheus/model/labels"
)

// Exemplar is one exemplar of a body. Its labels are read by
// Scanner.ExemplarLabels when they are wanted.
type Exemplar struct {
	// Ref is the series, when New is -1; otherwise New is its index in
	// Scanner.New.
	Ref   Ref
	New   int
	Value float64
	Time  int64 // ms since the Unix epoch, when Timed
	Timed bool
	// SampleTime is the timestamp of its sample (ms), when SampleTimed.
	SampleTime  int64
	SampleTimed bool

	text span // of the body
}

// checkedExemplar goes over an exemplar and returns where it is.
func (w *wire) checkedExemplar(typ uint8) span {
	content := w.bytes(typ)
	in := w.within(content)
	in.exemplar(nil)
	w.adopt(&in)
	return content
}

// exemplar reads an exemplar's message and hands its labels to add. What is
// returned has no text and no series.
func (w *wire) exemplar(add func(name, value string)) (x Exemplar) {
	for {
		field, typ, ok := w.next()
		if !ok {
			return x
		}
		switch field {
		case exemplarLabel:
			pair := w.within(w.bytes(typ))
			name, value := pair.pair()
			if w.adopt(&pair); add != nil && w.fault == "" {
				add(string(w.body[name.start:name.end]), string(w.body[value.start:value.end]))
			}
		case exemplarValue:
			x.Value = math.Float64frombits(w.fixed64(typ))
		case exemplarTime:
			x.Time, x.Timed = w.timestamp(typ), true
		default:
			w.skip(typ)
		}
	}
}

// pair reads a LabelPair.
func (w *wire) pair() (name, value span) {
	for {
		field, typ, ok := w.next()
		switch {
		case !ok:
			return name, value
		case field == pairName:
			name = w.bytes(typ)
		case field == pairValue:
			value = w.bytes(typ)
		default:
			w.skip(typ)
		}
	}
}

// addExemplar notes the exemplar in a message, which was checked before.
func (s *Scanner) addExemplar(at place, text span) {
	in := wire{body: s.reader.body, pos: int(text.start), end: int(text.end)}
	x := in.exemplar(nil)
	x.Ref, x.New, x.text = at.ref, at.isNew, text
	x.SampleTime, x.SampleTimed = s.proto.metric.time, s.proto.metric.time != 0
	s.Exemplars = append(s.Exemplars, x)
}

// ExemplarText returns the bytes of the i-th exemplar as they stand in the
// body: equal bytes are equal exemplars.
func (s *Scanner) ExemplarText(i int) []byte {
	t := s.Exemplars[i].text
	return s.reader.body[t.start:t.end]
}

// ExemplarLabels returns the labels of the i-th exemplar, sorted, and whether
// they are valid UTF-8.
func (s *Scanner) ExemplarLabels(i int) (labels.Labels, bool) {
	valid := true
	s.builder.Reset()
	add := func(name, value string) {
		valid = valid && utf8.ValidString(name) && utf8.ValidString(value)
		s.builder.Add(name, value)
	}
	t := s.Exemplars[i].text
	if s.reader.format == Protobuf {
		in := wire{body: s.reader.body, pos: int(t.start), end: int(t.end)}
		in.exemplar(add)
	} else {
		s.textExemplarLabels(t, add)
	}
	s.builder.Sort()
	return s.builder.Labels(), valid
}

// addTextExemplar notes the exemplar of the line that was read last.
func (s *Scanner) addTextExemplar(at place, sm *sample) {
	x := s.reader.exemplarLast
	x.Ref, x.New, x.text = at.ref, at.isNew, sm.exemplar
	x.SampleTime, x.SampleTimed = sm.time, sm.timed
	s.Exemplars = append(s.Exemplars, x)
}

// textExemplarLabels hands the labels of a line's exemplar to add.
func (s *Scanner) textExemplarLabels(text span, add func(name, value string)) {
	r := &s.reader
	if _, err := r.exemplar(int(text.start)); err != nil {
		return // it was read without an error before
	}
	own := string(r.text(text))
	part := func(p span) string { return unescape(own[p.start-text.start : p.end-text.start]) }
	for i := 0; i+1 < len(r.exemplarSpans); i += 2 {
		add(part(r.exemplarSpans[i]), part(r.exemplarSpans[i+1]))
	}
}

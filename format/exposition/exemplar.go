package exposition

import (
	"bytes"
	"math"
	"unicode/utf8"

	"github.com/cespare/xxhash/v2"
	"github.com/prometheus/prometheus/model/labels"
)

// exemplarMark begins an exemplar in OpenMetrics.
const exemplarMark = " # {"

// Exemplar is one exemplar of a body that did not stand at its series in the
// body before. Its labels are read by
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

// seenExemplars finds the exemplars of the body before. Targets show one until
// a newer one replaces it.
type seenExemplars struct {
	before []uint64 // hashes of text and line, in their order
	at     int      // where the next one is expected
	now    []uint64 // those of this body
}

func (x *seenExemplars) reset(before []uint64) { x.before, x.at, x.now = before, 0, x.now[:0] }

// index returns the place of an exemplar near where it is expected, -1 without
// one.
func (x *seenExemplars) index(hash uint64) int {
	for i := max(0, x.at-resyncWindow/4); i < min(x.at+resyncWindow, len(x.before)); i++ {
		if x.before[i] == hash {
			return i
		}
	}
	return -1
}

// note notes an exemplar and reports whether it was there before.
func (x *seenExemplars) note(hash uint64) bool {
	x.now = append(x.now, hash)
	i := x.index(hash)
	if x.at++; i >= 0 {
		x.at = i + 1
	}
	return i >= 0
}

// exemplarHash tells exemplars apart by their bytes and the line they stand at.
func exemplarHash(text []byte, line uint64) uint64 { return mix(xxhash.Sum64(text) + line) }

// behindExemplar returns the end of the line whose value ends at i, when what
// follows is the exemplar that stood at line l before.
func (s *Scanner) behindExemplar(l *line, i int) (end int, ok bool) {
	body := s.reader.body
	if s.reader.format != OpenMetrics || len(s.seen.before) == 0 || !hasPrefixAt(body, i, exemplarMark) {
		return 0, false
	}
	n := bytes.IndexByte(body[i:], '\n')
	if n < 0 {
		return 0, false
	}
	hash := exemplarHash(body[i+len(exemplarMark):i+n], l.hash)
	if s.seen.index(hash) < 0 {
		return 0, false
	}
	s.seen.note(hash)
	return i + n + 1, true
}

// addExemplar notes the exemplar in a message, which was checked before, at the
// sample with the given hash. timed leaves out one without a timestamp.
func (s *Scanner) addExemplar(at place, text span, line uint64, timed bool) {
	hash := exemplarHash(s.reader.text(text), line)
	if s.seen.index(hash) >= 0 {
		s.seen.note(hash)
		return
	}
	in := wire{body: s.reader.body, pos: int(text.start), end: int(text.end)}
	x := in.exemplar(nil)
	if timed && !x.Timed {
		return
	}
	s.seen.note(hash)
	x.Ref, x.New, x.text = at.ref, at.isNew, text
	x.SampleTime, x.SampleTimed = s.proto.metric.time, s.proto.metric.time != 0
	s.Exemplars = append(s.Exemplars, x)
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

// addTextExemplar notes the exemplar of the line that was read last, with the
// given hash.
func (s *Scanner) addTextExemplar(at place, sm *sample, line uint64) {
	if s.seen.note(exemplarHash(s.reader.text(sm.exemplar), line)) {
		return
	}
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

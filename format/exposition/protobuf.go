package exposition

import (
	"fmt"
	"math"
	"unicode/utf8"

	"github.com/cespare/xxhash/v2"
	"github.com/prometheus/common/model"

	"github.com/nilometer/nilometer/model/column"
)

// family is the head of a MetricFamily message.
type family struct {
	name, help, unit span
	typ              int32
	metrics          []span
	seed             uint64 // of the hashes of its samples
}

// protobuf is what reading protobuf bodies needs.
type protobuf struct {
	family family
	metric metric
	other  metric // takes values that do not belong to the family's type
	hists  histograms
}

// place is where a sample of the body belongs: a remembered series, or an
// index into Scanner.New.
type place struct {
	ref   Ref
	isNew int // -1 when ref is set
}

// Which sample of a metric a remembered line stands for, beside the labels.
const (
	fieldValue = iota
	fieldCount
	fieldSum
	fieldBucket
	fieldQuantile
	fieldNative
)

var suffixes = [...]string{fieldCount: "_count", fieldSum: "_sum", fieldBucket: "_bucket", fieldNative: ""}

// scanProtobuf reads a body of length-delimited MetricFamily messages.
func (s *Scanner) scanProtobuf(lines []line) error {
	body := s.reader.body
	s.proto.family.name = span{}
	var at walk
	for at.pos < len(body) {
		w := wire{body: body, pos: at.pos, end: min(len(body), at.pos+varintSizeMax)}
		size := w.varint()
		switch {
		case w.fault != "":
			return s.protoError(&w)
		case w.pos-at.pos > familySizeSize || size > uint64(len(body)-w.pos):
			w.fail("a metric family is longer than the body")
			return s.protoError(&w)
		}
		w.end = w.pos + int(size)
		at.pos = w.end
		if err := s.readFamily(lines, &at, w); err != nil {
			return err
		}
	}
	return s.finish(lines, at)
}

func (s *Scanner) protoError(w *wire) error {
	return &ParseError{Offset: w.pos, Text: Shorten(w.body[s.proto.family.name.start:s.proto.family.name.end]), Reason: w.fault}
}

// readFamily reads one family: first its head, which may stand behind its
// metrics, then the metrics.
func (s *Scanner) readFamily(lines []line, at *walk, w wire) error {
	f := &s.proto.family
	*f = family{metrics: f.metrics[:0]}
	start := w.pos
	for {
		// Metrics of up to 127 bytes stand one after another.
		for w.end-w.pos >= 2 && w.body[w.pos] == familyMetric<<3|wireBytes && w.body[w.pos+1] < 0x80 && w.pos+2+int(w.body[w.pos+1]) <= w.end {
			content := span{uint32(w.pos + 2), uint32(w.pos + 2 + int(w.body[w.pos+1]))}
			f.metrics, w.pos = append(f.metrics, content), int(content.end)
		}
		field, typ, ok := w.next()
		if !ok {
			break
		}
		switch field {
		case familyName:
			f.name = w.bytes(typ)
		case familyHelp:
			f.help = w.bytes(typ)
		case familyUnit:
			f.unit = w.bytes(typ)
		case familyType:
			f.typ = int32(w.number(typ))
		case familyMetric:
			f.metrics = append(f.metrics, w.bytes(typ))
		default:
			w.skip(typ)
		}
	}
	if w.fault != "" {
		return s.protoError(&w)
	}
	if len(f.metrics) == 0 {
		return nil
	}
	if reason := s.describeFamily(lines, at); reason != "" {
		return &ParseError{Offset: start, Text: Shorten(s.reader.text(f.name)), Reason: reason}
	}
	for _, content := range f.metrics {
		in := w.within(content)
		s.proto.metric.read(&in, f.typ, &s.proto.other)
		if in.fault == "" {
			s.placeMetric(lines, at, &in, content)
		}
		if in.fault != "" {
			return s.protoError(&in)
		}
	}
	return nil
}

func (r *reader) text(s span) []byte { return r.body[s.start:s.end] }

// describeFamily checks the head of the family and hands on its metadata, when
// it is not remembered.
func (s *Scanner) describeFamily(lines []line, at *walk) (reason string) {
	f, r := &s.proto.family, &s.reader
	name, help, unit := r.text(f.name), r.text(f.help), r.text(f.unit)
	f.seed = mix(xxhash.Sum64(name) + uint64(f.typ))
	hash := mix(mix(f.seed+xxhash.Sum64(help)) + xxhash.Sum64(unit))
	size := min(len(name)+len(help)+len(unit), lineSizeMax)
	if _, known := s.recall(lines, at, hash, size); known {
		return ""
	}
	if !model.UTF8Validation.IsValidMetricName(string(name)) {
		return "the metric's name is empty or not valid UTF-8"
	}
	if !utf8.Valid(help) {
		return "the help text is not valid UTF-8"
	}
	t, ok := protoType(f.typ)
	if !ok {
		return fmt.Sprintf("unknown metric type %d", f.typ)
	}
	s.change(lines, at.at)
	s.next = append(s.next, line{hash: hash, size: uint16(size), group: groupComment})
	own := string(name)
	s.Metadata = append(s.Metadata, Metadata{Field: FieldType, Family: own, Type: t}, Metadata{Field: FieldHelp, Family: own, Text: string(help)})
	if len(unit) > 0 {
		s.Metadata = append(s.Metadata, Metadata{Field: FieldUnit, Family: own, Text: string(unit)})
	}
	return ""
}

func protoType(t int32) (model.MetricType, bool) {
	switch t {
	case protoCounter:
		return model.MetricTypeCounter, true
	case protoGauge:
		return model.MetricTypeGauge, true
	case protoSummary:
		return model.MetricTypeSummary, true
	case protoUntyped:
		return model.MetricTypeUnknown, true
	case protoHistogram:
		return model.MetricTypeHistogram, true
	case protoGaugeHistogram:
		return model.MetricTypeGaugeHistogram, true
	}
	return "", false
}

// mix spreads the bits of a hash (the finalizer of splitmix64).
func mix(h uint64) uint64 {
	h = (h ^ h>>30) * 0xbf58476d1ce4e5b9
	h = (h ^ h>>27) * 0x94d049bb133111eb
	return h ^ h>>31
}

// labelsHash hashes the labels of a metric as they stand in the body.
func (s *Scanner) labelsHash(m *metric, content span) uint64 {
	if !m.scattered {
		return mix(xxhash.Sum64(s.reader.text(m.labels)) + s.proto.family.seed)
	}
	h := s.proto.family.seed
	s.eachLabel(content, func(pair span) { h = mix(h + xxhash.Sum64(s.reader.text(pair))) })
	return h
}

// eachLabel calls f with every LabelPair of a metric.
func (s *Scanner) eachLabel(content span, f func(pair span)) {
	w := wire{body: s.reader.body, pos: int(content.start), end: int(content.end)}
	for {
		field, typ, ok := w.next()
		switch {
		case !ok:
			return
		case field == metricLabel:
			f(w.bytes(typ))
		default:
			w.skip(typ)
		}
	}
}

// cursor is one metric on its way to its samples.
type cursor struct {
	lines   []line
	at      *walk
	content span   // of the metric's message
	hash    uint64 // of family and labels
	size    int    // of the labels
	checked bool   // the labels were found valid
}

// placeMetric hands on the samples of the metric that was read.
func (s *Scanner) placeMetric(lines []line, at *walk, w *wire, content span) {
	m := &s.proto.metric
	c := cursor{lines: lines, at: at, content: content, hash: s.labelsHash(m, content), size: min(int(m.labels.end-m.labels.start), lineSizeMax)}
	switch s.proto.family.typ {
	case protoSummary:
		s.float(w, &c, fieldCount, 0, float64(m.count))
		s.float(w, &c, fieldSum, 0, m.sum)
		for _, q := range m.quantiles {
			s.float(w, &c, fieldQuantile, q.rank, q.value)
		}
	case protoHistogram, protoGaugeHistogram:
		s.placeHistogram(w, &c)
	default:
		p := s.float(w, &c, fieldValue, 0, m.value)
		if m.exemplar.end > 0 && s.proto.family.typ == protoCounter {
			s.addExemplar(p, m.exemplar, c.sampleHash(fieldValue, 0), false)
		}
	}
}

// placeHistogram hands on a histogram in the forms that are asked for.
func (s *Scanner) placeHistogram(w *wire, c *cursor) {
	m := &s.proto.metric
	h := &m.histo
	gauge := s.proto.family.typ == protoGaugeHistogram
	if s.options.Native && h.native() {
		if !h.consistent() {
			w.fail("the spans of a native histogram have other buckets than it")
			return
		}
		p := s.histogram(w, c, s.proto.hists.native(m, gauge))
		s.nativeExemplars(p, c)
		if s.options.Classic && len(h.buckets) > 0 {
			s.placeClassic(w, c)
		}
		return
	}
	if !s.options.Custom || s.options.Classic {
		s.placeClassic(w, c)
	}
	if s.options.Custom {
		v, err := s.proto.hists.custom(m, gauge)
		if err != nil {
			w.fail("a classic histogram cannot be converted: " + err.Error())
			return
		}
		s.nativeExemplars(s.histogram(w, c, v), c)
	}
}

// placeClassic hands on count, sum and buckets, up to the one without a bound.
func (s *Scanner) placeClassic(w *wire, c *cursor) {
	m := &s.proto.metric
	s.float(w, c, fieldCount, 0, m.counts())
	s.float(w, c, fieldSum, 0, m.sum)
	for i := range m.histo.buckets {
		b := &m.histo.buckets[i]
		p := s.float(w, c, fieldBucket, b.bound, b.count)
		if b.exemplar.end > 0 {
			s.addExemplar(p, b.exemplar, c.sampleHash(fieldBucket, b.bound), false)
		}
		if math.IsInf(b.bound, 1) {
			return
		}
	}
	s.float(w, c, fieldBucket, math.Inf(1), m.counts())
}

// nativeExemplars hands on the exemplars of a native histogram: its own, or
// else those of its classic buckets. Without a timestamp they count for nothing.
func (s *Scanner) nativeExemplars(p place, c *cursor) {
	h := &s.proto.metric.histo
	line := c.sampleHash(fieldNative, 0)
	for _, text := range h.exemplars {
		s.addExemplar(p, text, line, true)
	}
	if len(h.exemplars) > 0 {
		return
	}
	for i := range h.buckets {
		if text := h.buckets[i].exemplar; text.end > 0 {
			s.addExemplar(p, text, line, true)
		}
	}
}

// float hands on one sample of a metric: which one field says, with the bound
// or rank of buckets and quantiles.
func (s *Scanner) float(w *wire, c *cursor, field uint8, bound, v float64) place {
	m := &s.proto.metric
	start, timed := s.startOf(m), m.time != 0
	ref, known := s.recall(c.lines, c.at, c.sampleHash(field, bound), c.size)
	switch {
	case !known:
		n := New{Value: v, Time: m.time, Timed: timed, Start: start}
		return s.newSample(w, c, n, field, bound)
	case timed:
		s.Timed = append(s.Timed, Timed{Ref: ref, Value: v, Time: m.time, Start: start})
	default:
		s.Refs, s.Values = append(s.Refs, ref), append(s.Values, v)
		s.noteStart(start)
	}
	return place{ref, -1}
}

// histogram hands on a native histogram.
func (s *Scanner) histogram(w *wire, c *cursor, h column.Histogram) place {
	m := &s.proto.metric
	start, timed := s.startOf(m), m.time != 0
	ref, known := s.recall(c.lines, c.at, c.sampleHash(fieldNative, 0), c.size)
	if !known {
		return s.newSample(w, c, New{Histogram: h, Time: m.time, Timed: timed, Start: start}, fieldNative, 0)
	}
	s.Histograms = append(s.Histograms, Histogram{Ref: ref, Value: h, Time: m.time, Timed: timed, Start: start})
	return place{ref, -1}
}

func (s *Scanner) startOf(m *metric) int64 {
	if s.options.Starts {
		return m.start
	}
	return 0
}

// noteStart gives the newest of Refs its start timestamp.
func (s *Scanner) noteStart(start int64) {
	if start == 0 && len(s.Starts) == 0 {
		return
	}
	for len(s.Starts) < len(s.Refs) {
		s.Starts = append(s.Starts, 0)
	}
	s.Starts[len(s.Refs)-1] = start
}

func (c *cursor) sampleHash(field uint8, bound float64) uint64 {
	if field == fieldValue {
		return c.hash
	}
	return mix(c.hash + uint64(field)<<56 ^ math.Float64bits(bound))
}

// recall finds a sample among those remembered and goes on behind it.
func (s *Scanner) recall(lines []line, at *walk, hash uint64, size int) (Ref, bool) {
	i := at.at
	if i >= len(lines) || lines[i].hash != hash || int(lines[i].size) != size {
		if i = s.lookup(lines, at, hash, size); i < 0 {
			return Ref{}, false
		}
		s.change(lines, at.at)
	}
	if s.changed {
		s.next = append(s.next, lines[i])
	}
	at.at = i + 1
	return Ref{lines[i].slot, lines[i].group}, true
}

// newSample notes a sample that is not remembered.
func (s *Scanner) newSample(w *wire, c *cursor, n New, field uint8, bound float64) place {
	if !c.checked {
		if s.checkLabels(w, c.content); w.fault != "" {
			return place{isNew: -1}
		}
		c.checked = true
	}
	s.change(c.lines, c.at.at)
	n.text, n.name = c.content, s.proto.family.name
	n.field, n.bound = field, bound
	n.line = int32(len(s.next))
	s.next = append(s.next, line{hash: c.sampleHash(field, bound), size: uint16(c.size), group: groupPending})
	s.New = append(s.New, n)
	return place{isNew: len(s.New) - 1}
}

// checkLabels refuses labels that are not valid UTF-8, and empty names.
func (s *Scanner) checkLabels(w *wire, content span) {
	s.eachLabel(content, func(pair span) {
		in := wire{body: s.reader.body, pos: int(pair.start), end: int(pair.end)}
		name, value := in.pair()
		switch {
		case in.fault != "":
			w.adopt(&in)
		case name.end > 0 && !model.UTF8Validation.IsValidLabelName(string(s.reader.text(name))):
			w.fail("a label's name is empty or not valid UTF-8")
		case !utf8.Valid(s.reader.text(value)):
			w.fail("a label's value is not valid UTF-8")
		}
	})
}

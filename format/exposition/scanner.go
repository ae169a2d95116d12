package exposition

import (
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"

	"github.com/nilometer/nilometer/model/column"
)

// bodySizeMax bounds a body, bytes: offsets are kept in 32 bits.
const bodySizeMax = 1<<31 - 1

// Options say how a body is read. Only the format must be given.
type Options struct {
	Format Format
	// Native reads the native histograms of protobuf; without it there are
	// their classic parts only.
	Native bool
	// Custom converts classic histograms to native ones with custom buckets.
	Custom bool
	// Classic keeps the classic parts of histograms that are native or were
	// converted.
	Classic bool
	// Starts reads start timestamps.
	Starts bool
}

// Timed is a known sample with a timestamp of its own.
type Timed struct {
	Ref   Ref
	Value float64
	Time  int64 // ms since the Unix epoch
	Start int64 // ms since the Unix epoch, 0 without one
}

// New is a sample whose line the memory did not know.
type New struct {
	// Histogram is the value unless it is zero; then Value is.
	Histogram column.Histogram
	Value     float64
	Time      int64 // ms since the Unix epoch, when Timed
	Start     int64 // ms since the Unix epoch, 0 without one
	Timed     bool

	kind   uint8   // code of the metric type in force
	field  uint8   // which sample of a metric it is
	line   int32   // in Scanner.next, -1 when it cannot be remembered
	text   span    // of the line up to its value; of a metric's message
	name   span    // in the body
	labels span    // in Scanner.spans
	bound  float64 // of a bucket or quantile, in protobuf
}

// Scanner reads bodies. Its lists are valid until the next Scan and belong to
// the caller until then; a Scanner is reused to reuse their memory, also for
// other targets. It is used by one goroutine at a time.
type Scanner struct {
	// Refs and Values are the samples of remembered lines without timestamps,
	// in the body's order.
	Refs   []Ref
	Values []float64
	// Starts is empty, or parallel to Refs: start timestamps (ms), 0 for none.
	Starts []int64
	// Timed are those with a timestamp.
	Timed []Timed
	// Histograms are the native histograms of remembered series. Their memory
	// belongs to the Scanner: the caller may change them until the next Scan.
	Histograms []Histogram
	// New are the samples that the memory did not know, in the body's order.
	New []New
	// Metadata has the metadata lines that the memory did not know.
	Metadata []Metadata
	// Exemplars are those that the body before did not have, in the body's order.
	Exemplars []Exemplar

	options Options
	slow    uint32 // Options.slowKinds
	proto   protobuf
	run     run
	seen    seenExemplars
	reader  reader
	ahead   reader // for lines further on
	next    []line
	changed bool // next is in use; otherwise the memory's lines fit
	spans   []span
	index   index
	indexed bool
	builder labels.ScratchBuilder
}

// Samples returns the number of samples of the last body.
func (s *Scanner) Samples() int {
	return len(s.Refs) + len(s.Timed) + len(s.Histograms) + len(s.New)
}

// Scan reads body against what mem knows. Neither is changed, and body must
// stay as it is until the last use of the lists. The error is a *ParseError;
// the lists have what was found before it then.
func (s *Scanner) Scan(mem *Memory, body []byte, o Options) error {
	s.reset(body, o)
	lines := mem.lines
	s.seen.reset(mem.exemplars)
	if mem.options != o {
		lines, s.changed = nil, true
		s.seen.reset(nil)
	}
	if len(body) > bodySizeMax {
		return newParseError(body[:0], 0, "the body is over 2 GiB")
	}
	if o.Format == Protobuf {
		return s.scanProtobuf(lines)
	}
	var w walk
	for {
		if !s.enter(&w) {
			before := w
			w, s.Refs, s.Values = known(body, lines, w, s.slow, s.Refs, s.Values)
			if s.changed {
				s.next = append(s.next, lines[before.at:w.at]...)
			}
			if w.typeAt != before.typeAt && s.slow>>w.kind&1 != 0 {
				continue // another family to look at
			}
		}
		if w.pos >= len(body) {
			break
		}
		eof, err := s.slowLine(lines, &w)
		if err != nil {
			return err
		}
		if eof {
			return s.finish(lines, w)
		}
	}
	if o.Format == OpenMetrics {
		return newParseError(body, len(body), "the body does not end with # EOF")
	}
	return s.finish(lines, w)
}

func (s *Scanner) reset(body []byte, o Options) {
	s.Refs, s.Values, s.Starts, s.Timed = s.Refs[:0], s.Values[:0], s.Starts[:0], s.Timed[:0]
	s.New, s.Metadata, s.spans = s.New[:0], s.Metadata[:0], s.spans[:0]
	s.Histograms, s.Exemplars = s.Histograms[:0], s.Exemplars[:0]
	s.options, s.reader.body, s.reader.format = o, body, o.Format
	s.next, s.changed, s.indexed = s.next[:0], false, false
	s.proto.hists.reset()
	s.slow, s.run.of, s.run.special, s.run.convert.under = o.slowKinds(), 0, false, false
}

// padStarts makes Starts as long as Refs, if there are any.
func (s *Scanner) padStarts() {
	for n := len(s.Starts); n > 0 && n < len(s.Refs); n++ {
		s.Starts = append(s.Starts, 0)
	}
}

// finish notes that lines were left over at the body's end.
func (s *Scanner) finish(lines []line, w walk) error {
	s.complete(lines, &w)
	s.padStarts()
	if !s.changed && w.at < len(lines) {
		s.change(lines, w.at)
	}
	return nil
}

// change begins the list of the next memory's lines with those walked so far.
func (s *Scanner) change(lines []line, at int) {
	if !s.changed {
		s.changed = true
		s.next = append(s.next[:0], lines[:at]...)
	}
}

// slowLine reads one line by the grammar and finds it in lines again where it
// can.
func (s *Scanner) slowLine(lines []line, w *walk) (eof bool, err error) {
	r := &s.reader
	i := r.blanks(w.pos)
	if i >= len(r.body) {
		w.pos = i
		return false, nil
	}
	switch c := r.body[i]; {
	case c == '\n' && r.format == Text:
		s.silent(lines, w, i+1, 0, false)
		return false, nil
	case c == '#':
		return s.commentLine(lines, w, i)
	case isNameStart(c) || c == '{':
		return false, s.sampleLine(lines, w, i)
	}
	return false, r.fail(i, "a line begins with a metric name, a brace or #")
}

func (s *Scanner) commentLine(lines []line, w *walk, i int) (eof bool, err error) {
	r := &s.reader
	c, err := r.comment(i)
	if err != nil {
		return false, err
	}
	if c.eof {
		if c.end != len(r.body) {
			return false, r.fail(c.end, "there is more after # EOF")
		}
		w.pos = c.end
		return true, nil
	}
	s.complete(lines, w)
	var code uint32
	if c.meta.Field == FieldType {
		code = kindOf(c.meta.Type)
		w.kind, w.typeAt = code, i
	}
	if c.meta.Field != FieldNone {
		s.Metadata = append(s.Metadata, c.meta)
	}
	s.silent(lines, w, c.end, code, true)
	return false, nil
}

// silent remembers a line without a sample, which ends before end, and goes on
// behind it.
func (s *Scanner) silent(lines []line, w *walk, end int, code uint32, distinct bool) {
	s.change(lines, w.at)
	size := end - w.pos
	if size <= lineSizeMax && s.reader.body[end-1] == '\n' {
		l := line{hash: lineHash(s.reader.body[w.pos:end]), size: uint16(size), group: groupComment, slot: code}
		if distinct {
			if at := s.lookup(lines, w, l.hash, size); at >= 0 {
				w.at = at + 1
			}
		}
		s.next = append(s.next, l)
	}
	w.pos = end
}

func (s *Scanner) sampleLine(lines []line, w *walk, i int) error {
	r := &s.reader
	special := s.enter(w)
	if w.at < len(lines) && !special {
		l := &lines[w.at]
		if l.group != groupComment && l.matches(r.body, w.pos, salts[w.kind]) {
			sm := sample{value: w.pos + int(l.size)}
			v, i, ok := fastFloat(r.body, sm.value)
			if ok {
				sm.v = v
				sm.end, ok = s.behindExemplar(l, i)
			}
			if ok || r.valueOn(&sm) == nil {
				s.knownLine(lines, w, w.at, sm)
				return nil
			}
		}
	}
	sm, err := r.sample(i)
	if err != nil {
		return err
	}
	if special && !s.together(lines, w, &sm) {
		w.pos = sm.end
		return nil
	}
	size := sm.value - w.pos
	hash := lineHash(r.body[w.pos:sm.value]) ^ salts[w.kind]
	if at := s.lookup(lines, w, hash, size); at >= 0 && lines[at].group != groupComment {
		s.knownLine(lines, w, at, sm)
		return nil
	}
	s.change(lines, w.at)
	if sm.exemplar.end > 0 {
		s.addTextExemplar(place{isNew: len(s.New)}, &sm, hash)
	}
	n := New{
		Value: sm.v, Time: sm.time, Timed: sm.timed, Start: sm.start,
		text: span{uint32(w.pos), uint32(sm.value)}, name: sm.name, kind: uint8(w.kind), line: -1,
	}
	n.labels.start = uint32(len(s.spans))
	s.spans = append(s.spans, sm.labels...)
	n.labels.end = uint32(len(s.spans))
	if size <= lineSizeMax && endsCleanly(r.body[sm.value-1]) {
		n.line = int32(len(s.next))
		s.next = append(s.next, line{hash: hash, size: uint16(size), group: groupPending})
	}
	s.New = append(s.New, n)
	w.pos = sm.end
	return nil
}

// together reads a line of a special family with the others, and reports
// whether it is a sample of its own, too.
func (s *Scanner) together(lines []line, w *walk, sm *sample) bool {
	if s.options.Starts && s.reader.format == OpenMetrics {
		if s.isCreated(sm.name) {
			return false
		}
		sm.start = s.startOfLine(sm, w.kind)
	}
	if !s.options.Custom || w.kind != codeHistogram {
		return true
	}
	return !s.gather(lines, w, sm) || s.options.Classic
}

// endsCleanly tells whether the last byte before a value says that it is one. A
// value may stand right behind a name ("a-1"), but then these bytes could be
// the beginning of a longer name in another body.
func endsCleanly(last byte) bool { return last == ' ' || last == '\t' || last == '}' }

// lookup finds a line among those remembered: where it is expected, a little
// further on (lines were removed), or anywhere (the order changed).
func (s *Scanner) lookup(lines []line, w *walk, hash uint64, size int) int {
	if len(lines) == 0 {
		return -1
	}
	if at := seek(lines, w.at, hash, size); at >= 0 {
		return at
	}
	if !s.indexed {
		s.index, s.indexed = s.index.build(lines), true
	}
	return s.index.find(lines, hash, size)
}

// knownLine takes the sample of the remembered line at and goes on behind it.
func (s *Scanner) knownLine(lines []line, w *walk, at int, sm sample) {
	if sm.exemplar.end > 0 {
		s.addTextExemplar(place{Ref{lines[at].slot, lines[at].group}, -1}, &sm, lines[at].hash)
	}
	if at != w.at {
		s.change(lines, w.at)
	}
	l := lines[at]
	if s.changed {
		s.next = append(s.next, l)
	}
	ref := Ref{l.slot, l.group}
	if sm.timed {
		s.Timed = append(s.Timed, Timed{Ref: ref, Value: sm.v, Time: sm.time, Start: sm.start})
	} else {
		s.Refs = append(s.Refs, ref)
		s.Values = append(s.Values, sm.v)
		s.noteStart(sm.start)
	}
	w.at, w.pos = at+1, sm.end
}

// Fault returns a *ParseError for the line of the i-th new sample, for reasons
// that only the caller can see.
func (s *Scanner) Fault(i int, reason string) error {
	if n := &s.New[i]; s.reader.format == Protobuf {
		return &ParseError{Offset: int(n.text.start), Text: Shorten(s.reader.text(n.name)), Reason: reason}
	}
	return newParseError(s.reader.body, int(s.New[i].text.start), reason)
}

// Remember gives the i-th new sample its Ref. A new sample without one is
// forgotten by Commit, so that it is new again in the next body.
func (s *Scanner) Remember(i int, ref Ref) {
	if n := &s.New[i]; n.line >= 0 {
		l := &s.next[n.line]
		l.slot, l.group = ref.Slot, ref.Group
	}
}

// Commit makes the last body's lines what mem knows. It is called at most once
// after a Scan, with that Scan's Memory.
func (s *Scanner) Commit(mem *Memory) {
	mem.exemplars = append(mem.exemplars[:0], s.seen.now...)
	if !s.changed {
		return
	}
	kept := s.next[:0]
	for _, l := range s.next {
		if l.group != groupPending {
			kept = append(kept, l)
		}
	}
	if cap(mem.lines) < len(kept) || cap(mem.lines) > 2*len(kept)+64 {
		mem.lines = make([]line, 0, len(kept)+len(kept)/16)
	}
	mem.lines = append(mem.lines[:0], kept...)
	mem.options = s.options
	s.changed = false
}

// Codes of the metric types whose samples depend on them.
const (
	codeCounter   = 2
	codeHistogram = 4
	codeSummary   = 5
)

// kinds are the metric types by code; code 0 is "none seen".
var kinds = [...]model.MetricType{
	"", model.MetricTypeUnknown, codeCounter: model.MetricTypeCounter, 3: model.MetricTypeGauge,
	codeHistogram: model.MetricTypeHistogram, codeSummary: model.MetricTypeSummary,
	6: model.MetricTypeGaugeHistogram, 7: model.MetricTypeInfo, 8: model.MetricTypeStateset,
}

func kindOf(t model.MetricType) uint32 {
	for i, k := range kinds {
		if k == t {
			return uint32(i)
		}
	}
	return 0
}

package exposition

import (
	"bytes"

	"github.com/cespare/xxhash/v2"
	"github.com/prometheus/common/model"
)

// createdSuffix ends the name of the OpenMetrics sample that says when the
// others of its metric began.
const createdSuffix = "_created"

// run is what the scanner knows of the lines under one TYPE, where the options
// ask for more than each line says by itself.
type run struct {
	of      int    // where the TYPE line begins, plus 1; 0: none was looked at
	special bool   // lines are read by the grammar, and together
	family  string // the name behind TYPE

	created map[uint64]int64 // start timestamps (ms) by what identifies a metric
	convert conversion
}

// slowKinds are the types whose families the options make special, as bits by
// code.
func (o Options) slowKinds() (mask uint32) {
	if o.Format == Protobuf {
		return 0
	}
	if o.Custom {
		mask |= 1 << codeHistogram
	}
	if o.Starts && o.Format == OpenMetrics {
		mask |= 1<<codeCounter | 1<<codeHistogram | 1<<codeSummary
	}
	return mask
}

// enter looks at the family that begins where w stands, when it may be special,
// and reports whether it is.
func (s *Scanner) enter(w *walk) bool {
	if s.slow>>w.kind&1 == 0 {
		return false
	}
	r := &s.run
	if r.of == w.typeAt+1 {
		return r.special
	}
	r.of, r.special = w.typeAt+1, s.options.Custom && w.kind == codeHistogram
	clear(r.created)
	c, err := s.reader.comment(s.reader.blanks(w.typeAt))
	if err != nil {
		return r.special // it was read without an error before
	}
	r.family = c.meta.Family
	if s.options.Starts && s.reader.format == OpenMetrics {
		r.special = s.findCreated(c.end, w.kind) || r.special
	}
	return r.special
}

// findCreated reads the lines _created from i to the next TYPE. What is wrong
// with a line is for those to say who read all of them.
func (s *Scanner) findCreated(i int, kind uint32) bool {
	region := s.reader.body[i:]
	if end := bytes.Index(region, []byte("\n# TYPE ")); end >= 0 {
		region = region[:end+1]
	}
	if !bytes.Contains(region, []byte(createdSuffix)) {
		return false
	}
	if s.run.created == nil {
		s.run.created = map[uint64]int64{}
	}
	own := s.ahead // the spans of labels are scratch: those of the line at hand stay
	own.body, own.format = s.reader.body, s.reader.format
	for at := i; at < i+len(region); at = own.lineEnd(at) {
		if c := own.body[at]; !isNameStart(c) && c != '{' {
			continue
		}
		sm, err := own.sample(at)
		if err != nil || !s.isCreated(sm.name) {
			continue
		}
		if ms := sm.v * 1000; ms > 0 && ms < 9e15 {
			s.run.created[own.identity(&sm, kind)] = int64(ms)
		}
	}
	s.ahead = own
	return true
}

// isCreated tells whether a sample's name is the family's with _created.
func (s *Scanner) isCreated(name span) bool {
	base, ok := bytes.CutSuffix(s.reader.text(name), []byte(createdSuffix))
	return ok && string(base) == s.run.family
}

// startOfLine returns the start timestamp of a sample of a special family.
func (s *Scanner) startOfLine(sm *sample, kind uint32) int64 {
	if len(s.run.created) == 0 || !bytes.HasPrefix(s.reader.text(sm.name), []byte(s.run.family)) {
		return 0
	}
	return s.run.created[s.reader.identity(sm, kind)]
}

// identity hashes the labels that tell the metrics of a family apart, in
// whichever order they stand.
func (r *reader) identity(sm *sample, kind uint32) (h uint64) {
	for i := 0; i+1 < len(sm.labels); i += 2 {
		name, value := r.text(sm.labels[i]), r.text(sm.labels[i+1])
		if kind == codeHistogram && string(name) == model.BucketLabel || kind == codeSummary && string(name) == model.QuantileLabel {
			continue
		}
		h += mix(xxhash.Sum64(name) + mix(xxhash.Sum64(value)))
	}
	return h
}

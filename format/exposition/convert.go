package exposition

import (
	"math"
	"strconv"

	"github.com/cespare/xxhash/v2"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/util/convertnhcb"
)

// conversion gathers the lines of one classic histogram, which stand together.
type conversion struct {
	under     bool // there are lines
	identity  uint64
	first     New // the first line; its labels are those of the histogram
	exemplars []Exemplar
}

// gather adds the line that was read to the histogram that it is a part of, and
// reports whether it is one. A line of another histogram, or of none, completes
// the one before.
func (s *Scanner) gather(lines []line, w *walk, sm *sample) bool {
	c := &s.run.convert
	suffix, base := convertnhcb.GetHistogramMetricBaseName(unescape(string(s.reader.text(sm.name))))
	identity := s.reader.identity(sm, codeHistogram)
	if c.under && (base != s.run.family || identity != c.identity) {
		s.complete(lines, w)
	}
	if suffix == convertnhcb.SuffixNone || base != s.run.family || w.kind != codeHistogram {
		return false
	}
	hists := &s.proto.hists
	bound := 0.0
	if suffix == convertnhcb.SuffixBucket {
		var ok bool
		if bound, ok = s.bound(sm); !ok {
			return false
		}
	}
	if !c.under {
		hists.begin()
		*c = conversion{under: true, identity: identity, exemplars: c.exemplars[:0]}
		c.first = New{Start: sm.start, text: span{uint32(w.pos), uint32(sm.value)}, name: sm.name, kind: uint8(w.kind), line: -1, field: fieldNative}
		c.first.labels.start = uint32(len(s.spans))
		s.spans = append(s.spans, sm.labels...)
		c.first.labels.end = uint32(len(s.spans))
	}
	c.first.Time, c.first.Timed = sm.time, sm.timed
	switch suffix {
	case convertnhcb.SuffixBucket:
		hists.bucket(bound, sm.v)
	case convertnhcb.SuffixCount:
		_ = hists.temp.SetCount(sm.v) // the first fault is kept: Convert returns it
	case convertnhcb.SuffixSum:
		_ = hists.temp.SetSum(sm.v)
	}
	if sm.exemplar.end > 0 {
		if x := s.reader.exemplarLast; x.Timed { // without a timestamp they count for nothing
			x.text = sm.exemplar
			c.exemplars = append(c.exemplars, x)
		}
		sm.exemplar = span{}
	}
	return true
}

// bound reads the label le.
func (s *Scanner) bound(sm *sample) (float64, bool) {
	for i := 0; i+1 < len(sm.labels); i += 2 {
		if string(s.reader.text(sm.labels[i])) == model.BucketLabel {
			v, err := strconv.ParseFloat(unescape(string(s.reader.text(sm.labels[i+1]))), 64)
			return v, err == nil && !math.IsNaN(v)
		}
	}
	return 0, false
}

// complete hands on the histogram that was gathered. Lines that make none are
// left out.
func (s *Scanner) complete(lines []line, w *walk) {
	c := &s.run.convert
	if !c.under {
		return
	}
	c.under = false
	h, err := s.proto.hists.convert(false)
	if err != nil || h.Int != nil && h.Int.Validate() != nil || h.Float != nil && h.Float.Validate() != nil {
		return
	}
	n := c.first
	n.Histogram = h
	hash := mix(xxhash.Sum64String(s.run.family) + c.identity + fieldNative)
	size := min(len(s.run.family), lineSizeMax)
	at := place{isNew: -1}
	var known bool
	if at.ref, known = s.recall(lines, w, hash, size); known {
		s.Histograms = append(s.Histograms, Histogram{Ref: at.ref, Value: h, Time: n.Time, Timed: n.Timed, Start: n.Start})
	} else {
		s.change(lines, w.at)
		at.isNew, n.line = len(s.New), int32(len(s.next))
		s.next = append(s.next, line{hash: hash, size: uint16(size), group: groupPending})
		s.New = append(s.New, n)
	}
	for _, x := range c.exemplars {
		if s.seen.note(exemplarHash(s.reader.text(x.text), hash)) {
			continue
		}
		x.Ref, x.New, x.SampleTime, x.SampleTimed = at.ref, at.isNew, n.Time, n.Timed
		s.Exemplars = append(s.Exemplars, x)
	}
}

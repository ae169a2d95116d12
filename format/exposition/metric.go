package exposition

import (
	"encoding/binary"
	"math"

	"github.com/prometheus/prometheus/model/histogram"
)

// Field numbers of io.prometheus.client and its messages (metrics.proto of
// client_model).
const (
	familyName, familyHelp, familyType, familyMetric, familyUnit = 1, 2, 3, 4, 5

	metricLabel, metricGauge, metricCounter, metricSummary = 1, 2, 3, 4
	metricUntyped, metricTime, metricHistogram             = 5, 6, 7

	pairName, pairValue = 1, 2

	simpleValue, counterExemplar, counterStart = 1, 2, 3

	summaryCount, summarySum, summaryQuantile, summaryStart = 1, 2, 3, 4
	quantileRank, quantileValue                             = 1, 2

	histogramCount, histogramSum, histogramBucket, histogramCountFloat       = 1, 2, 3, 4
	histogramSchema, histogramZeroThreshold, histogramZeroCount              = 5, 6, 7
	histogramZeroCountFloat, histogramNegSpan, histogramNegDelta             = 8, 9, 10
	histogramNegCount, histogramPosSpan, histogramPosDelta                   = 11, 12, 13
	histogramPosCount, histogramStart, histogramExemplar                     = 14, 15, 16
	bucketCount, bucketBound, bucketExemplar, bucketCountFloat         int32 = 1, 2, 3, 4
	spanOffset, spanLength                                             int32 = 1, 2
	timeSeconds, timeNanos                                             int32 = 1, 2
	exemplarLabel, exemplarValue, exemplarTime                         int32 = 1, 2, 3
)

// Values of io.prometheus.client.MetricType.
const (
	protoCounter, protoGauge, protoSummary, protoUntyped, protoHistogram, protoGaugeHistogram = 0, 1, 2, 3, 4, 5
)

// metric is one decoded Metric message. Its lists are reused for the next.
type metric struct {
	labels    span // of the body: the fields of labels with their tags
	scattered bool // there are other fields between them
	time      int64

	value    float64 // of a counter, gauge or untyped metric
	start    int64   // ms, 0 without one
	exemplar span    // of a counter

	count     uint64
	sum       float64
	quantiles []quantile
	histo     histo
	hasHisto  bool // a histogram was read
}

type quantile struct{ rank, value float64 }

// bucket is one of a classic histogram.
type bucket struct {
	bound, count float64
	exemplar     span
}

// histo is what only histograms have.
type histo struct {
	countFloat, zeroThreshold, zeroCountFloat float64
	zeroCount                                 uint64
	schema                                    int32
	buckets                                   []bucket
	negSpans, posSpans                        []histogram.Span
	negDeltas, posDeltas                      []int64
	negCounts, posCounts                      []float64
	exemplars                                 []span
}

// reset empties m; what only histograms have is emptied where there was one.
func (m *metric) reset() {
	m.labels, m.scattered, m.time = span{}, false, 0
	m.value, m.start, m.exemplar = 0, 0, span{}
	m.count, m.sum, m.quantiles = 0, 0, m.quantiles[:0]
	if !m.hasHisto {
		return
	}
	m.hasHisto = false
	h := &m.histo
	*h = histo{
		buckets: h.buckets[:0], negSpans: h.negSpans[:0], posSpans: h.posSpans[:0],
		negDeltas: h.negDeltas[:0], posDeltas: h.posDeltas[:0],
		negCounts: h.negCounts[:0], posCounts: h.posCounts[:0], exemplars: h.exemplars[:0],
	}
}

// counts returns the number of observations, whichever way it was given.
func (m *metric) counts() float64 {
	if m.histo.countFloat != 0 {
		return m.histo.countFloat
	}
	return float64(m.count)
}

// native tells whether there is a native histogram: one without observations
// and zero threshold has a span of length 0.
func (h *histo) native() bool {
	return len(h.posSpans) > 0 || len(h.negSpans) > 0 || h.zeroThreshold > 0 || h.zeroCount > 0
}

// floats tells whether the counts are floats.
func (h *histo) floats() bool { return h.countFloat > 0 || h.zeroCountFloat > 0 }

// consistent tells whether the spans have as many buckets as there are.
func (h *histo) consistent() bool {
	neg, pos := len(h.negDeltas), len(h.posDeltas)
	if h.floats() {
		neg, pos = len(h.negCounts), len(h.posCounts)
	}
	return bucketsOf(h.negSpans) == neg && bucketsOf(h.posSpans) == pos
}

func bucketsOf(spans []histogram.Span) (n int) {
	for _, s := range spans {
		n += int(s.Length)
	}
	return n
}

// read decodes a metric of a family of the given type. Values of other types
// are checked and end in other.
func (m *metric) read(w *wire, kind int32, other *metric) {
	m.reset()
	if m.readPlain(w, kind) {
		return
	}
	into := func(wants bool) *metric {
		if wants {
			return m
		}
		other.reset()
		return other
	}
	for {
		at := w.pos
		field, typ, ok := w.next()
		if !ok {
			return
		}
		switch field {
		case metricLabel:
			w.bytes(typ)
			m.noteLabel(at, w.pos)
		case metricGauge:
			into(kind == protoGauge).readSimple(w, typ, false)
		case metricCounter:
			into(kind == protoCounter).readSimple(w, typ, true)
		case metricUntyped:
			into(kind == protoUntyped).readSimple(w, typ, false)
		case metricSummary:
			into(kind == protoSummary).readSummary(w, typ)
		case metricHistogram:
			into(kind == protoHistogram || kind == protoGaugeHistogram).readHistogram(w, typ)
		case metricTime:
			m.time = int64(w.number(typ))
		default:
			w.skip(typ)
		}
	}
}

// readPlain reads labels, and then a value if nothing else is there: the plain
// form of a counter, gauge or untyped metric. It reports whether that was all.
func (m *metric) readPlain(w *wire, kind int32) bool {
	const labelTag, doubleTag = metricLabel<<3 | wireBytes, simpleValue<<3 | wireFixed64
	b, start := w.body, w.pos
	for w.end-w.pos >= 2 && b[w.pos] == labelTag && b[w.pos+1] < 0x80 && w.pos+2+int(b[w.pos+1]) <= w.end {
		w.pos += 2 + int(b[w.pos+1])
	}
	if w.pos > start {
		m.labels = span{uint32(start), uint32(w.pos)}
	}
	if w.end-w.pos != 11 || b[w.pos+1] != 9 || b[w.pos+2] != doubleTag {
		return false
	}
	switch tag := b[w.pos]; {
	case tag == metricCounter<<3|wireBytes && kind == protoCounter,
		tag == metricGauge<<3|wireBytes && kind == protoGauge,
		tag == metricUntyped<<3|wireBytes && kind == protoUntyped:
		m.value = math.Float64frombits(binary.LittleEndian.Uint64(b[w.pos+3:]))
		w.pos = w.end
		return true
	}
	return false
}

func (m *metric) noteLabel(start, end int) {
	switch {
	case m.labels.end == 0:
		m.labels = span{uint32(start), uint32(end)}
	case int(m.labels.end) != start:
		m.scattered = true
		fallthrough
	default:
		m.labels.end = uint32(end)
	}
}

func (m *metric) readSimple(w *wire, typ uint8, counter bool) {
	in := w.within(w.bytes(typ))
	for {
		field, typ, ok := in.next()
		switch {
		case !ok:
			w.adopt(&in)
			return
		case field == simpleValue:
			m.value = math.Float64frombits(in.fixed64(typ))
		case field == counterExemplar && counter:
			m.exemplar = in.checkedExemplar(typ)
		case field == counterStart && counter:
			m.start = in.timestamp(typ)
		default:
			in.skip(typ)
		}
	}
}

func (m *metric) readSummary(w *wire, typ uint8) {
	in := w.within(w.bytes(typ))
	for {
		field, typ, ok := in.next()
		if !ok {
			w.adopt(&in)
			return
		}
		switch field {
		case summaryCount:
			m.count = in.number(typ)
		case summarySum:
			m.sum = math.Float64frombits(in.fixed64(typ))
		case summaryQuantile:
			m.readQuantile(&in, typ)
		case summaryStart:
			m.start = in.timestamp(typ)
		default:
			in.skip(typ)
		}
	}
}

func (m *metric) readQuantile(w *wire, typ uint8) {
	var q quantile
	in := w.within(w.bytes(typ))
	for {
		field, typ, ok := in.next()
		switch {
		case !ok:
			w.adopt(&in)
			m.quantiles = append(m.quantiles, q)
			return
		case field == quantileRank:
			q.rank = math.Float64frombits(in.fixed64(typ))
		case field == quantileValue:
			q.value = math.Float64frombits(in.fixed64(typ))
		default:
			in.skip(typ)
		}
	}
}

func (m *metric) readHistogram(w *wire, typ uint8) {
	h := &m.histo
	m.hasHisto = true
	in := w.within(w.bytes(typ))
	double := func(typ uint8) float64 { return math.Float64frombits(in.fixed64(typ)) }
	for {
		field, typ, ok := in.next()
		if !ok {
			w.adopt(&in)
			return
		}
		switch field {
		case histogramCount:
			m.count = in.number(typ)
		case histogramSum:
			m.sum = double(typ)
		case histogramBucket:
			h.readBucket(&in, typ)
		case histogramCountFloat:
			h.countFloat = double(typ)
		case histogramSchema:
			h.schema = zigzag32(in.number(typ))
		case histogramZeroThreshold:
			h.zeroThreshold = double(typ)
		case histogramZeroCount:
			h.zeroCount = in.number(typ)
		case histogramZeroCountFloat:
			h.zeroCountFloat = double(typ)
		case histogramNegSpan:
			h.negSpans = append(h.negSpans, in.bucketSpan(typ))
		case histogramPosSpan:
			h.posSpans = append(h.posSpans, in.bucketSpan(typ))
		case histogramNegDelta:
			in.repeat(typ, wireVarint, func() { h.negDeltas = append(h.negDeltas, zigzag(in.varint())) })
		case histogramPosDelta:
			in.repeat(typ, wireVarint, func() { h.posDeltas = append(h.posDeltas, zigzag(in.varint())) })
		case histogramNegCount:
			in.repeat(typ, wireFixed64, func() { h.negCounts = append(h.negCounts, math.Float64frombits(in.eight())) })
		case histogramPosCount:
			in.repeat(typ, wireFixed64, func() { h.posCounts = append(h.posCounts, math.Float64frombits(in.eight())) })
		case histogramStart:
			m.start = in.timestamp(typ)
		case histogramExemplar:
			h.exemplars = append(h.exemplars, in.checkedExemplar(typ))
		default:
			in.skip(typ)
		}
	}
}

func (h *histo) readBucket(w *wire, typ uint8) {
	var b bucket
	var count uint64
	in := w.within(w.bytes(typ))
	for {
		field, typ, ok := in.next()
		if !ok {
			if b.count == 0 {
				b.count = float64(count)
			}
			h.buckets = append(h.buckets, b)
			w.adopt(&in)
			return
		}
		switch field {
		case bucketCount:
			count = in.number(typ)
		case bucketBound:
			b.bound = math.Float64frombits(in.fixed64(typ))
		case bucketExemplar:
			b.exemplar = in.checkedExemplar(typ)
		case bucketCountFloat:
			b.count = math.Float64frombits(in.fixed64(typ))
		default:
			in.skip(typ)
		}
	}
}

func (w *wire) bucketSpan(typ uint8) (s histogram.Span) {
	in := w.within(w.bytes(typ))
	for {
		field, typ, ok := in.next()
		switch {
		case !ok:
			w.adopt(&in)
			return s
		case field == spanOffset:
			s.Offset = zigzag32(in.number(typ))
		case field == spanLength:
			s.Length = uint32(in.number(typ))
		default:
			in.skip(typ)
		}
	}
}

// timestamp reads a google.protobuf.Timestamp to milliseconds.
func (w *wire) timestamp(typ uint8) int64 {
	var seconds int64
	var nanos int32
	in := w.within(w.bytes(typ))
	for {
		field, typ, ok := in.next()
		switch {
		case !ok:
			w.adopt(&in)
			return seconds*1000 + int64(nanos)/1e6
		case field == timeSeconds:
			seconds = int64(in.number(typ))
		case field == timeNanos:
			nanos = int32(in.number(typ))
		default:
			in.skip(typ)
		}
	}
}

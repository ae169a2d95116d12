package exposition_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/gogo/protobuf/types"
	"github.com/prometheus/prometheus/model/exemplar"
	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/textparse"
	dto "github.com/prometheus/prometheus/prompb/io/prometheus/client"

	"github.com/nilometer/nilometer/format/exposition"
	"github.com/nilometer/nilometer/model/column"
)

// whole is a sample of any kind with all that belongs to it, as text.
func whole(l labels.Labels, v float64, h column.Histogram, timed bool, t, start int64) string {
	out := l.String()
	switch {
	case h.Int != nil:
		out += fmt.Sprintf(" int %+v", normal(*h.Int))
	case h.Float != nil:
		f := *h.Float
		out += fmt.Sprintf(" float %v %v %v %v %v %v %v %v %v %v %v", f.CounterResetHint, f.Schema, f.ZeroThreshold, f.ZeroCount, f.Count, f.Sum,
			spans(f.PositiveSpans), spans(f.NegativeSpans), f.PositiveBuckets, f.NegativeBuckets, f.CustomValues)
	default:
		out += fmt.Sprintf(" %016x", math.Float64bits(v))
	}
	if timed {
		out += fmt.Sprint(" at ", t)
	}
	if start != 0 {
		out += fmt.Sprint(" from ", start)
	}
	return out
}

// of is an exemplar of a series, as text.
func of(l labels.Labels, x exemplar.Exemplar) string {
	return fmt.Sprintf("%s # %s %016x %v %d", l, x.Labels, math.Float64bits(x.Value), x.HasTs, x.Ts)
}

func spans(s []histogram.Span) string { return fmt.Sprint(s) }

func normal(h histogram.Histogram) string {
	return fmt.Sprint(h.CounterResetHint, h.Schema, h.ZeroThreshold, h.ZeroCount, h.Count, h.Sum,
		spans(h.PositiveSpans), spans(h.NegativeSpans), h.PositiveBuckets, h.NegativeBuckets, h.CustomValues)
}

// all scans body and returns its samples with all that belongs to them, and how
// many were new.
func (k *keeper) all(body []byte, o exposition.Options) (map[string]int, int, error) {
	if err := k.scan.Scan(&k.mem, body, o); err != nil {
		return nil, 0, err
	}
	s := &k.scan
	out := map[string]int{}
	for i, x := range s.Exemplars {
		l, _ := s.ExemplarLabels(i)
		var series labels.Labels
		if x.New >= 0 {
			series = s.Labels(x.New)
		} else {
			series = k.sets[x.Ref.Slot]
		}
		out[of(series, exemplar.Exemplar{Labels: l, Value: x.Value, Ts: x.Time, HasTs: x.Timed})]++
	}
	add := func(r exposition.Ref, v float64, h column.Histogram, timed bool, t, start int64) {
		out[whole(k.sets[r.Slot], v, h, timed, t, start)]++
	}
	if n := len(s.Starts); n != 0 && n != len(s.Refs) {
		return nil, 0, fmt.Errorf("%d starts of %d samples", n, len(s.Refs))
	}
	for i, r := range s.Refs {
		start := int64(0)
		if len(s.Starts) > 0 {
			start = s.Starts[i]
		}
		add(r, s.Values[i], column.Histogram{}, false, 0, start)
	}
	for _, x := range s.Timed {
		add(x.Ref, x.Value, column.Histogram{}, true, x.Time, x.Start)
	}
	for _, x := range s.Histograms {
		add(x.Ref, 0, x.Value, x.Timed, x.Time, x.Start)
	}
	for i, x := range s.New {
		l := s.Labels(i)
		out[whole(l, x.Value, x.Histogram, x.Timed, x.Time, x.Start)]++
		slot := k.slot(fmt.Sprintf("%s native %v", l, !x.Histogram.IsZero()))
		for len(k.sets) <= int(slot) {
			k.sets = append(k.sets, labels.EmptyLabels())
		}
		k.sets[slot] = l
		s.Remember(i, exposition.Ref{Slot: slot})
	}
	n := len(s.New)
	s.Commit(&k.mem)
	return out, n, nil
}

// upstreamAll reads body with the reference parser.
func upstreamAll(body []byte, o exposition.Options) (out map[string]int, err error) {
	defer func() {
		if r := recover(); r != nil { // upstream compacts some histograms before it checks them
			err = fmt.Errorf("the reference panicked: %v", r)
		}
	}()
	contentType := map[exposition.Format]string{
		exposition.Text: "text/plain", exposition.OpenMetrics: "application/openmetrics-text",
		exposition.Protobuf: "application/vnd.google.protobuf",
	}[o.Format]
	if o.Format == exposition.Protobuf {
		body = split(body)
	}
	p, err := textparse.New(slices.Clone(body), contentType, nil, textparse.ParserOptions{
		IgnoreNativeHistograms: !o.Native, ConvertClassicHistogramsToNHCB: o.Custom,
		KeepClassicOnClassicAndNativeHistograms: o.Classic, OpenMetricsSkipSTSeries: o.Starts,
	})
	if err != nil {
		return nil, err
	}
	out = map[string]int{}
	for {
		e, err := p.Next()
		if errors.Is(err, io.EOF) {
			return out, nil
		}
		if err != nil {
			return nil, err
		}
		var l labels.Labels
		var v float64
		var h column.Histogram
		var ts *int64
		switch e {
		case textparse.EntrySeries:
			_, ts, v = p.Series()
		case textparse.EntryHistogram:
			_, ts, h.Int, h.Float = p.Histogram()
		default:
			continue
		}
		p.Labels(&l)
		start, t := int64(0), int64(0)
		if ts != nil {
			t = *ts
		}
		if o.Starts {
			start = p.StartTimestamp()
		}
		for x := (exemplar.Exemplar{}); p.Exemplar(&x); x = (exemplar.Exemplar{}) {
			if e != textparse.EntryHistogram || x.HasTs {
				out[of(l, x)]++
			}
		}
		out[whole(l, v, h, ts != nil, t, start)]++
	}
}

// agreeAll fails unless scanner and reference agree on body under the options,
// with the keeper's memory and with none.
func agreeAll(t *testing.T, k *keeper, body []byte, o exposition.Options) {
	t.Helper()
	want, wantErr := upstreamAll(body, o)
	for i, k := range []*keeper{newKeeper(), k, k} {
		have, _, err := k.all(body, o)
		if i == 0 && err == nil && wantErr == nil && !maps.Equal(have, want) {
			t.Fatalf("body %q, %+v:\nhave\n%s\nreference\n%s", body, o, list(have, want), list(want, have))
		}
		if (err != nil) != (wantErr != nil) {
			t.Fatalf("body %q, %+v: error %v, reference %v", body, o, err, wantErr)
		}
		if err == nil && !agrees(have, want) {
			t.Fatalf("body %q, %+v:\nhave\n%s\nreference\n%s", body, o, list(have, want), list(want, have))
		}
	}
}

// agrees tells whether have is want, but for exemplars that a memory knows: those
// are not shown again.
func agrees(have, want map[string]int) bool {
	for s, n := range have {
		if isExemplar(s) && n > want[s] || !isExemplar(s) && n != want[s] {
			return false
		}
	}
	for s := range want {
		if !isExemplar(s) && have[s] == 0 {
			return false
		}
	}
	return true
}

func isExemplar(s string) bool { return strings.Contains(s, "} # {") }

func list(m, without map[string]int) string {
	var out []string
	for s, n := range m {
		if without[s] != n {
			out = append(out, fmt.Sprintf("%d × %s", n, s))
		}
	}
	slices.Sort(out)
	return strings.Join(out, "\n")
}

// modes are all ways to read a body of a format.
func modes(f exposition.Format) (out []exposition.Options) {
	for i := range 16 {
		out = append(out, exposition.Options{Format: f, Native: i&1 != 0, Custom: i&2 != 0, Classic: i&4 != 0, Starts: i&8 != 0})
	}
	return out
}

// delimited joins families, each with its length before it.
func delimited(families ...*dto.MetricFamily) (out []byte) {
	for _, f := range families {
		b, err := f.Marshal()
		if err != nil {
			panic(err)
		}
		out = append(binary.AppendUvarint(out, uint64(len(b))), b...)
	}
	return out
}

// drawn is a family of a random type.
func drawn(r *rand.Rand) *dto.MetricFamily {
	f := &dto.MetricFamily{
		Name: fmt.Sprintf("m%d", r.IntN(5)), Help: strings.Repeat("h", r.IntN(3)), Unit: strings.Repeat("u", r.IntN(2)),
		Type: dto.MetricType(r.IntN(6)),
	}
	for range r.IntN(4) {
		f.Metric = append(f.Metric, drawnMetric(r, f.Type))
	}
	return f
}

func drawnMetric(r *rand.Rand, t dto.MetricType) dto.Metric {
	var m dto.Metric
	for i := range r.IntN(3) {
		m.Label = append(m.Label, dto.LabelPair{Name: fmt.Sprintf("l%d", 5-i), Value: fmt.Sprint(r.IntN(3))})
	}
	if r.IntN(4) == 0 {
		m.TimestampMs = int64(r.IntN(3)) * 1000
	}
	switch t {
	case dto.MetricType_COUNTER:
		m.Counter = &dto.Counter{Value: drawnValue(r), Exemplar: drawnExemplar(r), StartTimestamp: drawnTime(r)}
	case dto.MetricType_GAUGE:
		m.Gauge = &dto.Gauge{Value: drawnValue(r)}
	case dto.MetricType_UNTYPED:
		m.Untyped = &dto.Untyped{Value: 1 + drawnValue(r)} // a zero is no field, which the reference takes for the value before
	case dto.MetricType_SUMMARY:
		m.Summary = &dto.Summary{SampleCount: uint64(r.IntN(9)), SampleSum: drawnValue(r), StartTimestamp: drawnTime(r)}
		for i := range r.IntN(3) {
			m.Summary.Quantile = append(m.Summary.Quantile, dto.Quantile{Quantile: float64(i) / 2, Value: drawnValue(r)})
		}
	default:
		m.Histogram = drawnHistogram(r)
	}
	return m
}

func drawnHistogram(r *rand.Rand) *dto.Histogram {
	h := &dto.Histogram{SampleSum: drawnValue(r), StartTimestamp: drawnTime(r), Schema: int32(r.IntN(4))}
	count := uint64(0)
	for i := range r.IntN(4) {
		count += uint64(r.IntN(3))
		b := dto.Bucket{UpperBound: float64(i), Exemplar: drawnExemplar(r)}
		if r.IntN(4) == 0 {
			b.UpperBound = math.Inf(1)
		}
		if r.IntN(4) == 0 {
			b.CumulativeCountFloat = float64(count) + 0.5
		} else {
			b.CumulativeCount = count
		}
		h.Bucket = append(h.Bucket, b)
	}
	h.SampleCount = count
	if r.IntN(3) == 0 {
		return h
	}
	h.ZeroThreshold, h.ZeroCount = float64(r.IntN(2)), uint64(r.IntN(2))
	floats := r.IntN(3) == 0
	if floats {
		h.SampleCountFloat = float64(count) + 0.25
	}
	for range r.IntN(3) {
		span := dto.BucketSpan{Offset: int32(r.IntN(5)) - 2, Length: uint32(r.IntN(3))}
		h.PositiveSpan, h.NegativeSpan = append(h.PositiveSpan, span), append(h.NegativeSpan, span)
		n := int(span.Length)
		if r.IntN(30) == 0 {
			n++
		}
		for range n {
			if floats {
				h.PositiveCount, h.NegativeCount = append(h.PositiveCount, float64(r.IntN(3))), append(h.NegativeCount, 0.5)
			} else {
				h.PositiveDelta, h.NegativeDelta = append(h.PositiveDelta, int64(r.IntN(3))), append(h.NegativeDelta, int64(r.IntN(5))-2)
			}
		}
	}
	for range r.IntN(3) {
		if x := drawnExemplar(r); x != nil {
			h.Exemplars = append(h.Exemplars, x)
		}
	}
	return h
}

func drawnValue(r *rand.Rand) float64 {
	return []float64{0, 1, -2.5, math.NaN(), math.Inf(1), 1e300}[r.IntN(6)]
}

func drawnTime(r *rand.Rand) *types.Timestamp {
	if r.IntN(2) == 0 {
		return nil
	}
	return &types.Timestamp{Seconds: int64(r.IntN(5)), Nanos: int32(r.IntN(1e9))}
}

func drawnExemplar(r *rand.Rand) *dto.Exemplar {
	if r.IntN(2) == 0 {
		return nil
	}
	x := &dto.Exemplar{Value: drawnValue(r), Timestamp: drawnTime(r)}
	for i := range r.IntN(3) {
		x.Label = append(x.Label, dto.LabelPair{Name: fmt.Sprintf("trace%d", i), Value: fmt.Sprint(r.IntN(3))})
	}
	return x
}

// TestProtobufAgreesWithUpstream: drawn bodies, read in all ways, each way with
// one memory.
func TestProtobufAgreesWithUpstream(t *testing.T) {
	for _, o := range modes(exposition.Protobuf) {
		r := rand.New(rand.NewPCG(1, 2))
		k := newKeeper()
		for range 400 {
			var families []*dto.MetricFamily
			for range r.IntN(4) {
				families = append(families, drawn(r))
			}
			agreeAll(t, k, delimited(families...), o)
		}
	}
}

// FuzzProtobuf reads any bytes in any way.
func FuzzProtobuf(f *testing.F) {
	r := rand.New(rand.NewPCG(3, 4))
	for i := range 40 {
		f.Add(delimited(drawn(r), drawn(r)), delimited(drawn(r)), uint8(i))
	}
	f.Fuzz(func(t *testing.T, first, second []byte, mode uint8) {
		o := modes(exposition.Protobuf)[mode%16]
		k := newKeeper()
		for _, body := range [][]byte{first, second, first} {
			if protoComparable(body) {
				agreeAll(t, k, body, o)
			} else {
				_, _, _ = k.all(body, o)
			}
		}
	})
}

// split gives every metric a family of its own: of one family the reference
// forgets where the exemplars of the next native histogram begin, and checks the
// first one only. A body that it refuses stays as it is.
func split(body []byte) []byte {
	var out []byte
	for rest := body; len(rest) > 0; {
		n, size := binary.Uvarint(rest)
		if size <= 0 || n > uint64(len(rest)-size) {
			return body
		}
		var f dto.MetricFamily
		if f.Unmarshal(rest[size:size+int(n)]) != nil {
			return body
		}
		rest = rest[size+int(n):]
		metrics := f.Metric
		for _, m := range metrics {
			f.Metric = []dto.Metric{m}
			out = append(out, delimited(&f)...)
		}
	}
	return out
}

// protoComparable tells whether upstream's answer to body is one that we
// share; FORMAT.md, "Departures", has the reasons.
func protoComparable(body []byte) bool {
	for len(body) > 0 {
		n, size := binary.Uvarint(body)
		if size <= 0 || n > uint64(len(body)-size) {
			return true // refused by both
		}
		var f dto.MetricFamily
		if f.Unmarshal(body[size:size+int(n)]) != nil {
			return true
		}
		again, err := f.Marshal()
		if err != nil || len(again) != int(n) || f.Type == dto.MetricType_UNTYPED {
			return false
		}
		body = body[size+int(n):]
	}
	return true
}

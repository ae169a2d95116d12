package exposition

import (
	"strconv"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/util/convertnhcb"
)

// Labels returns the labels of the i-th new sample, with the metric's name,
// sorted. Labels with one name are all there.
func (s *Scanner) Labels(i int) labels.Labels {
	n := &s.New[i]
	if s.reader.format == Protobuf {
		s.builder.Reset()
		s.protoLabels(n)
		s.builder.Sort()
		return s.builder.Labels()
	}
	// One copy holds all of the line: a builder may keep references into it.
	text := string(s.reader.text(n.text))
	part := func(sp span) string { return unescape(text[sp.start-n.text.start : sp.end-n.text.start]) }
	name, kind := part(n.name), kinds[n.kind]
	converted := n.field == fieldNative
	if converted {
		_, name = convertnhcb.GetHistogramMetricBaseName(name)
	}
	s.builder.Reset()
	s.builder.Add(model.MetricNameLabel, name)
	spans := s.spans[n.labels.start:n.labels.end]
	for j := 0; j+1 < len(spans); j += 2 {
		name := part(spans[j])
		if converted && name == model.BucketLabel {
			continue
		}
		s.builder.Add(name, normalize(kind, name, part(spans[j+1])))
	}
	s.builder.Sort()
	return s.builder.Labels()
}

// normalize writes the numbers in le and quantile in one way, as upstream does,
// so that le="1" and le="1.0" are one series.
func normalize(kind model.MetricType, name, v string) string {
	if kind == model.MetricTypeSummary && name == model.QuantileLabel ||
		kind == model.MetricTypeHistogram && name == model.BucketLabel {
		if f, err := strconv.ParseFloat(v, 64); err == nil {
			return formatFloat(f)
		}
	}
	return v
}

// formatFloat writes a number of le or quantile.
func formatFloat(f float64) string { return labels.FormatOpenMetricsFloat(f) }

// protoLabels adds the labels of a new sample to the builder.
func (s *Scanner) protoLabels(n *New) {
	name := string(s.reader.text(n.name))
	switch n.field {
	case fieldCount, fieldSum, fieldBucket:
		name += suffixes[n.field]
	}
	s.builder.Add(model.MetricNameLabel, name)
	s.eachLabel(n.text, func(pair span) {
		// One copy holds both: a builder may keep references into it.
		text := string(s.reader.text(pair))
		in := wire{body: s.reader.body, pos: int(pair.start), end: int(pair.end)}
		name, value := in.pair()
		part := func(sp span) string {
			if sp.end == 0 {
				return ""
			}
			return text[sp.start-pair.start : sp.end-pair.start]
		}
		s.builder.Add(part(name), part(value))
	})
	switch n.field {
	case fieldBucket:
		s.builder.Add(model.BucketLabel, formatFloat(n.bound))
	case fieldQuantile:
		s.builder.Add(model.QuantileLabel, formatFloat(n.bound))
	}
}

package record

import (
	"encoding/binary"
	"fmt"
	"math"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
)

// Family is what is known about a metric family.
type Family struct {
	Name string
	Type model.MetricType
	Unit string
	Help string
}

// AppendFamilies appends the body of a metadata record.
func AppendFamilies(dst []byte, tenant string, families []Family) []byte {
	dst = appendString(dst, tenant)
	dst = binary.AppendUvarint(dst, uint64(len(families)))
	for _, f := range families {
		dst = appendString(dst, f.Name)
		dst = appendString(dst, f.Type)
		dst = appendString(dst, f.Unit)
		dst = appendString(dst, f.Help)
	}
	return dst
}

// ReadFamilies decodes the body of a metadata record. The strings are copies.
func ReadFamilies(body []byte) (tenant string, families []Family, err error) {
	r := reader{data: body}
	tenant = string(r.bytes())
	for range r.count(4) {
		f := Family{Name: string(r.bytes()), Type: model.MetricType(r.bytes()), Unit: string(r.bytes()), Help: string(r.bytes())}
		if r.err != nil {
			break
		}
		families = append(families, f)
	}
	if r.err == nil && r.pos != len(body) {
		r.fail("bytes after the end of metadata")
	}
	if r.err != nil {
		return "", nil, fmt.Errorf("metadata: %w", r.err)
	}
	return tenant, families, nil
}

// Exemplar is one exemplar of a series.
type Exemplar struct {
	Series labels.Labels
	Labels labels.Labels
	Value  float64
	// Time is in ms since the Unix epoch.
	Time int64
}

// AppendExemplars appends the body of an exemplar record.
func AppendExemplars(dst []byte, tenant string, exemplars []Exemplar) []byte {
	dst = appendString(dst, tenant)
	dst = binary.AppendUvarint(dst, uint64(len(exemplars)))
	last := int64(0)
	for i := range exemplars {
		x := &exemplars[i]
		dst = appendLabels(dst, x.Series)
		dst = appendLabels(dst, x.Labels)
		dst = binary.LittleEndian.AppendUint64(dst, math.Float64bits(x.Value))
		dst = binary.AppendVarint(dst, x.Time-last)
		last = x.Time
	}
	return dst
}

// ReadExemplars decodes the body of an exemplar record. The label sets are
// copies.
func ReadExemplars(body []byte) (tenant string, exemplars []Exemplar, err error) {
	r := reader{data: body}
	tenant = string(r.bytes())
	builder := labels.NewScratchBuilder(16)
	last := int64(0)
	for range r.count(11) {
		x := Exemplar{Series: r.labels(&builder), Labels: r.labels(&builder), Value: math.Float64frombits(r.uint64())}
		last += r.varint()
		if r.err != nil {
			break
		}
		x.Time = last
		exemplars = append(exemplars, x)
	}
	if r.err == nil && r.pos != len(body) {
		r.fail("bytes after the end of exemplars")
	}
	if r.err != nil {
		return "", nil, fmt.Errorf("exemplars: %w", r.err)
	}
	return tenant, exemplars, nil
}

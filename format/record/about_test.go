package record_test

import (
	"reflect"
	"testing"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"

	"github.com/nilometer/nilometer/format/record"
)

func exampleFamilies() []record.Family {
	return []record.Family{
		{Name: "http_requests_total", Type: model.MetricTypeCounter, Help: "Requests."},
		{Name: "latency_seconds", Type: model.MetricTypeHistogram, Unit: "seconds"},
	}
}

func exampleExemplars() []record.Exemplar {
	series := labels.FromStrings("__name__", "latency_seconds_bucket", "le", "0.5")
	return []record.Exemplar{
		{Series: series, Labels: labels.FromStrings("trace_id", "abc"), Value: 0.25, Time: 1_699_999_200_000},
		{Series: series, Labels: labels.EmptyLabels(), Value: 0.125, Time: 1_699_999_200_015},
	}
}

func TestFamilies(t *testing.T) {
	body := record.AppendFamilies(nil, "default", exampleFamilies())
	tenant, got, err := record.ReadFamilies(body)
	if err != nil || tenant != "default" || !reflect.DeepEqual(got, exampleFamilies()) {
		t.Errorf("%q %+v %v", tenant, got, err)
	}
	for n := range body {
		if _, _, err := record.ReadFamilies(body[:n]); err == nil {
			t.Errorf("%d of %d bytes are read", n, len(body))
		}
	}
}

func TestExemplars(t *testing.T) {
	body := record.AppendExemplars(nil, "default", exampleExemplars())
	tenant, got, err := record.ReadExemplars(body)
	if err != nil || tenant != "default" || !reflect.DeepEqual(got, exampleExemplars()) {
		t.Errorf("%q %+v %v", tenant, got, err)
	}
	for n := range body {
		if _, _, err := record.ReadExemplars(body[:n]); err == nil {
			t.Errorf("%d of %d bytes are read", n, len(body))
		}
	}
}

func FuzzReadAbout(f *testing.F) {
	f.Add(record.AppendFamilies(nil, "default", exampleFamilies()))
	f.Add(record.AppendExemplars(nil, "default", exampleExemplars()))
	f.Fuzz(func(t *testing.T, body []byte) {
		if _, fs, err := record.ReadFamilies(body); err == nil && len(fs) > len(body) {
			t.Errorf("%d families of %d bytes", len(fs), len(body))
		}
		if _, xs, err := record.ReadExemplars(body); err == nil && len(xs) > len(body) {
			t.Errorf("%d exemplars of %d bytes", len(xs), len(body))
		}
	})
}

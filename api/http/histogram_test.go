package httpapi_test

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	jsoniter "github.com/json-iterator/go"
	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/util/jsonutil"

	"github.com/nilometer/nilometer/model/column"
	"github.com/nilometer/nilometer/model/tenant"
	"github.com/nilometer/nilometer/storage/storagetest"
)

// TestHistogramAnswers: native histograms look as Prometheus writes them, and
// floats of the same series stay where they belong.
func TestHistogramAnswers(t *testing.T) {
	h := &histogram.FloatHistogram{
		Schema: 1, ZeroThreshold: 0.001, ZeroCount: 2, Count: 12, Sum: 1e-7,
		PositiveSpans: []histogram.Span{{Offset: 1, Length: 2}, {Offset: 3, Length: 1}}, PositiveBuckets: []float64{3, 0, 4.5},
		NegativeSpans: []histogram.Span{{Offset: -1, Length: 1}}, NegativeBuckets: []float64{2.5},
	}
	bounds := &histogram.FloatHistogram{
		Schema: histogram.CustomBucketsSchema, CustomValues: []float64{0.5, 2}, Count: 3, Sum: 4,
		PositiveSpans: []histogram.Span{{Length: 3}}, PositiveBuckets: []float64{1, 1, 1},
	}
	m := storagetest.NewMemory(storagetest.MemoryOptions{})
	series := storagetest.Series{Labels: labels.FromStrings("__name__", "latency")}
	for i, x := range []column.Sample{{H: column.Histogram{Float: h}}, {V: 7}, {H: column.Histogram{Float: bounds}}} {
		x.T = 1000_000 + int64(i)*10_000
		series.Samples = append(series.Samples, x)
	}
	if err := storagetest.Load(context.Background(), m, tenant.Default, series); err != nil {
		t.Fatal(err)
	}
	s := newSite(t, "", m)
	upstream := func(h *histogram.FloatHistogram) string {
		stream := jsoniter.NewStream(jsoniter.ConfigDefault, nil, 512)
		jsonutil.MarshalHistogram(h, stream)
		return string(stream.Buffer())
	}
	for target, want := range map[string]string{
		`/api/v1/query?query=latency&time=1000`:                            `"result":[{"metric":{"__name__":"latency"},"histogram":[1000,` + upstream(h) + `]}]`,
		`/api/v1/query?query=histogram_count(latency)&time=1000`:           `"result":[{"metric":{},"value":[1000,"12"]}]`,
		`/api/v1/query_range?query=latency&start=1000&end=1020&step=10`:    `"values":[[1010,"7"]],"histograms":[[1000,` + upstream(h) + `],[1020,` + upstream(bounds) + `]]}]`,
		`/api/v1/query_range?query=latency&start=1020&end=1020&step=10`:    `{"metric":{"__name__":"latency"},"histograms":[[1020,` + upstream(bounds) + `]]}]`,
		`/api/v1/query?query=latency[30s]&time=1020&stats=all&trace=1`:     `"values":[[1010,"7"]],"histograms":[[1000,`,
		`/api/v1/query?query=sum(rate(latency[1m]))&time=1020&explain=1`:   `"operator":"Aggregate","detail":"sum fused"`,
		`/api/v1/query?query=count(latency)&time=1020&trace=true&stats=no`: `"trace":{"plan":{"operator":"Aggregate"`,
	} {
		status, body, _ := s.do(http.MethodGet, strings.NewReplacer("[", "%5B", "]", "%5D").Replace(target), "")
		if status != http.StatusOK || !json.Valid([]byte(body)) || !strings.Contains(body, want) {
			t.Errorf("%s: %d\n%s\nwant\n%s", target, status, body, want)
		}
	}
}

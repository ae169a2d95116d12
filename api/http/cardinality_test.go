package httpapi_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/nilometer/nilometer/limits"
	"github.com/nilometer/nilometer/model/tenant"
	"github.com/nilometer/nilometer/storage"
)

// counted stands for a store's cardinality and what is over the limits.
type counted struct{}

func (counted) Cardinality(_ context.Context, _ tenant.ID, most int) (storage.Cardinality, error) {
	var all []storage.Cardinal
	for i := range min(most, 12) {
		all = append(all, storage.Cardinal{Name: fmt.Sprint("x", i), Series: uint64(100 - i), New: 3, SamplesPerSecond: 0.5, Growth: -2})
	}
	r := storage.Ranking{BySeries: all, ByChurn: all[:1]}
	return storage.Cardinality{
		Series: 7, LabelPairs: 9, Chunks: 14, MinTime: 1000, MaxTime: 2000,
		Metrics: r, Pairs: storage.Ranking{BySeries: all[:1]}, ValuesOf: all[:1], BytesOf: all[:1], ChurnSince: time.Unix(1000, 0),
	}, nil
}

func (counted) Excesses(tenant.ID) []limits.Excess {
	x := limits.Excess{Metric: "m", Label: "user", Values: 12, Max: 10, Series: 3, Policy: limits.Refuse, Since: time.Unix(1000, 0), Example: "u<1>"}
	y := x
	y.Job, y.Instance, y.Series = "app", "a:1", 5
	return []limits.Excess{x, y}
}

func TestStatusTSDB(t *testing.T) {
	s := newSite(t, "", nil)
	const one, none = `{"name":"x0","series":100,"newSeries":3,"samplesPerSecond":0.5,"growth":-2}`, `{"bySeries":[],"byChurn":[],"bySamplesPerSecond":[],"byGrowth":[]}`
	const stat = `[{"name":"x0","value":100}]`
	const only = `{"bySeries":[` + one + `],"byChurn":[],"bySamplesPerSecond":[],"byGrowth":[]}`
	s.expect("/api/v1/status/tsdb?limit=1", http.StatusOK, success(`{"headStats":{"numSeries":7,"numLabelPairs":9,"chunkCount":14,"minTime":1000,"maxTime":2000},`+
		`"seriesCountByMetricName":`+stat+`,"labelValueCountByLabelName":`+stat+`,"memoryInBytesByLabelName":`+stat+`,"seriesCountByLabelValuePair":`+stat+`,`+
		`"metrics":{"bySeries":[`+one+`],"byChurn":[`+one+`],"bySamplesPerSecond":[],"byGrowth":[]},"labels":`+none+`,"labelPairs":`+only+`,"jobs":`+none+`,"targets":`+none+`,`+
		`"churnSince":"1970-01-01T00:16:40Z","growthSince":null,`+
		`"overLimit":[{"metric":"m","label":"user","job":"app","instance":"a:1","values":12,"limit":10,"newSeries":5,"policy":"refuse","since":"1970-01-01T00:16:40Z","example":"u\u003c1\u003e"}]}`))
	if _, body, _ := s.do(http.MethodGet, "/api/v1/status/tsdb", ""); !strings.Contains(body, `"x9"`) || strings.Contains(body, `"x10"`) {
		t.Errorf("without a limit: %s", body)
	}
	for _, bad := range []string{"0", "-1", "x", "10001"} {
		if code, body, _ := s.do(http.MethodGet, "/api/v1/status/tsdb?limit="+bad, ""); code != http.StatusBadRequest || !strings.Contains(body, "limit") {
			t.Errorf("limit=%s: %d %s", bad, code, body)
		}
	}
}

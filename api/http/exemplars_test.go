package httpapi_test

import (
	"context"
	"net/http"
	"strings"
	"testing"

	"github.com/prometheus/prometheus/model/exemplar"
	"github.com/prometheus/prometheus/model/labels"

	"github.com/nilometer/nilometer/model/tenant"
	"github.com/nilometer/nilometer/storage"
)

// exemplary is a store with exemplars.
type exemplary struct {
	storage.Reader
	all []storage.SeriesExemplars
}

type exemplaryView struct {
	storage.View
	all []storage.SeriesExemplars
}

func (e *exemplary) View(ctx context.Context, id tenant.ID) (storage.View, error) {
	v, err := e.Reader.View(ctx, id)
	return &exemplaryView{v, e.all}, err
}

func (v *exemplaryView) Exemplars(_ context.Context, s storage.Selection) (out []storage.SeriesExemplars, err error) {
next:
	for _, x := range v.all {
		for _, m := range s.Matchers {
			if !m.Matches(x.Labels.Get(m.Name)) {
				continue next
			}
		}
		in := storage.SeriesExemplars{Labels: x.Labels}
		for _, e := range x.Exemplars {
			if s.MinTime <= e.Ts && e.Ts <= s.MaxTime {
				in.Exemplars = append(in.Exemplars, e)
			}
		}
		if in.Exemplars != nil {
			out = append(out, in)
		}
	}
	return out, nil
}

func TestQueryExemplars(t *testing.T) {
	at := func(ms int64, id string, v float64) exemplar.Exemplar {
		return exemplar.Exemplar{Labels: labels.FromStrings("trace_id", id), Value: v, Ts: ms, HasTs: true}
	}
	s := newSite(t, "", &exemplary{store(t), []storage.SeriesExemplars{
		{Labels: labels.FromStrings("__name__", "a", "job", "x"), Exemplars: []exemplar.Exemplar{at(1000_479, "1", 6), at(1020_000, "2", 0.5)}},
		{Labels: labels.FromStrings("__name__", "b", "job", "x"), Exemplars: []exemplar.Exemplar{at(1010_000, "<", 7)}},
	}})
	const (
		a1 = `{"labels":{"trace_id":"1"},"value":"6","timestamp":1000.479}`
		a2 = `{"labels":{"trace_id":"2"},"value":"0.5","timestamp":1020}`
		a  = `{"seriesLabels":{"__name__":"a","job":"x"},"exemplars":[` + a1 + `,` + a2 + `]}`
		b  = `{"seriesLabels":{"__name__":"b","job":"x"},"exemplars":[{"labels":{"trace_id":"\u003c"},"value":"7","timestamp":1010}]}`
	)
	const path = "/api/v1/query_exemplars"
	for target, want := range map[string]string{
		q(path, "query", `a`):                                                 `[` + a + `]`,
		q(path, "query", `b / rate(a{job="x"}[5m])`):                          `[` + a + `,` + b + `]`,
		q(path, "query", `{job="x"} - a`):                                     `[` + a + `,` + b + `]`,
		q(path, "query", `a`, "start", "1001"):                                `[` + strings.Replace(a, a1+",", "", 1) + `]`,
		q(path, "query", `{job="x"}`, "start", "1000", "end", "1005"):         `[` + strings.Replace(a, ","+a2, "", 1) + `]`,
		q(path, "query", `nothing`):                                           `[]`,
		q(path, "query", `max_over_time(b[1h] offset 1d)`, "end", "1e9"):      `[` + b + `]`,
		q(path, "query", `a`, "start", "1030", "end", "2024-01-01T00:00:00Z"): `[]`,
	} {
		s.expect(target, http.StatusOK, success(want))
	}
	s.expect(q(path, "query", "1"), http.StatusOK, `{"status":"success"}`)
	s.expect(q(path, "query", "a{"), http.StatusBadRequest, failure("bad_data", `1:3: parse error: unexpected end of input inside braces`))
	s.expect(q(path, "query", "a", "start", "2", "end", "1"), http.StatusBadRequest, failure("bad_data", `end timestamp must not be before start timestamp`))
	s.expect(q(path, "query", "a", "start", "x"), http.StatusBadRequest, failure("bad_data", `invalid parameter \"start\": cannot parse \"x\" to a valid timestamp`))
	if status, answer, _ := s.do(http.MethodPost, path, "query=a"); status != http.StatusOK || answer != success(`[`+a+`]`) {
		t.Errorf("POST: %d %s", status, answer)
	}
}

package httpapi_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/relabel"

	httpapi "github.com/nilometer/nilometer/api/http"
	"github.com/nilometer/nilometer/model/tenant"
	"github.com/nilometer/nilometer/promql"
	"github.com/nilometer/nilometer/rules"
	"github.com/nilometer/nilometer/scrape"
	"github.com/nilometer/nilometer/storage"
	"github.com/nilometer/nilometer/storage/storagetest"
)

// process stands for the server behind the API.
type process struct {
	ready, reload error
	reloads       int
	alertmanagers [2][]string // active, dropped
}

func (p *process) Ready() error                 { return p.ready }
func (p *process) Reload(context.Context) error { p.reloads++; return p.reload }
func (p *process) Reloaded() (bool, time.Time)  { return p.reload == nil, time.Unix(1000, 0) }
func (p *process) Notices() []string            { return []string{"f.yml:3: remote_write[0]: not sent"} }
func (p *process) Endpoints() []string          { return p.alertmanagers[0] }
func (p *process) Dropped() []string            { return p.alertmanagers[1] }
func (p *process) DataDir() string              { return "/data" }
func (p *process) Retention() string            { return "30d" }

// scraping stands for the targets.
type scraping struct {
	snapshot scrape.Snapshot
	metadata []scrape.TargetMetadata
}

func (s *scraping) Targets() scrape.Snapshot { return s.snapshot }
func (s *scraping) Pools() []string          { return []string{"node", "app"} }
func (s *scraping) RelabelSteps(pool string, lset labels.Labels, ofMetrics bool) ([]scrape.RelabelStep, bool) {
	rule := &relabel.Config{Action: relabel.Drop, Separator: ";", Regex: relabel.MustNewRegexp("a"), SourceLabels: []model.LabelName{"x"}}
	if ofMetrics {
		rule.Action = relabel.Keep
	}
	return []scrape.RelabelStep{{Rule: rule, Input: lset}}, pool == "node"
}
func (s *scraping) Metadata(family string) (out []scrape.TargetMetadata) {
	for _, m := range s.metadata {
		if family == "" || m.Family == family {
			out = append(out, m)
		}
	}
	return out
}

// ruling stands for the rules.
type ruling []rules.GroupStatus

func (r ruling) Groups() []rules.GroupStatus { return r }

// site is an API over fakes that a test may change.
type site struct {
	t        *testing.T
	handler  http.Handler
	process  *process
	scraping *scraping
	ruling   *ruling
	log      *strings.Builder
}

func newSite(t *testing.T, prefix string, reader storage.Reader) *site {
	return newAdminSite(t, prefix, reader, nil)
}

func newAdminSite(t *testing.T, prefix string, reader storage.Reader, admin httpapi.Admin) *site {
	t.Helper()
	s := &site{t: t, process: &process{}, scraping: &scraping{}, ruling: &ruling{}, log: &strings.Builder{}}
	if reader == nil {
		reader = store(t)
	}
	registry := prometheus.NewRegistry()
	engine, err := promql.NewEngine(promql.Options{}, promql.Deps{Registerer: registry})
	if err != nil {
		t.Fatal(err)
	}
	say := func(text string) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, text+" "+r.URL.Path) })
	}
	s.handler = httpapi.New(httpapi.Deps{
		Reader: reader, Engine: engine, Queries: engine, Targets: s.scraping, Rules: s.ruling, Alertmanagers: s.process, Server: s.process, Cardinality: counted{}, Excesses: counted{}, Admin: admin, Tenant: tenant.Default,
		Build: httpapi.Build{Version: "1.2.3", Revision: "abc"}, Started: time.Unix(500, 0),
		Logger: slog.New(slog.NewTextHandler(s.log, nil)), Registry: registry, Write: say("write"), Page: say("page"),
	}, prefix)
	return s
}

// store has a counter of two instances and a gauge with special values and
// labels, at 1000 s to 1060 s.
func store(t *testing.T) *storagetest.Memory {
	t.Helper()
	m := storagetest.NewMemory(storagetest.MemoryOptions{})
	series := func(step float64, lset ...string) storagetest.Series {
		s := storagetest.Series{Labels: labels.FromStrings(lset...)}
		for i := range 7 {
			s.Samples = append(s.Samples, storagetest.Sample{T: 1000_000 + int64(i)*10_000, V: float64(i) * step})
		}
		return s
	}
	err := storagetest.Load(context.Background(), m, tenant.Default,
		series(1, "__name__", "hits_total", "instance", "a", "job", "app"),
		series(2.5, "__name__", "hits_total", "instance", "b", "job", "app"),
		series(1e22, "__name__", "odd", "path", "\"<&>\\\né", "job", "app"),
	)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// do sends a request; a body is sent as a form.
func (s *site) do(method, target, body string) (status int, answer string, header http.Header) {
	s.t.Helper()
	var r io.Reader
	if body != "" {
		r = strings.NewReader(body)
	}
	req := httptest.NewRequest(method, target, r)
	if body != "" {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	rec := httptest.NewRecorder()
	s.handler.ServeHTTP(rec, req)
	return rec.Code, strings.TrimSuffix(rec.Body.String(), "\n"), rec.Header()
}

// expect sends a GET and compares the answer as text.
func (s *site) expect(target string, status int, want string) {
	s.t.Helper()
	got, answer, header := s.do(http.MethodGet, target, "")
	if got != status || answer != want {
		s.t.Errorf("GET %s\n got %d %s\nwant %d %s", target, got, answer, status, want)
	}
	if strings.Contains(target, "/api/") && header.Get("Content-Type") != "application/json" {
		s.t.Errorf("GET %s: Content-Type %q", target, header.Get("Content-Type"))
	}
}

func success(data string) string { return `{"status":"success","data":` + data + `}` }

func failure(kind, text string) string {
	return `{"status":"error","errorType":"` + kind + `","error":"` + text + `"}`
}

func q(path string, params ...string) string {
	v := url.Values{}
	for i := 0; i < len(params); i += 2 {
		v.Add(params[i], params[i+1])
	}
	return path + "?" + v.Encode()
}

func TestQueries(t *testing.T) {
	s := newSite(t, "", nil)
	const a, b = `{"__name__":"hits_total","instance":"a","job":"app"}`, `{"__name__":"hits_total","instance":"b","job":"app"}`
	for _, c := range []struct{ query, want string }{
		{`hits_total`, `{"resultType":"vector","result":[{"metric":` + a + `,"value":[1060,"6"]},{"metric":` + b + `,"value":[1060,"15"]}]}`},
		{`hits_total{instance="b"}[20s]`, `{"resultType":"matrix","result":[{"metric":` + b + `,"values":[[1050,"12.5"],[1060,"15"]]}]}`},
		{`sum(hits_total)`, `{"resultType":"vector","result":[{"metric":{},"value":[1060,"21"]}]}`},
		{`odd`, `{"resultType":"vector","result":[{"metric":{"__name__":"odd","job":"app","path":"\"\u003c\u0026\u003e\\\né"},"value":[1060,"6e+22"]}]}`},
		{`1/3`, `{"resultType":"scalar","result":[1060,"0.3333333333333333"]}`},
		{`-1/0`, `{"resultType":"scalar","result":[1060,"-Inf"]}`},
		{`0/0`, `{"resultType":"scalar","result":[1060,"NaN"]}`},
		{`1e21`, `{"resultType":"scalar","result":[1060,"1e+21"]}`},
		{`1e20`, `{"resultType":"scalar","result":[1060,"100000000000000000000"]}`},
		{`0.0000001`, `{"resultType":"scalar","result":[1060,"1e-07"]}`},
		{`"text"`, `{"resultType":"string","result":[1060,"text"]}`},
		{`missing`, `{"resultType":"vector","result":[]}`},
		{`missing[5m]`, `{"resultType":"matrix","result":[]}`},
	} {
		want := success(c.want)
		s.expect(q("/api/v1/query", "query", c.query, "time", "1060"), http.StatusOK, want)
		status, answer, _ := s.do(http.MethodPost, "/api/v1/query", url.Values{"query": {c.query}, "time": {"1970-01-01T00:17:40Z"}}.Encode())
		if status != http.StatusOK || answer != want {
			t.Errorf("POST %s: %d %s", c.query, status, answer)
		}
	}
	s.expect(q("/api/v1/query", "query", "hits_total", "time", "1060", "limit", "1"), http.StatusOK,
		`{"status":"success","data":{"resultType":"vector","result":[{"metric":`+a+`,"value":[1060,"6"]}]},"warnings":["results truncated due to limit"]}`)
	s.expect(q("/api/v1/query", "query", "1", "time", "1000.1234"), http.StatusOK, success(`{"resultType":"scalar","result":[1000.123,"1"]}`))
	s.expect(q("/api/v1/query_range", "query", `hits_total{instance="a"}`, "start", "1000", "end", "1002", "step", "0.5"), http.StatusOK,
		success(`{"resultType":"matrix","result":[{"metric":`+a+`,"values":[[1000,"0"],[1000.500,"0"],[1001,"0"],[1001.500,"0"],[1002,"0"]]}]}`))
	s.expect(q("/api/v1/query_range", "query", `1`, "start", "0", "end", "1", "step", "1s"), http.StatusOK,
		success(`{"resultType":"matrix","result":[{"metric":{},"values":[[0,"1"],[1,"1"]]}]}`))
	s.expect(q("/api/v1/format_query", "query", "foo/bar"), http.StatusOK, success(`"foo / bar"`))
}

func TestParameterErrors(t *testing.T) {
	s := newSite(t, "", nil)
	long := q("/api/v1/query_range", "query", "1", "start", "0", "end", "11001", "step", "1")
	for target, want := range map[string]string{
		q("/api/v1/query"):                                                                `invalid parameter \"query\": unknown position: parse error: no expression found in input`,
		q("/api/v1/query", "query", "a{"):                                                 `invalid parameter \"query\": 1:3: parse error: unexpected end of input inside braces`,
		q("/api/v1/query", "query", "1", "time", "noon"):                                  `invalid parameter \"time\": cannot parse \"noon\" to a valid timestamp`,
		q("/api/v1/query", "query", "1", "timeout", "soon"):                               `invalid parameter \"timeout\": cannot parse \"soon\" to a valid duration`,
		q("/api/v1/query", "query", "1", "limit", "-1"):                                   `invalid parameter \"limit\": limit must be non-negative`,
		q("/api/v1/query", "query", "1", "limit", "x"):                                    `invalid parameter \"limit\": strconv.Atoi: parsing \"x\": invalid syntax`,
		q("/api/v1/query_range", "query", "1"):                                            `invalid parameter \"start\": cannot parse \"\" to a valid timestamp`,
		q("/api/v1/query_range", "query", "1", "start", "2"):                              `invalid parameter \"end\": cannot parse \"\" to a valid timestamp`,
		q("/api/v1/query_range", "query", "1", "start", "2", "end", "1", "step", "1"):     `invalid parameter \"end\": end timestamp must not be before start time`,
		q("/api/v1/query_range", "query", "1", "start", "1", "end", "2"):                  `invalid parameter \"step\": cannot parse \"\" to a valid duration`,
		q("/api/v1/query_range", "query", "1", "start", "1", "end", "2", "step", "0"):     `invalid parameter \"step\": zero or negative query resolution step widths are not accepted. Try a positive integer`,
		q("/api/v1/query_range", "query", "1", "start", "1", "end", "2", "step", "1e300"): `invalid parameter \"step\": cannot parse \"1e300\" to a valid duration. It overflows int64`,
		long:                                      `exceeded maximum resolution of 11,000 points per timeseries. Try decreasing the query resolution (?step=XX)`,
		"/api/v1/series":                          `no match[] parameter provided`,
		q("/api/v1/series", "match[]", "{"):       `invalid parameter \"match[]\": 1:2: parse error: unexpected end of input inside braces`,
		q("/api/v1/series", "match[]", "{}"):      `invalid parameter \"match[]\": match[] must contain at least one non-empty matcher`,
		q("/api/v1/labels", "match[]", "{}"):      `match[] must contain at least one non-empty matcher`,
		q("/api/v1/labels", "start", "x"):         `invalid parameter \"start\": cannot parse \"x\" to a valid timestamp`,
		"/api/v1/label/%ff/values":                `invalid label name: \"\\xff\"`,
		q("/api/v1/metadata", "limit", "x"):       `limit must be a number`,
		q("/api/v1/rules", "type", "x"):           `invalid parameter \"type\": not supported value \"x\"`,
		q("/api/v1/rules", "exclude_alerts", "x"): `invalid parameter \"exclude_alerts\": error converting exclude_alerts: strconv.ParseBool: parsing \"x\": invalid syntax`,
	} {
		s.expect(target, http.StatusBadRequest, failure("bad_data", want))
	}
	s.expect("/api/v1/nothing", http.StatusNotFound, failure("not_found", `GET /api/v1/nothing is not part of the API, or not supported yet`))
	s.expect(q("/api/v1/query", "query", "hits_total * on(job) hits_total", "time", "1060"), http.StatusUnprocessableEntity, failure("execution",
		`found duplicate series for the match group {job=\"app\"} on the right hand-side of the operation: `+
			`[{__name__=\"hits_total\", instance=\"a\", job=\"app\"}, {__name__=\"hits_total\", instance=\"b\", job=\"app\"}]`+
			`;many-to-many matching not allowed: matching labels must be unique on one side`))
}

func TestLabelsAndSeries(t *testing.T) {
	s := newSite(t, "", nil)
	s.expect("/api/v1/labels", http.StatusOK, success(`["__name__","instance","job","path"]`))
	s.expect(q("/api/v1/labels", "match[]", "odd"), http.StatusOK, success(`["__name__","job","path"]`))
	s.expect(q("/api/v1/labels", "match[]", "odd", "match[]", "hits_total", "limit", "2"), http.StatusOK,
		`{"status":"success","data":["__name__","instance"],"warnings":["results truncated due to limit"]}`)
	s.expect("/api/v1/label/instance/values", http.StatusOK, success(`["a","b"]`))
	s.expect("/api/v1/label/U__instance/values", http.StatusOK, success(`["a","b"]`))
	s.expect("/api/v1/label/none/values", http.StatusOK, success(`[]`))
	s.expect(q("/api/v1/label/instance/values", "match[]", `hits_total{instance!="a"}`), http.StatusOK, success(`["b"]`))
	s.expect(q("/api/v1/label/instance/values", "start", "2000", "end", "3000"), http.StatusOK, success(`[]`))
	const series = `[{"__name__":"hits_total","instance":"a","job":"app"},{"__name__":"hits_total","instance":"b","job":"app"}]`
	s.expect(q("/api/v1/series", "match[]", "hits_total", "match[]", `{instance=~"a|b"}`), http.StatusOK, success(series))
	s.expect(q("/api/v1/series", "match[]", "none"), http.StatusOK, success(`[]`))
	status, answer, _ := s.do(http.MethodPost, "/api/v1/series", "match[]=hits_total")
	if status != http.StatusOK || answer != success(series) {
		t.Errorf("POST: %d %s", status, answer)
	}
}

// brokenReader is a store that answers every view with an error.
type brokenReader struct {
	storage.Reader
	err error
}

func (b brokenReader) View(context.Context, tenant.ID) (storage.View, error) {
	if b.err == nil {
		panic("the store is broken")
	}
	return nil, b.err
}

func TestFailuresOfTheStore(t *testing.T) {
	for _, c := range []struct {
		err    error
		status int
		kind   string
	}{
		{storage.ErrReplaying, http.StatusServiceUnavailable, "unavailable"},
		{storage.ErrOverloaded, http.StatusServiceUnavailable, "unavailable"},
		{storage.ErrClosed, http.StatusServiceUnavailable, "unavailable"},
		{storage.ErrUnsupported, http.StatusUnprocessableEntity, "execution"},
		{errors.New("a bug"), http.StatusInternalServerError, "internal"},
	} {
		s := newSite(t, "", brokenReader{err: c.err})
		for _, target := range []string{q("/api/v1/query", "query", "hits_total"), "/api/v1/labels", "/api/v1/label/a/values", q("/api/v1/series", "match[]", "a")} {
			status, answer, header := s.do(http.MethodGet, target, "")
			if status != c.status || !strings.Contains(answer, `"errorType":"`+c.kind+`"`) || !strings.Contains(answer, c.err.Error()) {
				t.Errorf("%s with %v: %d %s, want %d %s", target, c.err, status, answer, c.status, c.kind)
			}
			if unavailable := c.kind == "unavailable"; unavailable != (header.Get("Retry-After") != "") {
				t.Errorf("%s with %v: Retry-After %q", target, c.err, header.Get("Retry-After"))
			}
		}
	}
}

func TestPanicIsAnswered(t *testing.T) {
	s := newSite(t, "", brokenReader{})
	s.expect("/api/v1/labels", http.StatusInternalServerError, failure("internal", "internal error: the store is broken"))
	if !strings.Contains(s.log.String(), "the store is broken") || !strings.Contains(s.log.String(), "api_test.go") {
		t.Errorf("the log does not say where: %s", s.log)
	}
	s.expect("/-/healthy", http.StatusOK, "Nilometer is healthy.")
}

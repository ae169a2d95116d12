package httpapi_test

import (
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/nilometer/nilometer/discovery"
	"github.com/nilometer/nilometer/model/tenant"
	"github.com/nilometer/nilometer/rules"
	"github.com/nilometer/nilometer/scrape"
	"github.com/nilometer/nilometer/storage"
	"github.com/nilometer/nilometer/storage/storagetest"
)

func TestTargets(t *testing.T) {
	s := newSite(t, "", nil)
	s.expect("/api/v1/targets", http.StatusOK, success(`{"activeTargets":[],"droppedTargets":[],"droppedTargetCounts":{}}`))
	s.scraping.snapshot = scrape.Snapshot{
		Active: []scrape.Target{{
			Pool: "node", URL: "http://10.0.0.1:9100/metrics", Labels: labels.FromStrings("instance", "10.0.0.1:9100", "job", "node"),
			Discovered: labels.FromStrings("__address__", "10.0.0.1:9100"), Interval: 15 * time.Second, Timeout: 10 * time.Second,
			Health: scrape.HealthDown, Status: "active", LastScrape: time.Unix(1000, 0).UTC(), LastDuration: 250 * time.Millisecond,
			LastError: "connection refused", LastSamples: 7,
		}},
		Dropped:      []scrape.DroppedTarget{{Pool: "app", Discovered: labels.FromStrings("__address__", "10.0.0.2:80")}},
		DroppedCount: map[string]int{"app": 3},
	}
	const active = `{"discoveredLabels":{"__address__":"10.0.0.1:9100"},"labels":{"instance":"10.0.0.1:9100","job":"node"},"scrapePool":"node",` +
		`"scrapeUrl":"http://10.0.0.1:9100/metrics","globalUrl":"http://10.0.0.1:9100/metrics","lastError":"connection refused",` +
		`"lastScrape":"1970-01-01T00:16:40Z","lastScrapeDuration":0.25,"health":"down","scrapeInterval":"15s","scrapeTimeout":"10s",` +
		`"status":"active","lastSamples":7}`
	const dropped = `{"discoveredLabels":{"__address__":"10.0.0.2:80"},"scrapePool":"app"}`
	for target, want := range map[string]string{
		"/api/v1/targets":                 `{"activeTargets":[` + active + `],"droppedTargets":[` + dropped + `],"droppedTargetCounts":{"app":3}}`,
		"/api/v1/targets?state=active":    `{"activeTargets":[` + active + `],"droppedTargets":[],"droppedTargetCounts":{"app":3}}`,
		"/api/v1/targets?state=dropped":   `{"activeTargets":[],"droppedTargets":[` + dropped + `],"droppedTargetCounts":{"app":3}}`,
		"/api/v1/targets?scrapePool=node": `{"activeTargets":[` + active + `],"droppedTargets":[],"droppedTargetCounts":{}}`,
		"/api/v1/scrape_pools":            `{"scrapePools":["node","app"]}`,
	} {
		s.expect(target, http.StatusOK, success(want))
	}
	s.scraping.snapshot = scrape.Snapshot{Problems: []discovery.Problem{{Job: "app", Source: "consul_sd_configs", Text: "refused"}}}
	s.expect("/api/v1/targets", http.StatusOK, success(`{"activeTargets":[],"droppedTargets":[],"droppedTargetCounts":{},`+
		`"discoveryProblems":[{"scrapePool":"app","source":"consul_sd_configs","error":"refused"}]}`))
	s.expect("/api/v1/targets?scrapePool=node", http.StatusOK, success(`{"activeTargets":[],"droppedTargets":[],"droppedTargetCounts":{}}`))
}

func TestAlertmanagersOutside(t *testing.T) {
	s := newSite(t, "", nil)
	s.expect("/api/v1/alertmanagers", http.StatusOK, success(`{"activeAlertmanagers":[],"droppedAlertmanagers":[]}`))
	s.process.alertmanagers = [2][]string{{"http://a:9093/api/v2/alerts", "http://b:9093/api/v2/alerts"}, {"https://c/api/v2/alerts"}}
	s.expect("/api/v1/alertmanagers", http.StatusOK, success(`{"activeAlertmanagers":[{"url":"http://a:9093/api/v2/alerts"},{"url":"http://b:9093/api/v2/alerts"}],`+
		`"droppedAlertmanagers":[{"url":"https://c/api/v2/alerts"}]}`))
}

func TestRelabelSteps(t *testing.T) {
	s := newSite(t, "", nil)
	const path = "/api/v1/targets/relabel_steps?"
	step := func(action string) string {
		return success(`{"steps":[{"rule":{"source_labels":["x"],"separator":";","regex":"a","replacement":"","action":"` + action + `"},"input":{"x":"a"},"output":{},"keep":false}]}`)
	}
	s.expect(path+`scrapePool=node&labels={"x":"a"}`, http.StatusOK, step("drop"))
	s.expect(path+`scrapePool=node&labels={"x":"a"}&stage=metric`, http.StatusOK, step("keep"))
	for query, want := range map[string]string{
		`labels={"x":"a"}`:                             "scrapePool",
		`scrapePool=node`:                              "labels",
		`scrapePool=node&labels=7`:                     "labels",
		`scrapePool=no&labels={"x":"a"}`:               "there is no pool",
		`scrapePool=node&labels={"x":"a"}&stage=after`: "neither target nor metric",
	} {
		if code, body, _ := s.do(http.MethodGet, path+query, ""); code != http.StatusBadRequest || !strings.Contains(body, want) {
			t.Errorf("%s: %d %s", query, code, body)
		}
	}
}

func TestGlobalURLHasTheMachinesName(t *testing.T) {
	host, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	s := newSite(t, "", nil)
	s.scraping.snapshot.Active = []scrape.Target{{URL: "http://127.0.0.1:9100/metrics"}}
	_, answer, _ := s.do(http.MethodGet, "/api/v1/targets", "")
	if !strings.Contains(answer, `"globalUrl":"http://`+host+`:9100/metrics"`) {
		t.Errorf("answer %s", answer)
	}
}

func TestMetadata(t *testing.T) {
	s := newSite(t, "", nil)
	s.expect("/api/v1/metadata", http.StatusOK, success(`{}`))
	s.expect("/api/v1/targets/metadata", http.StatusOK, success(`[]`))
	entry := func(job, family, help string) scrape.TargetMetadata {
		return scrape.TargetMetadata{Pool: job, Labels: labels.FromStrings("job", job), Metadata: storage.Metadata{Family: family, Type: "counter", Help: help}}
	}
	s.scraping.metadata = []scrape.TargetMetadata{entry("a", "hits_total", "Hits."), entry("b", "hits_total", "Hits."), entry("b", "hits_total", "Others."), entry("b", "misses_total", "Misses.")}
	const hits, others, misses = `{"type":"counter","help":"Hits.","unit":""}`, `{"type":"counter","help":"Others.","unit":""}`, `{"type":"counter","help":"Misses.","unit":""}`
	for target, want := range map[string]string{
		"/api/v1/metadata":                                                  `{"hits_total":[` + hits + `,` + others + `],"misses_total":[` + misses + `]}`,
		"/api/v1/metadata?limit=1":                                          `{"hits_total":[` + hits + `,` + others + `]}`,
		"/api/v1/metadata?limit_per_metric=1":                               `{"hits_total":[` + hits + `],"misses_total":[` + misses + `]}`,
		"/api/v1/metadata?metric=misses_total":                              `{"misses_total":[` + misses + `]}`,
		q("/api/v1/targets/metadata", "match_target", `{job="a"}`):          `[{"target":{"job":"a"},"metric":"hits_total","type":"counter","help":"Hits.","unit":""}]`,
		q("/api/v1/targets/metadata", "metric", "misses_total"):             `[{"target":{"job":"b"},"type":"counter","help":"Misses.","unit":""}]`,
		q("/api/v1/targets/metadata", "metric", "hits_total", "limit", "1"): `[{"target":{"job":"a"},"type":"counter","help":"Hits.","unit":""}]`,
	} {
		s.expect(target, http.StatusOK, success(want))
	}
	// As in Prometheus, a limit ends the list behind a whole target, and a type
	// that was not told is unknown.
	second := entry("a", "lag", "Lag.")
	second.Type = ""
	s.scraping.metadata = []scrape.TargetMetadata{entry("a", "hits_total", "Hits."), second, entry("b", "hits_total", "Hits.")}
	s.expect("/api/v1/targets/metadata?limit=1", http.StatusOK,
		success(`[{"target":{"job":"a"},"metric":"hits_total","type":"counter","help":"Hits.","unit":""},{"target":{"job":"a"},"metric":"lag","type":"unknown","help":"Lag.","unit":""}]`))
	s.expect("/api/v1/targets/metadata?limit=0", http.StatusOK, success(`[]`))
}

// TestStoredMetadata: what the store remembers stands behind what targets say.
func TestStoredMetadata(t *testing.T) {
	m := store(t)
	g, err := m.OpenGroup(t.Context(), tenant.Default, storagetest.Spec(storage.Open, "push"))
	if err != nil {
		t.Fatal(err)
	}
	version, err := g.Resolve(t.Context(), nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := g.Append(t.Context(), &storage.Batch{Time: 2000_000, Version: version, Metadata: []storage.Metadata{
		{Family: "gone", Help: "Gone."}, {Family: "hits_total", Type: "counter", Help: "Hits."},
	}}, storage.Synced); err != nil {
		t.Fatal(err)
	}
	s := newSite(t, "", m)
	live := func(help string) scrape.TargetMetadata {
		return scrape.TargetMetadata{Pool: "a", Labels: labels.FromStrings("job", "a"), Metadata: storage.Metadata{Family: "hits_total", Type: "counter", Help: help}}
	}
	const gone, hits, other = `{"type":"unknown","help":"Gone.","unit":""}`, `{"type":"counter","help":"Hits.","unit":""}`, `{"type":"counter","help":"Others.","unit":""}`
	s.expect("/api/v1/metadata", http.StatusOK, success(`{"gone":[`+gone+`],"hits_total":[`+hits+`]}`))
	s.scraping.metadata = []scrape.TargetMetadata{live("Others."), live("Hits.")}
	s.expect("/api/v1/metadata", http.StatusOK, success(`{"gone":[`+gone+`],"hits_total":[`+other+`,`+hits+`]}`))
	s.expect("/api/v1/metadata?metric=gone", http.StatusOK, success(`{"gone":[`+gone+`]}`))
	s.expect("/api/v1/metadata?limit=1&limit_per_metric=1", http.StatusOK, success(`{"hits_total":[`+other+`]}`))
}

func TestRulesAndAlerts(t *testing.T) {
	s := newSite(t, "", nil)
	s.expect("/api/v1/rules", http.StatusOK, success(`{"groups":[]}`))
	s.expect("/api/v1/alerts", http.StatusOK, success(`{"alerts":[]}`))
	at := time.Unix(1000, 500e6).UTC()
	alerts := []rules.Alert{{
		State: rules.Firing, Labels: labels.FromStrings("alertname", "Down", "job", "a"), Annotations: labels.FromStrings("summary", "it is down"),
		Value: 0.5, ActiveAt: at, FiredAt: at, KeepFiringSince: at,
	}}
	*s.ruling = ruling{
		{File: "r.yml", Name: "g", Interval: 30 * time.Second, Limit: 5, LastEvaluation: at, LastDuration: time.Second, Rules: []rules.RuleStatus{
			{Record: "r:sum", Expr: "sum(r)", Labels: labels.FromStrings("team", "x"), Evaluated: true, LastEvaluation: at, LastDuration: time.Millisecond},
			{Alert: "Down", Expr: "up == 0", Timing: rules.Timing{For: time.Minute, KeepFiringFor: 2 * time.Minute}, State: rules.Firing, Alerts: alerts,
				LastError: "no answer", LastEvaluation: at},
		}},
		{File: "s.yml", Name: "h", Interval: time.Minute, Rules: []rules.RuleStatus{{Alert: "New", Expr: "x", State: rules.Inactive}}},
	}
	const (
		alert = `{"labels":{"alertname":"Down","job":"a"},"annotations":{"summary":"it is down"},"state":"firing",` +
			`"activeAt":"1970-01-01T00:16:40.5Z","keepFiringSince":"1970-01-01T00:16:40.5Z","value":"5e-01"}`
		record = `{"name":"r:sum","query":"sum(r)","labels":{"team":"x"},"health":"ok","evaluationTime":0.001,"lastEvaluation":"1970-01-01T00:16:40.5Z","type":"recording"}`
		down   = `{"state":"firing","name":"Down","query":"up == 0","duration":60,"keepFiringFor":120,"labels":{},"annotations":{},"alerts":[` + alert + `],` +
			`"health":"err","lastError":"no answer","evaluationTime":0,"lastEvaluation":"1970-01-01T00:16:40.5Z","type":"alerting"}`
		never = `{"state":"inactive","name":"New","query":"x","duration":0,"keepFiringFor":0,"labels":{},"annotations":{},"alerts":[],` +
			`"health":"unknown","evaluationTime":0,"lastEvaluation":"0001-01-01T00:00:00Z","type":"alerting"}`
		tailG = `,"interval":30,"limit":5,"evaluationTime":1,"lastEvaluation":"1970-01-01T00:16:40.5Z"}`
		tailH = `,"interval":60,"limit":0,"evaluationTime":0,"lastEvaluation":"0001-01-01T00:00:00Z"}`
		headG = `{"name":"g","file":"r.yml","rules":[`
		h     = `{"name":"h","file":"s.yml","rules":[` + never + `]` + tailH
	)
	for target, want := range map[string]string{
		"/api/v1/rules":                                   headG + record + `,` + down + `]` + tailG + `,` + h,
		"/api/v1/rules?type=record":                       headG + record + `]` + tailG,
		"/api/v1/rules?type=Alert&rule_name[]=Down":       headG + down + `]` + tailG,
		"/api/v1/rules?rule_group[]=h":                    h,
		"/api/v1/rules?file[]=s.yml":                      h,
		"/api/v1/rules?file[]=none":                       ``,
		q("/api/v1/rules", "match[]", `{team="x"}`):       headG + record + `]` + tailG,
		"/api/v1/rules?rule_name[]=Down&exclude_alerts=1": headG + strings.Replace(down, alert, "", 1) + `]` + tailG,
	} {
		s.expect(target, http.StatusOK, success(`{"groups":[`+want+`]}`))
	}
	s.expect("/api/v1/alerts", http.StatusOK, success(`{"alerts":[`+alert+`]}`))
}

func TestReadyAndReload(t *testing.T) {
	s := newSite(t, "", nil)
	s.expect("/-/ready", http.StatusOK, "Nilometer is ready.")
	s.process.ready = storage.ErrReplaying
	s.expect("/-/ready", http.StatusServiceUnavailable, "Nilometer is not ready: "+storage.ErrReplaying.Error())
	s.expect("/-/healthy", http.StatusOK, "Nilometer is healthy.")
	for _, method := range []string{http.MethodPost, http.MethodPut} {
		if status, answer, _ := s.do(method, "/-/reload", ""); status != http.StatusOK || answer != "" {
			t.Errorf("%s: %d %s", method, status, answer)
		}
	}
	if status, _, _ := s.do(http.MethodGet, "/-/reload", ""); status == http.StatusOK && s.process.reloads != 2 {
		t.Errorf("a GET reloads")
	}
	s.process.reload = errors.New("a.yml:1: bad")
	if status, answer, _ := s.do(http.MethodPost, "/-/reload", ""); status != http.StatusInternalServerError || answer != "failed to reload config: a.yml:1: bad" {
		t.Errorf("a bad configuration: %d %s", status, answer)
	}
	if s.process.reloads != 3 {
		t.Errorf("%d reloads, want 3", s.process.reloads)
	}
}

func TestStatus(t *testing.T) {
	s := newSite(t, "", nil)
	for path, want := range map[string]map[string]any{
		"/api/v1/status/buildinfo":   {"application": "Nilometer", "applicationVersion": "1.2.3", "revision": "abc"},
		"/api/v1/status/runtimeinfo": {"startTime": "1970-01-01T00:08:20Z", "reloadConfigSuccess": true, "lastConfigTime": "1970-01-01T00:16:40Z", "storageRetention": "30d", "corruptionCount": 0.0},
	} {
		_, answer, _ := s.do(http.MethodGet, path, "")
		var got struct {
			Data     map[string]any
			Warnings []string
		}
		if err := json.Unmarshal([]byte(answer), &got); err != nil {
			t.Fatalf("%s: %v: %s", path, err, answer)
		}
		if notices := strings.Join(got.Warnings, " "); strings.HasSuffix(path, "runtimeinfo") && notices != "f.yml:3: remote_write[0]: not sent" {
			t.Errorf("%s: warnings %q", path, notices)
		}
		for key, v := range want {
			if got.Data[key] != v {
				t.Errorf("%s: %s is %v, want %v", path, key, got.Data[key], v)
			}
		}
		// Clients choose what they ask by a version of Prometheus.
		if version, ok := got.Data["version"].(string); ok && !strings.HasPrefix(version, "3.") {
			t.Errorf("version %q", version)
		}
	}
}

func TestPathsAndPrefix(t *testing.T) {
	for _, prefix := range []string{"", "/metrics/path"} {
		s := newSite(t, prefix, nil)
		s.expect(prefix+"/-/healthy", http.StatusOK, "Nilometer is healthy.")
		s.expect(prefix+"/", http.StatusOK, "page /")
		s.expect(prefix+"/graph", http.StatusOK, "page /graph")
		s.expect(prefix+"/api/v1/labels", http.StatusOK, success(`["__name__","instance","job","path"]`))
		if status, answer, _ := s.do(http.MethodPost, prefix+"/api/v1/write", ""); status != http.StatusOK || answer != "write /api/v1/write" {
			t.Errorf("write: %d %s", status, answer)
		}
		_, metrics, _ := s.do(http.MethodGet, prefix+"/metrics", "")
		if !strings.Contains(metrics, `nilometer_http_requests_total{code="200",handler="/api/v1/labels"} 1`) {
			t.Errorf("/metrics does not count the request:\n%s", metrics)
		}
		if prefix != "" {
			if status, _, _ := s.do(http.MethodGet, "/api/v1/labels", ""); status != http.StatusNotFound {
				t.Errorf("without the prefix: %d", status)
			}
		}
	}
}

func TestRequestLimits(t *testing.T) {
	s := newSite(t, "", nil)
	status, answer, _ := s.do(http.MethodPost, "/api/v1/query", "query="+strings.Repeat("1%2B", 2<<20)+"1")
	if status != http.StatusBadRequest || !strings.Contains(answer, "request body too large") {
		t.Errorf("a body over the limit: %d %.200s", status, answer)
	}
	status, answer, _ = s.do(http.MethodPost, "/api/v1/query", "query=%zz")
	if status != http.StatusBadRequest || !strings.Contains(answer, `invalid URL escape`) {
		t.Errorf("a damaged form: %d %.200s", status, answer)
	}
}

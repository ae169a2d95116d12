package config_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nilometer/nilometer/config"
)

func TestDefaults(t *testing.T) {
	c := config.Defaults()
	if time.Duration(c.Global.ScrapeInterval) != 5*time.Second || !c.Nilometer.HostCollector || !c.Nilometer.SelfScrape {
		t.Fatalf("defaults are %+v", c)
	}
	files, errs := c.ReadRules()
	if len(errs) > 0 {
		t.Fatal(errs)
	}
	if len(files) != 1 || len(files[0].Groups) != 3 {
		t.Fatalf("builtin rules: %+v", files)
	}
}

const good = `
global:
  scrape_interval: 15s
  external_labels: {region: eu}
scrape_configs:
  - job_name: node
    scrape_interval: 10s
    metric_relabel_configs:
      - source_labels: [__name__]
        regex: go_.*
        action: drop
    basic_auth:
      username: u
      password_file: secret
    static_configs:
      - targets: ["a:9100", "b:9100"]
        labels: {rack: r1}
    file_sd_configs:
      - files: ["targets/*.json"]
rule_files: ["rules/*.yml"]
storage:
  tsdb: {out_of_order_time_window: 30m}
nilometer:
  alerting: {config_file: alertmanager.yml}
  storage: {retention: {time: 90d}, memory_limit: 6GiB}
  query: {timeout: 30s, samples_max: 1000, memory_max: 1GiB, query_memory_max: 512MiB, features: [promql-delayed-name-removal]}
`

func TestParse(t *testing.T) {
	c, err := config.Parse([]byte(good), "/etc/nilometer/prometheus.yml")
	if err != nil {
		t.Fatal(err)
	}
	sc := c.ScrapeConfigs[0]
	checks := []struct {
		name      string
		got, want any
	}{
		{"interval", time.Duration(sc.ScrapeInterval), 10 * time.Second},
		{"timeout", time.Duration(sc.ScrapeTimeout), 10 * time.Second},
		{"path", sc.MetricsPath, "/metrics"},
		{"scheme", sc.Scheme, "http"},
		{"honor_timestamps", sc.HonorTimestamps, true},
		{"follow_redirects", sc.HTTPClient.FollowRedirects, true},
		{"password file", sc.HTTPClient.BasicAuth.PasswordFile, "/etc/nilometer/secret"},
		{"targets", strings.Join(sc.StaticConfigs[0].Targets, ","), "a:9100,b:9100"},
		{"label", sc.StaticConfigs[0].Labels["rack"], "r1"},
		{"file_sd", sc.FileSDConfigs[0].Files[0], "/etc/nilometer/targets/*.json"},
		{"file_sd refresh", time.Duration(sc.FileSDConfigs[0].RefreshInterval), 5 * time.Minute},
		{"relabel separator", sc.MetricRelabelConfigs[0].Separator, ";"},
		{"rule file", c.RuleFiles[0], "/etc/nilometer/rules/*.yml"},
		{"alerting", c.Nilometer.Alerting.ConfigFile, "/etc/nilometer/alertmanager.yml"},
		{"retention", time.Duration(c.Nilometer.Storage.Retention.Time), 90 * 24 * time.Hour},
		{"late samples", time.Duration(*c.Storage.TSDB.OutOfOrderTimeWindow), 30 * time.Minute},
		{"memory limit", int64(c.Nilometer.Storage.MemoryLimit), int64(6 << 30)},
		{"query timeout", time.Duration(c.Nilometer.Query.Timeout), 30 * time.Second},
		{"query samples", c.Nilometer.Query.SamplesMax, int64(1000)},
		{"query memory", int64(c.Nilometer.Query.QueryMemoryMax), int64(512 << 20)},
		{"query feature", c.Nilometer.Query.Features[0], config.FeatureDelayedNames},
		{"start timestamps", c.Nilometer.Scrape.StartTimestamps, false},
		{"track timestamps", sc.TrackTimestamps, false},
		{"extra metrics", *sc.ExtraScrapeMetrics, false},
		{"evaluation", time.Duration(c.Global.EvaluationInterval), time.Minute},
	}
	for _, ck := range checks {
		if ck.got != ck.want {
			t.Errorf("%s is %v, want %v", ck.name, ck.got, ck.want)
		}
	}
}

func TestFormats(t *testing.T) {
	const text = "OpenMetricsText1.0.0 OpenMetricsText0.0.1 PrometheusText1.0.0 PrometheusText0.0.4"
	for _, c := range []struct {
		name, global, job string
		protocols         string
		native, legacy    bool
		escaping          string
	}{
		{"defaults", "", "", text, false, false, "allow-utf-8"},
		{"native", "scrape_native_histograms: true", "", "PrometheusProto " + text, true, false, "allow-utf-8"},
		{"native not here", "scrape_native_histograms: true", "scrape_native_histograms: false", text, false, false, "allow-utf-8"},
		{"protocols win over native", "scrape_protocols: [PrometheusText0.0.4]", "scrape_native_histograms: true", "PrometheusText0.0.4", true, false, "allow-utf-8"},
		{"legacy", "metric_name_validation_scheme: legacy", "", text, false, true, "underscores"},
		{"utf8 here", "metric_name_validation_scheme: legacy", "metric_name_validation_scheme: utf8", text, false, false, "allow-utf-8"},
		{"legacy here", "metric_name_escaping_scheme: values", "metric_name_validation_scheme: legacy", text, false, true, "underscores"},
		{"starts", "scrape_timeout: 5s\nnilometer: {scrape: {start_timestamps: true}}", "", "PrometheusProto " + text, false, false, "allow-utf-8"},
		{"escaping", "metric_name_escaping_scheme: values", "", text, false, false, "values"},
	} {
		c2, err := config.Parse(fmt.Appendf(nil, "global:\n  scrape_interval: 1m\n  %s\nscrape_configs:\n  - job_name: a\n    %s\n", c.global, c.job), "f.yml")
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		sc := c2.ScrapeConfigs[0]
		if got := strings.Join(sc.ScrapeProtocols, " "); got != c.protocols || *sc.ScrapeNativeHistograms != c.native || sc.LegacyNames() != c.legacy || sc.EscapingScheme != c.escaping {
			t.Errorf("%s: %s native %v legacy %v escaping %s", c.name, got, *sc.ScrapeNativeHistograms, sc.LegacyNames(), sc.EscapingScheme)
		}
	}
}

func TestProblems(t *testing.T) {
	cases := []struct{ name, yaml, want string }{
		{"unknown key", "global:\n  scrape_intervall: 5s\n", `f.yml:2: global.scrape_intervall: unknown key; did you mean "scrape_interval"?`},
		{"unknown section", "globals: {}\n", `f.yml:1: globals: unknown key; did you mean "global"?`},
		{"protocol", "global:\n  scrape_protocols: [PrometheusText0.0.4, Carrier]\n", `f.yml:2: global.scrape_protocols[1]: "Carrier" is none of the protocols: [OpenMetricsText1.0.0 OpenMetricsText0.0.1 PrometheusText1.0.0 PrometheusText0.0.4 PrometheusProto OpenMetricsText2.0.0]`},
		{"protocol twice", "scrape_configs:\n  - job_name: a\n    scrape_protocols: [PrometheusProto, PrometheusProto]\n", `f.yml:3: scrape_configs[0].scrape_protocols[1]: "PrometheusProto" is named twice`},
		{"no protocol", "global:\n  scrape_protocols: []\n", `f.yml:2: global.scrape_protocols: is empty: name at least one, or leave the key out`},
		{"validation", "global:\n  metric_name_validation_scheme: lax\n", `f.yml:2: global.metric_name_validation_scheme: "lax" is neither utf8 nor legacy`},
		{"escaping", "scrape_configs:\n  - job_name: a\n    metric_name_validation_scheme: legacy\n    metric_name_escaping_scheme: allow-utf-8\n", `f.yml:4: scrape_configs[0].metric_name_escaping_scheme: asks for UTF-8 names, which metric_name_validation_scheme: legacy refuses`},
		{"remote write", "remote_write:\n  - name: x\n", "f.yml:2: remote_write[0].url: is missing"},
		{"remote names", "remote_read:\n  - {url: http://x, name: x}\n  - {url: http://y, name: x}\n", `f.yml:3: remote_read[1].name: "x" is the name of another entry already`},
		{"remote key", "remote_write:\n  - {url: http://x, queue_config: {capacty: 1}}\n", `f.yml:2: remote_write[0].queue_config.capacty: unknown key; did you mean "capacity"?`},
		{"remote queue", "remote_write:\n  - {url: http://x, queue_config: {min_shards: 60}}\n", "f.yml:2: remote_write[0].queue_config.min_shards: 60 is more than max_shards, 50"},
		{"two ways", "remote_write:\n  - {url: http://x, sigv4: {}, google_iam: {}}\n", "f.yml:2: remote_write[0]: only one way to authenticate may be named, here are sigv4, google_iam"},
		{"alertmanager version", "alerting:\n  alertmanagers:\n  - {api_version: v1}\n", `f.yml:3: alerting.alertmanagers[0].api_version: "v1" is not v2, the only one that Alertmanager has`},
		{"log level", "runtime: {log_level: loud}\n", `f.yml:1: runtime.log_level: "loud" is none of debug, info, warn, error`},
		{"tracing", "tracing: {client_type: http}\n", "f.yml:1: tracing.endpoint: is missing"},
		{"otlp", "otlp: {ignore_resource_attributes: [a]}\n", "f.yml:1: otlp.ignore_resource_attributes: means something only with promote_all_resource_attributes"},
		{"late window", "storage:\n  tsdb: {out_of_order_time_window: soon}\n", `f.yml:2: storage.tsdb.out_of_order_time_window: not a valid duration string: "soon"`},
		{"discovery without", "scrape_configs:\n  - job_name: a\n    http_sd_configs: [{}]\n", "f.yml:3: scrape_configs[0].http_sd_configs[0]: URL is missing"},
		{"discovery key", "scrape_configs:\n  - job_name: a\n    consul_sd_configs:\n      - service: [x]\n", `f.yml:4: scrape_configs[0].consul_sd_configs[0].service: unknown key; did you mean "services"?`},
		{"discovery list", "scrape_configs:\n  - job_name: a\n    dns_sd_configs: {names: [x]}\n", "f.yml:3: scrape_configs[0].dns_sd_configs: expected a list, found keys and values"},
		{"duration", "global:\n  scrape_interval: 5 parsecs\n", `f.yml:2: global.scrape_interval: unknown unit " parsecs" in duration "5 parsecs"`},
		{"timeout", "scrape_configs:\n  - job_name: a\n    scrape_interval: 5s\n    scrape_timeout: 6s\n", "f.yml:4: scrape_configs[0].scrape_timeout: 6s is longer than the scrape interval 5s"},
		{"no job", "scrape_configs:\n  - metrics_path: /x\n", "f.yml:2: scrape_configs[0].job_name: is missing: every job needs a name"},
		{"same job", "scrape_configs:\n  - job_name: a\n  - job_name: a\n", `f.yml:3: scrape_configs[1].job_name: "a" is the name of scrape_configs[0] already`},
		{"type", "scrape_configs: 7\n", `f.yml:1: scrape_configs: expected a list, found "7"`},
		{"scheme", "scrape_configs:\n  - job_name: a\n    scheme: ftp\n", `f.yml:3: scrape_configs[0].scheme: "ftp" is neither http nor https`},
		{"relabel action", "scrape_configs:\n  - job_name: a\n    relabel_configs:\n      - action: explode\n", `f.yml:4: scrape_configs[0].relabel_configs[0]: unknown relabel action "explode"`},
		{"relabel key", "scrape_configs:\n  - job_name: a\n    relabel_configs:\n      - acton: drop\n", `f.yml:4: scrape_configs[0].relabel_configs[0].acton: unknown key; did you mean "action"?`},
		{"tls key", "scrape_configs:\n  - job_name: a\n    tls_config: {ca_fil: x}\n", `f.yml:3: scrape_configs[0].tls_config.ca_fil: unknown key; did you mean "ca_file"?`},
		{"duplicate key", "global: {}\nglobal: {}\n", "f.yml:2: global: the key stands at line 1 already"},
		{"memory limit", "nilometer:\n  storage: {memory_limit: 6MiB}\n", "f.yml:2: nilometer.storage.memory_limit: 6MiB is under the smallest, 128MiB"},
		{"limit policy", "nilometer:\n  limits:\n    rules:\n    - {job: a, label_values_policy: drop}\n", `f.yml:4: nilometer.limits.rules[0].label_values_policy: "drop" is none of report, refuse, drop_label, replace, hash`},
		{"limit buckets", "nilometer:\n  limits: {label_values_buckets: -1}\n", "f.yml:2: nilometer.limits.label_values_buckets: -1 is not between 1 and 65536"},
		{"limit of all", "nilometer:\n  limits:\n    rules:\n    - {job_series_max: 1}\n", "f.yml:4: nilometer.limits.rules[0]: is about everything: name a tenant, a job or a metric, or set the limits outside of rules"},
		{"query limit", "nilometer:\n  query: {series_max: -1}\n", "f.yml:2: nilometer.query.series_max: -1 is negative: every limit is at least 1, 0 is the default"},
		{"query lookback", "nilometer:\n  query: {lookback_delta: 5}\n", `f.yml:2: nilometer.query.lookback_delta: not a valid duration string: "5"`},
		{"query memory", "nilometer:\n  query: {memory_max: 1GiB, query_memory_max: 2GiB}\n", "f.yml:2: nilometer.query.query_memory_max: 2GiB is over memory_max, 1GiB"},
		{"rules memory", "nilometer:\n  query: {memory_max: 1GiB, rules_memory: 1GiB}\n", "f.yml:2: nilometer.query.rules_memory: 1GiB leaves nothing of memory_max, 1GiB"},
		{"query feature", "nilometer:\n  query: {features: [old-ui]}\n", `f.yml:2: nilometer.query.features[0]: "old-ui" is no feature of queries: there are ` + strings.Join(config.QueryFeatures(), ", ")},
		{"syntax", "global:\n\tscrape_interval: 5s\n", "f.yml:2: found character that cannot start any token"},
		{"two documents", "global: {}\n---\nglobal: {}\n", "f.yml:2: a second YAML document: only one is read"},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			_, err := config.Parse([]byte(tc.yaml), "f.yml")
			var problems config.Problems
			if !errors.As(err, &problems) {
				t.Fatalf("error is %v, want Problems", err)
			}
			if got := err.Error(); got != tc.want {
				t.Errorf("\n got %s\nwant %s", got, tc.want)
			}
		})
	}
}

func TestEverythingWrongAtOnce(t *testing.T) {
	_, err := config.Parse([]byte("globl: {}\nscrape_configs:\n  - jobname: a\n    scrape_interval: x\n"), "f.yml")
	var problems config.Problems
	if !errors.As(err, &problems) || len(problems) != 3 {
		t.Fatalf("problems are %v, want 3 of them", err)
	}
}

func TestOneBadRuleFile(t *testing.T) {
	dir := t.TempDir()
	write := func(name, content string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("a.yml", "groups: [{name: g, rules: [{record: x, expr: up}]}]")
	write("b.yml", "groups: [{name: g, rules: [{record: x, expr: 'up('}]}]")
	c, err := config.Parse([]byte("rule_files: ['*.yml']"), filepath.Join(dir, "prometheus.yml"))
	if err != nil {
		t.Fatal(err)
	}
	files, errs := c.ReadRules()
	if len(files) != 1 || filepath.Base(files[0].Path) != "a.yml" {
		t.Errorf("files are %v, want a.yml alone", files)
	}
	if len(errs) != 1 || !strings.Contains(errs[0].Error(), "b.yml") {
		t.Errorf("errors are %v, want one that names b.yml", errs)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(good))
	f.Add([]byte("a: &a {b: *a}\n"))
	f.Fuzz(func(t *testing.T, content []byte) {
		if len(content) > 1<<14 {
			return
		}
		if _, err := config.Parse(content, "f.yml"); err != nil && err.Error() == "" {
			t.Error("an error without a text")
		}
	})
}

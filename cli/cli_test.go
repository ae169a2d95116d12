package cli_test

import (
	"bytes"
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nilometer/nilometer/cli"
)

// run executes a command line; a server that starts would end at once.
func run(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	var out, errs bytes.Buffer
	code = cli.Run(ctx, args, cli.Streams{Out: &out, Err: &errs}, cli.Build{Version: "1.2.3", Revision: "abc"})
	return code, out.String(), errs.String()
}

// live executes a command line that is to succeed, and returns what it writes.
func live(t *testing.T, args ...string) string {
	t.Helper()
	var out, errs bytes.Buffer
	if code := cli.Run(t.Context(), args, cli.Streams{Out: &out, Err: &errs}, cli.Build{Version: "1.2.3", Revision: "abc"}); code != 0 {
		t.Fatalf("%q: code %d: %s", args, code, errs.String())
	}
	return out.String()
}

// refusedFlags are flags of Prometheus 3 that are not taken.
var refusedFlags = strings.Fields(`
	agent alertmanager.drain-notification-queue-on-shutdown alertmanager.notification-batch-size
	alertmanager.notification-queue-capacity auto-gomaxprocs auto-gomemlimit auto-gomemlimit.ratio
	auto-gomemlimit.refresh-interval log.format rules.alert.for-grace-period
	rules.alert.for-outage-tolerance rules.alert.resend-delay rules.max-concurrent-evals
	scrape.discovery-reload-interval storage.agent.no-lockfile storage.agent.path storage.agent.retention.max-time
	storage.agent.retention.min-time storage.agent.wal-compression storage.remote.flush-deadline
	storage.remote.read-concurrent-limit storage.remote.read-max-bytes-in-frame storage.remote.read-sample-limit
	storage.tsdb.max-block-duration storage.tsdb.min-block-duration storage.tsdb.no-lockfile
	storage.tsdb.wal-compression storage.tsdb.wal-segment-size web.config.file web.console.libraries
	web.console.templates web.cors.origin web.enable-otlp-receiver web.max-connections
	web.max-notifications-subscribers web.page-title web.read-timeout
	web.remote-write-receiver.accepted-protobuf-messages web.route-prefix web.user-assets
	no-agent no-web.enable-lifecycle no-storage.tsdb.wal-compression`)

func TestRefusedFlagsNameTheWayOut(t *testing.T) {
	for _, name := range refusedFlags {
		for _, args := range [][]string{{"--" + name + "=1"}, {"--" + name, "1"}} {
			code, stdout, stderr := run(t, args...)
			if code != 2 || stdout != "" || !strings.HasPrefix(stderr, "nilometer: the flag --"+name+" of Prometheus is not taken: ") || strings.Count(stderr, "\n") != 1 {
				t.Errorf("%q: code %d, stdout %q, stderr %q", args, code, stdout, stderr)
			}
		}
	}
}

// The last flag is wrong, so that the server does not start: the ones before
// were taken when only it is named.
func TestTakenFlags(t *testing.T) {
	for _, args := range [][]string{
		{"--config.file=a.yml"}, {"--config.file", "a.yml"}, {"--data.dir=d"}, {"--data.dir", "d"},
		{"--web.listen-address=127.0.0.1:0"}, {"--web.external-url=http://a/b"},
		{"--storage.tsdb.path=d"}, {"--storage.tsdb.retention.time=15d"}, {"--storage.tsdb.retention.size=1GB"},
		{"--web.enable-lifecycle"}, {"--web.enable-admin-api"}, {"--web.enable-lifecycle=false"}, {"--web.enable-remote-write-receiver"},
		{"--enable-feature=a,b", "--enable-feature", "c"},
		{"--query.timeout=30s", "--query.lookback-delta", "1m", "--query.max-samples=1000", "--query.max-concurrency=3"},
	} {
		code, _, stderr := run(t, append(args, "--log.level=loud")...)
		if code != 2 || stderr != "nilometer: --log.level=loud: the levels are debug, info, warn and error\n" {
			t.Errorf("%q: code %d: %s", args, code, stderr)
		}
	}
}

func TestWrongUse(t *testing.T) {
	dir := t.TempDir()
	missing := filepath.Join(dir, "missing")
	for _, c := range []struct {
		args []string
		code int
		says string
	}{
		{[]string{"--nothing"}, 2, "unknown flag --nothing: nilometer --help lists the flags"},
		{[]string{"-x"}, 2, "unknown"},
		{[]string{"--data.dir"}, 2, "needs an argument"},
		{[]string{"serve"}, 2, "nilometer --help"},
		{[]string{"--storage.tsdb.retention.time=long"}, 2, "--storage.tsdb.retention.time=long"},
		{[]string{"--query.timeout=soon"}, 2, "--query.timeout=soon"},
		{[]string{"--query.lookback-delta=5"}, 2, "--query.lookback-delta=5"},
		{[]string{"--query.max-samples=-1"}, 2, "--query.max-samples=-1"},
		{[]string{"--query.max-concurrency=-1"}, 2, "--query.max-concurrency=-1"},
		{[]string{"version", "x"}, 2, "use nilometer version"},
		{[]string{"check", "x"}, 2, "nilometer check config|rules FILE"},
		{[]string{"check", "config"}, 2, "use nilometer check config FILE"},
		{[]string{"check", "rules"}, 2, "use nilometer check rules FILE"},
		{[]string{"check", "config", missing}, 1, missing},
		{[]string{"check", "rules", missing}, 1, missing},
		{[]string{"query", "x"}, 2, "nilometer query instant|range|explain EXPR"},
		{[]string{"query", "instant"}, 2, "use nilometer query instant EXPR"},
		{[]string{"query", "range", "a", "b"}, 2, "use nilometer query range EXPR"},
		{[]string{"query", "instant", "-o", "xml", "up"}, 2, "--format=xml: the formats are promql and json"},
		{[]string{"query", "instant", "--time=noon", "up"}, 2, "--time=noon: write it like"},
		{[]string{"query", "range", "--start=noon", "up"}, 2, "--start=noon: write it like"},
		{[]string{"query", "instant", "--server=http://127.0.0.1:1", "up"}, 1, "query http://127.0.0.1:1: "},
		{[]string{"query", "instant", "--timeout=x", "up"}, 2, "--timeout"},
		{[]string{"tsdb", "x"}, 2, "nilometer tsdb list|analyze|dump|verify|compact --data.dir DIR"},
		{[]string{"tsdb", "compact", "--storage.tsdb.retention.time=x"}, 2, "--storage.tsdb.retention.time=x"},
		{[]string{"tsdb", "verify", "--data.dir", missing}, 1, missing},
		{[]string{"tsdb", "compact", "--data.dir", missing}, 1, missing},
		{[]string{"tsdb", "verify", "--query.timeout=1m"}, 2, "--query.timeout"},
	} {
		code, stdout, stderr := run(t, c.args...)
		if code != c.code || stdout != "" || !strings.HasPrefix(stderr, "nilometer: ") || !strings.Contains(stderr, c.says) {
			t.Errorf("%q: code %d, stdout %q, stderr %q; want code %d and %q", c.args, code, stdout, stderr, c.code, c.says)
		}
	}
	if _, err := os.Stat(missing); !os.IsNotExist(err) {
		t.Errorf("a directory was made: %v", err)
	}
}

func TestVersionAndHelp(t *testing.T) {
	for _, args := range [][]string{{"version"}, {"--version"}} {
		code, stdout, stderr := run(t, args...)
		if code != 0 || !strings.HasPrefix(stdout, "nilometer 1.2.3 (revision abc, go") || stderr != "" {
			t.Errorf("%q: code %d, %q, %q", args, code, stdout, stderr)
		}
	}
	code, stdout, stderr := run(t, "--help")
	for _, text := range []string{"--config.file", "--data.dir", "--web.listen-address", "check", "query", "tsdb", "version"} {
		if !strings.Contains(stdout, text) {
			t.Errorf("the help does not name %s", text)
		}
	}
	if code != 0 || stderr != "" {
		t.Errorf("help: code %d, %q", code, stderr)
	}
	for _, group := range []string{"check", "query", "tsdb"} {
		if code, stdout, _ := run(t, group); code != 0 || !strings.Contains(stdout, "Available Commands") {
			t.Errorf("%s alone: code %d, %q", group, code, stdout)
		}
	}
}

func TestCheckReportsEveryFile(t *testing.T) {
	dir := t.TempDir()
	write := func(name, content string) string {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	good := write("good.yml", "scrape_configs: [{job_name: a}]\nrule_files: [rules.yml]\n")
	rules := write("rules.yml", "groups: [{name: g, rules: [{record: r, expr: up}]}]\n")
	unknown := write("unknown.yml", "nothing: 1\n")
	amMissing := write("alerting.yml", "nilometer: {alerting: {config_file: none.yml}}\n")
	badRules := write("bad.yml", "groups: [{name: g, rules: [{record: r, expr: 'up{'}]}]\n")
	withBadRules := write("names-bad.yml", "rule_files: [bad.yml]\n")

	code, stdout, stderr := run(t, "check", "config", good)
	if code != 0 || stdout != good+": valid: 1 scrape configs, 1 rule files with 1 rules\n" || stderr != "" {
		t.Errorf("good: code %d, %q, %q", code, stdout, stderr)
	}
	code, stdout, stderr = run(t, "check", "config", unknown, good, amMissing, withBadRules)
	if code != 1 || !strings.Contains(stdout, good+": valid") {
		t.Errorf("code %d, %q", code, stdout)
	}
	for _, text := range []string{unknown + ":1", "nothing", "none.yml", badRules} {
		if !strings.Contains(stderr, text) {
			t.Errorf("%q does not name %s", stderr, text)
		}
	}
	for _, line := range strings.Split(strings.TrimSuffix(stderr, "\n"), "\n") {
		if !strings.HasPrefix(line, "nilometer: ") {
			t.Errorf("line %q does not say who speaks", line)
		}
	}
	if code, stdout, _ := run(t, "check", "rules", rules); code != 0 || stdout != rules+": valid: 1 groups, 1 rules\n" {
		t.Errorf("rules: code %d, %q", code, stdout)
	}
	if code, _, stderr := run(t, "check", "rules", badRules); code != 1 || !strings.Contains(stderr, badRules) {
		t.Errorf("bad rules: code %d, %q", code, stderr)
	}
}

func TestQueryFailsLoudly(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusServiceUnavailable)
		_, _ = w.Write([]byte(`{"status":"error","errorType":"unavailable","error":"replaying the write-ahead log"}`))
	}))
	defer srv.Close()
	var out, errs bytes.Buffer
	code := cli.Run(context.Background(), []string{"query", "instant", "--server", srv.URL, "up"}, cli.Streams{Out: &out, Err: &errs}, cli.Build{})
	if code != 1 || out.Len() > 0 || !strings.Contains(errs.String(), "replaying the write-ahead log") {
		t.Errorf("code %d, %q, %q", code, out.String(), errs.String())
	}
}

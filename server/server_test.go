package server_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nilometer/nilometer/server"
	"github.com/nilometer/nilometer/test/output"
)

// running is a server in this process.
type running struct {
	t      *testing.T
	banner output.Buffer
	log    output.Buffer
	reload chan os.Signal
	end    context.CancelFunc
	ended  chan error
}

func start(t *testing.T, o server.Options) *running {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	r := &running{t: t, reload: make(chan os.Signal, 1), end: cancel, ended: make(chan error, 1)}
	o.Version = "1.2.3"
	go func() {
		r.ended <- server.Run(ctx, o, server.Deps{Logger: slog.New(slog.NewTextHandler(&r.log, nil)), Banner: &r.banner, Reload: r.reload})
	}()
	t.Cleanup(cancel)
	r.wait("the banner", func() bool { return strings.Contains(r.banner.String(), "Queries to paste") })
	return r
}

func (r *running) wait(what string, done func() bool) {
	r.t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !done(); time.Sleep(5 * time.Millisecond) {
		select {
		case err := <-r.ended:
			r.t.Fatalf("waiting for %s: the server ended: %v\n%s", what, err, r.log.String())
		default:
		}
		if time.Now().After(deadline) {
			r.t.Fatalf("no %s\n%s%s", what, r.banner.String(), r.log.String())
		}
	}
}

func (r *running) stop() {
	r.t.Helper()
	r.end()
	if err := <-r.ended; err != nil {
		r.t.Fatalf("the server ended with %v", err)
	}
}

func (r *running) url() string {
	_, rest, _ := strings.Cut(r.banner.String(), "is running: ")
	url, _, _ := strings.Cut(rest, "\n")
	return url
}

func get(t *testing.T, url string) (status int, body string) {
	t.Helper()
	resp, err := http.Get(url) //nolint:gosec,noctx // an address of the test
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	content, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(content)
}

func write(t *testing.T, path, content string) string {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestStartServeEnd(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	r := start(t, server.Options{DataDir: dir, ListenAddress: "127.0.0.1:0"})
	for _, said := range []string{"Nilometer 1.2.3 is running: http://127.0.0.1:", dir + " (kept for 30d)", `(job "nilometer") every 5s`, `(job "host") every 5s`, "node_cpu_seconds_total"} {
		if !strings.Contains(r.banner.String(), said) {
			t.Errorf("the banner does not say %q:\n%s", said, r.banner.String())
		}
	}
	r.wait("readiness", func() bool { status, _ := get(t, r.url()+"/-/ready"); return status == http.StatusOK })
	r.wait("samples of both jobs", func() bool {
		_, body := get(t, r.url()+"/api/v1/query?query=count(up==1)")
		return strings.Contains(body, `"2"]`)
	})
	r.stop()

	// What was stored is there when it starts again, at another address.
	again := start(t, server.Options{DataDir: dir, ListenAddress: "127.0.0.1:0", RetentionTime: 48 * time.Hour, ConfigFile: write(t, filepath.Join(t.TempDir(), "c.yml"), "{}")})
	if !strings.Contains(again.banner.String(), "kept for 2d") || !strings.Contains(again.banner.String(), "nothing: the configuration has no scrape_configs") {
		t.Errorf("banner:\n%s", again.banner.String())
	}
	_, body := get(t, again.url()+"/api/v1/query?query=count(last_over_time(up[1h]))")
	if !strings.Contains(body, `"2"]`) {
		t.Errorf("after the restart: %s", body)
	}
	again.stop()
}

func TestExternalURL(t *testing.T) {
	conf := write(t, filepath.Join(t.TempDir(), "c.yml"), "{}")
	for given, want := range map[string]string{
		"":                              "http://127.0.0.1:",
		"metrics.example.org":           "http://metrics.example.org\n",
		"https://example.org/a/b/":      "https://example.org/a/b\n",
		"http://metrics.example.org:80": "http://metrics.example.org:80\n",
	} {
		r := start(t, server.Options{DataDir: t.TempDir(), ListenAddress: "127.0.0.1:0", ExternalURL: given, ConfigFile: conf})
		if !strings.Contains(r.banner.String(), "is running: "+want) {
			t.Errorf("%q: banner\n%s", given, r.banner.String())
		}
		r.stop()
	}
	for _, given := range []string{"ftp://example.org", "http://", "http://%zz"} {
		dir := filepath.Join(t.TempDir(), "data")
		err := server.Run(context.Background(), server.Options{DataDir: dir, ListenAddress: "127.0.0.1:0", ExternalURL: given, ConfigFile: conf}, server.Deps{Logger: slog.New(slog.DiscardHandler)})
		if !errors.Is(err, server.ErrExternalURL) || !strings.HasPrefix(err.Error(), "--web.external-url: ") {
			t.Errorf("%q: %v", given, err)
		}
		expectNothing(t, dir)
	}
}

// expectNothing holds I1: a server that cannot start has written nothing.
func expectNothing(t *testing.T, dir string) {
	t.Helper()
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Errorf("%s was made (%v)", dir, err)
	}
}

func TestRefusals(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = taken.Close() }()
	dir := t.TempDir()
	good := write(t, filepath.Join(dir, "good.yml"), "{}")
	for _, c := range []struct {
		name string
		o    server.Options
		says []string
	}{
		{"configuration", server.Options{ConfigFile: write(t, filepath.Join(dir, "bad.yml"), "a: 1\n")}, []string{"bad.yml:1", "a"}},
		{"no configuration", server.Options{ConfigFile: filepath.Join(dir, "none.yml")}, []string{"none.yml"}},
		{"alerting", server.Options{ConfigFile: write(t, filepath.Join(dir, "am.yml"), "nilometer: {alerting: {config_file: bad.yml}}\n")}, []string{"bad.yml"}},
		{"port in use", server.Options{ConfigFile: good, ListenAddress: taken.Addr().String()}, []string{taken.Addr().String(), "is in use", "--web.listen-address"}},
		{"address", server.Options{ConfigFile: good, ListenAddress: "nowhere"}, []string{"--web.listen-address=nowhere"}},
		{"retention", server.Options{ConfigFile: good, RetentionTime: time.Second}, []string{"retention", "2h"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.o.DataDir = filepath.Join(t.TempDir(), "data")
			if c.o.ListenAddress == "" {
				c.o.ListenAddress = "127.0.0.1:0"
			}
			err := server.Run(context.Background(), c.o, server.Deps{Logger: slog.New(slog.DiscardHandler)})
			if err == nil {
				t.Fatal("it ran")
			}
			for _, text := range c.says {
				if !strings.Contains(err.Error(), text) {
					t.Errorf("%q does not say %q", err, text)
				}
			}
			expectNothing(t, c.o.DataDir)
		})
	}
}

// TestReload: by a signal, and because files have changed.
func TestReload(t *testing.T) {
	for name, every := range map[string]time.Duration{"signal": 0, "files": 20 * time.Millisecond} {
		t.Run(name, func(t *testing.T) { testReload(t, every) })
	}
}

func testReload(t *testing.T, every time.Duration) {
	dir := t.TempDir()
	conf := write(t, filepath.Join(dir, "c.yml"), "rule_files: [r.yml]\n")
	rule := func(expr string) {
		write(t, filepath.Join(dir, "r.yml"), "groups: [{name: g, interval: 1s, rules: [{record: r, expr: '"+expr+"'}]}]\n")
	}
	rule("vector(1)")
	r := start(t, server.Options{DataDir: t.TempDir(), ListenAddress: "127.0.0.1:0", ConfigFile: conf, AutoReloadInterval: every})
	expect := func(query string, ok string) {
		t.Helper()
		if every == 0 {
			r.reload <- syscall.SIGHUP
		}
		r.wait(query, func() bool {
			_, list := get(t, r.url()+"/api/v1/rules")
			_, info := get(t, r.url()+"/api/v1/status/runtimeinfo")
			return strings.Contains(list, `"query":"`+query+`"`) && strings.Contains(info, `"reloadConfigSuccess":`+ok)
		})
	}
	rule("vector(2)")
	expect("vector(2)", "true")
	rule("vector(")
	expect("vector(2)", "false")
	write(t, conf, "nothing: 1\n")
	rule("vector(3)")
	expect("vector(2)", "false")
	write(t, conf, "rule_files: [r.yml]\n")
	expect("vector(3)", "true")
	r.stop()
}

// TestQueryLimits: file and flags reach the engine, and names of features are
// told.
func TestQueryLimits(t *testing.T) {
	conf := write(t, filepath.Join(t.TempDir(), "c.yml"), "nilometer: {query: {series_max: 1, steps_max: 100, samples_max: 1000, features: [promql-delayed-name-removal]}}\n")
	r := start(t, server.Options{
		DataDir: t.TempDir(), ListenAddress: "127.0.0.1:0", ConfigFile: conf,
		QuerySamplesMax: 50, Features: []string{"promql-duration-expr", "nothing-known"},
	})
	for query, want := range map[string]string{
		"query_range?query=1&start=0&end=1000&step=1": "exceeded maximum resolution of 100 points",
		"query_range?query=1&start=0&end=99&step=1":   "exceeds the limit of 50 samples in memory",
		"query_range?query=1&start=0&end=40&step=1":   `"success"`,
	} {
		if _, body := get(t, r.url()+"/api/v1/"+query); !strings.Contains(body, want) {
			t.Errorf("%s: %s", query, body)
		}
	}
	for _, said := range []string{
		`msg="feature switched on" option=promql-delayed-name-removal`,
		`msg="feature has nothing to switch" option=promql-duration-expr why="it is always on"`,
		`msg="unknown feature" option=nothing-known`,
	} {
		if !strings.Contains(r.log.String(), said) {
			t.Errorf("the log does not say %s:\n%s", said, r.log.String())
		}
	}
	_, metrics := get(t, r.url()+"/metrics")
	for _, name := range []string{"nilometer_query_memory_max_bytes", "nilometer_query_rules_memory_reserved_bytes"} {
		if !strings.Contains(metrics, "\n"+name+" ") {
			t.Errorf("no metric %s", name)
		}
	}
	r.stop()

	dir := filepath.Join(t.TempDir(), "data")
	err := server.Run(context.Background(), server.Options{DataDir: dir, ListenAddress: "127.0.0.1:0", ConfigFile: conf, QueryTimeout: -1}, server.Deps{Logger: slog.New(slog.DiscardHandler)})
	if err == nil || !strings.Contains(err.Error(), "Timeout") {
		t.Errorf("a negative timeout: %v", err)
	}
	expectNothing(t, dir)
}

// TestQueryLogFile: queries of users and rules are written, and a reload makes
// a file anew that was moved away.
func TestQueryLogFile(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "r.yml"), "groups: [{name: g, interval: 1s, rules: [{record: r, expr: 'vector(7)'}]}]\n")
	conf := write(t, filepath.Join(dir, "c.yml"), "global: {query_log_file: queries.log}\nrule_files: [r.yml]\n")
	log := filepath.Join(dir, "queries.log")
	r := start(t, server.Options{DataDir: t.TempDir(), ListenAddress: "127.0.0.1:0", ConfigFile: conf, ExternalURL: "http://localhost/sub"})
	r.wait("the address", func() bool { return strings.Contains(r.log.String(), "server started") })
	base := "http://" + field(r.log.String(), "address=") + "/sub"
	said := func(text string) func() bool {
		return func() bool {
			content, err := os.ReadFile(log)
			return err == nil && strings.Contains(string(content), text)
		}
	}
	r.wait("a line of a rule", said(`"ruleGroup":{"file":"`+filepath.Join(dir, "r.yml")+`","name":"g"}`))
	get(t, base+"/api/v1/query?query=1%2B1")
	r.wait("a line of a request", said(`"httpRequest":{"clientIP":"127.0.0.1","method":"GET","path":"/sub/api/v1/query"}`))
	if err := os.Rename(log, log+".1"); err != nil {
		t.Fatal(err)
	}
	r.reload <- syscall.SIGHUP
	r.wait("a new file", said("vector(7)"))
	write(t, conf, "global: {query_log_file: none/queries.log}\n")
	r.reload <- syscall.SIGHUP
	r.wait("the refusal", func() bool { return strings.Contains(r.log.String(), "open global.query_log_file") })
	r.stop()
}

// field returns the value after a name in a log of key=value.
func field(log, name string) string {
	_, rest, _ := strings.Cut(log, name)
	value, _, _ := strings.Cut(rest, " ")
	return value
}

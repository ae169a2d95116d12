//go:build e2e

package test

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// TestCLI runs the commands that are not the server, against a server and
// against its data after it has ended.
func TestCLI(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	data := filepath.Join(dir, "data")
	write(t, dir, "rules.yml", "groups: [{name: g, rules: [{record: r, expr: vector(1)}, {alert: A, expr: vector(1)}]}]\n")
	good := write(t, dir, "good.yml", "rule_files: [rules.yml]\nnilometer: {storage: {block_range: 1s}}\n")
	bad := write(t, dir, "bad.yml", "global:\n  scrape_interval: soon\nother: 1\n")
	badRules := write(t, dir, "bad-rules.yml", "groups: [{name: g, rules: [{record: r, expr: 'vector('}]}]\n")

	expectRun(t, 0, `^nilometer \S+ \(revision \S+, go\S+, \w+/\w+\)\n$`, `^$`, "version")
	expectRun(t, 0, `^nilometer \S+ `, `^$`, "--version")
	expectRun(t, 0, `--data\.dir`, `^$`, "--help")
	expectRun(t, 0, `good\.yml: valid: 0 scrape configs, 1 rule files with 2 rules\n$`, `^$`, "check", "config", good)
	expectRun(t, 1, `^$`, `^nilometer: \S+bad\.yml:2\S* .*scrape_interval.*soon.*\nnilometer: \S+bad\.yml:3\S* .*other.*\n$`, "check", "config", bad)
	expectRun(t, 2, `^$`, `^nilometer: .*check config FILE`, "check", "config")
	expectRun(t, 0, `rules\.yml: valid: 1 groups, 2 rules\n$`, `^$`, "check", "rules", filepath.Join(dir, "rules.yml"))
	expectRun(t, 1, `^$`, `^nilometer: \S+bad-rules\.yml`, "check", "rules", badRules)
	expectRun(t, 1, `^$`, `^nilometer: query http://127\.0\.0\.1:1: .*refused`, "query", "instant", "--server=http://127.0.0.1:1", "up")

	s := start(t, data, good)
	now := time.Now()
	for back := 20; back >= 0; back-- {
		s.mustPush(pushed{"cli", "1", []sample{{now.Add(-time.Duration(back) * time.Second).UnixMilli(), float64(20 - back)}}})
	}
	at := fmt.Sprintf("%.3f", float64(now.UnixMilli())/1000)
	expectRun(t, 0, `^cli\{id="1", instance="pusher", job="push"\} => 20 @\[`, `^$`, "query", "instant", "--server", s.url, "--time", at, "cli")
	expectRun(t, 1, `^$`, `^nilometer: query .*parse error`, "query", "instant", "--server", s.url, "cli{")
	expectRun(t, 2, `^$`, `^nilometer: --time=noon`, "query", "instant", "--server", s.url, "--time=noon", "cli")
	expectRun(t, 2, `^$`, `^nilometer: .*--format=xml`, "query", "instant", "--server", s.url, "-o", "xml", "cli")
	_, stdout, _ := run(t, "query", "range", "--server", s.url, "-o", "json", "--start", fmt.Sprintf("%.3f", float64(now.UnixMilli())/1000-10), "--end", at, "--step=5s", "cli")
	var matrix []element
	if err := json.Unmarshal([]byte(stdout), &matrix); err != nil || len(matrix) != 1 || len(matrix[0].Values) != 3 || matrix[0].Values[0].v != "10" || matrix[0].Values[2].v != "20" {
		t.Fatalf("query range wrote %q (%v)", stdout, err)
	}
	expectRun(t, 1, `^$`, `^nilometer: .*in use: .*--data\.dir`, "tsdb", "compact", "--data.dir", data)
	eventually(t, "blocks", func() error {
		if len(glob(t, data, "store/block/*/*/index")) == 0 {
			return errString("none yet")
		}
		return nil
	})
	s.stop()

	expectRun(t, 0, `(?m)^default: block \S+, \S+ to \S+, 1 series, \d+ samples: sound$[\s\S]*^done: [1-9]\d* blocks, \d+ files of the log\n$`, `^$`, "tsdb", "verify", "--data.dir", data)
	expectRun(t, 0, `done: \d+ jobs, \d+ samples cut from the log; .* bytes/sample of 21 samples .*\n$`, `^$`, "tsdb", "compact", "--data.dir", data)
	expectRun(t, 0, `done: 0 jobs, 0 samples cut from the log; .*\n$`, `^$`, "tsdb", "compact", "--data.dir", data)
	expectRun(t, 1, `^$`, `^nilometer: .*missing`, "tsdb", "verify", "--data.dir", filepath.Join(dir, "missing"))
	s = start(t, data, good)
	if n, _ := s.number("sum(count_over_time(cli[1h]))"); n != 21 {
		t.Fatalf("%v samples after verify and compact, want 21", n)
	}
	s.stop()
	overwrite("store/block/*/*/chunks/000001", strings.Repeat("x", 100))(t, data)
	expectRun(t, 1, `(?s).*`, `^nilometer: .*block `, "tsdb", "verify", "--data.dir", data)
}

// expectRun runs a command and matches its exit code and what it writes.
func expectRun(t *testing.T, code int, stdout, stderr string, args ...string) {
	t.Helper()
	gotCode, gotOut, gotErr := run(t, args...)
	if gotCode != code || !regexp.MustCompile(stdout).MatchString(gotOut) || !regexp.MustCompile(stderr).MatchString(gotErr) {
		t.Errorf("nilometer %s: exit code %d\n%s%s\nwant code %d, output like %q, errors like %q", strings.Join(args, " "), gotCode, gotOut, gotErr, code, stdout, stderr)
	}
}

package discovery_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/prometheus/model/labels"
	"go.uber.org/goleak"

	"github.com/nilometer/nilometer/discovery"
	"github.com/nilometer/nilometer/discovery/file"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func start(t *testing.T) *discovery.Manager {
	t.Helper()
	m, err := discovery.NewManager(nil, prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- m.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return m
}

// show writes a job's groups: addresses with their group's labels.
func show(m *discovery.Manager, job string) string {
	var out []string
	for _, g := range m.Groups()[job] {
		for _, target := range g.Targets {
			out = append(out, target.Get("__address__")+g.Labels.MatchLabels(true, "env").String())
		}
	}
	return strings.Join(out, " ")
}

// wait follows Changed until the job's groups are as wanted.
func wait(t *testing.T, m *discovery.Manager, job, want string) {
	t.Helper()
	limit := time.After(20 * time.Second)
	for show(m, job) != want {
		select {
		case <-m.Changed():
		case <-time.After(50 * time.Millisecond):
		case <-limit:
			t.Fatalf("job %s has %q, want %q", job, show(m, job), want)
		}
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	// Moved into place whole, as a careful writer does.
	if err := os.WriteFile(path+".new", []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}

func TestStatic(t *testing.T) {
	m := start(t)
	static := discovery.StaticGroup([]string{"a:1", "b:2"}, labels.FromStrings("env", "x"))
	if err := m.Apply(map[string]discovery.Options{"j": {Static: []discovery.Group{static, static}}}); err != nil {
		t.Fatal(err)
	}
	<-m.Changed()
	if got := show(m, "j"); got != `a:1{env="x"} b:2{env="x"} a:1{env="x"} b:2{env="x"}` {
		t.Error(got)
	}
	if g := m.Groups()["j"]; g[0].Source == g[1].Source {
		t.Errorf("two groups have the source %q", g[0].Source)
	}
}

func TestFilesChange(t *testing.T) {
	m, dir := start(t), t.TempDir()
	one, two := filepath.Join(dir, "1.yml"), filepath.Join(dir, "2.json")
	write(t, one, "- targets: [a:1]\n  labels: {env: x}\n- targets: [b:2]\n")
	// The watch begins a moment after the first groups have come: a change just
	// then is found when the files are read again.
	files := file.Options{Files: []string{filepath.Join(dir, "*.yml"), two}, RefreshInterval: time.Second}
	o := map[string]discovery.Options{"j": {File: []file.Options{files}}}
	if err := m.Apply(o); err != nil {
		t.Fatal(err)
	}
	wait(t, m, "j", `a:1{env="x"} b:2{}`)
	if got := m.Groups()["j"][0].Labels.Get("__meta_filepath"); got != one {
		t.Errorf("file path label %q", got)
	}
	write(t, two, `[{"targets": ["c:3"], "labels": {"env": "y"}}]`)
	wait(t, m, "j", `a:1{env="x"} b:2{} c:3{env="y"}`)

	// A bad file keeps what it had, and is named until it is good again.
	write(t, one, "- targets: [a:1\n")
	problem := func() string {
		for _, p := range m.Problems() {
			if p.Job == "j" && p.Source == one {
				return p.Text
			}
		}
		return ""
	}
	until(t, "the problem", func() bool { return strings.Contains(problem(), "yaml") })
	wait(t, m, "j", `a:1{env="x"} b:2{} c:3{env="y"}`)
	write(t, one, "- targets: [d:4]\n")
	wait(t, m, "j", `d:4{} c:3{env="y"}`)
	until(t, "the problem's end", func() bool { return problem() == "" })

	if err := os.Remove(two); err != nil {
		t.Fatal(err)
	}
	wait(t, m, "j", `d:4{}`)
	if err := m.Apply(nil); err != nil {
		t.Fatal(err)
	}
	wait(t, m, "j", "")
}

func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for limit := time.Now().Add(20 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(limit) {
			t.Fatalf("%s did not come", what)
		}
	}
}

// TestApplyKeepsWhatDidNotChange: a mechanism that goes on has its groups at
// once, one that is new needs its file read first.
func TestApplyKeepsWhatDidNotChange(t *testing.T) {
	m, path := start(t), filepath.Join(t.TempDir(), "f.yml")
	write(t, path, "- targets: [a:1]\n")
	o := map[string]discovery.Options{"j": {File: []file.Options{{Files: []string{path}}}}}
	if err := m.Apply(o); err != nil {
		t.Fatal(err)
	}
	wait(t, m, "j", "a:1{}")
	o["k"] = discovery.Options{Static: []discovery.Group{discovery.StaticGroup([]string{"b:2"}, labels.EmptyLabels())}}
	if err := m.Apply(o); err != nil {
		t.Fatal(err)
	}
	if show(m, "j") != "a:1{}" || show(m, "k") != "b:2{}" {
		t.Errorf("right after Apply: %q and %q", show(m, "j"), show(m, "k"))
	}

	bad := map[string]discovery.Options{"j": {}, "l": {File: []file.Options{{}, {Files: []string{"x.txt", "*/y.yml"}, RefreshInterval: -1}}}}
	err := m.Apply(bad)
	for _, want := range []string{`job "l"`, "no file is named", "x.txt", "*/y.yml", "-1ns"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("the error %v does not name %s", err, want)
		}
	}
	if show(m, "j") != "a:1{}" {
		t.Error("a refused Apply changed something")
	}
	if s := fmt.Sprint(m.Problems()); s != "[]" {
		t.Errorf("problems %s", s)
	}
}

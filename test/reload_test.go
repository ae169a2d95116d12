//go:build e2e

package test

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// TestReload changes files under a running server, by request and by signal:
// what is good takes effect, what is bad is named and changes nothing.
func TestReload(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	exporter := strings.TrimPrefix(newCountingExporter(t).URL, "http://")
	settings := func(jobs ...string) string {
		out := "global: {scrape_interval: 1s, evaluation_interval: 1s}\nrule_files: [rules/*.yml]\nscrape_configs:\n"
		for _, name := range jobs {
			out += fmt.Sprintf("  - {job_name: %s, static_configs: [{targets: [%q]}]}\n", name, exporter)
		}
		return out
	}
	rule := func(name, expr string) string {
		return fmt.Sprintf("groups: [{name: %s, rules: [{record: %s, expr: %q}]}]\n", name, name, expr)
	}
	conf := write(t, dir, "nilometer.yml", settings("one"))
	write(t, dir, "rules/a.yml", rule("a", "vector(1)"))
	write(t, dir, "rules/b.yml", rule("b", "vector(1)"))
	s := start(t, filepath.Join(dir, "data"), conf)
	s.expectPools("one")
	s.expectRules("a = vector(1)", "b = vector(1)")

	write(t, dir, "nilometer.yml", settings("one", "two"))
	if status, body := s.reload(); status != http.StatusOK {
		t.Fatalf("reload: %d %s", status, body)
	}
	s.expectPools("one", "two")

	write(t, dir, "nilometer.yml", settings("three")+"nonsense: true\n")
	if status, body := s.reload(); status != http.StatusInternalServerError || !strings.Contains(body, "nonsense") || !strings.Contains(body, "nilometer.yml:5") {
		t.Fatalf("reload of a bad configuration: %d %s", status, body)
	}
	s.expectPools("one", "two")
	s.expectReloadSuccess(false)

	write(t, dir, "nilometer.yml", settings("three"))
	if err := s.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	s.expectPools("three")
	s.expectReloadSuccess(true)

	write(t, dir, "rules/a.yml", rule("a", "vector(")) // bad: its last good version stays
	write(t, dir, "rules/b.yml", rule("b", "vector(2)"))
	s.reload()
	s.expectRules("a = vector(1)", "b = vector(2)")
	s.expectReloadSuccess(false)
	if !strings.Contains(s.stderr.String(), "rules/a.yml") {
		t.Error("the log does not name the bad rule file")
	}
	if err := os.Remove(filepath.Join(dir, "rules/b.yml")); err != nil {
		t.Fatal(err)
	}
	s.reload()
	s.expectRules("a = vector(1)")
	write(t, dir, "rules/a.yml", rule("a", "vector(3)"))
	s.reload()
	s.expectRules("a = vector(3)")
	s.expectReloadSuccess(true)
	s.stop()
}

func (s *server) reload() (status int, body string) {
	s.t.Helper()
	status, body, err := s.try(http.MethodPost, "/-/reload", nil, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	return status, body
}

// expectPools waits until these are the jobs that have a healthy target.
func (s *server) expectPools(want ...string) {
	s.t.Helper()
	eventually(s.t, "the jobs "+strings.Join(want, ", "), func() error {
		var out struct {
			ActiveTargets []struct{ ScrapePool, Health string }
		}
		s.data("/api/v1/targets", nil, &out)
		var got []string
		for _, target := range out.ActiveTargets {
			if target.Health == "up" {
				got = append(got, target.ScrapePool)
			}
		}
		if slices.Sort(got); !slices.Equal(got, want) {
			return fmt.Errorf("up are %v", out.ActiveTargets)
		}
		return nil
	})
}

// expectRules waits until these are the rules, and all are evaluated.
func (s *server) expectRules(want ...string) {
	s.t.Helper()
	eventually(s.t, "the rules "+strings.Join(want, ", "), func() error {
		var out struct {
			Groups []struct {
				Rules []struct{ Name, Query, Health string }
			}
		}
		s.data("/api/v1/rules", nil, &out)
		var got []string
		for _, g := range out.Groups {
			for _, r := range g.Rules {
				if r.Health != "ok" {
					return fmt.Errorf("rule %s is %s", r.Name, r.Health)
				}
				got = append(got, r.Name+" = "+r.Query)
			}
		}
		if slices.Sort(got); !slices.Equal(got, want) {
			return fmt.Errorf("they are %v", got)
		}
		return nil
	})
}

func (s *server) expectReloadSuccess(want bool) {
	s.t.Helper()
	eventually(s.t, fmt.Sprintf("reloadConfigSuccess %t", want), func() error {
		var out struct{ ReloadConfigSuccess bool }
		s.data("/api/v1/status/runtimeinfo", nil, &out)
		if out.ReloadConfigSuccess != want {
			return fmt.Errorf("it is %t", out.ReloadConfigSuccess)
		}
		return nil
	})
}

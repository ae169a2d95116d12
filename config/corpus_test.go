package config_test

import (
	"errors"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nilometer/nilometer/config"
)

// upstream is the directory of the Prometheus module's own test files.
func upstream(t *testing.T) string {
	t.Helper()
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/prometheus/prometheus").Output()
	if err != nil {
		t.Fatalf("find the module of Prometheus: %v", err)
	}
	return filepath.Join(strings.TrimSpace(string(out)), "config", "testdata")
}

// agents are files that Prometheus reads in another way as an agent.
var agents = map[string]bool{
	"agent_mode.with_alert_manager.yml": true, "agent_mode.with_alert_relabels.yml": true, "agent_mode.with_remote_reads.yml": true,
	"agent_mode.with_rule_files.yml": true,
}

// TestUpstreamFiles reads the files of Prometheus' own tests. What it refuses is
// refused here; what it accepts is accepted, but for discoveries that are
// named as missing in this build.
func TestUpstreamFiles(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(upstream(t), "*.yml"))
	if err != nil || len(files) < 150 {
		t.Fatalf("%d files: %v", len(files), err)
	}
	good, bad := 0, 0
	for _, f := range files {
		name := filepath.Base(f)
		_, err := config.Load(f)
		if strings.Contains(name, "bad") {
			if bad++; err == nil {
				t.Errorf("%s is accepted", name)
			}
			continue
		}
		if good++; agents[name] || strings.Contains(name, "incompatible") || strings.Contains(name, "deprecated") {
			continue // refused by Prometheus, too, for reasons of their own
		}
		var problems config.Problems
		if err != nil && !errors.As(err, &problems) {
			t.Errorf("%s: %v", name, err)
		}
		for _, p := range problems {
			if !strings.Contains(p.Text, "this binary is built without") {
				t.Errorf("%s: %v", name, p)
			}
		}
	}
	if good < 50 || bad < 80 {
		t.Errorf("%d good and %d bad files", good, bad)
	}
}

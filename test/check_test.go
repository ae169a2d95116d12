//go:build e2e

package test

import (
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestCheckAsPromtool holds `nilometer check` against `promtool check` over the
// files of Prometheus' own tests: what one refuses the other refuses. Files with
// discoveries that either binary was built without are left out.
func TestCheckAsPromtool(t *testing.T) {
	t.Parallel()
	ours, theirs := binary(t, "NILOMETER_BIN"), binary(t, "PROMTOOL_BIN")
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/prometheus/prometheus").Output()
	if err != nil {
		t.Fatalf("find the module of Prometheus: %v", err)
	}
	accepts := func(program, what, file string) (ok, known bool) {
		cmd := exec.Command(program, "check", what, file)
		text, err := cmd.CombinedOutput()
		for line := range strings.Lines(string(text)) {
			if strings.Contains(line, "_sd_configs not found in type") || strings.Contains(line, "this binary is built without") {
				return false, false
			}
		}
		// 3: promtool has found duplicate rules, which it only remarks.
		return err == nil || cmd.ProcessState.ExitCode() == 3, true
	}
	module := strings.TrimSpace(string(out))
	compared := map[string]int{}
	for _, pattern := range []string{
		"config:config/testdata/*.yml", "config:cmd/promtool/testdata/*.yml", "rules:config/testdata/rules/*", "rules:config/testdata/*.yml",
		"rules:cmd/promtool/testdata/*.yml", "rules:model/rulefmt/testdata/*", "rules:rules/fixtures/*.yaml",
	} {
		what, pattern, _ := strings.Cut(pattern, ":")
		files, err := filepath.Glob(filepath.Join(module, pattern))
		if err != nil {
			t.Fatal(err)
		}
		slices.Sort(files)
		for _, file := range files {
			want, known := accepts(theirs, what, file)
			got, ok := accepts(ours, what, file)
			if !known || !ok {
				continue
			}
			compared[what]++
			if got != want {
				t.Errorf("check %s %s: promtool accepts it: %t, nilometer: %t", what, file, want, got)
			}
		}
	}
	if compared["config"] < 180 || compared["rules"] < 150 {
		t.Errorf("only %v files were compared", compared)
	}
}

package config_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nilometer/nilometer/config"
)

// TestCheckFiles: what is named and not there, or cannot be read, is found by a
// check, and is no reason not to start.
func TestCheckFiles(t *testing.T) {
	const job = "scrape_configs:\n- job_name: a\n  "
	for _, c := range []struct {
		name, content string
		files         map[string]string
		want          []string // of each error; none: all is well
	}{
		{"nothing named", "{}", nil, nil},
		{"rule file is missing", "rule_files: [there.yml, missing.yml, none*.yml]", map[string]string{"there.yml": ""}, []string{"missing.yml\" is no existing file"}},
		{"credentials are missing", job + "authorization: {credentials_file: key}", nil, []string{"job \"a\": authorization.credentials_file", "key: no such file"}},
		{"credentials are there", job + "authorization: {credentials_file: key}", map[string]string{"key": "x"}, nil},
		{"certificate is missing", job + "tls_config: {cert_file: crt, key_file: key}", map[string]string{"key": "x"}, []string{"tls_config", "crt: no such file"}},
		{"no file of targets yet", job + "file_sd_configs: [{files: [x.json]}]", nil, nil},
		{"files of targets", job + "file_sd_configs: [{files: [\"*.json\", x.yml]}]", map[string]string{"x.json": `[{"targets":["a:1"]}]`, "x.yml": "- targets: [a:1]\n  labels: {b: c}\n"}, nil},
		{"garbage for targets", job + "file_sd_configs: [{files: [x.json]}]", map[string]string{"x.json": `{`}, []string{"x.json", "JSON"}},
		{"unknown key of targets", job + "file_sd_configs: [{files: [x.yml]}]", map[string]string{"x.yml": "- tragets: [a:1]\n"}, []string{"x.yml", "tragets"}},
		{"empty group", job + "file_sd_configs: [{files: [x.yml]}]", map[string]string{"x.yml": "- targets: [a:1]\n-\n"}, []string{"x.yml", "group 1 is empty"}},
		{"target that is a URL", job + "file_sd_configs: [{files: [x.yml]}]", map[string]string{"x.yml": "- targets: [\"http://a:1\"]\n"}, []string{"x.yml", "http://a:1"}},
		{"relabelling makes it a host", job + "static_configs: [{targets: [\"http://a:1\"]}]\n  relabel_configs: [{target_label: __address__, replacement: b}]", nil, nil},
		{"relabelling leaves it a URL", job + "static_configs: [{targets: [\"http://a:1\"]}]\n  relabel_configs: [{target_label: x, replacement: b}]", nil, []string{"static_configs", "http://a:1"}},
		{"relabelling drops it", job + "static_configs: [{targets: [\"http://a:1\"]}]\n  relabel_configs: [{action: drop}]", nil, nil},
		{"relabelling takes its address", job + "static_configs: [{targets: [a:1]}]\n  relabel_configs: [{action: labeldrop, regex: __address__}]", nil, []string{"has no address"}},
		{"Alertmanager that stays a URL", "alerting:\n  alertmanagers:\n  - static_configs: [{targets: [\"http://a:1\"]}]\n    relabel_configs: [{target_label: x, replacement: b}]", nil, []string{"alertmanagers[0]", "http://a:1"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			for name, content := range c.files {
				if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			parsed, err := config.Parse([]byte(c.content), filepath.Join(dir, "nilometer.yml"))
			if err != nil {
				t.Fatal(err)
			}
			errs := errors.Join(parsed.CheckFiles()...)
			if (errs == nil) != (len(c.want) == 0) {
				t.Errorf("found %v", errs)
			}
			for _, text := range c.want {
				if errs == nil || !strings.Contains(errs.Error(), text) {
					t.Errorf("%v does not say %q", errs, text)
				}
			}
		})
	}
}

// TestExternalLabels: variables of the environment stand for their values, as
// Prometheus' documentation of external_labels says.
func TestExternalLabels(t *testing.T) {
	t.Setenv("NILOMETER_TEST_SITE", "eu1")
	t.Setenv("NILOMETER_TEST_ODD", "a$b${c}")
	t.Setenv("NILOMETER_TEST_BAD", "\xff")
	for text, want := range map[string]string{
		"plain": "plain", "$NILOMETER_TEST_SITE": "eu1", "x-${NILOMETER_TEST_SITE}-y": "x-eu1-y",
		"$$NILOMETER_TEST_SITE": "$NILOMETER_TEST_SITE", "${NILOMETER_TEST_ODD}": "a$b${c}", "a${NILOMETER_TEST_NONE}b": "ab",
	} {
		c, err := config.Parse([]byte("global: {external_labels: {site: '"+text+"'}}"), "n.yml")
		if err != nil {
			t.Fatal(err)
		}
		if got := c.Global.ExternalLabels["site"]; got != want {
			t.Errorf("%s becomes %q, want %q", text, got, want)
		}
		if told := len(c.Notices()) > 0; told != strings.Contains(text, "NONE") {
			t.Errorf("%s: notices %v", text, c.Notices())
		}
	}
	c, err := config.Parse([]byte("global: {external_labels: {site: $NILOMETER_TEST_NONE, a: b}}"), "n.yml")
	if err != nil || len(c.Global.ExternalLabels) != 1 || len(c.Notices()) != 1 || c.Notices()[0].Loses {
		t.Errorf("labels %v, notices %v, %v", c.Global.ExternalLabels, c.Notices(), err)
	}
	if _, err := config.Parse([]byte("global: {external_labels: {site: $NILOMETER_TEST_BAD}}"), "n.yml"); err == nil || !strings.Contains(err.Error(), "UTF-8") {
		t.Errorf("a variable that is no UTF-8: %v", err)
	}
}

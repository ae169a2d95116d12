package config_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nilometer/nilometer/config"
)

// TestScrapeConfigFiles: jobs of other files come after those of the main one,
// inherit its defaults, and what is wrong with them is told by their file and line.
func TestScrapeConfigFiles(t *testing.T) {
	dir := t.TempDir()
	put := func(name, content string) string {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	main := put("main.yml", "global: {scrape_interval: 7s}\nscrape_config_files: [jobs/*.yml]\nscrape_configs: [{job_name: a}]\n")
	put("jobs/2.yml", "scrape_configs:\n  - job_name: c\n    file_sd_configs: [{files: [t.json]}]\n")
	one := put("jobs/1.yml", "scrape_configs:\n  - job_name: b\n    basic_auth: {username: u, password_file: secret}\n")
	c, err := config.Load(main)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, sc := range c.ScrapeConfigs {
		names = append(names, sc.JobName+" "+sc.ScrapeInterval.String())
	}
	if got := strings.Join(names, ", "); got != "a 7s, b 7s, c 7s" {
		t.Errorf("jobs %s", got)
	}
	if got := c.ScrapeConfigs[1].HTTPClient.BasicAuth.PasswordFile; got != filepath.Join(dir, "jobs", "secret") {
		t.Errorf("password of %s", got)
	}
	if got := c.ScrapeConfigs[2].FileSDConfigs[0].Files[0]; got != filepath.Join(dir, "jobs", "t.json") {
		t.Errorf("targets of %s", got)
	}
	for content, want := range map[string]string{
		"scrape_configs:\n  - job_name: a\n":                  one + `:2: scrape_configs[0].job_name: "a" is the name of scrape_configs[0] already`,
		"scrape_configs:\n  - job_name: b\n    scheme: ftp\n": one + `:3: scrape_configs[0].scheme: "ftp" is neither http nor https`,
		"global: {}\n": one + ":1: global: unknown key",
		"scrape_configs:\n  - job_name: b\n    scrape_timeout: 99s\n": one + ":3: scrape_configs[0].scrape_timeout: 1m39s is longer than the scrape interval 7s",
		"a: [": one + ":1: ",
	} {
		put("jobs/1.yml", content)
		if _, err := config.Load(main); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%q: %v, want %s", content, err, want)
		}
	}
}

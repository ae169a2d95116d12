//go:build e2e

package test

import (
	"crypto/sha256"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"testing"
	"time"
)

// TestBadInput starts the server on what it cannot use: it ends with a non-zero
// code and one clear sentence, and leaves the data as it was.
func TestBadInput(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	sound := soundData(t, dir)
	running := start(t, filepath.Join(dir, "held"), write(t, dir, "empty.yml", "{}\n"))
	held := strings.TrimPrefix(running.url, "http://")
	for _, c := range []struct {
		name string
		// config is the content of the configuration file.
		config string
		// damage changes a copy of a sound data directory.
		damage func(t *testing.T, data string)
		flags  []string
		code   int
		says   []string
	}{
		{name: "unknown key", config: "globl: {}\n", code: 1, says: []string{"nilometer.yml:1", "globl"}},
		{name: "unknown key inside", config: "scrape_configs:\n  - job_name: a\n    scrape_intervall: 1s\n", code: 1, says: []string{"nilometer.yml:3", "scrape_intervall"}},
		{name: "bad duration", config: "global:\n  scrape_interval: soon\n", code: 1, says: []string{"nilometer.yml:2", "scrape_interval", "soon"}},
		{name: "not YAML", config: "global: {\n", code: 1, says: []string{"nilometer.yml"}},
		{name: "bad duration in a flag", flags: []string{"--storage.tsdb.retention.time=long"}, code: 2, says: []string{"--storage.tsdb.retention.time=long", "15d"}},
		{name: "unknown flag", flags: []string{"--no.such.flag"}, code: 2, says: []string{"--no.such.flag", "--help"}},
		{name: "flag of Prometheus", flags: []string{"--storage.tsdb.min-block-duration=2h"}, code: 2, says: []string{"--storage.tsdb.min-block-duration", "nilometer.storage.block_range"}},
		{name: "bad log level", flags: []string{"--log.level=loud"}, code: 2, says: []string{"--log.level=loud", "debug, info, warn"}},
		{name: "argument", flags: []string{"serve"}, code: 2, says: []string{"serve", "--help"}},
		{name: "no configuration", flags: []string{"--config.file=" + filepath.Join(dir, "missing.yml")}, code: 1, says: []string{"missing.yml", "no such file"}},
		{name: "configuration is a directory", flags: []string{"--config.file=" + dir}, code: 1, says: []string{dir, "directory"}},
		{name: "bad external URL", flags: []string{"--web.external-url=ftp://x"}, code: 1, says: []string{"--web.external-url", "ftp://x"}},
		{name: "bad address", flags: []string{"--web.listen-address=nowhere"}, code: 1, says: []string{"--web.listen-address", "nowhere"}},
		{name: "port in use", flags: []string{"--web.listen-address=" + held}, code: 1,
			says: []string{held, fmt.Sprintf("process %d", running.cmd.Process.Pid), "--web.listen-address"}},
		{name: "directory in use", flags: []string{"--data.dir=" + filepath.Join(dir, "held")}, code: 1,
			says: []string{filepath.Join(dir, "held"), "nilometer on " + held, "--data.dir"}},
		{name: "data directory is a file", flags: []string{"--data.dir=" + filepath.Join(dir, "empty.yml")}, code: 1, says: []string{"empty.yml", "it is a file; name a directory"}},
		{name: "data directory cannot be made", flags: []string{"--data.dir=" + filepath.Join(dir, "empty.yml", "below")}, code: 1, says: []string{"empty.yml", "not a directory"}},
		{name: "data directory of something else", flags: []string{"--data.dir=" + filepath.Dir(os.Args[0])}, code: 1, says: []string{"no data directory of this program", "--data.dir"}},
		{name: "VERSION is garbage", damage: overwrite("VERSION", "\x00\x01garbage\n"), code: 1, says: []string{"VERSION", "damaged", "--data.dir"}},
		{name: "VERSION is empty", damage: overwrite("VERSION", ""), code: 1, says: []string{"VERSION", "--data.dir"}},
		{name: "VERSION from the future", damage: overwrite("VERSION", "nilometer data directory, layout 99\n"), code: 1, says: []string{"layout 99", "newer version", "upgrade"}},
		{name: "meta.db is garbage", damage: overwrite("meta.db", strings.Repeat("garbage ", 2000)), code: 1, says: []string{"meta.db"}},
		{name: "manifest is garbage", damage: overwrite("store/manifest/*/*/*", "garbage"), code: 1, says: []string{"manifest"}},
		{name: "notification log is garbage", damage: overwrite("alerting/nflog", "garbage"), code: 1, says: []string{"alerting/nflog", "move the file away"}},
		{name: "alerting configuration is bad", config: "nilometer: {alerting: {config_file: /dev/null}}\n", code: 1, says: []string{"alerting configuration /dev/null", "route"}},
		{name: "alerting configuration is missing", config: "nilometer: {alerting: {config_file: am.yml}}\n", code: 1, says: []string{"am.yml", "no such file"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			own := t.TempDir()
			data := filepath.Join(own, "data")
			copyTree(t, sound, data)
			if c.damage != nil {
				c.damage(t, data)
			}
			conf := write(t, own, "nilometer.yml", c.config)
			before := fingerprint(t, data)
			code, stdout, stderr := run(t, append([]string{"--data.dir", data, "--config.file", conf, "--web.listen-address=127.0.0.1:0"}, c.flags...)...)
			if code != c.code {
				t.Errorf("exit code %d, want %d", code, c.code)
			}
			sentence := errorLine(t, stderr)
			for _, text := range c.says {
				if !strings.Contains(sentence, text) {
					t.Errorf("%q does not say %q", sentence, text)
				}
			}
			if strings.Contains(stdout, "is running") {
				t.Errorf("it said that it runs: %q", stdout)
			}
			if after := fingerprint(t, data); after != before {
				t.Errorf("the data was changed: before\n%s\nafter\n%s", before, after)
			}
		})
	}
	if status, body := running.get("/-/ready", nil); status != 200 {
		t.Errorf("the running server was disturbed: %d %s", status, body)
	}
}

// soundData makes a data directory with a block, a manifest and a log.
func soundData(t *testing.T, dir string) string {
	t.Helper()
	data := filepath.Join(dir, "sound")
	s := start(t, data, write(t, dir, "sound.yml", "nilometer: {storage: {block_range: 1s}}\n"))
	s.mustPush(pushed{"old", "1", []sample{{time.Now().UnixMilli() - 60_000, 1}}})
	s.mustPush(pushed{"new", "1", []sample{{time.Now().UnixMilli(), 1}}})
	eventually(t, "a block", func() error {
		if len(glob(t, data, "store/manifest/*/*/*")) == 0 {
			return errString("none yet")
		}
		return nil
	})
	s.stop()
	return data
}

func glob(t *testing.T, dir, pattern string) []string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(dir, pattern))
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// overwrite replaces the content of every file that matches.
func overwrite(pattern, content string) func(*testing.T, string) {
	return func(t *testing.T, data string) {
		t.Helper()
		files := glob(t, data, pattern)
		if len(files) == 0 {
			t.Fatalf("no file %s", pattern)
		}
		for _, file := range files {
			if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// errorLine returns the one line of standard error that is not a log line.
func errorLine(t *testing.T, stderr string) string {
	t.Helper()
	var found []string
	for line := range strings.Lines(stderr) {
		switch {
		case strings.HasPrefix(line, "time="):
			if strings.Contains(line, "level=ERROR") {
				t.Errorf("an error was logged, too: %s", line)
			}
		default:
			found = append(found, strings.TrimSuffix(line, "\n"))
		}
	}
	if len(found) != 1 || !strings.HasPrefix(found[0], "nilometer: ") {
		t.Errorf("%d lines on standard error, want one sentence:\n%s", len(found), stderr)
	}
	return strings.Join(found, "\n")
}

// fingerprint describes every file below a directory but for the lock file.
func fingerprint(t *testing.T, dir string) string {
	t.Helper()
	var lines []string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.Name() == "LOCK" {
			return err
		}
		name, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		if d.IsDir() {
			lines = append(lines, name+"/")
			return nil
		}
		content, err := os.ReadFile(path)
		lines = append(lines, fmt.Sprintf("%s %d %x", name, len(content), sha256.Sum256(content)))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	sort.Strings(lines)
	return strings.Join(lines, "\n")
}

func copyTree(t *testing.T, from, to string) {
	t.Helper()
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
}

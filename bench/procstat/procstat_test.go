package procstat_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/nilometer/nilometer/bench/procstat"
)

func TestParseStat(t *testing.T) {
	const after = " R 1 1 1 0 -1 4194304 101 0 0 0 250 37 9 9 20 0 1 0 502583 3133440 409"
	for name, c := range map[string]struct {
		stat         string
		user, system time.Duration
		bad          bool
	}{
		"plain":             {"32324 (cat)" + after, 2500 * time.Millisecond, 370 * time.Millisecond, false},
		"hostile name":      {"32324 (a) R 1 (b) " + after, 2500 * time.Millisecond, 370 * time.Millisecond, false},
		"empty":             {"", 0, 0, true},
		"short":             {"1 (x) R 1 1", 0, 0, true},
		"not a number":      {"1 (x) R 1 1 1 0 -1 4 1 0 0 0 x 37 9 9", 0, 0, true},
		"system not number": {"1 (x) R 1 1 1 0 -1 4 1 0 0 0 3 y 9 9", 0, 0, true},
	} {
		user, system, err := procstat.ParseStat([]byte(c.stat))
		if user != c.user || system != c.system || (err != nil) != c.bad {
			t.Errorf("%s: %v, %v, %v", name, user, system, err)
		}
	}
}

func TestParseRollup(t *testing.T) {
	const rollup = "562170cfc000-7ffecf299000 ---p 00000000 00:00 0    [rollup]\nRss:  1732 kB\nPss:  350 kB\nAnonymous:   112 kB\nSwap: 0 kB\n"
	m, err := procstat.ParseRollup([]byte(rollup))
	if err != nil || m != (procstat.Memory{Resident: 1732 << 10, Anonymous: 112 << 10}) {
		t.Errorf("%+v, %v", m, err)
	}
	for _, bad := range []string{"", "Rss: 1 kB\n", "Rss: x kB\nAnonymous: 1 kB\n"} {
		if _, err := procstat.ParseRollup([]byte(bad)); err == nil {
			t.Errorf("%q is accepted", bad)
		}
	}
}

func TestDirBytes(t *testing.T) {
	dir := t.TempDir()
	for name, size := range map[string]int{"a": 10, "b/c": 5000} {
		name = filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, make([]byte, size), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := procstat.DirBytes(filepath.Join(dir, "a"), filepath.Join(dir, "b"), filepath.Join(dir, "missing"))
	if err != nil || got != 5010 {
		t.Errorf("%d bytes, %v; want 5010", got, err)
	}
}

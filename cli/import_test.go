package cli_test

import (
	"path/filepath"
	"strings"
	"testing"
)

func TestImportRefusals(t *testing.T) {
	empty := t.TempDir()
	data := filepath.Join(t.TempDir(), "data")
	cases := []struct {
		name string
		args []string
		code int
		says string
	}{
		{"no directory", []string{"import", "prometheus"}, 2, "use nilometer import prometheus DIR --data.dir DATA"},
		{"a wrong time", []string{"import", "prometheus", empty, "--min-time=yesterday"}, 2, "--min-time=yesterday"},
		{"times the wrong way", []string{"import", "prometheus", empty, "--min-time=200", "--max-time=100"}, 2, "--max-time=100 is before --min-time=200"},
		{"a wrong tenant", []string{"import", "prometheus", empty, "--tenant=a/b"}, 2, "--tenant"},
		{"a wrong retention", []string{"import", "prometheus", empty, "--storage.tsdb.retention.time=x"}, 2, "--storage.tsdb.retention.time=x"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			code, stdout, stderr := run(t, append(c.args, "--data.dir", data)...)
			if code != c.code || stdout != "" || !strings.Contains(stderr, c.says) {
				t.Errorf("code %d, stdout %q, stderr %q: want code %d and %q", code, stdout, stderr, c.code, c.says)
			}
		})
	}
}

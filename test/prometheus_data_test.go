//go:build e2e

package test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestPrometheusData moves data from Prometheus' format into the server and
// back: what promtool dumps before and after is the same.
func TestPrometheusData(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	source, data, target := filepath.Join(dir, "prometheus"), filepath.Join(dir, "data"), filepath.Join(dir, "back")
	promtool := binary(t, "PROMTOOL_BIN")
	begin := time.Now().Add(-72 * time.Hour).Truncate(2 * time.Hour)
	var text strings.Builder
	text.WriteString("# TYPE moved gauge\n")
	for n := range 10 {
		for i := range 700 { // about six hours at 30 s
			fmt.Fprintf(&text, "moved{job=\"j\",instance=\"i%d\",n=\"%d\"} %g %d\n", n%2, n, float64(n*i)/8, begin.Unix()+30*int64(i))
		}
	}
	input := write(t, dir, "input.txt", text.String()+"# EOF\n")
	if code, out, errs := execute(t, promtool, "tsdb", "create-blocks-from", "openmetrics", input, source); code != 0 {
		t.Fatalf("promtool: code %d: %s%s", code, out, errs)
	}
	if err := os.Mkdir(filepath.Join(source, "wal"), 0o700); err != nil { // promtool does not dump without
		t.Fatal(err)
	}
	want := dump(t, promtool, source)

	expectRun(t, 1, `^$`, `^nilometer: import \S+: \S+ is no data directory of Prometheus`, "import", "prometheus", t.TempDir(), "--data.dir", data)
	expectRun(t, 1, `^$`, `^nilometer: import .*retention of 24h0m0s.*--keep`, "import", "prometheus", source, "--data.dir", data, "--storage.tsdb.retention.time=1d")
	expectRun(t, 0, fmt.Sprintf(`(?s)imported \d+ ranges of time \(0 were imported before\) with \d+ series and %d samples .*bytes/sample\n$`, len(want)), `^$`,
		"import", "prometheus", source, "--data.dir", data)
	expectRun(t, 0, `(?s)imported 0 ranges of time \([1-9]\d* were imported before\) with 0 series and 0 samples`, `^$`, "import", "prometheus", source, "--data.dir", data)

	s := start(t, data, write(t, dir, "empty.yml", "{}\n"))
	if n, _ := s.number(fmt.Sprintf("sum(count_over_time({__name__=~\".+\"}[7d] @ %d))", time.Now().Unix())); int(n) != len(want) {
		t.Errorf("the server counts %v samples, want %d", n, len(want))
	}
	expectRun(t, 1, `^$`, `^nilometer: .*in use: .*nilometer on 127\.0\.0\.1`, "import", "prometheus", source, "--data.dir", data)
	expectRun(t, 1, `^$`, `^nilometer: .*in use: .*nilometer on 127\.0\.0\.1`, "export", "prometheus", target, "--data.dir", data)
	s.stop()

	expectRun(t, 0, fmt.Sprintf(`(?s)exported [1-9]\d* ranges of time .* and %d samples .*bytes/sample\n$`, len(want)), `^$`, "export", "prometheus", target, "--data.dir", data)
	if got := dump(t, promtool, target); !slices.Equal(got, want) {
		t.Errorf("%d lines dumped from the export, %d from the source; first: %q, %q", len(got), len(want), got[:1], want[:1])
	}
	for _, command := range []string{"list", "analyze"} {
		if code, out, errs := execute(t, promtool, "tsdb", command, target); code != 0 {
			t.Errorf("promtool tsdb %s: code %d: %s%s", command, code, out, errs)
		}
	}
	expectRun(t, 0, `(?s)exported 0 ranges of time \([1-9]\d* were exported before\)`, `^$`, "export", "prometheus", target, "--data.dir", data)
}

// dump returns what promtool dumps, a sorted line for each sample.
func dump(t *testing.T, promtool, dir string) []string {
	t.Helper()
	code, out, errs := execute(t, promtool, "tsdb", "dump", dir)
	if code != 0 {
		t.Fatalf("promtool tsdb dump: code %d: %s", code, errs)
	}
	lines := strings.Split(strings.TrimSuffix(out, "\n"), "\n")
	slices.Sort(lines)
	return lines
}

package hostmetrics_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/prometheus/prometheus/model/labels"
	"go.uber.org/goleak"

	"github.com/nilometer/nilometer/format/exposition"
	"github.com/nilometer/nilometer/hostmetrics"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// report scrapes a collector and returns the values by label set.
func report(t *testing.T, o hostmetrics.Options) (string, map[string]float64) {
	t.Helper()
	c, err := hostmetrics.New(o, nil)
	if err != nil {
		t.Fatal(err)
	}
	body, err := c.AppendMetrics(t.Context(), []byte("# before\n"))
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(string(body), "# before\n") {
		t.Fatal("what was in the buffer is gone")
	}
	var mem exposition.Memory
	var s exposition.Scanner
	if err := s.Scan(&mem, body, exposition.Options{Format: exposition.Text}); err != nil {
		t.Fatal(err)
	}
	values, types := map[string]float64{}, map[string]int{}
	for i, n := range s.New {
		l := s.Labels(i).String()
		if _, twice := values[l]; twice {
			t.Errorf("%s is there twice", l)
		}
		values[l] = n.Value
	}
	for _, m := range s.Metadata {
		if m.Field == exposition.FieldType {
			if types[m.Family]++; types[m.Family] > 1 {
				t.Errorf("family %s is there twice", m.Family)
			}
		}
	}
	return string(body), values
}

// TestFixture compares a recorded /proc with what node_exporter says of it; its
// clock, durations and uname vary.
func TestFixture(t *testing.T) {
	body, _ := report(t, hostmetrics.Options{ProcPath: "testdata/proc", SysPath: "testdata/sys"})
	want, err := os.ReadFile("testdata/proc.golden")
	if err != nil {
		t.Fatal(err)
	}
	var kept strings.Builder
	for line := range strings.Lines(body) {
		switch {
		case strings.HasPrefix(line, "#"), strings.HasPrefix(line, "node_time_seconds"), strings.HasPrefix(line, "node_uname_info"),
			strings.HasPrefix(line, "node_scrape_collector_duration"), strings.HasPrefix(line, "node_filesystem"):
		default:
			kept.WriteString(line)
		}
	}
	if kept.String() != string(want) {
		t.Errorf("report:\n%s\nwant:\n%s", kept.String(), want)
	}
}

// TestThisMachine looks for what every Linux machine has.
func TestThisMachine(t *testing.T) {
	_, values := report(t, hostmetrics.Options{})
	positive := []string{
		`{__name__="node_memory_MemTotal_bytes"}`, `{__name__="node_boot_time_seconds"}`, `{__name__="node_time_seconds"}`,
		`{__name__="node_scrape_collector_success", collector="meminfo"}`, `{__name__="node_scrape_collector_success", collector="stat"}`,
		`{__name__="node_network_receive_bytes_total", device="lo"}`,
	}
	for _, name := range positive {
		if _, is := values[name]; !is {
			t.Errorf("%s is missing", name)
		}
	}
	for _, prefix := range []string{"node_cpu_seconds_total", "node_filesystem_size_bytes", "node_uname_info"} {
		found := false
		for l := range values {
			found = found || strings.HasPrefix(l, `{__name__="`+prefix+`"`)
		}
		if !found {
			t.Errorf("no series of %s", prefix)
		}
	}
}

func TestAFailingPartLeavesTheOthers(t *testing.T) {
	proc := t.TempDir()
	if err := os.CopyFS(proc, os.DirFS("testdata/proc")); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(proc, "meminfo"), []byte("MemTotal: 5 kB\nMemFree: x kB\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(proc, "loadavg")); err != nil {
		t.Fatal(err)
	}
	_, values := report(t, hostmetrics.Options{ProcPath: proc, SysPath: "testdata/sys"})
	for part, want := range map[string]float64{"meminfo": 0, "loadavg": 0, "stat": 1, "netdev": 1, "time": 1} {
		l := labels.FromStrings("__name__", "node_scrape_collector_success", "collector", part).String()
		if v, is := values[l]; !is || v != want {
			t.Errorf("%s is %v, want %v", l, v, want)
		}
	}
	if _, is := values[`{__name__="node_memory_MemTotal_bytes"}`]; is {
		t.Error("half of a failed part was reported")
	}
}

func TestCancelled(t *testing.T) {
	c, err := hostmetrics.New(hostmetrics.Options{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if body, err := c.AppendMetrics(ctx, nil); !errors.Is(err, context.Canceled) || len(body) != 0 {
		t.Errorf("%d bytes, error %v", len(body), err)
	}
}

func TestNoProc(t *testing.T) {
	if _, err := hostmetrics.New(hostmetrics.Options{ProcPath: "/does/not/exist"}, nil); err == nil {
		t.Error("a missing /proc is no error")
	}
}

func BenchmarkReport(b *testing.B) {
	c, err := hostmetrics.New(hostmetrics.Options{}, nil)
	if err != nil {
		b.Fatal(err)
	}
	var buf []byte
	for b.Loop() {
		if buf, err = c.AppendMetrics(b.Context(), buf[:0]); err != nil {
			b.Fatal(err)
		}
	}
}

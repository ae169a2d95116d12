package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/nilometer/nilometer/bench/report"
)

// runner holds what the scenarios have in common and what they found.
type runner struct {
	settings settings
	systems  []system
	dir      string
	tables   []*report.Table
	notes    []string
}

func (r *runner) logf(format string, args ...any) {
	fmt.Fprintf(os.Stderr, time.Now().Format("15:04:05 ")+format+"\n", args...)
}

// note keeps the first line of what was seen for the report, and logs all.
func (r *runner) note(format string, args ...any) {
	first, _, _ := strings.Cut(fmt.Sprintf(format, args...), "\n")
	r.notes = append(r.notes, first)
	r.logf(format, args...)
}

// runScenarios goes through the scenarios asked for. One that fails is noted,
// and the others still run.
func (r *runner) runScenarios(ctx context.Context) error {
	scenarios := map[string]func(context.Context) error{"scrape": r.scrape, "push": r.push, "corpus": r.corpus, "dashboards": r.dashboards, "load": r.load}
	var failed error
	for _, name := range strings.Split(r.settings.scenarios, ",") {
		r.logf("scenario %s", name)
		if err := scenarios[name](ctx); err != nil {
			r.note("scenario %s failed: %v", name, err)
			failed = errors.Join(failed, fmt.Errorf("scenario %s: %w", name, err))
		}
		if ctx.Err() != nil {
			break
		}
	}
	return failed
}

// table adds a table with a column for each system.
func (r *runner) table(title string) *report.Table {
	t := &report.Table{Title: title, Subject: nilometer}
	for _, s := range r.systems {
		t.Systems = append(t.Systems, s.name)
	}
	r.tables = append(r.tables, t)
	return t
}

// cells are values of rows that are being gathered: row, system, value.
type cells map[string]map[string]float64

func (c cells) set(row, system string, v float64) {
	if c[row] == nil {
		c[row] = map[string]float64{}
	}
	c[row][system] = v
}

// home makes the directory of a system in a scenario.
func (r *runner) home(scenario string, s system) (string, error) {
	dir := filepath.Join(r.dir, scenario, s.name)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", fmt.Errorf("prepare %s: %w", s.name, err)
	}
	return dir, nil
}

// section is the Markdown of the whole run.
func (r *runner) section(ctx context.Context, began time.Time, args []string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "\n## %s\n\n", began.UTC().Format("2006-01-02 15:04 UTC"))
	fmt.Fprintf(&b, "Command: `go run ./bench/run %s` (%s)\n\n", strings.Join(args, " "), time.Since(began).Round(time.Second))
	fmt.Fprintf(&b, "Machine: %d CPUs (%s), %s/%s%s.\n\n", runtime.NumCPU(), cpuModel(), runtime.GOOS, runtime.GOARCH, loadAverage())
	for _, s := range r.systems {
		fmt.Fprintf(&b, "- %s: %s\n", s.name, s.version(ctx))
	}
	b.WriteString("\nA ratio is the peer's figure by ours: over 1 we are ahead, below 1 behind.\n")
	for _, t := range r.tables {
		b.WriteString("\n" + t.Markdown())
	}
	if len(r.notes) > 0 {
		b.WriteString("\nNotes of the run:\n\n")
		for _, n := range r.notes {
			b.WriteString("- " + n + "\n")
		}
	}
	return b.String()
}

func cpuModel() string {
	info, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return "unknown model"
	}
	for line := range strings.Lines(string(info)) {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return "unknown model"
}

// loadAverage tells how busy the machine was: figures of a busy one are noisy.
func loadAverage() string {
	avg, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return ""
	}
	fields := strings.Fields(string(avg))
	if len(fields) < 3 {
		return ""
	}
	return fmt.Sprintf(", load average at the end %s (15 min: %s)", fields[0], fields[2])
}

// resultsHead explains the figures to who reads the file first.
const resultsHead = `# Results

What bench/run (make bench) found, newest last: Nilometer and its peers on the
same machine and the same load. Figures of one machine, often a busy one: read
the ratios. In every row less is better.

- **CPU** is user and system time of the process from /proc, in the scenario
  "scrape" while it alone runs and the others are paused, by samples served to
  it; the first interval after a pause is left out. From pushes, CPU counts until
  5 s after the last one.
- **Resident** and **anonymous** are of /proc/PID/smaps_rollup, all of the
  process by the series of the load. With few series the process itself weighs
  most. Anonymous leaves out pages of mapped files.
- **Bytes per sample** are sizes of files. Prometheus: blocks of a snapshot of
  the admin API, as it would cut its head only after three hours. VictoriaMetrics:
  data and index after a forced merge. Nilometer: the store after everything
  was cut and merged offline.
- **Latencies** are of whole answers over HTTP on loopback, one request at a
  time, systems taking turns query by query. Nilometer runs with nocache=1, VictoriaMetrics with
  nocache=1 and latency_offset=1ms: what is measured is evaluation. Answers are
  compressed, as for a client elsewhere, and since 2026-11-24 read without unpacking them, which took the
  processors of this machine longer than writing did.
- Settings are defaults, except for addresses, paths and what is said here.
`

// appendResults appends a section to the file of results, which it makes when
// it is not there.
func appendResults(name, section string) (err error) {
	f, err := os.OpenFile(name, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return fmt.Errorf("keep results: %w", err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	info, err := f.Stat()
	if err != nil {
		return fmt.Errorf("keep results: %w", err)
	}
	if info.Size() == 0 {
		section = resultsHead + section
	}
	if _, err := f.WriteString(section); err != nil {
		return fmt.Errorf("keep results: %w", err)
	}
	return nil
}

// sleep waits for d or the end of ctx.
func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-timer.C:
		return nil
	}
}

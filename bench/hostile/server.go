package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/nilometer/nilometer/bench/procstat"
)

// alerts are expressions as people have them.
var alerts = []string{
	`node_load1 > 1000`,
	`node_filesystem_avail_bytes / node_filesystem_size_bytes < 0.0001`,
	`1 - avg by (instance) (rate(node_cpu_seconds_total{mode="idle"}[5m])) > 2`,
	`sum by (instance) (rate(node_network_receive_errs_total[5m])) > 1e9`,
	`node_memory_MemAvailable_bytes / node_memory_MemTotal_bytes < 0.0001`,
	`predict_linear(node_filesystem_avail_bytes[1h], 4 * 3600) < -1e15`,
	`changes(node_boot_time_seconds[15m]) > 100`,
	`count(node_load1) < 1`,
}

// groups is how many groups have all of the alerts.
const groups = 4

type process struct {
	cmd *exec.Cmd
	url string
	log string // the query log's file
}

func start(ctx context.Context, o options, work string) (*process, error) {
	p := &process{log: filepath.Join(work, "queries.log")}
	var rules strings.Builder
	rules.WriteString("groups:\n")
	for g := range groups {
		fmt.Fprintf(&rules, "- name: g%d\n  interval: 1s\n  rules:\n", g)
		for i, expr := range alerts {
			fmt.Fprintf(&rules, "  - {alert: A%d, expr: '%s'}\n", i, expr)
		}
	}
	conf := fmt.Sprintf("global: {query_log_file: %s, scrape_interval: 1s}\nrule_files: [rules.yml]\nnilometer: {self_scrape: true, storage: {memory_limit: %s}}\n", p.log, o.memory)
	for name, content := range map[string]string{"rules.yml": rules.String(), "c.yml": conf} {
		if err := os.WriteFile(filepath.Join(work, name), []byte(content), 0o600); err != nil {
			return nil, err
		}
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	address := l.Addr().String()
	if err := l.Close(); err != nil {
		return nil, err
	}
	p.url = "http://" + address
	p.cmd = exec.CommandContext(ctx, o.nilometer, "--config.file", filepath.Join(work, "c.yml"), "--data.dir", o.dir, "--web.listen-address", address, "--log.level=error")
	p.cmd.Stderr = os.Stderr
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		resp, err := http.Get(p.url + "/-/ready") //nolint:gosec,noctx // our own server
		if err == nil {
			_ = resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return p, nil
			}
		}
	}
	return nil, errors.Join(errors.New("the server is not ready within a minute"), p.stop())
}

func (p *process) stop() error {
	return errors.Join(p.cmd.Process.Signal(syscall.SIGTERM), p.cmd.Wait())
}

// metric reads one of the server's metrics without labels, as text.
func (p *process) metric(name string) (string, error) {
	resp, err := http.Get(p.url + "/metrics") //nolint:gosec,noctx // our own server
	if err != nil {
		return "", err
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return "", err
	}
	for line := range bytes.Lines(body) {
		if rest, ok := bytes.CutPrefix(line, []byte(name+" ")); ok {
			return string(bytes.TrimSpace(rest)), nil
		}
	}
	return "", fmt.Errorf("there is no metric %s", name)
}

// count asks for the one value of an expression at a time.
func (p *process) count(expr string, at time.Time) (string, error) {
	form := url.Values{"query": {expr}, "time": {fmt.Sprint(at.Unix())}}
	resp, err := http.Get(p.url + "/api/v1/query?" + form.Encode()) //nolint:gosec,noctx // our own server
	if err != nil {
		return "", err
	}
	defer func() { _ = resp.Body.Close() }()
	var got struct {
		Error string
		Data  struct {
			Result []struct{ Value []any }
		}
	}
	if err := json.NewDecoder(resp.Body).Decode(&got); err != nil {
		return "", err
	}
	if len(got.Data.Result) != 1 || len(got.Data.Result[0].Value) != 2 {
		return "", fmt.Errorf("%s has %d values: %s", expr, len(got.Data.Result), got.Error)
	}
	return fmt.Sprint(got.Data.Result[0].Value[1]), nil
}

// ruleTime is one evaluation of a rule's expression.
type ruleTime struct {
	end    time.Time
	took   time.Duration
	failed bool
}

// ruleTimes reads the evaluations of rules from the query log.
func (p *process) ruleTimes() ([]ruleTime, error) {
	f, err := os.Open(p.log)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	var out []ruleTime
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		var l struct {
			Time  time.Time
			Error string
			Stats struct {
				Timings struct {
					ExecTotalTime float64
				}
			}
			RuleGroup *struct{}
		}
		if err := json.Unmarshal(lines.Bytes(), &l); err != nil {
			return nil, fmt.Errorf("query log: %w", err)
		}
		if l.RuleGroup != nil {
			out = append(out, ruleTime{l.Time, time.Duration(l.Stats.Timings.ExecTotalTime * float64(time.Second)), l.Error != ""})
		}
	}
	return out, lines.Err()
}

func between(all []ruleTime, from, to time.Time) []ruleTime {
	var out []ruleTime
	for _, r := range all {
		if r.end.After(from) && r.end.Before(to) {
			out = append(out, r)
		}
	}
	return out
}

// spread describes times by their quantiles.
func spread(all []ruleTime) string {
	if len(all) == 0 {
		return "none"
	}
	failed := 0
	took := make([]time.Duration, len(all))
	for i, r := range all {
		took[i] = r.took
		if r.failed {
			failed++
		}
	}
	slices.Sort(took)
	at := func(q float64) time.Duration {
		return took[min(len(took)-1, int(q*float64(len(took))))].Round(10 * time.Microsecond)
	}
	return fmt.Sprintf("%d evaluations, %d failed; p50 %v, p90 %v, p99 %v, most %v", len(all), failed, at(0.5), at(0.9), at(0.99), at(1))
}

// watch notes the most memory of a process until the function that it returns
// is called.
func watch(pid int) func() procstat.Memory {
	var stop atomic.Bool
	done := make(chan procstat.Memory)
	go func() {
		var most procstat.Memory
		for !stop.Load() {
			if m, err := procstat.ReadMemory(pid); err == nil {
				most.Anonymous, most.Resident = max(most.Anonymous, m.Anonymous), max(most.Resident, m.Resident)
			}
			time.Sleep(50 * time.Millisecond)
		}
		done <- most
	}()
	return func() procstat.Memory {
		stop.Store(true)
		return <-done
	}
}

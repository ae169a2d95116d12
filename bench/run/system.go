package main

import (
	"context"
	"debug/buildinfo"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/nilometer/nilometer/bench/answer"
)

const (
	nilometer  = "nilometer"
	prometheus = "prometheus"
	victoria   = "victoria-metrics"
)

// system is a program under measurement and how it differs from the others.
type system struct {
	name, binary string
	// module is the Go module whose version the program has.
	module string
	args   func(data, address, config string) []string
	// ready is the path that answers 2xx when the system takes requests.
	ready string
	// write is the path of remote write.
	write string
	// queryExtra is added to each query's parameters.
	queryExtra string
	// settle brings what was ingested into the form that lasts on disk and
	// returns the directories that hold it. The process may be stopped by it.
	settle func(ctx context.Context, p *process) (dirs []string, err error)
}

// systems are those to compare, at the paths of their binaries.
func systems(nilometerBinary, peers string) ([]system, error) {
	all := []system{
		{
			name: nilometer, binary: nilometerBinary, module: "github.com/nilometer/nilometer",
			args: func(data, address, config string) []string {
				return []string{"--config.file=" + config, "--data.dir=" + data, "--web.listen-address=" + address}
			},
			// What is measured is evaluation.
			ready: "/-/ready", write: "/api/v1/write", queryExtra: "&nocache=1", settle: settleNilometer,
		},
		{
			name: prometheus, binary: filepath.Join(peers, "prometheus"), module: "github.com/prometheus/prometheus",
			args: func(data, address, config string) []string {
				return []string{"--config.file=" + config, "--storage.tsdb.path=" + data, "--web.listen-address=" + address,
					"--web.enable-admin-api", "--web.enable-remote-write-receiver", "--log.level=warn", "--query.max-samples=500000000"}
			},
			ready: "/-/ready", write: "/api/v1/write", settle: settlePrometheus,
		},
		{
			name: victoria, binary: filepath.Join(peers, "victoria-metrics"), module: "github.com/VictoriaMetrics/VictoriaMetrics",
			args: func(data, address, config string) []string {
				return []string{"-promscrape.config=" + config, "-storageDataPath=" + data, "-httpListenAddr=" + address,
					"-loggerLevel=WARN", "-retentionPeriod=100y"}
			},
			// Its cache of results would answer the second round of a range query, and
			// it would leave out the last 30 s.
			ready: "/health", write: "/api/v1/write", queryExtra: "&nocache=1&latency_offset=1ms", settle: settleVictoria,
		},
	}
	var out []system
	for _, s := range all {
		if s.binary == "" {
			continue
		}
		// They run in directories of their own.
		var err error
		if s.binary, err = filepath.Abs(s.binary); err != nil {
			return nil, fmt.Errorf("find %s: %w", s.name, err)
		}
		out = append(out, s)
	}
	return out, nil
}

// check says early which binary is missing.
func (s system) check() error {
	if _, err := os.Stat(s.binary); err != nil {
		hint := "run `make peers`, or name their directory with -peers"
		if s.name == nilometer {
			hint = "run `make build`, or name it with -nilometer; -nilometer= measures the peers alone"
		}
		return fmt.Errorf("%s: %w: %s", s.name, err, hint)
	}
	return nil
}

// version is what the binary was built from, for the record.
func (s system) version(ctx context.Context) string {
	if s.name == nilometer {
		if out, err := exec.CommandContext(ctx, s.binary, "version").Output(); err == nil {
			return strings.TrimSpace(string(out))
		}
	}
	info, err := buildinfo.ReadFile(s.binary)
	if err != nil {
		return "unknown"
	}
	version := info.Main.Version
	if info.Main.Path != s.module {
		for _, d := range info.Deps {
			if d.Path == s.module {
				version = d.Version
			}
		}
	}
	return fmt.Sprintf("%s (%s)", version, info.GoVersion)
}

// settlePrometheus makes a snapshot, which writes the head as a block: by
// itself it would do so only after three hours.
func settlePrometheus(ctx context.Context, p *process) ([]string, error) {
	body, err := p.do(ctx, http.MethodPost, "/api/v1/admin/tsdb/snapshot")
	if err != nil {
		return nil, err
	}
	var answer struct{ Data struct{ Name string } }
	if err := json.Unmarshal(body, &answer); err != nil || answer.Data.Name == "" {
		return nil, fmt.Errorf("snapshot of prometheus: answered %s", body)
	}
	return []string{filepath.Join(p.dir, "data", "snapshots", answer.Data.Name)}, nil
}

// settleVictoria merges all parts into one; caches are not counted.
func settleVictoria(ctx context.Context, p *process) ([]string, error) {
	for _, path := range []string{"/internal/force_flush", "/internal/force_merge"} {
		if _, err := p.get(ctx, path); err != nil {
			return nil, err
		}
	}
	for {
		metrics, err := p.get(ctx, "/metrics")
		if err != nil {
			return nil, err
		}
		if v, ok := answer.Metric(metrics, "vm_active_force_merges"); !ok || v == 0 {
			break
		}
		if err := sleep(ctx, 200*time.Millisecond); err != nil {
			return nil, err
		}
	}
	// Sources of a merge are deleted in the background.
	if err := sleep(ctx, 3*time.Second); err != nil {
		return nil, err
	}
	data := filepath.Join(p.dir, "data")
	return []string{filepath.Join(data, "data"), filepath.Join(data, "indexdb")}, nil
}

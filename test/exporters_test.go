//go:build e2e

package test

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"testing"
)

// debianExporter starts an exporter of Debian's on an address.
func debianExporter(t *testing.T, name, address string, flags ...string) *process {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Fatalf("%v: `make tools` installs it", err)
	}
	p := startProcess(t, nil, path, append(flags, "--web.listen-address="+address)...)
	eventually(t, name, func() error {
		if !p.running() {
			t.Fatalf("%s ended: %v", name, p.err)
		}
		_, err := exposition("http://" + address + "/metrics")
		return err
	})
	return p
}

// TestExporters scrapes two real exporters that end, come back, and are no longer
// targets: what is gone is stale at once, what is back goes on as the same series.
func TestExporters(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	const watched = "--procnames=prometheus-node,prometheus-proc"
	nodeAddress, processAddress := freeAddress(t), freeAddress(t)
	debianExporter(t, "prometheus-node-exporter", nodeAddress)
	processes := debianExporter(t, "prometheus-process-exporter", processAddress, watched)
	targets := func(addresses ...string) {
		list := ""
		for _, a := range addresses {
			list += fmt.Sprintf("- targets: [%q]\n", a)
		}
		write(t, dir, "targets.yml", list+"- targets: []\n")
	}
	targets(nodeAddress, processAddress)
	conf := write(t, dir, "nilometer.yml", "scrape_configs:\n- job_name: real\n  scrape_interval: 1s\n  file_sd_configs: [{files: [targets.yml], refresh_interval: 1s}]\n")
	s := start(t, filepath.Join(dir, "data"), conf)
	want := func(what, expr, value string) {
		t.Helper()
		eventually(t, what, func() error {
			got := ""
			for _, e := range s.query(expr) {
				got += e.Value.v
			}
			if got != value {
				return fmt.Errorf("%s is %q, want %q", expr, got, value)
			}
			return nil
		})
	}
	up := func(address string) string { return fmt.Sprintf("up{instance=%q}", address) }
	// The groups of processes are its own.
	const groups = "count(namedprocess_namegroup_num_procs) > bool 0"
	want("the node exporter", up(nodeAddress), "1")
	want("the process exporter", up(processAddress), "1")
	want("CPU seconds", "count(node_cpu_seconds_total) > bool 0", "1")
	want("processes", groups, "1")
	processes.kill()
	want("the process exporter's end", up(processAddress), "0")
	want("stale processes", "count(namedprocess_namegroup_num_procs)", "")
	want("the other exporter", up(nodeAddress), "1")
	debianExporter(t, "prometheus-process-exporter", processAddress, watched)
	want("its return", up(processAddress), "1")
	want("processes again", groups, "1")

	targets(nodeAddress)
	want("a target that is gone", up(processAddress), "")
	want("its series gone", "count(namedprocess_namegroup_num_procs)", "")
	targets(nodeAddress, processAddress)
	want("the target again", up(processAddress), "1")
	want("one series of it", fmt.Sprintf("count(last_over_time(%s[1h]))", up(processAddress)), "1")

	// A restart of the server goes on with the same targets, nothing is stale.
	s.stop()
	s = start(t, filepath.Join(dir, "data"), conf)
	want("the process exporter after a restart", up(processAddress), "1")
	want("one series still", fmt.Sprintf("count(last_over_time(%s[1h]))", up(processAddress)), "1")
	s.stop()
}

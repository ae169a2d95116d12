package server_test

import (
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/nilometer/nilometer/server"
)

// TestNotices: a key that sends samples elsewhere does not keep the server from
// starting, and is told of in the log, as a metric and by the API until it is gone.
func TestNotices(t *testing.T) {
	conf := write(t, filepath.Join(t.TempDir(), "c.yml"), "remote_write:\n- url: http://receiver/push\n")
	r := start(t, server.Options{DataDir: t.TempDir(), ListenAddress: "127.0.0.1:0", ConfigFile: conf})
	const metric = `nilometer_config_not_carried_out{section="remote_write"} 1`
	told := func() (info, metrics bool) {
		_, i := get(t, r.url()+"/api/v1/status/runtimeinfo")
		_, m := get(t, r.url()+"/metrics")
		return strings.Contains(i, "c.yml:2: remote_write[0]: this version does not send samples"), strings.Contains(m, metric)
	}
	if info, metrics := told(); !info || !metrics {
		t.Errorf("told by the API: %v, by the metrics: %v", info, metrics)
	}
	if log := r.log.String(); !strings.Contains(log, "level=ERROR") || !strings.Contains(log, "http://receiver/push gets none") {
		t.Error(log)
	}
	write(t, conf, "runtime: {gogc: 77}\n")
	r.reload <- syscall.SIGHUP
	r.wait("the notice's end", func() bool {
		info, metrics := told()
		return !info && !metrics
	})
	_, m := get(t, r.url()+"/metrics")
	if !strings.Contains(m, "go_gc_gogc_percent 77") {
		t.Error("runtime.gogc is not carried out")
	}
	r.stop()
}

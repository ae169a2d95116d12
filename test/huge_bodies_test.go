//go:build e2e

package test

import (
	"bytes"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// TestHugeBodies scrapes targets that send 1 GB, as it is or inflated, or never
// end, under the defaults: each fails by body_size_limit or for want of memory
// for bodies, the process keeps its memory limit, and another target its scrapes.
func TestHugeBodies(t *testing.T) {
	const limit, whole, part = 1 << 30, 1 << 30, 16 << 20
	lines := bytes.Repeat([]byte("# "+strings.Repeat("x", 61)+"\n"), part/64)
	var zipped bytes.Buffer
	zip := gzip.NewWriter(&zipped)
	_, _ = zip.Write(lines)
	_ = zip.Close()
	encoder, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	serve := func(encoding string, piece []byte, pieces int) string {
		srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/plain")
			if encoding != "" {
				w.Header().Set("Content-Encoding", encoding)
			}
			for i := 0; pieces == 0 || i < pieces; i++ {
				if _, err := w.Write(piece); err != nil {
					return
				}
			}
		}))
		t.Cleanup(srv.Close)
		return strings.TrimPrefix(srv.URL, "http://")
	}
	dir := t.TempDir()
	var jobs strings.Builder
	for job, address := range map[string]string{
		"plain": serve("", lines, whole/part), "gzip": serve("gzip", zipped.Bytes(), whole/part),
		"zstd": serve("zstd", encoder.EncodeAll(lines, nil), whole/part), "endless": serve("", lines, 0),
		"fine": serve("", []byte("fine 1\n"), 1),
	} {
		fmt.Fprintf(&jobs, "- job_name: %s\n  static_configs: [{targets: [%q]}]\n", job, address)
	}
	conf := write(t, dir, "nilometer.yml", fmt.Sprintf("global: {scrape_interval: 5s, scrape_timeout: 4s}\nnilometer: {self_scrape: true, storage: {memory_limit: %dMiB}}\nscrape_configs:\n%s", limit>>20, jobs.String()))
	s := start(t, filepath.Join(dir, "data"), conf)
	most := s.watchMemory()
	for _, job := range []string{"plain", "gzip", "zstd", "endless"} {
		eventually(t, job+" failing", func() error {
			if v, ok := s.number(fmt.Sprintf("count_over_time(up{job=%q}[5m]) > 1 and on () (up{job=%q} == 0)", job, job)); !ok || v < 2 {
				return fmt.Errorf("%v scrapes of it failed", v)
			}
			return nil
		})
	}
	if v := s.metric("nilometer_scrape_scrapes_total", `status="OVERLIMIT"`); v < 8 {
		t.Errorf("%v scrapes are counted as over a limit, want 8", v)
	}
	if v, ok := s.number("min_over_time(up{job=\"fine\"}[5m])"); !ok || v != 1 {
		t.Errorf("the other target was disturbed: %v", v)
	}
	if peak := most(); peak > limit {
		t.Errorf("the process had %d MiB, its limit is %d", peak>>20, limit>>20)
	} else {
		t.Logf("the process had %d MiB at most", peak>>20)
	}
}

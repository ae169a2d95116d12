package server_test

import (
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"testing"

	"github.com/nilometer/nilometer/server"
)

// TestGarbage: little garbage may grow beside much that lives, and more than that
// share beside little.
func TestGarbage(t *testing.T) {
	if os.Getenv("GOGC") != "" {
		t.Setenv("GOGC", "") // the server keeps to it
	}
	was := debug.SetGCPercent(100)
	defer debug.SetGCPercent(was)
	r := start(t, server.Options{DataDir: filepath.Join(t.TempDir(), "data"), ListenAddress: "127.0.0.1:0"})
	percent := func() uint64 {
		runtime.GC()
		p := []metrics.Sample{{Name: "/gc/gogc:percent"}}
		metrics.Read(p)
		return p[0].Value.Uint64()
	}
	r.wait("garbage beside little", func() bool { return percent() > 40 })
	much := make([]byte, 200<<20)
	r.wait("little garbage beside much", func() bool { return percent() == 40 })
	runtime.KeepAlive(much)
	r.wait("garbage beside little again", func() bool { return percent() > 40 })
	r.stop()
}

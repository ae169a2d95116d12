//go:build e2e && linux

package test

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestDiskFull takes the space away under a running server: writes are answered
// with 503 and the reason, reads go on, and when there is space again writes
// work again without a restart. Nothing acknowledged is lost on the way.
//
// A limit on the size of files works everywhere; a small file system is what
// really happens, and is tried where one can be mounted.
func TestDiskFull(t *testing.T) {
	t.Parallel()
	t.Run("file size limit", func(t *testing.T) {
		checkDiskFull(t, t.TempDir(), func(s *server, full bool) {
			limit := unix.Rlimit{Cur: unix.RLIM_INFINITY, Max: unix.RLIM_INFINITY}
			var before unix.Rlimit
			if err := unix.Prlimit(s.cmd.Process.Pid, unix.RLIMIT_FSIZE, nil, &before); err != nil {
				t.Fatalf("read the limit: %v", err)
			}
			if limit.Cur, limit.Max = before.Max, before.Max; full {
				limit.Cur = 0
			}
			if err := unix.Prlimit(s.cmd.Process.Pid, unix.RLIMIT_FSIZE, &limit, nil); err != nil {
				t.Fatalf("limit the size of files: %v", err)
			}
		}, "file too large")
	})
	dir := t.TempDir()
	if out, err := exec.Command("mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", dir).CombinedOutput(); err != nil {
		t.Logf("no file system can be mounted here, the limit alone was tested: %s", strings.TrimSpace(string(out)))
		return
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Errorf("unmount %s: %v", dir, err)
		}
	})
	t.Run("small file system", func(t *testing.T) {
		filler := filepath.Join(dir, "filler")
		checkDiskFull(t, dir, func(_ *server, full bool) {
			if !full {
				if err := os.Remove(filler); err != nil {
					t.Fatal(err)
				}
				return
			}
			fill(t, filler)
		}, "no space left on device")
	})
}

// fill takes all the space of a file system.
func fill(t *testing.T, file string) {
	t.Helper()
	f, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }() // it is full: nothing more to write
	for size := 1 << 20; size > 0; size /= 2 {
		for err = nil; err == nil; {
			_, err = f.Write(make([]byte, size))
		}
	}
}

func checkDiskFull(t *testing.T, dir string, setFull func(s *server, full bool), reason string) {
	books := newLedger("disk")
	s := start(t, filepath.Join(dir, "data"), write(t, t.TempDir(), "nilometer.yml", "{}\n"))
	pushOne := func(i int) (status int, answer string) {
		t.Helper()
		series := []pushed{{books.metric, strconv.Itoa(i % 10), []sample{{time.Now().UnixMilli(), float64(i)}}}}
		books.note(series, false)
		status, answer, err := s.push(series...)
		if err != nil {
			t.Fatalf("push: %v", err)
		}
		books.note(series, status/100 == 2)
		time.Sleep(2 * time.Millisecond) // the next sample has another time
		return status, answer
	}
	for i := range 100 {
		if status, answer := pushOne(i); status/100 != 2 {
			t.Fatalf("push with space: %d %s", status, answer)
		}
	}
	setFull(s, true)
	var refusals int
	for i := 0; refusals < 20; i++ {
		status, answer := pushOne(i)
		switch {
		case status/100 == 2 && i < 100_000: // a rest of space is used up first
			continue
		case status != http.StatusServiceUnavailable || !strings.Contains(answer, reason):
			t.Fatalf("push without space: %d %s, want 503 and %q", status, answer, reason)
		}
		refusals++
		if refusals%5 == 1 {
			books.verify(t, &s.client)
		}
	}
	setFull(s, false)
	eventually(t, "writes after there is space again", func() error {
		if status, answer := pushOne(0); status/100 != 2 {
			return fmt.Errorf("%d %s", status, answer)
		}
		return nil
	})
	for i := range 100 {
		if status, answer := pushOne(i); status/100 != 2 {
			t.Fatalf("push with space again: %d %s", status, answer)
		}
	}
	books.verify(t, &s.client)
	s.kill()
	s = start(t, filepath.Join(dir, "data"), write(t, t.TempDir(), "nilometer.yml", "{}\n"))
	books.verify(t, &s.client)
	s.stop()
}

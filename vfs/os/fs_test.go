package osfs_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nilometer/nilometer/vfs"
	osfs "github.com/nilometer/nilometer/vfs/os"
	"github.com/nilometer/nilometer/vfs/vfstest"
)

const holdLock = "NILOMETER_TEST_HOLD_LOCK"

// TestMain is also the other process of TestLockOfAnotherProcess.
func TestMain(m *testing.M) {
	if dir := os.Getenv(holdLock); dir != "" {
		hold(dir)
	}
	os.Exit(m.Run())
}

// hold takes the lock, says so, and keeps it until it is killed.
func hold(dir string) {
	f, err := osfs.New(dir)
	if err == nil {
		_, err = f.Lock("LOCK", "")
	}
	fmt.Println("locked:", err)
	select {}
}

func TestConformance(t *testing.T) {
	vfstest.Run(t, func(t *testing.T) vfs.FS {
		f, err := osfs.New(filepath.Join(t.TempDir(), "made", "by", "New"))
		if err != nil {
			t.Fatal(err)
		}
		return f
	})
}

// TestLockOfAnotherProcess: the note names the holder, and kill -9 frees it.
func TestLockOfAnotherProcess(t *testing.T) {
	dir := t.TempDir()
	other := exec.Command(os.Args[0])
	other.Env = append(os.Environ(), holdLock+"="+dir)
	out, err := other.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := other.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		other.Process.Kill()
		other.Wait()
	}()
	buf := make([]byte, 100)
	n, err := out.Read(buf)
	if got := strings.TrimSpace(string(buf[:n])); got != "locked: <nil>" {
		t.Fatalf("the other process says %q, %v", got, err)
	}
	f, err := osfs.New(dir)
	if err != nil {
		t.Fatal(err)
	}
	_, err = f.Lock("LOCK", "")
	if err == nil || !strings.Contains(err.Error(), fmt.Sprintf("process %d: ", other.Process.Pid)) {
		t.Fatalf("got %v, want the number of the holder, %d", err, other.Process.Pid)
	}
	if err := other.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	other.Wait()
	held, err := f.Lock("LOCK", "")
	if err != nil {
		t.Fatalf("after the holder's end: %v", err)
	}
	if err := held.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestNewRefusesAFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := osfs.New(path); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("got %v", err)
	}
}

package vfstest_test

import (
	"errors"
	"io"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nilometer/nilometer/vfs"
	"github.com/nilometer/nilometer/vfs/mem"
	"github.com/nilometer/nilometer/vfs/vfstest"
)

// TestConformance: a wrapper that is told nothing is a file system like any
// other.
func TestConformance(t *testing.T) {
	vfstest.Run(t, func(*testing.T) vfs.FS { return vfstest.New(mem.New()) })
}

// save makes a file durable, or leaves out a step.
func save(f vfs.FS, name, content, without string) error {
	file, err := f.Create(name)
	if err != nil {
		return err
	}
	_, err = io.WriteString(file, content)
	if err == nil && without != "sync" {
		err = file.Sync()
	}
	err = errors.Join(err, file.Close())
	if err == nil && without != "syncdir" {
		err = f.SyncDir(".")
	}
	return err
}

// read returns what a name holds, and whether it is there.
func read(f vfs.FS, name string) (string, bool) {
	m, err := f.Map(name)
	if err != nil {
		return "", false
	}
	defer m.Close()
	return string(m.Bytes()), true
}

// TestEveryCrash: it finds what was not synced, and nothing to find in what was.
func TestEveryCrash(t *testing.T) {
	content := strings.Repeat("precious ", 200)
	for _, test := range []struct {
		without string
		broken  bool
	}{{"nothing", false}, {"sync", true}, {"syncdir", true}} {
		t.Run("without "+test.without, func(t *testing.T) {
			var acknowledged []string
			checks, lost := 0, 0
			vfstest.EveryCrash(t, func(f vfs.FS) {
				acknowledged = nil
				for _, name := range []string{"a", "b", "c"} {
					if save(f, name, content, test.without) != nil {
						return
					}
					acknowledged = append(acknowledged, name)
				}
			}, func(f vfs.FS) {
				checks++
				for _, name := range acknowledged {
					if got, ok := read(f, name); !ok || got != content {
						lost++
					}
				}
			})
			if (lost > 0) != test.broken {
				t.Errorf("in %d checks %d acknowledged files were lost", checks, lost)
			}
			if checks < 9*4 {
				t.Errorf("only %d checks", checks)
			}
		})
	}
}

func TestEveryCrashDraws(t *testing.T) {
	stops := 0
	vfstest.EveryCrashWith(t, vfstest.Crashes{StopsMax: 20}, func(f vfs.FS) {
		for range 200 {
			if f.SyncDir(".") != nil {
				stops++
				return
			}
		}
	}, func(vfs.FS) {})
	if stops != 20 {
		t.Errorf("of 200 operations %d were stopped at, want 20", stops)
	}
}

func TestStop(t *testing.T) {
	parts := map[int]bool{}
	for seed := range uint64(50) {
		disk := mem.New()
		f := vfstest.New(disk)
		f.StopAt(2, seed)
		file, err := f.Create("a")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := file.Write(make([]byte, 10)); !errors.Is(err, vfstest.ErrStopped) {
			t.Fatalf("the write at the stop: %v", err)
		}
		if err := f.Remove("a"); !errors.Is(err, vfstest.ErrStopped) {
			t.Fatalf("a remove after the stop: %v", err)
		}
		if err := file.Sync(); !errors.Is(err, vfstest.ErrStopped) {
			t.Fatalf("a sync after the stop: %v", err)
		}
		if !f.Stopped() || f.Count() != 2 {
			t.Fatalf("stopped: %v, at operation %d", f.Stopped(), f.Count())
		}
		got, _ := read(disk, "a")
		parts[len(got)] = true
	}
	if !parts[0] || !parts[10] || len(parts) < 5 {
		t.Errorf("50 seeds write %v of 10 bytes", parts)
	}
}

func TestFail(t *testing.T) {
	disk := mem.New()
	f := vfstest.New(disk)
	f.FailKind(vfstest.Sync, "wal/", syscall.EIO)
	if err := f.MkdirAll("wal"); err != nil {
		t.Fatal(err)
	}
	if err := save(f, "other", "x", ""); err != nil {
		t.Fatal(err)
	}
	file, err := f.Create("wal/1")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := file.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	if err := file.Sync(); !errors.Is(err, syscall.EIO) {
		t.Fatalf("the sync: %v", err)
	}
	f.Fail(nil)
	if _, err := file.Write([]byte("y")); !errors.Is(err, syscall.EIO) {
		t.Fatalf("a write after a failed sync: %v", err)
	}
	if err := file.Sync(); !errors.Is(err, syscall.EIO) {
		t.Fatalf("a sync after a failed sync: %v", err)
	}

	f.FailAt(f.Count()+2, vfs.ErrFull)
	if err := save(f, "full", "1234", ""); !errors.Is(err, vfs.ErrFull) {
		t.Fatalf("a write without space: %v", err)
	}
	if got, _ := read(disk, "full"); got != "12" {
		t.Errorf("half a write wrote %q", got)
	}
	var kinds []vfstest.Kind
	for _, op := range f.Ops() {
		kinds = append(kinds, op.Kind)
	}
	want := []vfstest.Kind{"mkdir", "create", "write", "sync", "syncdir", "create", "write", "sync", "create", "write"}
	if !slices.Equal(kinds, want) {
		t.Errorf("operations %v, want %v", kinds, want)
	}
	if got := f.Ops()[1].String(); got != "2 create other" {
		t.Errorf("an operation prints as %q", got)
	}
}

func TestDelay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := vfstest.New(mem.New())
		f.Delay(func(op vfstest.Op) time.Duration {
			if op.Kind == vfstest.Sync {
				return time.Minute
			}
			return 0
		})
		began := time.Now()
		if err := save(f, "a", "x", ""); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); took != time.Minute {
			t.Errorf("one slow sync took %s", took)
		}
	})
}

package wal_test

import (
	"context"
	"errors"
	"fmt"
	"path"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nilometer/nilometer/storage"
	"github.com/nilometer/nilometer/tsdb/wal"
	"github.com/nilometer/nilometer/vfs"
	"github.com/nilometer/nilometer/vfs/mem"
	"github.com/nilometer/nilometer/vfs/vfstest"
)

const dir = "wal"

func open(t *testing.T, fs vfs.FS, o wal.Options) *wal.Log {
	t.Helper()
	l, err := wal.Open(fs, dir, o, wal.NewMetrics(nil))
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// put appends one payload, and a mark at its end: a frame has several.
func put(l *wal.Log, payload string) (segment uint64, p wal.Position, err error) {
	if segment, err = l.Enter(); err != nil {
		return 0, 0, err
	}
	defer l.Exit()
	p, err = l.Append([]byte(payload+";"), 0)
	return segment, p, err
}

// mustPut appends payloads and waits until they are durable.
func mustPut(t *testing.T, l *wal.Log, payloads ...string) {
	t.Helper()
	for _, payload := range payloads {
		_, p, err := put(l, payload)
		if err == nil {
			err = l.Wait(t.Context(), p)
		}
		if err != nil {
			t.Fatalf("payload %q: %s", payload, err)
		}
	}
}

// replay opens the log of another process' files and returns what it hands out,
// as "segment:payload".
func replay(t *testing.T, fs vfs.FS) ([]string, wal.Report) {
	t.Helper()
	l := open(t, fs, wal.Options{})
	defer closeLog(t, l)
	return replayed(t, l)
}

func replayed(t *testing.T, l *wal.Log) ([]string, wal.Report) {
	t.Helper()
	var out []string
	rep, err := l.Replay(t.Context(), func(segment uint64, payload []byte) error {
		for _, one := range strings.Split(strings.TrimSuffix(string(payload), ";"), ";") {
			out = append(out, fmt.Sprintf("%d:%s", segment, one))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out, rep
}

func closeLog(t *testing.T, l *wal.Log) {
	t.Helper()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
}

func wantReplay(t *testing.T, fs vfs.FS, want ...string) {
	t.Helper()
	got, rep := replay(t, fs)
	if strings.Join(got, " ") != strings.Join(want, " ") {
		t.Errorf("replayed %q, want %q", got, want)
	}
	if len(rep.Damage) > 0 {
		t.Errorf("damage: %v", rep.Damage)
	}
}

func TestEveryStartHasItsOwnSegment(t *testing.T) {
	fs := mem.New()
	for _, payload := range []string{"a", "b", "c"} {
		l := open(t, fs, wal.Options{})
		mustPut(t, l, payload, payload+payload)
		closeLog(t, l)
	}
	wantReplay(t, fs, "1:a", "1:aa", "2:b", "2:bb", "3:c", "3:cc")
}

func TestSegmentsEndBySize(t *testing.T) {
	fs := mem.New()
	l := open(t, fs, wal.Options{SegmentSizeMax: 100})
	for i := range 9 {
		mustPut(t, l, fmt.Sprintf("%030d", i))
	}
	if n := l.Segment(); n != 4 {
		t.Errorf("the segment is %d after 9 payloads, 3 a segment; want 4", n)
	}
	if err := l.DropBefore(3); err != nil {
		t.Fatal(err)
	}
	if err := l.DropBefore(100); err != nil { // never the one that is written
		t.Fatal(err)
	}
	mustPut(t, l, "last")
	closeLog(t, l)
	wantReplay(t, fs, "4:last")
}

func TestManyWaitersShareSyncs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fs := vfstest.New(mem.New())
		l := open(t, fs, wal.Options{})
		fs.Delay(func(op vfstest.Op) time.Duration {
			if op.Kind == vfstest.Sync {
				return 5 * time.Millisecond
			}
			return 0
		})
		syncs := func() (n int) {
			for _, op := range fs.Ops() {
				if op.Kind == vfstest.Sync {
					n++
				}
			}
			return n
		}
		before := syncs()
		const waiters = 200
		var wg sync.WaitGroup
		for i := range waiters {
			wg.Go(func() { mustPut(t, l, fmt.Sprint(i)) })
		}
		wg.Wait()
		if n := syncs() - before; n > 3 {
			t.Errorf("%d waiters took %d syncs", waiters, n)
		}
		closeLog(t, l)
		got, _ := replay(t, fs)
		if len(got) != waiters {
			t.Errorf("replayed %d payloads, want %d", len(got), waiters)
		}
	})
}

func TestRunSyncsAtTheInterval(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fs := mem.New()
		l := open(t, fs, wal.Options{})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- l.Run(ctx) }()
		if _, _, err := put(l, "a"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second + time.Millisecond)
		synctest.Wait()
		wantReplay(t, fs.Crash(mem.LoseAll), "1:a")
		if _, _, err := put(l, "b"); err != nil {
			t.Fatal(err)
		}
		if err := l.Sync(t.Context()); err != nil {
			t.Fatal(err)
		}
		wantReplay(t, fs.Crash(mem.LoseAll), "1:a", "1:b")
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		closeLog(t, l)
	})
}

func TestAFailedSyncEndsTheFile(t *testing.T) {
	for _, kind := range []vfstest.Kind{vfstest.Sync, vfstest.Write} {
		t.Run(string(kind), func(t *testing.T) {
			disk := mem.New()
			fs := vfstest.New(disk)
			l := open(t, fs, wal.Options{})
			mustPut(t, l, "a")
			fs.FailKind(kind, "wal", syscall.EIO)
			_, p, err := put(l, "b")
			if err != nil {
				t.Fatal(err)
			}
			if err := l.Wait(t.Context(), p); !errors.Is(err, storage.ErrUncertain) {
				t.Errorf("waiting ends with %v, want ErrUncertain", err)
			}
			failed := fs.Count()
			if _, _, err := put(l, "refused"); !errors.Is(err, storage.ErrReadOnly) || !errors.Is(err, syscall.EIO) {
				t.Errorf("an append ends with %v, want ErrReadOnly and the reason", err)
			}
			if err := l.Sync(t.Context()); !errors.Is(err, storage.ErrUncertain) { // a probe: it fails, too
				t.Errorf("sync ends with %v, want ErrUncertain", err)
			}
			fs.Fail(nil)
			if err := l.Sync(t.Context()); err != nil {
				t.Fatal(err)
			}
			if err := l.Err(); err != nil {
				t.Errorf("after recovery the log refuses: %s", err)
			}
			mustPut(t, l, "c")
			for _, op := range fs.Ops() {
				if op.N > failed && op.Name == path.Join(dir, "00000001") && op.Kind == vfstest.Write {
					t.Errorf("the failed file was written again: %s", op)
				}
			}
			got, rep := replay(t, disk.Crash(mem.LoseAll))
			// Of the failed segment b may have stayed; after it b stands for certain.
			text := strings.Join(got, " ")
			if len(rep.Damage) > 0 || !strings.HasPrefix(text, "1:a ") || !strings.Contains(text, "b ") || strings.Contains(text, "refused") || !strings.HasSuffix(text, ":c") {
				t.Errorf("replayed %q, damage %v", got, rep.Damage)
			}
			closeLog(t, l)
		})
	}
}

func TestRunGoesOnAfterAFullDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := mem.NewLimited(4 << 10)
		l := open(t, disk, wal.Options{})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- l.Run(ctx) }()
		mustPut(t, l, "a")
		incompressible := make([]byte, 6<<10)
		for i, x := 0, uint32(1); i < len(incompressible); i++ {
			x = x*1664525 + 1013904223
			incompressible[i] = byte(x>>24) | 0x80 // no mark
		}
		if _, _, err := put(l, string(incompressible)); err != nil {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Second)
		if _, err := l.Enter(); !errors.Is(err, storage.ErrReadOnly) || !errors.Is(err, vfs.ErrFull) {
			t.Errorf("with a full disk an append ends with %v", err)
		}
		disk.SetCapacity(1 << 20)
		time.Sleep(2 * time.Second)
		mustPut(t, l, "b")
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		closeLog(t, l)
		got, _ := replay(t, disk.Crash(mem.LoseAll))
		if len(got) != 3 || got[0] != "1:a" || !strings.HasSuffix(got[2], ":b") {
			t.Errorf("replayed %d payloads", len(got))
		}
	})
}

func TestAFullBufferRefuses(t *testing.T) {
	l := open(t, mem.New(), wal.Options{BufferSizeMax: 100})
	if _, _, err := put(l, strings.Repeat("x", 150)); err != nil {
		t.Fatal(err)
	}
	if _, _, err := put(l, "more"); !errors.Is(err, storage.ErrOverloaded) {
		t.Errorf("an append over the limit ends with %v", err)
	}
	if err := l.Sync(t.Context()); err != nil {
		t.Fatal(err)
	}
	mustPut(t, l, "more")
	closeLog(t, l)
}

func TestWaitEndsWithItsContext(t *testing.T) {
	fs := vfstest.New(mem.New())
	l := open(t, fs, wal.Options{})
	_, p, err := put(l, "a")
	if err != nil {
		t.Fatal(err)
	}
	release := make(chan struct{})
	blocked := make(chan struct{})
	fs.Fail(func(op vfstest.Op) error {
		if op.Kind == vfstest.Sync {
			close(blocked)
			<-release
		}
		return nil
	})
	first := make(chan error)
	go func() { first <- l.Wait(context.Background(), p) }()
	<-blocked
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := l.Wait(ctx, p); !errors.Is(err, storage.ErrUncertain) || !errors.Is(err, context.Canceled) {
		t.Errorf("waiting ends with %v", err)
	}
	close(release)
	if err := <-first; err != nil {
		t.Error(err)
	}
	fs.Fail(nil)
	closeLog(t, l)
}

func TestAClosedLogRefuses(t *testing.T) {
	fs := mem.New()
	l := open(t, fs, wal.Options{})
	if _, _, err := put(l, "a"); err != nil {
		t.Fatal(err)
	}
	closeLog(t, l)
	closeLog(t, l)
	if _, err := l.Enter(); !errors.Is(err, storage.ErrClosed) {
		t.Errorf("entering ends with %v", err)
	}
	wantReplay(t, fs.Crash(mem.LoseAll), "1:a")
}

func TestAForeignFileIsNamed(t *testing.T) {
	fs := mem.New()
	closeLog(t, open(t, fs, wal.Options{}))
	f, err := fs.Create("wal/notes.txt")
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := wal.Open(fs, dir, wal.Options{}, wal.NewMetrics(nil)); err == nil || !strings.Contains(err.Error(), "wal/notes.txt") {
		t.Errorf("opening ends with %v", err)
	}
}

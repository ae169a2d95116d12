package vfstest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/nilometer/nilometer/vfs"
)

// Run runs the conformance suite of vfs, each test on an empty file system. What
// is durable it cannot see; vfs/mem and EveryCrash are there for that.
func Run(t *testing.T, fresh func(t *testing.T) vfs.FS) {
	for _, test := range []struct {
		name string
		run  func(t *testing.T, f vfs.FS)
	}{
		{"append and read", appendAndRead},
		{"read only", readOnly},
		{"map", mapping},
		{"link", link},
		{"racing links: one wins", racingLinks},
		{"rename", rename},
		{"remove", remove},
		{"truncate", truncate},
		{"directories", directories},
		{"missing names", missing},
		{"invalid names", invalid},
		{"lock", lock},
		{"usage", usage},
		{"concurrent use", concurrent},
	} {
		t.Run(test.name, func(t *testing.T) { test.run(t, fresh(t)) })
	}
}

func noError(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func wantError(t *testing.T, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Fatalf("got the error %v, want %v", err, want)
	}
}

func put(t *testing.T, f vfs.FS, name, content string) {
	t.Helper()
	file, err := f.Create(name)
	noError(t, err)
	_, err = io.WriteString(file, content)
	noError(t, err)
	noError(t, file.Sync())
	noError(t, file.Close())
}

func content(t *testing.T, f vfs.FS, name string) string {
	t.Helper()
	file, err := f.Open(name)
	noError(t, err)
	defer file.Close()
	size, err := file.Size()
	noError(t, err)
	data := make([]byte, size)
	n, err := file.ReadAt(data, 0)
	if n != len(data) || err != nil && err != io.EOF {
		t.Fatalf("read %s: %d of %d bytes, %v", name, n, len(data), err)
	}
	return string(data)
}

func want(t *testing.T, f vfs.FS, name, expected string) {
	t.Helper()
	if got := content(t, f, name); got != expected {
		t.Fatalf("%s holds %q, want %q", name, got, expected)
	}
}

func wantNames(t *testing.T, f vfs.FS, dir string, names ...string) {
	t.Helper()
	got, err := f.List(dir)
	noError(t, err)
	if !slices.Equal(got, names) {
		t.Fatalf("%s holds %q, want %q", dir, got, names)
	}
}

func appendAndRead(t *testing.T, f vfs.FS) {
	file, err := f.Create("a")
	noError(t, err)
	for _, part := range []string{"one ", "", "two "} {
		n, err := file.Write([]byte(part))
		noError(t, err)
		if n != len(part) {
			t.Fatalf("wrote %d of %d bytes", n, len(part))
		}
	}
	buf := make([]byte, 3)
	_, err = file.ReadAt(buf, 4)
	noError(t, err)
	if string(buf) != "two" {
		t.Fatalf("read back %q", buf)
	}
	noError(t, file.Sync())
	noError(t, file.Close())
	_, err = file.Write([]byte("x"))
	wantError(t, err, fs.ErrClosed)

	_, err = f.Create("a")
	wantError(t, err, fs.ErrExist)
	file, err = f.OpenAppend("a")
	noError(t, err)
	_, err = file.Write([]byte("three"))
	noError(t, err)
	size, err := file.Size()
	noError(t, err)
	if size != 13 {
		t.Fatalf("the size is %d, want 13", size)
	}
	noError(t, file.Close())
	want(t, f, "a", "one two three")

	file, err = f.Open("a")
	noError(t, err)
	defer file.Close()
	for _, edge := range []struct {
		off, n int
		want   string
		err    error
	}{{0, 3, "one", nil}, {8, 5, "three", nil}, {8, 9, "three", io.EOF}, {13, 1, "", io.EOF}, {99, 1, "", io.EOF}} {
		buf := make([]byte, edge.n)
		n, err := file.ReadAt(buf, int64(edge.off))
		if string(buf[:n]) != edge.want || edge.err == nil && err != nil && err != io.EOF || edge.err != nil && err != edge.err {
			t.Errorf("%d bytes at %d: %q, %v", edge.n, edge.off, buf[:n], err)
		}
	}
	if _, err := file.ReadAt(make([]byte, 1), -1); err == nil {
		t.Error("read at a negative offset")
	}
}

func readOnly(t *testing.T, f vfs.FS) {
	put(t, f, "a", "content")
	file, err := f.Open("a")
	noError(t, err)
	defer file.Close()
	if _, err := file.Write([]byte("x")); err == nil {
		t.Error("a file opened for reading was written")
	}
	want(t, f, "a", "content")
}

func mapping(t *testing.T, f vfs.FS) {
	put(t, f, "a", "content")
	put(t, f, "empty", "")
	m, err := f.Map("a")
	noError(t, err)
	empty, err := f.Map("empty")
	noError(t, err)
	if len(empty.Bytes()) != 0 {
		t.Errorf("an empty file has the bytes %q", empty.Bytes())
	}
	file, err := f.OpenAppend("a")
	noError(t, err)
	_, err = file.Write([]byte(strings.Repeat("x", 10_000)))
	noError(t, err)
	noError(t, file.Close())
	if string(m.Bytes()) != "content" {
		t.Errorf("after an append the mapping holds %q", m.Bytes())
	}
	noError(t, f.Remove("a"))
	if string(m.Bytes()) != "content" {
		t.Errorf("after a remove the mapping holds %q", m.Bytes())
	}
	noError(t, m.Close())
	noError(t, empty.Close())
}

func link(t *testing.T, f vfs.FS) {
	noError(t, f.MkdirAll("d"))
	put(t, f, "a", "first")
	put(t, f, "b", "second")
	noError(t, f.Link("a", "d/c"))
	wantError(t, f.Link("b", "d/c"), fs.ErrExist)
	want(t, f, "d/c", "first")
	noError(t, f.SyncDir("d"))
	wantError(t, f.Link("missing", "x"), fs.ErrNotExist)
	wantError(t, f.Link("b", "missing/x"), fs.ErrNotExist)
	if err := f.Remove("a"); err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	want(t, f, "d/c", "first")
}

func racingLinks(t *testing.T, f vfs.FS) {
	const racers = 8
	for round := range 20 {
		var won atomic.Int32
		var group sync.WaitGroup
		for r := range racers {
			put(t, f, fmt.Sprintf("%d-%d", round, r), fmt.Sprint(r))
		}
		for r := range racers {
			group.Go(func() {
				err := f.Link(fmt.Sprintf("%d-%d", round, r), fmt.Sprint("won", round))
				switch {
				case err == nil:
					won.Add(1)
				case !errors.Is(err, fs.ErrExist):
					t.Error(err)
				}
			})
		}
		group.Wait()
		if won.Load() != 1 {
			t.Fatalf("round %d has %d winners", round, won.Load())
		}
	}
}

func rename(t *testing.T, f vfs.FS) {
	noError(t, f.MkdirAll("d/e"))
	put(t, f, "a", "new")
	put(t, f, "d/b", "old")
	noError(t, f.Rename("a", "d/b"))
	want(t, f, "d/b", "new")
	wantNames(t, f, ".", "d")
	wantError(t, f.Rename("a", "x"), fs.ErrNotExist)
	noError(t, f.Rename("d", "moved"))
	want(t, f, "moved/b", "new")
	if err := f.Rename("moved/b", "moved/e"); err == nil {
		t.Error("a file replaced a directory")
	}
}

func remove(t *testing.T, f vfs.FS) {
	noError(t, f.MkdirAll("d/e"))
	put(t, f, "d/a", "content")
	file, err := f.Open("d/a")
	noError(t, err)
	if f.Remove("d") == nil {
		t.Fatal("a directory that is not empty was removed")
	}
	noError(t, f.Remove("d/a"))
	wantError(t, f.Remove("d/a"), fs.ErrNotExist)
	buf := make([]byte, 7)
	if n, err := file.ReadAt(buf, 0); n != 7 {
		t.Errorf("read a removed file: %d bytes, %v", n, err)
	}
	noError(t, file.Close())
	noError(t, f.Remove("d/e"))
	wantNames(t, f, "d")
	noError(t, f.MkdirAll("d/g/h"))
	put(t, f, "d/g/h/x", "")
	noError(t, f.RemoveAll("d"))
	wantNames(t, f, ".")
	noError(t, f.RemoveAll("d"))
	noError(t, f.RemoveAll("d/g"))
	noError(t, f.MkdirAll("d/g")) // again, and whole
	put(t, f, "d/g/x", "")
}

func truncate(t *testing.T, f vfs.FS) {
	put(t, f, "a", "content")
	noError(t, f.Truncate("a", 4))
	want(t, f, "a", "cont")
	file, err := f.OpenAppend("a")
	noError(t, err)
	_, err = file.Write([]byte("!"))
	noError(t, err)
	noError(t, file.Close())
	want(t, f, "a", "cont!")
	wantError(t, f.Truncate("a", 6), fs.ErrInvalid)
	wantError(t, f.Truncate("a", -1), fs.ErrInvalid)
	wantError(t, f.Truncate("b", 0), fs.ErrNotExist)
	noError(t, f.Truncate("a", 0))
	want(t, f, "a", "")
}

func directories(t *testing.T, f vfs.FS) {
	noError(t, f.MkdirAll("."))
	noError(t, f.MkdirAll("d/e/f"))
	noError(t, f.MkdirAll("d/e/f"))
	put(t, f, "d/b", "12345")
	put(t, f, "d/a-", "")
	wantNames(t, f, "d", "a-", "b", "e")
	info, err := f.Stat("d/b")
	noError(t, err)
	if info.Name() != "b" || info.Size() != 5 || info.IsDir() || !info.Mode().IsRegular() || info.ModTime().IsZero() {
		t.Errorf("a file is described as %q, %d bytes, %s", info.Name(), info.Size(), info.Mode())
	}
	info, err = f.Stat("d/e")
	noError(t, err)
	if info.Name() != "e" || !info.IsDir() {
		t.Errorf("a directory is described as %q, %s", info.Name(), info.Mode())
	}
	noError(t, f.SyncDir("d/e"))
	noError(t, f.SyncDir("."))
	wantError(t, f.MkdirAll("d/b"), fs.ErrExist)
	wantError(t, f.MkdirAll("d/b/c"), fs.ErrExist)
	if _, err := f.Open("d"); err == nil {
		t.Error("a directory was opened as a file")
	}
	if _, err := f.Map("d"); err == nil {
		t.Error("a directory was mapped")
	}
	_, err = f.Create("d")
	wantError(t, err, fs.ErrExist)
}

func missing(t *testing.T, f vfs.FS) {
	put(t, f, "file", "")
	for _, name := range []string{"missing", "missing/too", "file/below"} {
		_, err := f.Open(name)
		wantError(t, err, fs.ErrNotExist)
		_, err = f.OpenAppend(name)
		wantError(t, err, fs.ErrNotExist)
		_, err = f.Map(name)
		wantError(t, err, fs.ErrNotExist)
		_, err = f.Stat(name)
		wantError(t, err, fs.ErrNotExist)
		_, err = f.List(name)
		wantError(t, err, fs.ErrNotExist)
		wantError(t, f.SyncDir(name), fs.ErrNotExist)
		wantError(t, f.Remove(name), fs.ErrNotExist)
		noError(t, f.RemoveAll(name))
		_, err = f.Create(name + "/x")
		wantError(t, err, fs.ErrNotExist)
	}
}

func invalid(t *testing.T, f vfs.FS) {
	put(t, f, "a", "")
	for _, name := range []string{"", "/a", "../a", "b/../a", "a/", "./a", "b//a"} {
		_, err := f.Open(name)
		wantError(t, err, fs.ErrInvalid)
		_, err = f.Create(name)
		wantError(t, err, fs.ErrInvalid)
		wantError(t, f.Remove(name), fs.ErrInvalid)
		wantError(t, f.MkdirAll(name), fs.ErrInvalid)
		wantError(t, f.Rename("a", name), fs.ErrInvalid)
		_, err = f.List(name)
		wantError(t, err, fs.ErrInvalid)
	}
	wantNames(t, f, ".", "a")
}

func lock(t *testing.T, f vfs.FS) {
	held, err := f.Lock("LOCK", "the first one")
	noError(t, err)
	_, err = f.Lock("LOCK", "the second one")
	wantError(t, err, vfs.ErrLocked)
	if !strings.Contains(err.Error(), "the first one") {
		t.Errorf("the error does not name the holder: %v", err)
	}
	noError(t, held.Close())
	held, err = f.Lock("LOCK", "")
	noError(t, err)
	_, err = f.Lock("LOCK", "the third one")
	wantError(t, err, vfs.ErrLocked)
	if strings.Contains(err.Error(), "the first one") {
		t.Errorf("the error names an old holder: %v", err)
	}
	noError(t, held.Close())
}

func usage(t *testing.T, f vfs.FS) {
	u, err := f.Usage()
	noError(t, err)
	if u.Total == 0 || u.Free > u.Total {
		t.Errorf("%d bytes of %d are free", u.Free, u.Total)
	}
}

func concurrent(t *testing.T, f vfs.FS) {
	put(t, f, "shared", strings.Repeat("0123456789", 100))
	var group sync.WaitGroup
	for w := range 4 {
		group.Go(func() {
			if err := work(f, fmt.Sprint("w", w)); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	wantNames(t, f, ".", "shared")
}

// work does a bit of everything in a directory of its own.
func work(f vfs.FS, dir string) error {
	for range 10 {
		if err := f.MkdirAll(dir + "/sub"); err != nil {
			return err
		}
		file, err := f.Create(dir + "/sub/a")
		if err != nil {
			return err
		}
		_, werr := file.Write(bytes.Repeat([]byte(dir), 50))
		if err := errors.Join(werr, file.Sync(), file.Close(), f.Rename(dir+"/sub/a", dir+"/sub/b"), f.SyncDir(dir+"/sub")); err != nil {
			return err
		}
		m, err := f.Map("shared")
		if err != nil {
			return err
		}
		if len(m.Bytes()) != 1000 {
			return fmt.Errorf("the shared file has %d bytes", len(m.Bytes()))
		}
		if err := errors.Join(m.Close(), f.RemoveAll(dir)); err != nil {
			return err
		}
	}
	return nil
}

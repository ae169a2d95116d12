package mem_test

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"slices"
	"strings"
	"testing"

	"github.com/nilometer/nilometer/vfs"
	"github.com/nilometer/nilometer/vfs/mem"
	"github.com/nilometer/nilometer/vfs/vfstest"
)

func TestConformance(t *testing.T) {
	vfstest.Run(t, func(*testing.T) vfs.FS { return mem.New() })
}

func noError(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// write makes a file, synced or not.
func write(t *testing.T, f vfs.FS, name, content string, sync bool) vfs.File {
	t.Helper()
	file, err := f.Create(name)
	noError(t, err)
	_, err = io.WriteString(file, content)
	noError(t, err)
	if sync {
		noError(t, file.Sync())
	}
	return file
}

// tree returns what is in a file system: names with contents, sorted.
func tree(t *testing.T, f vfs.FS, dir string) string {
	t.Helper()
	names, err := f.List(dir)
	noError(t, err)
	var parts []string
	for _, name := range names {
		full := strings.TrimPrefix(dir+"/"+name, "./")
		info, err := f.Stat(full)
		noError(t, err)
		if info.IsDir() {
			parts = append(parts, full+"/")
			if below := tree(t, f, full); below != "" {
				parts = append(parts, below)
			}
			continue
		}
		m, err := f.Map(full)
		noError(t, err)
		parts = append(parts, full+"="+string(m.Bytes()))
		noError(t, m.Close())
	}
	return strings.Join(parts, " ")
}

// outcomes returns every tree that crashes with many seeds leave.
func outcomes(t *testing.T, f *mem.FS) []string {
	t.Helper()
	seen := map[string]bool{}
	for seed := range uint64(400) {
		seen[tree(t, f.Crash(seed), ".")] = true
	}
	var all []string
	for s := range seen {
		all = append(all, s)
	}
	slices.Sort(all)
	return all
}

// TestNames has what crashes may leave of names, all of it and nothing else.
func TestNames(t *testing.T) {
	for _, test := range []struct {
		name  string
		steps func(t *testing.T, f *mem.FS)
		want  []string
	}{
		{"a created name is lost or kept", func(t *testing.T, f *mem.FS) {
			write(t, f, "a", "1", true)
		}, []string{"", "a=1"}},
		{"a synced name stays", func(t *testing.T, f *mem.FS) {
			write(t, f, "a", "1", true)
			noError(t, f.SyncDir("."))
		}, []string{"a=1"}},
		{"the sync of another directory does nothing", func(t *testing.T, f *mem.FS) {
			noError(t, f.MkdirAll("d"))
			write(t, f, "a", "1", true)
			noError(t, f.SyncDir("d"))
		}, []string{"a=1 d/", "d/"}},
		{"a removed name stays or goes", func(t *testing.T, f *mem.FS) {
			write(t, f, "a", "1", true)
			noError(t, f.SyncDir("."))
			noError(t, f.Remove("a"))
		}, []string{"", "a=1"}},
		{"a removed file that nobody has open may come back whole", func(t *testing.T, f *mem.FS) {
			noError(t, write(t, f, "a", "1", true).Close())
			noError(t, f.SyncDir("."))
			noError(t, f.RemoveAll("a"))
		}, []string{"", "a=1"}},
		{"a rename is whole", func(t *testing.T, f *mem.FS) {
			write(t, f, "a", "1", true)
			write(t, f, "b", "2", true)
			noError(t, f.SyncDir("."))
			noError(t, f.Rename("a", "b"))
		}, []string{"a=1 b=2", "b=1"}},
		{"a rename over directories, the new one synced: one or both names", func(t *testing.T, f *mem.FS) {
			noError(t, f.MkdirAll("d"))
			write(t, f, "a", "1", true)
			noError(t, f.SyncDir("."))
			noError(t, f.Rename("a", "d/a"))
			noError(t, f.SyncDir("d"))
		}, []string{"a=1 d/ d/a=1", "d/ d/a=1"}},
		{"a rename over directories, the old one synced: the file is not lost", func(t *testing.T, f *mem.FS) {
			noError(t, f.MkdirAll("d"))
			write(t, f, "a", "1", true)
			noError(t, f.SyncDir("."))
			noError(t, f.Rename("a", "d/a"))
			noError(t, f.SyncDir("."))
		}, []string{"d/ d/a=1"}},
		{"link, then remove of the first name, unsynced: the file may be lost", func(t *testing.T, f *mem.FS) {
			write(t, f, "a", "1", true)
			noError(t, f.SyncDir("."))
			noError(t, f.Link("a", "b"))
			noError(t, f.Remove("a"))
		}, []string{"", "a=1", "a=1 b=1", "b=1"}},
		{"two changes of one name come in order", func(t *testing.T, f *mem.FS) {
			write(t, f, "a", "1", true)
			noError(t, f.Remove("a"))
			write(t, f, "a", "2", true)
		}, []string{"", "a=1", "a=2"}},
		{"directories are durable when made, and removed by chance", func(t *testing.T, f *mem.FS) {
			noError(t, f.MkdirAll("d/e"))
			noError(t, f.Remove("d/e"))
		}, []string{"d/", "d/ d/e/"}},
		{"a truncated file is durable", func(t *testing.T, f *mem.FS) {
			write(t, f, "a", "123", false)
			noError(t, f.SyncDir("."))
			noError(t, f.Truncate("a", 2))
		}, []string{"a=12"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			f := mem.New()
			test.steps(t, f)
			if got := outcomes(t, f); !slices.Equal(got, test.want) {
				t.Errorf("crashes leave %q, want %q", got, test.want)
			}
		})
	}
}

// TestContent: what was synced stays, the rest is lost, kept, cut and torn.
func TestContent(t *testing.T) {
	f := mem.New()
	safe, risky := strings.Repeat("s", 700), strings.Repeat("r", 3000)
	file := write(t, f, "a", safe, true)
	noError(t, f.SyncDir("."))
	_, err := io.WriteString(file, risky)
	noError(t, err)
	whole := safe + risky
	var lost, kept, cut, zeroed, garbage int
	for seed := range uint64(300) {
		m, err := f.Crash(seed).Map("a")
		noError(t, err)
		got := string(m.Bytes())
		if !strings.HasPrefix(got, safe) || len(got) > len(whole) {
			t.Fatalf("seed %d: synced bytes are gone, or the file has grown", seed)
		}
		tail := got[len(safe):]
		spoilt := strings.Trim(tail, "r")
		switch {
		case got == safe:
			lost++
		case got == whole:
			kept++
		case spoilt == "":
			cut++
		case strings.Trim(spoilt, "r\x00") == "":
			zeroed++
		default:
			garbage++
		}
	}
	for what, n := range map[string]int{"lost": lost, "kept": kept, "cut": cut, "zeroed": zeroed, "garbage": garbage} {
		if n == 0 {
			t.Errorf("of 300 crashes none leaves the tail %s", what)
		}
	}
	for seed, want := range map[uint64]string{mem.LoseAll: safe, mem.KeepAll: whole} {
		if got := tree(t, f.Crash(seed), "."); got != "a="+want {
			t.Errorf("seed %d leaves %.100q", seed, got)
		}
	}
}

// TestCrashChangesNothing: same seed, same result; the original goes on.
func TestCrashChangesNothing(t *testing.T) {
	f := mem.New()
	held, err := f.Lock("LOCK", "me")
	noError(t, err)
	file := write(t, f, "a", strings.Repeat("x", 2000), false)
	for seed := range uint64(20) {
		first, second := f.Crash(seed), f.Crash(seed)
		if tree(t, first, ".") != tree(t, second, ".") {
			t.Fatalf("seed %d leaves two different things", seed)
		}
		lock, err := first.Lock("LOCK", "after the crash")
		noError(t, err)
		noError(t, lock.Close())
	}
	_, err = io.WriteString(file, "y")
	noError(t, err)
	size, err := file.Size()
	noError(t, err)
	if size != 2001 {
		t.Errorf("the original has %d bytes", size)
	}
	if _, err := f.Lock("LOCK", "other"); !errors.Is(err, vfs.ErrLocked) {
		t.Errorf("the original lost its lock: %v", err)
	}
	noError(t, held.Close())
}

func TestCapacity(t *testing.T) {
	f := mem.NewLimited(10)
	file := write(t, f, "a", "123456", true)
	n, err := file.Write([]byte("7890abc"))
	if n != 4 || !errors.Is(err, vfs.ErrFull) {
		t.Fatalf("wrote %d bytes, %v", n, err)
	}
	if _, err := file.Write(nil); !errors.Is(err, vfs.ErrFull) {
		t.Errorf("a file that failed was written: %v", err)
	}
	if err := file.Sync(); !errors.Is(err, vfs.ErrFull) {
		t.Errorf("a file that failed was synced: %v", err)
	}
	usage, err := f.Usage()
	noError(t, err)
	if usage != (vfs.Usage{Total: 10}) {
		t.Errorf("usage %+v", usage)
	}
	m, err := f.Map("a")
	noError(t, err)
	noError(t, file.Close())
	noError(t, f.Remove("a"))
	if u, _ := f.Usage(); u.Free != 0 {
		t.Errorf("%d bytes are free while the file is mapped", u.Free)
	}
	if !bytes.Equal(m.Bytes(), []byte("1234567890")) {
		t.Errorf("the mapping holds %q", m.Bytes())
	}
	noError(t, m.Close())
	if u, _ := f.Usage(); u.Free != 10 {
		t.Errorf("%d bytes are free after all", u.Free)
	}
	f.SetCapacity(2)
	file, err = f.Create("b")
	noError(t, err)
	if n, err := file.Write([]byte("abc")); n != 2 || !errors.Is(err, vfs.ErrFull) {
		t.Errorf("wrote %d bytes, %v", n, err)
	}
	if _, err := f.Open("missing"); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
}

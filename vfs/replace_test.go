package vfs_test

import (
	"errors"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/nilometer/nilometer/vfs"
	"github.com/nilometer/nilometer/vfs/mem"
	"github.com/nilometer/nilometer/vfs/vfstest"
)

const replaced = "dir/file"

// content is what a name holds; "" when it is not there.
func content(t *testing.T, fsys vfs.FS) string {
	t.Helper()
	m, err := fsys.Map(replaced)
	if errors.Is(err, fs.ErrNotExist) {
		return ""
	}
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	return string(m.Bytes())
}

// contents are longer than what a disk writes at once, and in several writes.
func contents() []string {
	var out []string
	for _, word := range []string{"first ", "second ", "third "} {
		out = append(out, strings.Repeat(word, 2000))
	}
	return out
}

func inPieces(s string) func(io.Writer) error {
	return func(w io.Writer) error {
		for _, piece := range []string{s[:len(s)/2], s[len(s)/2:]} {
			if _, err := io.WriteString(w, piece); err != nil {
				return err
			}
		}
		return nil
	}
}

// TestReplaceCrash stops the file system at every operation: a name has one of
// the contents whole, and none older than what was acknowledged.
func TestReplaceCrash(t *testing.T) {
	acknowledged := 0
	vfstest.EveryCrash(t, func(fsys vfs.FS) {
		acknowledged = 0
		if fsys.MkdirAll(path.Dir(replaced)) != nil {
			return
		}
		for i, s := range contents() {
			if vfs.Replace(fsys, replaced, inPieces(s)) != nil {
				return
			}
			acknowledged = i + 1
		}
	}, func(fsys vfs.FS) {
		got := content(t, fsys)
		at := slices.Index(append([]string{""}, contents()...), got)
		if at < acknowledged {
			t.Errorf("%d were acknowledged, found %d: %d bytes %.20q", acknowledged, at, len(got), got)
		}
		// What the crash has left is in nobody's way.
		if err := fsys.MkdirAll(path.Dir(replaced)); err != nil {
			t.Fatal(err)
		}
		if err := vfs.ReplaceBytes(fsys, replaced, []byte("after")); err != nil || content(t, fsys) != "after" {
			t.Errorf("after the crash: %v", err)
		}
	})
}

// TestReplaceFails: after an error that comes before the directory is synced the
// name has what it had, and nothing is left beside it.
func TestReplaceFails(t *testing.T) {
	fault := errors.New("fault")
	begin := func(t *testing.T) *vfstest.FS {
		t.Helper()
		f := vfstest.New(mem.New())
		if err := errors.Join(f.MkdirAll(path.Dir(replaced)), vfs.ReplaceBytes(f, replaced, []byte("before"))); err != nil {
			t.Fatal(err)
		}
		return f
	}
	check := func(t *testing.T, f *vfstest.FS, err error) {
		t.Helper()
		if !errors.Is(err, fault) {
			t.Errorf("got %v", err)
		}
		if got := content(t, f); got != "before" {
			t.Errorf("it holds %q", got)
		}
		if names, err := f.List(path.Dir(replaced)); err != nil || !slices.Equal(names, []string{path.Base(replaced)}) {
			t.Errorf("left: %q, %v", names, err)
		}
	}
	for _, kind := range []vfstest.Kind{vfstest.Create, vfstest.Write, vfstest.Sync, vfstest.Rename} {
		t.Run(string(kind), func(t *testing.T) {
			f := begin(t)
			f.FailKind(kind, replaced, fault)
			check(t, f, vfs.ReplaceBytes(f, replaced, []byte("after")))
		})
	}
	t.Run("fill", func(t *testing.T) {
		f := begin(t)
		check(t, f, vfs.Replace(f, replaced, func(w io.Writer) error {
			_, err := io.WriteString(w, "half")
			return errors.Join(err, fault)
		}))
	})
}

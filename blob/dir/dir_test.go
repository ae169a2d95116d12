package dir_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/nilometer/nilometer/blob"
	"github.com/nilometer/nilometer/blob/blobtest"
	"github.com/nilometer/nilometer/blob/dir"
	"github.com/nilometer/nilometer/vfs"
	"github.com/nilometer/nilometer/vfs/mem"
	osfs "github.com/nilometer/nilometer/vfs/os"
	"github.com/nilometer/nilometer/vfs/vfstest"
)

func open(t *testing.T, f vfs.FS) *dir.Bucket {
	t.Helper()
	b, err := dir.New(f, "store")
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func put(ctx context.Context, b blob.Bucket, name, content string) error {
	return b.PutIfAbsent(ctx, name, strings.NewReader(content), int64(len(content)))
}

func TestConformance(t *testing.T) {
	for name, fresh := range map[string]func(t *testing.T) vfs.FS{
		"mem": func(*testing.T) vfs.FS { return mem.New() },
		"os": func(t *testing.T) vfs.FS {
			f, err := osfs.New(t.TempDir())
			if err != nil {
				t.Fatal(err)
			}
			return f
		},
	} {
		t.Run(name, func(t *testing.T) {
			blobtest.Run(t, func(t *testing.T) blob.Bucket {
				f := fresh(t)
				t.Cleanup(func() { clean(t, f) })
				return open(t, f)
			})
		})
	}
}

// clean checks that no temporary file is left after all calls have returned.
func clean(t *testing.T, f vfs.FS) {
	names, err := f.List("store")
	if err != nil {
		t.Error(err)
	}
	for _, name := range names {
		if strings.HasPrefix(name, ".tmp-") {
			t.Errorf("the temporary file %s is left", name)
		}
	}
}

// TestCrash cuts the power at every operation of puts (I1, I2): one that was
// acknowledged is there, whole; any other is whole or absent; a second bucket
// on what is left works.
func TestCrash(t *testing.T) {
	ctx := t.Context()
	objects := []string{"manifest/t/0/1", "block/t/A/index", "block/t/A/chunks/1", "manifest/t/0/2", "top", "manifest/t/0/1"}
	content := func(i int) string { return strings.Repeat(fmt.Sprint("object ", i, " "), 300) }
	acknowledged := map[string]string{}
	known := map[string]bool{} // the loser of a put was told that it exists
	vfstest.EveryCrash(t, func(f vfs.FS) {
		clear(acknowledged)
		clear(known)
		b, err := dir.New(f, "store")
		if err != nil {
			return
		}
		for i, name := range objects {
			switch err := put(ctx, b, name, content(i)); {
			case err == nil:
				acknowledged[name] = content(i)
			case errors.Is(err, blob.ErrExists):
				known[name] = true
			}
		}
	}, func(f vfs.FS) {
		b := open(t, f)
		clean(t, f)
		for name, want := range acknowledged {
			if got, err := b.Get(ctx, name); err != nil || string(got) != want {
				t.Fatalf("the acknowledged object %s holds %.50q, %v", name, got, err)
			}
		}
		for name := range known {
			if _, err := b.Stat(ctx, name); err != nil {
				t.Fatalf("an object that a put was told of: %v", err)
			}
		}
		for i, name := range objects {
			got, err := b.Get(ctx, name)
			if errors.Is(err, blob.ErrNotFound) {
				err = put(ctx, b, name, content(i))
				got = []byte(content(i))
			}
			whole := false
			for j, other := range objects {
				whole = whole || other == name && string(got) == content(j)
			}
			if err != nil || !whole {
				t.Fatalf("object %s holds %.50q, %v", name, got, err)
			}
		}
	})
}

// TestDeleteCrash: a delete that was cut off leaves the object whole or absent,
// and its neighbours alone.
func TestDeleteCrash(t *testing.T) {
	ctx := t.Context()
	var deleted, stored bool
	vfstest.EveryCrash(t, func(f vfs.FS) {
		deleted, stored = false, false
		b, err := dir.New(f, "store")
		if err != nil || put(ctx, b, "d/e/a", "one") != nil || put(ctx, b, "d/b", "two") != nil {
			return
		}
		stored = true
		deleted = b.Delete(ctx, "d/e/a") == nil && put(ctx, b, "d/e/c", "three") == nil
	}, func(f vfs.FS) {
		b := open(t, f)
		if !stored {
			return
		}
		if got, err := b.Get(ctx, "d/e/a"); string(got) != "one" && !errors.Is(err, blob.ErrNotFound) {
			t.Fatalf("the deleted object holds %q, %v", got, err)
		}
		if got, err := b.Get(ctx, "d/b"); string(got) != "two" {
			t.Fatalf("the other object holds %q, %v", got, err)
		}
		if got, err := b.Get(ctx, "d/e/c"); deleted && string(got) != "three" {
			t.Fatalf("the object put after the delete holds %q, %v", got, err)
		}
	})
}

// TestFaults: a put that fails at any operation says so, leaves nothing half
// done, and can be repeated.
func TestFaults(t *testing.T) {
	ctx := t.Context()
	for _, fault := range []error{syscall.EIO, vfs.ErrFull} {
		for n := 1; ; n++ {
			f := vfstest.New(mem.New())
			b := open(t, f)
			f.FailAt(f.Count()+n, fault)
			before := f.Count()
			err := put(ctx, b, "d/a", "content")
			if err == nil {
				if f.Count()-before >= n {
					t.Fatalf("operation %d failed, and the put did not: %v", n, f.Ops())
				}
				break
			}
			if !errors.Is(err, fault) {
				t.Fatalf("operation %d: the error %v does not tell the cause", n, err)
			}
			got, err := b.Get(ctx, "d/a")
			if err == nil && string(got) != "content" || err != nil && !errors.Is(err, blob.ErrNotFound) {
				t.Fatalf("operation %d: the object holds %q, %v", n, got, err)
			}
			f.Fail(nil)
			if err := put(ctx, b, "d/a", "content"); err != nil && !errors.Is(err, blob.ErrExists) {
				t.Fatalf("operation %d: the repeated put: %v", n, err)
			}
		}
	}
}

func TestLeftovers(t *testing.T) {
	f := mem.New()
	b := open(t, f)
	if err := put(t.Context(), b, "a", "x"); err != nil {
		t.Fatal(err)
	}
	file, err := f.Create("store/.tmp-7")
	if err != nil {
		t.Fatal(err)
	}
	if err := file.Close(); err != nil {
		t.Fatal(err)
	}
	// What the put that was cut off has linked may not be durable: all
	// directories are synced, and only then the temporary file goes.
	if err := put(t.Context(), b, "d/e/b", "x"); err != nil {
		t.Fatal(err)
	}
	watched := vfstest.New(f)
	b = open(t, watched)
	clean(t, f)
	var ops []string
	for _, op := range watched.Ops() {
		ops = append(ops, string(op.Kind)+" "+op.Name)
	}
	want := []string{"mkdir store", "syncdir store/d/e", "syncdir store/d", "syncdir store", "remove store/.tmp-7"}
	if !slices.Equal(ops, want) {
		t.Errorf("opening did %q, want %q", ops, want)
	}
	if got, err := b.Get(t.Context(), "a"); string(got) != "x" {
		t.Errorf("the object holds %q, %v", got, err)
	}
}

// TestUnsynced: a put whose directory could not be synced leaves the temporary
// file for the next New.
func TestUnsynced(t *testing.T) {
	f := vfstest.New(mem.New())
	b := open(t, f)
	f.FailKind(vfstest.SyncDir, "d", syscall.EIO)
	if err := put(t.Context(), b, "d/a", "x"); !errors.Is(err, syscall.EIO) {
		t.Fatalf("got %v", err)
	}
	f.Fail(nil)
	names, err := f.List("store")
	if err != nil || !slices.Equal(names, []string{".tmp-1", "d"}) {
		t.Errorf("the bucket's root holds %q, %v", names, err)
	}
	if got, err := open(t, f).Get(t.Context(), "d/a"); string(got) != "x" {
		t.Errorf("the object holds %q, %v", got, err)
	}
	clean(t, f)
}

// TestNameOfADirectory: what a directory cannot hold is refused by name.
func TestNameOfADirectory(t *testing.T) {
	b := open(t, mem.New())
	for _, name := range []string{"a/b", "c"} {
		if err := put(t.Context(), b, name, "x"); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"a", "c/d", "c/d/e"} {
		if err := put(t.Context(), b, name, "x"); !errors.Is(err, blob.ErrInvalidName) {
			t.Errorf("put %s: %v", name, err)
		}
	}
}

// TestEmptyDirectoriesGo: deleted blocks leave no directories behind.
func TestEmptyDirectoriesGo(t *testing.T) {
	f := mem.New()
	b := open(t, f)
	for _, name := range []string{"block/t/A/chunks/1", "block/t/A/index", "block/u/B/index"} {
		if err := put(t.Context(), b, name, "x"); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"block/t/A/chunks/1", "block/t/A/index"} {
		if err := b.Delete(t.Context(), name); err != nil {
			t.Fatal(err)
		}
	}
	names, err := f.List("store/block")
	if err != nil || !slices.Equal(names, []string{"u"}) {
		t.Errorf("left are %q, %v", names, err)
	}
}

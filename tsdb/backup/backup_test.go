package backup_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"path"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nilometer/nilometer/blob"
	"github.com/nilometer/nilometer/blob/blobtest"
	blobmem "github.com/nilometer/nilometer/blob/mem"
	format "github.com/nilometer/nilometer/format/backup"
	"github.com/nilometer/nilometer/tsdb/backup"
	"github.com/nilometer/nilometer/vfs"
	"github.com/nilometer/nilometer/vfs/mem"
	"github.com/nilometer/nilometer/vfs/vfstest"
)

// contents are the files of a directory.
type contents map[string]string

func (c contents) fs(t *testing.T) vfs.FS {
	t.Helper()
	fs := mem.New()
	for name, text := range c {
		write(t, fs, name, text)
	}
	return fs
}

func write(t *testing.T, fs vfs.FS, name, text string) {
	t.Helper()
	if err := fs.MkdirAll(path.Dir(name)); err != nil {
		t.Fatal(err)
	}
	f, err := fs.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	_, err = io.WriteString(f, text)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, fs vfs.FS, dir string) contents {
	t.Helper()
	out := contents{}
	names, err := fs.List(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, base := range names {
		name := path.Join(dir, base)
		if info, err := fs.Stat(name); err != nil {
			t.Fatal(err)
		} else if info.IsDir() {
			maps.Copy(out, read(t, fs, name))
			continue
		}
		m, err := fs.Map(name)
		if err != nil {
			t.Fatal(err)
		}
		out[name] = string(m.Bytes())
		_ = m.Close()
	}
	delete(out, "LOCK")
	return out
}

func example() contents {
	return contents{
		"VERSION":                             "layout 1\n",
		"meta.db":                             "targets",
		"store/manifest/default/0/1":          "version one",
		"store/block/default/01A/index":       strings.Repeat("index", 1000),
		"store/block/default/01A/chunks/0001": strings.Repeat("chunks", 1000),
		"store/block/default/01B/index":       "",
	}
}

func deps(b blob.Bucket, second int64) backup.Deps {
	return backup.Deps{Bucket: b, Clock: func() time.Time { return time.Unix(second, 0) }}
}

func create(t *testing.T, b blob.Bucket, second int64, c contents) backup.Summary {
	t.Helper()
	s, err := backup.Create(t.Context(), deps(b, second), c.fs(t), format.Index{Program: "1", Head: true, Blocks: 2, Samples: 3})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func wantRestored(t *testing.T, b blob.Bucket, name string, want contents) {
	t.Helper()
	x, err := backup.Read(t.Context(), b, name)
	if err != nil {
		t.Fatal(err)
	}
	dst := mem.New()
	if _, err := backup.Restore(t.Context(), deps(b, 0), x, dst); err != nil {
		t.Fatal(err)
	}
	if got := read(t, dst, "."); !maps.Equal(got, want) {
		t.Errorf("restored are %q", slices.Sorted(maps.Keys(got)))
	}
}

func TestIncrements(t *testing.T) {
	bucket := blobtest.New(blobmem.New())
	first := example()
	var last backup.Progress
	d := deps(bucket, 100)
	d.Progress = func(p backup.Progress) { last = p }
	s, err := backup.Create(t.Context(), d, first.fs(t), format.Index{Head: true})
	if err != nil {
		t.Fatal(err)
	}
	if s.CopiedFiles != 6 || s.KeptFiles != 0 || s.Index.Name != "19700101T000140Z" || last.Files != 6 || last.Bytes != last.BytesTotal || last.Bytes != s.CopiedBytes {
		t.Errorf("the first is %+v, progress %+v", s, last)
	}
	second := maps.Clone(first)
	delete(second, "store/block/default/01B/index")
	second["store/block/default/01C/index"] = "new"
	second["meta.db"] = "more targets"
	puts := bucket.Count(blobtest.Put)
	if s = create(t, bucket, 200, second); s.CopiedFiles != 4 || s.KeptFiles != 2 || s.KeptBytes != 11000 {
		t.Errorf("the second is %+v", s)
	}
	if n := bucket.Count(blobtest.Put) - puts; n != 6 { // with its begin and its index
		t.Errorf("%d puts", n)
	}
	again := create(t, bucket, 200, second)
	if again.Index.Name != "19700101T000320Z-2" {
		t.Errorf("within the same second it is named %s", again.Index.Name)
	}
	wantRestored(t, bucket, "19700101T000140Z", first)
	wantRestored(t, bucket, "19700101T000320Z", second)
	wantRestored(t, bucket, "", second)
	all, err := backup.List(t.Context(), bucket)
	if err != nil || len(all) != 3 || all[0].Bytes() != s.KeptBytes+int64(len("layout 1\ntargetsversion one")) {
		t.Errorf("listed are %+v, %v", all, err)
	}
}

func TestDelete(t *testing.T) {
	bucket := blobmem.New()
	first := example()
	create(t, bucket, 100, first)
	second := maps.Clone(first)
	delete(second, "store/block/default/01B/index")
	create(t, bucket, 200, second)
	n, err := backup.Delete(t.Context(), bucket, "19700101T000140Z")
	if err != nil || n != 4 {
		t.Errorf("%d objects deleted, %v", n, err)
	}
	wantRestored(t, bucket, "", second)
	if _, err := backup.Delete(t.Context(), bucket, ""); err != nil {
		t.Error(err)
	}
	if got := names(t, bucket); len(got) != 0 {
		t.Errorf("left are %q", got)
	}
	if _, err := backup.Read(t.Context(), bucket, ""); !errors.Is(err, backup.ErrNoBackup) {
		t.Errorf("got %v", err)
	}
	if _, err := backup.Read(t.Context(), bucket, "../x"); !errors.Is(err, backup.ErrNoBackup) {
		t.Errorf("got %v", err)
	}
}

func names(t *testing.T, b blob.Bucket) (out []string) {
	t.Helper()
	if err := b.List(t.Context(), "", "", func(i blob.Info) error { out = append(out, i.Name); return nil }); err != nil {
		t.Fatal(err)
	}
	return out
}

// TestCreateGoesOn: wherever a backup is cut off it is none, and the next one
// finds the blocks that it brought.
func TestCreateGoesOn(t *testing.T) {
	broken := errors.New("broken")
	for n := 1; ; n++ {
		bucket := blobtest.New(blobmem.New())
		bucket.FailPut(n, broken, n%2 == 0)
		_, err := backup.Create(t.Context(), deps(bucket, 100), example().fs(t), format.Index{})
		if err == nil {
			if n != 9 { // begin, six files, index
				t.Errorf("no error at put %d", n)
			}
			return
		}
		if !errors.Is(err, broken) {
			t.Fatal(err)
		}
		bucket.Fail(nil)
		if all, err := backup.List(t.Context(), bucket); err != nil || len(all) > 0 && n < 8 {
			t.Errorf("put %d: %d backups, %v", n, len(all), err)
		}
		create(t, bucket, 200, example())
		wantRestored(t, bucket, "", example())
		if n > 1 && n < 8 {
			if _, err := backup.Delete(t.Context(), bucket, ""); err == nil || !strings.Contains(err.Error(), "has begun") {
				t.Errorf("beside an unfinished backup: %v", err)
			}
			if err := backup.Forget(t.Context(), bucket, "19700101T000140Z"); err != nil {
				t.Error(err)
			}
		}
	}
}

func TestDamagedObjects(t *testing.T) {
	for object, says := range map[string]string{
		"block/default/01A/index":        "has the checksum",
		"other/19700101T000140Z/meta.db": "has the checksum",
		"block/default/01B/index":        "has 1 bytes",
		"backup/19700101T000140Z":        "damaged",
	} {
		bucket := blobmem.New()
		create(t, bucket, 100, example())
		b, err := bucket.Get(t.Context(), object)
		if err != nil {
			t.Fatal(err)
		}
		if len(b) == 0 {
			b = []byte{0}
		}
		b[len(b)-1] ^= 1
		if err := errors.Join(bucket.Delete(t.Context(), object), bucket.PutIfAbsent(t.Context(), object, bytes.NewReader(b), int64(len(b)))); err != nil {
			t.Fatal(err)
		}
		dst := mem.New()
		x, err := backup.Read(t.Context(), bucket, "")
		if err == nil {
			_, err = backup.Restore(t.Context(), deps(bucket, 0), x, dst)
		}
		if err == nil || !strings.Contains(err.Error(), says) || !strings.Contains(err.Error(), strings.TrimPrefix(object, "backup/")) {
			t.Errorf("%s: got %v", object, err)
		}
		if _, err := dst.Stat("VERSION"); err == nil {
			t.Errorf("%s: a data directory is there", object)
		}
	}
}

// TestRestoreGoesOn: wherever the disk fails, the next attempt completes what
// is there, also where files were damaged since.
func TestRestoreGoesOn(t *testing.T) {
	bucket := blobmem.New()
	create(t, bucket, 100, example())
	x, err := backup.Read(t.Context(), bucket, "")
	if err != nil {
		t.Fatal(err)
	}
	for n := 1; n < 1000; n++ {
		dst := mem.New()
		faulty := vfstest.New(dst)
		faulty.FailAt(n, fmt.Errorf("operation %d is broken", n))
		_, err := backup.Restore(t.Context(), deps(bucket, 0), x, faulty)
		if err == nil {
			if n < 20 {
				t.Errorf("no error at operation %d", n)
			}
			return
		}
		if _, err := dst.Stat("VERSION"); err == nil {
			continue // it was complete, but for the mark
		}
		if _, err := dst.Stat("meta.db"); err == nil {
			if err := dst.Remove("meta.db"); err != nil {
				t.Fatal(err)
			}
			write(t, dst, "meta.db", "TARGETS")
		}
		if _, err := backup.Restore(t.Context(), deps(bucket, 0), x, dst); err != nil {
			t.Fatalf("after a fault at operation %d: %v", n, err)
		}
		if got := read(t, dst, "."); !maps.Equal(got, example()) {
			t.Fatalf("after a fault at operation %d there are %q", n, slices.Sorted(maps.Keys(got)))
		}
	}
	t.Error("no end")
}

func TestRestoreNeedsAnEmptyDirectory(t *testing.T) {
	bucket := blobmem.New()
	create(t, bucket, 100, example())
	x, err := backup.Read(t.Context(), bucket, "")
	if err != nil {
		t.Fatal(err)
	}
	for says, there := range map[string]contents{
		"data directory already": {"VERSION": "x"},
		`it has "wal"`:           {"wal/1": "x"},
		"was cut off there":      {"RESTORE": "another\n", "meta.db": "x"},
		`it has "meta.db.part"`:  {"meta.db.part": "x"},
	} {
		fs := there.fs(t)
		if _, err := backup.Restore(t.Context(), deps(bucket, 0), x, fs); !errors.Is(err, backup.ErrNotEmpty) || !strings.Contains(err.Error(), says) {
			t.Errorf("%v: got %v", there, err)
		}
		if got := read(t, fs, "."); !maps.Equal(got, there) {
			t.Errorf("%v became %v", there, got)
		}
	}
}

func TestCreateNeedsADataDirectory(t *testing.T) {
	bucket := blobmem.New()
	if _, err := backup.Create(t.Context(), deps(bucket, 1), contents{"a": "b"}.fs(t), format.Index{}); err == nil || !strings.Contains(err.Error(), "no data directory") {
		t.Errorf("got %v", err)
	}
	if got := names(t, bucket); len(got) != 0 {
		t.Errorf("left are %q", got)
	}
}

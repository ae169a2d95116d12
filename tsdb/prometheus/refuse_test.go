package prometheus_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/prometheus/tsdb/fileutil"

	"github.com/nilometer/nilometer/blob"
	blobmem "github.com/nilometer/nilometer/blob/mem"
	"github.com/nilometer/nilometer/model/tenant"
	"github.com/nilometer/nilometer/tsdb"
	"github.com/nilometer/nilometer/tsdb/prometheus"
	"github.com/nilometer/nilometer/vfs/mem"
)

// flippingBucket flips a bit in what is put to one kind of object.
type flippingBucket struct {
	blob.Bucket
	part string
}

func (b flippingBucket) PutIfAbsent(ctx context.Context, name string, r io.Reader, size int64) error {
	content, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	if strings.Contains(name, b.part) {
		content[len(content)*2/3] ^= 16
	}
	return b.Bucket.PutIfAbsent(ctx, name, bytes.NewReader(content), size)
}

// TestABlockThatIsNotWhatWasReadIsNotAdded: the import verifies what it wrote.
func TestABlockThatIsNotWhatWasReadIsNotAdded(t *testing.T) {
	source, _ := days(t)
	for _, part := range []string{"/chunks/", "/index"} {
		bucket := blobmem.New()
		d := tsdb.Deps{Dir: "data", FS: mem.New(), Bucket: flippingBucket{bucket, part}, Clock: func() time.Time { return now }}
		db, err := tsdb.Open(t.Context(), tsdb.Options{Retention: -1}, d)
		if err == nil {
			err = db.Close()
		}
		if err == nil {
			db, err = tsdb.OpenIdle(t.Context(), tsdb.Options{Retention: -1}, d)
		}
		if err != nil {
			t.Fatal(err)
		}
		if _, err = prometheus.Import(t.Context(), db, source, importOptions(t)); err == nil || !strings.Contains(err.Error(), "block ") {
			t.Errorf("a bit of %s: error %v, want one that names the block", part, err)
		}
		content, err := db.Content(t.Context(), tenant.Default)
		if err != nil {
			t.Fatal(err)
		}
		if n := len(content.State.Blocks); n != 0 {
			t.Errorf("a bit of %s: %d blocks were added", part, n)
		}
		err = bucket.List(t.Context(), "block/", "", func(i blob.Info) error { return errors.New(i.Name) })
		if err != nil {
			t.Errorf("a bit of %s: %s is left", part, err)
		}
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestRefusedSources(t *testing.T) {
	source, _ := days(t)
	empty := t.TempDir()
	ours := t.TempDir()
	write(t, filepath.Join(ours, "VERSION"), "nilometer data directory, layout 1\n")
	cases := []struct {
		name, dir string
		change    func(o *prometheus.ImportOptions)
		want      []string
	}{
		{"nothing there", filepath.Join(empty, "gone"), nil, []string{"gone", "no such file"}},
		{"not of Prometheus", empty, nil, []string{"no data directory of Prometheus", "--storage.tsdb.path"}},
		{"our own", ours, nil, []string{"data directory of nilometer"}},
		{"older than the retention", source, func(o *prometheus.ImportOptions) { o.Retention = 15 * 24 * time.Hour },
			[]string{"retention of 360h", "--keep", "--min-time"}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			o := importOptions(t)
			if c.change != nil {
				c.change(&o)
			}
			db := open(t, mem.New())
			_, err := prometheus.Import(t.Context(), db.DB, c.dir, o)
			if err == nil {
				t.Fatal("no error")
			}
			for _, part := range c.want {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("%q does not say %q", err, part)
				}
			}
		})
	}
}

func TestARunningPrometheusIsAWarning(t *testing.T) {
	source, want := days(t)
	lock, _, err := fileutil.Flock(filepath.Join(source, "lock"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = lock.Release() }()
	o := importOptions(t)
	var warnings []string
	o.Warn = func(s string) { warnings = append(warnings, s) }
	db := open(t, mem.New())
	if _, err := prometheus.Import(t.Context(), db.DB, source, o); err != nil {
		t.Fatal(err)
	}
	if len(warnings) != 1 || !strings.Contains(warnings[0], "a Prometheus is running on "+source) {
		t.Errorf("warnings %q", warnings)
	}
	if d := diff(all(t, db.DB), want); d != "" {
		t.Error(d)
	}
}

// TestTheSourceStaysAsItIs compares every file before and after.
func TestTheSourceStaysAsItIs(t *testing.T) {
	source, _ := days(t)
	before := tree(t, source)
	db := open(t, mem.New())
	if _, err := prometheus.Import(t.Context(), db.DB, source, importOptions(t)); err != nil {
		t.Fatal(err)
	}
	after := tree(t, source)
	if len(before) != len(after) {
		t.Errorf("%d files before, %d after", len(before), len(after))
	}
	for name, content := range before {
		if !bytes.Equal(content, after[name]) {
			t.Errorf("%s has changed", name)
		}
	}
}

func TestDamagedSources(t *testing.T) {
	first := func(t *testing.T, pattern string) string {
		t.Helper()
		names, err := filepath.Glob(pattern)
		if err != nil || len(names) == 0 {
			t.Fatalf("%s: %v, %v", pattern, names, err)
		}
		return names[0]
	}
	cases := []struct {
		name   string
		damage func(t *testing.T, source string)
		says   string
	}{
		{"index gone", func(t *testing.T, source string) {
			if err := os.Remove(first(t, source+"/01*/index")); err != nil {
				t.Fatal(err)
			}
		}, "block 01"},
		{"a bit of an index", func(t *testing.T, source string) { flip(t, first(t, source+"/01*/index"), 40) }, "block 01"},
		{"a bit of a chunk", func(t *testing.T, source string) { flip(t, first(t, source+"/01*/chunks/000001"), 30) }, "block 01"},
		{"meta.json", func(t *testing.T, source string) { write(t, first(t, source+"/01*/meta.json"), "{") }, "block 01"},
		{"a bit of the log", func(t *testing.T, source string) {
			flip(t, first(t, source+"/wal/0*"), 200)
		}, "the write-ahead log"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			source, want := days(t)
			c.damage(t, source)
			db := open(t, mem.New())
			o := importOptions(t)
			_, err := prometheus.Import(t.Context(), db.DB, source, o)
			if err == nil || !strings.Contains(err.Error(), c.says) || !strings.Contains(err.Error(), "--skip-damaged") {
				t.Fatalf("error %v, want one that names %s and --skip-damaged", err, c.says)
			}
			o.SkipDamaged = true
			var warned []string
			o.Warn = func(s string) { warned = append(warned, s) }
			sum, err := prometheus.Import(t.Context(), db.DB, source, o)
			if err != nil {
				t.Fatal(err)
			}
			if len(sum.Skipped) == 0 && sum.DamagedChunks == 0 {
				t.Errorf("nothing was skipped: %+v", sum)
			}
			if len(sum.Skipped) != len(warned) {
				t.Errorf("skipped %q, warned of %q", sum.Skipped, warned)
			}
			got := all(t, db.DB)
			if got.samples() == 0 || got.samples() >= want.samples() {
				t.Errorf("%d samples of %d", got.samples(), want.samples())
			}
			for key, s := range got { // what came over is right
				have := map[sample]bool{}
				for _, x := range want[key] {
					have[x] = true
				}
				for _, x := range s {
					if !have[x] {
						t.Fatalf("%s has %v, which the source had not", key, x)
					}
				}
			}
		})
	}
}

func write(t *testing.T, name, content string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

// flip flips a bit of the byte at an offset.
func flip(t *testing.T, name string, at int) {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	b[at] ^= 4
	write(t, name, string(b))
}

func tree(t *testing.T, root string) map[string][]byte {
	t.Helper()
	out := map[string][]byte{}
	err := filepath.WalkDir(root, func(p string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		out[p] = nil
		if d.Type().IsRegular() {
			out[p], err = os.ReadFile(p)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

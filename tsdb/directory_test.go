package tsdb_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/nilometer/nilometer/tsdb"
	"github.com/nilometer/nilometer/vfs"
	"github.com/nilometer/nilometer/vfs/mem"
)

func put(t *testing.T, fs vfs.FS, name, content string) {
	t.Helper()
	f, err := fs.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Write([]byte(content)); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestRefusedDirectories(t *testing.T) {
	cases := []struct {
		name    string
		prepare func(fs *mem.FS)
		want    []string // parts of the sentence
	}{
		{"in use", func(fs *mem.FS) {
			mustStart(t, fs, quiet(time.Hour), tsdb.Deps{Note: "nilometer on 127.0.0.1:9090"})
		}, []string{"data is in use", "nilometer on 127.0.0.1:9090", "--data.dir"}},
		{"of the future", func(fs *mem.FS) {
			put(t, fs, "VERSION", "nilometer data directory, layout 7\n")
		}, []string{"layout 7", "newer version", "upgrade"}},
		{"with a damaged version", func(fs *mem.FS) {
			put(t, fs, "VERSION", "nilom")
		}, []string{"VERSION", `"nilom"`, "damaged"}},
		{"of another program", func(fs *mem.FS) {
			if err := fs.MkdirAll("chunks_head"); err != nil {
				t.Fatal(err)
			}
		}, []string{`"chunks_head"`, "no data directory of this program", "--data.dir"}},
		{"with a damaged manifest", func(fs *mem.FS) {
			put(t, fs, "VERSION", "nilometer data directory, layout 1\n")
			if err := fs.MkdirAll("store/manifest/default/0"); err != nil {
				t.Fatal(err)
			}
			put(t, fs, "store/manifest/default/0/00000000000000000001", "garbage")
		}, []string{"manifest/default/0/00000000000000000001", "damaged manifest version", "backup"}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			fs := mem.New()
			c.prepare(fs)
			before := listing(t, fs, ".")
			db, err := tsdb.Open(context.Background(), quiet(time.Hour), tsdb.Deps{FS: fs, Dir: "data"})
			if err == nil {
				db.Close()
				t.Fatal("it was opened")
			}
			for _, part := range c.want {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("the error %q does not say %q", err, part)
				}
			}
			if after := listing(t, fs, "."); strings.ReplaceAll(after, "LOCK\n", "") != strings.ReplaceAll(before, "LOCK\n", "") {
				t.Errorf("the directory was\n%sand is\n%s", before, after)
			}
		})
	}
}

// listing names everything below a directory.
func listing(t *testing.T, fs vfs.FS, dir string) string {
	t.Helper()
	names, err := fs.List(dir)
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	for _, n := range names {
		p := strings.TrimPrefix(dir+"/"+n, "./")
		out.WriteString(p + "\n")
		if info, err := fs.Stat(p); err == nil && info.IsDir() {
			out.WriteString(listing(t, fs, p))
		}
	}
	return out.String()
}

func TestOptionsReportEveryProblem(t *testing.T) {
	err := tsdb.Options{BlockRange: time.Millisecond, SyncInterval: time.Hour, CacheBytes: 1}.Validate()
	if err == nil {
		t.Fatal("the options are valid")
	}
	for _, part := range []string{"block range is 1ms", "sync interval is 1h0m0s", "cache has 1 bytes"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("the error %q does not say %q", err, part)
		}
	}
	if err := (tsdb.Options{}).Validate(); err != nil {
		t.Errorf("the defaults are refused: %s", err)
	}
}

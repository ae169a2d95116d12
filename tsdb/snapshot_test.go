package tsdb_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/nilometer/nilometer/model/tenant"
	"github.com/nilometer/nilometer/storage"
	"github.com/nilometer/nilometer/storage/storagetest"
	"github.com/nilometer/nilometer/tsdb"
	"github.com/nilometer/nilometer/vfs"
	osfs "github.com/nilometer/nilometer/vfs/os"
	"github.com/nilometer/nilometer/vfs/vfstest"
)

// osFS returns the file system below a directory.
func osFS(t *testing.T, dir string) vfs.FS {
	t.Helper()
	fs, err := osfs.New(dir)
	if err != nil {
		t.Fatal(err)
	}
	return fs
}

// readSnapshot starts a database on a snapshot and reads everything.
func readSnapshot(t *testing.T, dir, name string, o tsdb.Options) ([]storagetest.Series, *running) {
	t.Helper()
	db := mustStart(t, osFS(t, filepath.Join(dir, "snapshots", name)), o, tsdb.Deps{})
	return mustRead(t, db), db
}

func TestSnapshot(t *testing.T) {
	for _, test := range []struct {
		name string
		wrap func(vfs.FS) vfs.FS
	}{
		{"with hard links", func(fs vfs.FS) vfs.FS { return fs }},
		{"where a link takes the name away", func(fs vfs.FS) vfs.FS { return &moving{fs} }},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir := t.TempDir()
			o := quiet(time.Hour)
			fs := test.wrap(osFS(t, dir))
			db := mustStart(t, fs, o, tsdb.Deps{})
			appendMinutes(t, db, 0, 250) // two whole spans, and the third that Cut leaves
			if err := db.Cut(t.Context()); err != nil {
				t.Fatal(err)
			}
			// A deletion of what is in blocks and of what is not is in the snapshot.
			if err := db.Delete(t.Context(), tenant.Default, at(60*100), at(60*240), labels.MustNewMatcher(labels.MatchEqual, "__name__", "b")); err != nil {
				t.Fatal(err)
			}
			before := mustRead(t, db)
			s, err := db.Snapshot(t.Context(), tsdb.SnapshotOptions{Beside: func(_ context.Context, at string) error {
				return os.WriteFile(filepath.Join(dir, at, "meta.db"), []byte("beside"), 0o600)
			}})
			if err != nil {
				t.Fatal(err)
			}
			if s.HeadBlocks == 0 || s.Blocks <= s.HeadBlocks || s.Samples < 400 || s.Samples > 500 {
				t.Errorf("the snapshot is %+v", s)
			}
			if b, err := os.ReadFile(filepath.Join(dir, "snapshots", s.Name, "meta.db")); err != nil || string(b) != "beside" {
				t.Errorf("beside the snapshot is %q, %v", b, err)
			}
			// What comes later is not in it, and does not disturb it.
			appendMinutes(t, db, 250, 360)
			if err := errors.Join(db.Cut(t.Context()), db.Compact(t.Context())); err != nil {
				t.Fatal(err)
			}
			got, of := readSnapshot(t, dir, s.Name, o)
			if !reflect.DeepEqual(got, before) {
				t.Errorf("got %v, want %v", got, before)
			}
			// It goes on as a database of its own, behind its last sample.
			appendMinutes(t, of, 250, 350)
			if err := errors.Join(of.Cut(t.Context()), of.Compact(t.Context())); err != nil {
				t.Fatal(err)
			}
			for i, x := range mustRead(t, of) {
				if want := []int{350, 350 - 141}[i]; len(x.Samples) != want {
					t.Errorf("%s has %d samples, want %d", x.Labels, len(x.Samples), want)
				}
			}
			if got := mustRead(t, db); len(got) != 2 || len(got[0].Samples) != 360 {
				t.Errorf("the database has %v", got)
			}
			if err := db.DropSnapshot(s); err != nil {
				t.Fatal(err)
			}
			if _, err := os.Stat(filepath.Join(dir, "snapshots", s.Name)); !os.IsNotExist(err) {
				t.Errorf("after its deletion: %v", err)
			}
		})
	}
}

// moving has no hard links: Link moves the name.
type moving struct{ vfs.FS }

func (f *moving) Link(oldname, newname string) error {
	if _, err := f.Stat(newname); err == nil {
		return os.ErrExist
	}
	return f.Rename(oldname, newname)
}

func TestSnapshotWithoutHead(t *testing.T) {
	dir := t.TempDir()
	o := quiet(time.Hour)
	db := mustStart(t, osFS(t, dir), o, tsdb.Deps{})
	appendMinutes(t, db, 0, 250)
	if err := db.Cut(t.Context()); err != nil {
		t.Fatal(err)
	}
	s, err := db.Snapshot(t.Context(), tsdb.SnapshotOptions{SkipHead: true})
	if err != nil {
		t.Fatal(err)
	}
	// Beside the server, from outside, it is the same.
	outside, err := tsdb.LinkBlocks(t.Context(), tsdb.Deps{Dir: dir}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if s.HeadBlocks != 0 || s.Samples == 0 || outside.Samples != s.Samples || outside.Blocks != s.Blocks {
		t.Errorf("the snapshots are %+v and %+v", s, outside)
	}
	for _, name := range []string{s.Name, outside.Name} {
		got, _ := readSnapshot(t, dir, name, o)
		if n := uint64(len(got[0].Samples) + len(got[1].Samples)); n != s.Samples {
			t.Errorf("%d samples in %s, want %d", n, name, s.Samples)
		}
	}
}

func TestSnapshotOfNothing(t *testing.T) {
	dir := t.TempDir()
	db := mustStart(t, osFS(t, dir), quiet(time.Hour), tsdb.Deps{})
	s, err := db.Snapshot(t.Context(), tsdb.SnapshotOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if got, _ := readSnapshot(t, dir, s.Name, quiet(time.Hour)); len(got) != 0 {
		t.Errorf("there are %v", got)
	}
}

func TestFailedSnapshotLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	db := mustStart(t, osFS(t, dir), quiet(time.Hour), tsdb.Deps{})
	appendMinutes(t, db, 0, 10)
	broken := errors.New("broken")
	_, err := db.Snapshot(t.Context(), tsdb.SnapshotOptions{Beside: func(context.Context, string) error { return broken }})
	if !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
	if left, _ := os.ReadDir(filepath.Join(dir, "snapshots")); len(left) != 0 {
		t.Errorf("left are %v", left)
	}
}

func TestTooManySnapshots(t *testing.T) {
	dir := t.TempDir()
	db := mustStart(t, osFS(t, dir), quiet(time.Hour), tsdb.Deps{})
	for i := range 100 {
		if err := os.MkdirAll(filepath.Join(dir, "snapshots", strings.Repeat("x", i+1)), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := db.Snapshot(t.Context(), tsdb.SnapshotOptions{}); err == nil || !strings.Contains(err.Error(), "at most 100") {
		t.Errorf("got %v", err)
	}
}

// TestLinkBlocksBesideCompaction: the blocks of one version, however fast they
// are compacted away.
func TestLinkBlocksBesideCompaction(t *testing.T) {
	dir := t.TempDir()
	o := quiet(time.Minute)
	fs := osFS(t, dir)
	withBlocks(t, fs, 30)
	db := mustStart(t, fs, o, tsdb.Deps{})
	before := mustRead(t, db)
	done := make(chan error, 1)
	go func() { done <- db.Compact(context.Background()) }()
	for range 5 {
		s, err := tsdb.LinkBlocks(t.Context(), tsdb.Deps{Dir: dir}, nil)
		if err != nil {
			t.Fatal(err)
		}
		if got, _ := readSnapshot(t, dir, s.Name, o); !reflect.DeepEqual(got, before) {
			t.Fatalf("snapshot %s has other samples", s.Name)
		}
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

// TestCrashOfCompact: whatever moment the power fails at while a directory is
// brought into its final state, or a snapshot is made, all samples are there.
func TestCrashOfCompact(t *testing.T) {
	o := quiet(time.Hour)
	filled := func(fs vfs.FS) bool {
		db, err := start(fs, o, tsdb.Deps{})
		if err != nil {
			return false
		}
		g := open(db, storage.Closed, "minutes")
		for m := range int64(150) {
			if g == nil {
				break
			}
			values := map[string]float64{"a": float64(m), "b": float64(m % 7)}
			if _, err := appendBatch(g, []string{"a", "b"}, storage.Batch{Time: at(60 * m)}, values, storage.Synced); err != nil {
				g = nil
			}
		}
		_, err = db.Snapshot(context.Background(), tsdb.SnapshotOptions{})
		return errors.Join(err, db.stop()) == nil && g != nil
	}
	full := false // all samples are durable
	workload := func(fs vfs.FS) {
		if full = filled(fs); full {
			_, _ = tsdb.Compact(context.Background(), o, offlineDeps(fs), func(tsdb.CompactReport) {})
		}
	}
	check := func(fs vfs.FS) {
		if !full {
			return
		}
		db, err := start(fs, o, tsdb.Deps{})
		if err != nil {
			t.Fatal(err)
		}
		defer db.stop() //nolint:errcheck // what is read counts
		got := mustRead(t, db)
		if len(got) != 2 || len(got[0].Samples) != 150 || len(got[1].Samples) != 150 {
			t.Errorf("after the crash there are %d series: %v", len(got), got)
		}
	}
	vfstest.EveryCrashWith(t, crashes(t, 60), workload, check)
}

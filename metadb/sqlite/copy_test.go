package sqlite_test

import (
	"errors"
	"io/fs"
	"path/filepath"
	"testing"
	"time"

	"github.com/nilometer/nilometer/metadb"
	"github.com/nilometer/nilometer/metadb/sqlite"
)

func TestCopy(t *testing.T) {
	dir := t.TempDir()
	path, to := filepath.Join(dir, "meta.db"), filepath.Join(dir, "copy.db")
	if err := sqlite.Copy(t.Context(), path, to); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("of a missing file: %v", err)
	}
	db, err := sqlite.Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	upsert := func(db metadb.DB, key string) {
		t.Helper()
		spec := metadb.TargetSpec{TargetKey: metadb.TargetKey{Job: key, URL: "http://a/metrics"}, Interval: time.Second, Timeout: time.Second}
		if _, err := db.UpsertTargets(t.Context(), "t", []metadb.TargetSpec{spec}, time.Unix(1, 0)); err != nil {
			t.Fatal(err)
		}
	}
	upsert(db, "before")
	if err := sqlite.Copy(t.Context(), path, to); err != nil { // beside an open one
		t.Fatal(err)
	}
	upsert(db, "after")
	if err := sqlite.Copy(t.Context(), path, to); err == nil {
		t.Error("a file was overwritten")
	}
	copied, err := sqlite.Open(t.Context(), to)
	if err != nil {
		t.Fatal(err)
	}
	defer copied.Close()
	got, err := copied.ListTargets(t.Context(), "t", metadb.TargetFilter{})
	if err != nil || len(got) != 1 || got[0].Job != "before" {
		t.Errorf("the copy has %v, %v", got, err)
	}
}

package server_test

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/nilometer/nilometer/metadb"
	"github.com/nilometer/nilometer/metadb/sqlite"
	"github.com/nilometer/nilometer/model/tenant"
	"github.com/nilometer/nilometer/server"
)

// TestPrune: targets that went longer ago than samples are kept leave the metadata
// database, in however many batches, and others stay.
func TestPrune(t *testing.T) {
	dir := t.TempDir()
	r := start(t, server.Options{DataDir: dir, ListenAddress: "127.0.0.1:0"})
	r.stop() // the directory is one of the program
	const old = 1500
	open := func() *sqlite.DB {
		db, err := sqlite.Open(t.Context(), filepath.Join(dir, "meta.db"))
		if err != nil {
			t.Fatal(err)
		}
		return db
	}
	db := open()
	gone := func(job string, n int, at time.Time) {
		var specs []metadb.TargetSpec
		for i := range n {
			specs = append(specs, metadb.TargetSpec{
				TargetKey: metadb.TargetKey{Job: job, URL: "http://a/" + time.Duration(i).String()}, Interval: time.Second, Timeout: time.Second,
			})
		}
		rows, err := db.UpsertTargets(t.Context(), tenant.Default, specs, at)
		if err != nil {
			t.Fatal(err)
		}
		var versions []metadb.TargetVersion
		for _, row := range rows {
			versions = append(versions, metadb.TargetVersion{ID: row.ID, Version: row.Version})
		}
		if _, err := db.DeactivateTargets(t.Context(), tenant.Default, versions, at); err != nil {
			t.Fatal(err)
		}
	}
	gone("old", old, time.Now().Add(-31*24*time.Hour))
	gone("new", 1, time.Now().Add(-29*24*time.Hour))
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	r = start(t, server.Options{DataDir: dir, ListenAddress: "127.0.0.1:0"})
	db = open()
	defer func() { _ = db.Close() }()
	left := func(job string) int {
		rows, err := db.ListTargets(t.Context(), tenant.Default, metadb.TargetFilter{Job: job, Limit: metadb.ListMax})
		if err != nil {
			t.Fatal(err)
		}
		return len(rows)
	}
	r.wait("the old targets' end", func() bool { return left("old") == 0 })
	if n := left("new"); n != 1 {
		t.Errorf("%d of the new targets are left", n)
	}
	r.stop()
}

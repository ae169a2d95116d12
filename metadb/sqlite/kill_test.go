package sqlite_test

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/nilometer/nilometer/metadb"
	"github.com/nilometer/nilometer/metadb/sqlite"
	"github.com/nilometer/nilometer/model/tenant"
)

// killedInside names the database that the process of TestKill writes to.
const killedInside = "NILOMETER_TEST_METADB_KILL"

// TestKill: after kill -9 of the process that writes a target's state, the version
// is the last one acknowledged, or the one that was being written, and goes on
// from there; who names an older one changes nothing (I1, I2, I3).
func TestKill(t *testing.T) {
	if path := os.Getenv(killedInside); path != "" {
		writeUntilKilled(path)
		return
	}
	path := filepath.Join(t.TempDir(), "meta.db")
	last := int64(0)
	for round := range 5 {
		acknowledged := killedWriter(t, path, 20+17*round)
		db, err := sqlite.Open(t.Context(), path)
		if err != nil {
			t.Fatal(err)
		}
		rows, err := db.ListTargets(t.Context(), tenant.Default, metadb.TargetFilter{})
		if err != nil || len(rows) != 1 {
			t.Fatalf("%d rows, %v", len(rows), err)
		}
		row := rows[0]
		if acknowledged <= last || row.Version != acknowledged && row.Version != acknowledged+1 {
			t.Errorf("round %d: version %d, acknowledged %d, before the round %d", round, row.Version, acknowledged, last)
		}
		stale := metadb.TargetUpdate{ID: row.ID, Version: row.Version - 1, ScrapedAt: time.Now(), Status: metadb.TargetDown}
		if _, err := metadb.UpdateTargetStatus(t.Context(), db, tenant.Default, stale); err == nil {
			t.Error("a stale writer won")
		}
		next := metadb.TargetUpdate{ID: row.ID, Version: row.Version, ScrapedAt: time.Now(), Status: metadb.TargetUp}
		if last, err = metadb.UpdateTargetStatus(t.Context(), db, tenant.Default, next); err != nil || last != row.Version+1 {
			t.Errorf("version %d after %d: %v", last, row.Version, err)
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// killedWriter runs a writer, kills it after some lines and returns the last
// version that it was told of.
func killedWriter(t *testing.T, path string, lines int) (acknowledged int64) {
	t.Helper()
	writer := exec.Command(os.Args[0], "-test.run=^TestKill$")
	writer.Env = append(os.Environ(), killedInside+"="+path)
	out, err := writer.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := writer.Start(); err != nil {
		t.Fatal(err)
	}
	read := 0
	for in := bufio.NewScanner(out); in.Scan(); { // to the end: what was said before the kill counts
		v, err := strconv.ParseInt(in.Text(), 10, 64)
		if err != nil {
			t.Fatalf("the writer says %q", in.Text())
		}
		acknowledged = v
		if read++; read == lines {
			if err := writer.Process.Kill(); err != nil {
				t.Fatal(err)
			}
		}
	}
	_ = writer.Wait() // it was killed
	if read < lines {
		t.Fatalf("the writer ended after %d lines", read)
	}
	return acknowledged
}

// writeUntilKilled raises a target's version, and says each one.
func writeUntilKilled(path string) {
	ctx := context.Background()
	db, err := sqlite.Open(ctx, path)
	if err != nil {
		fmt.Println(err)
		return
	}
	rows, err := db.UpsertTargets(ctx, tenant.Default, []metadb.TargetSpec{{
		TargetKey: metadb.TargetKey{Job: "j", URL: "http://a/"}, Interval: time.Second, Timeout: time.Second,
	}}, time.Now())
	if err != nil {
		fmt.Println(err)
		return
	}
	for version := rows[0].Version; ; {
		version, err = metadb.UpdateTargetStatus(ctx, db, tenant.Default, metadb.TargetUpdate{
			ID: rows[0].ID, Version: version, ScrapedAt: time.Now(), Status: metadb.TargetUp,
		})
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(version)
	}
}

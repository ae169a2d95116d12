package sqlite_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/nilometer/nilometer/metadb"
	"github.com/nilometer/nilometer/metadb/metadbtest"
	"github.com/nilometer/nilometer/metadb/sqlite"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestConformance(t *testing.T) {
	metadbtest.Run(t, func(t *testing.T) func() metadb.DB {
		path := filepath.Join(t.TempDir(), "a #?%20 name.db")
		return func() metadb.DB {
			db, err := sqlite.Open(t.Context(), path)
			if err != nil {
				t.Fatal(err)
			}
			return db
		}
	})
}

// raw opens a file as any other program would.
func raw(t *testing.T, path string, statements ...string) {
	t.Helper()
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for _, s := range statements {
		if _, err := db.Exec(s); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
}

func fresh(t *testing.T, path string) {
	t.Helper()
	db, err := sqlite.Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestOpenRefuses has files that are not ours to use: one clear error that names
// the file and the way out, and the file as it was.
func TestOpenRefuses(t *testing.T) {
	for _, test := range []struct {
		name string
		make func(t *testing.T, path string)
		want []string
	}{
		{"no database", func(t *testing.T, path string) {
			write(t, path, []byte(strings.Repeat("nothing of the kind. ", 1000)))
		}, []string{"no SQLite database", "move it away"}},
		{"another program's", func(t *testing.T, path string) {
			raw(t, path, "CREATE TABLE bookmarks (url TEXT)")
		}, []string{"another program", "name another file"}},
		{"a damaged page", func(t *testing.T, path string) {
			fresh(t, path)
			data := read(t, path)
			copy(data[4096:], strings.Repeat("\xde\xad", 2048))
			write(t, path, data)
		}, []string{"put back a copy", "move it"}},
		{"a newer version's", func(t *testing.T, path string) {
			fresh(t, path)
			raw(t, path, "INSERT INTO goose_db_version (version_id, is_applied) VALUES (9999, 1)")
		}, []string{"newer version", "9999"}},
		{"a directory", func(t *testing.T, path string) {
			if err := os.Mkdir(path, 0o750); err != nil {
				t.Fatal(err)
			}
		}, []string{"not a file"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "meta.db")
			test.make(t, path)
			before := read(t, path)
			db, err := sqlite.Open(t.Context(), path)
			if err == nil {
				db.Close()
				t.Fatal("it was opened")
			}
			for _, want := range append(test.want, path) {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("the error %q does not say %q", err, want)
				}
			}
			if strings.Contains(err.Error(), "\n") {
				t.Errorf("the error is not one line: %q", err)
			}
			if string(read(t, path)) != string(before) {
				t.Error("the file was changed")
			}
		})
	}
	_, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "missing", "meta.db"))
	if err == nil || !strings.Contains(err.Error(), "does not exist") {
		t.Errorf("in a missing directory: %v", err)
	}
}

func write(t *testing.T, path string, data []byte) {
	t.Helper()
	if err := os.WriteFile(path, data, 0o640); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		return nil
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// TestSchema pins the given names: other programs read these tables.
func TestSchema(t *testing.T) {
	path := filepath.Join(t.TempDir(), "meta.db")
	fresh(t, path)
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for table, columns := range map[string]string{
		"monitored_targets": "target_id job_name target_url scrape_interval_seconds scrape_timeout_seconds static_labels is_active " +
			"last_scraped_at last_scrape_status last_scrape_duration_ms created_at updated_at tenant version interval_ms timeout_ms",
		"alert_rules": "rule_id rule_name promql_expression for_duration_seconds rule_labels rule_annotations is_enabled " +
			"created_at updated_at tenant version source rule_group position",
		"fired_alerts": "alert_id rule_id instance_name alert_status fingerprint alert_labels started_at resolved_at silenced_by " +
			"resolved_by tenant version rule_name promql_expression annotations value acknowledged_by acknowledged_at acknowledged_comment",
	} {
		for column := range strings.FieldsSeq(columns) {
			if _, err := db.Exec(fmt.Sprintf("SELECT %s FROM %s LIMIT 0", column, table)); err != nil {
				t.Error(err)
			}
		}
	}
	for _, index := range []string{"idx_targets_job_status", "idx_fired_alerts_fingerprint", "idx_fired_alerts_history"} {
		var n int
		if err := db.QueryRow("SELECT count(*) FROM sqlite_master WHERE type = 'index' AND name = ?", index).Scan(&n); err != nil || n != 1 {
			t.Errorf("index %s: found %d, %v", index, n, err)
		}
	}
	var mode string
	if err := db.QueryRow("PRAGMA journal_mode").Scan(&mode); err != nil || mode != "wal" {
		t.Errorf("journal mode %q, %v", mode, err)
	}
	var pageBytes int
	if err := db.QueryRow("PRAGMA page_size").Scan(&pageBytes); err != nil || pageBytes != 512 {
		t.Errorf("pages of %d bytes, %v", pageBytes, err)
	}
}

func TestOpenCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := sqlite.Open(ctx, filepath.Join(t.TempDir(), "meta.db")); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

// BenchmarkUpdateTargets: thousands of compare-and-swaps a call.
func BenchmarkUpdateTargets(b *testing.B) {
	db, err := sqlite.Open(b.Context(), filepath.Join(b.TempDir(), "meta.db"))
	if err != nil {
		b.Fatal(err)
	}
	defer db.Close()
	const count = 5000
	specs := make([]metadb.TargetSpec, count)
	for i := range specs {
		specs[i].Job, specs[i].URL, specs[i].Interval, specs[i].Timeout = "j", fmt.Sprint(i), 1e9, 1e9
	}
	now := time.Now()
	rows, err := db.UpsertTargets(b.Context(), "t", specs, now)
	if err != nil {
		b.Fatal(err)
	}
	updates := make([]metadb.TargetUpdate, count)
	version := int64(1)
	for b.Loop() {
		for i, r := range rows {
			updates[i] = metadb.TargetUpdate{ID: r.ID, Version: version, Status: metadb.TargetUp, ScrapedAt: now}
		}
		out, err := db.UpdateTargets(b.Context(), "t", updates)
		if err != nil || out[0].Err != nil {
			b.Fatal(err, out[0].Err)
		}
		version++
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/count, "ns/update")
}

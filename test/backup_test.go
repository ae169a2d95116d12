//go:build e2e

package test

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// recorded pushes a history of some seconds, more each time it is called, and
// tells what a server answers about all of it.
type recorded struct {
	t     *testing.T
	begin time.Time
	n     int
}

func (r *recorded) push(s *server, seconds int) {
	r.t.Helper()
	for range seconds {
		at := r.begin.Add(time.Duration(r.n) * time.Second).UnixMilli()
		var batch []pushed
		for id := range 5 {
			batch = append(batch, pushed{"kept", fmt.Sprint(id), []sample{{at, float64(r.n * (id + 1))}}})
		}
		s.mustPush(batch...)
		r.n++
	}
}

// answer is every sample, as text.
func (r *recorded) answer(s *server) string {
	r.t.Helper()
	at := fmt.Sprint(r.begin.Unix() + int64(r.n) + 1)
	code, stdout, stderr := run(r.t, "query", "instant", "--server", s.url, "-o", "json", "--time", at, "kept[1h]")
	if code != 0 {
		r.t.Fatalf("query: %d: %s", code, stderr)
	}
	return stdout
}

func (r *recorded) expect(s *server, want, when string) {
	r.t.Helper()
	if got := r.answer(s); got != want {
		r.t.Fatalf("%s the answer is\n%s\nwant\n%s", when, got, want)
	}
}

const shortBlocks = "nilometer: {storage: {block_range: 2s}}\n"

func waitBlocks(t *testing.T, data string, n int) {
	t.Helper()
	eventually(t, "blocks", func() error {
		if got := len(glob(t, data, "store/block/*/*/meta.json")); got < n {
			return fmt.Errorf("%d", got)
		}
		return nil
	})
}

// TestBackup backs a server up while it runs and after it has ended, restores
// each backup, and asks servers on the copies what was asked before.
func TestBackup(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	data, backups := filepath.Join(dir, "data"), filepath.Join(dir, "backups")
	config := write(t, dir, "config.yml", shortBlocks)
	s := start(t, data, config, "--web.enable-admin-api")
	r := &recorded{t: t, begin: time.Now().Add(-100 * time.Second)}
	r.push(s, 30)
	waitBlocks(t, data, 2)
	first := r.answer(s)
	create := func() string {
		t.Helper()
		code, stdout, stderr := run(t, "backup", "create", "--data.dir", data, "--to", backups)
		if code != 0 || !strings.HasPrefix(stdout, "backup ") || stderr != "" {
			t.Fatalf("backup create: %d: %s%s", code, stdout, stderr)
		}
		name, _, _ := strings.Cut(strings.TrimPrefix(stdout, "backup "), ":")
		if left := glob(t, data, "snapshots/*"); len(left) > 0 {
			t.Fatalf("the backup left %q", left)
		}
		return name
	}
	names := []string{create()}
	r.push(s, 20)
	second := r.answer(s)
	names = append(names, create())
	r.push(s, 5)
	third := r.answer(s)
	s.stop()
	names = append(names, create()) // by reading the log

	expectRun(t, 0, `(?s)^NAME .*`+strings.Join(names, `.*`), `^$`, "backup", "list", "--from", backups)
	for i, want := range []string{first, second, third} {
		restored := filepath.Join(dir, "restored", names[i])
		expectRun(t, 0, `^restored backup `+names[i]+` to `, `^$`, "backup", "restore", "--data.dir", restored, "--from", "file://"+backups, "--name", names[i])
		expectRun(t, 0, `done: `, `^$`, "tsdb", "verify", "--data.dir", restored)
		copied := start(t, restored, config)
		r.expect(copied, want, "restored from "+names[i])
		copied.stop()
		expectRun(t, 1, `^$`, `^nilometer: .*not empty: .*--data\.dir`, "backup", "restore", "--data.dir", restored, "--from", backups)
	}
	expectRun(t, 0, `^deleted backup `+names[0], `^$`, "backup", "delete", names[0], "--from", backups)
	newest := filepath.Join(dir, "newest")
	expectRun(t, 0, names[2], `^$`, "backup", "restore", "--data.dir", newest, "--from", backups)
	s = start(t, newest, config)
	r.expect(s, third, "after a delete of another backup")
	r.push(s, 3) // it goes on
	if r.answer(s) == third {
		t.Error("the restored server takes no samples")
	}
	s.stop()

	// A file that is damaged in the backup is found.
	for _, file := range glob(t, backups, "block/*/*/index") {
		if err := os.WriteFile(file, []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	expectRun(t, 1, `^$`, `damaged`, "backup", "restore", "--data.dir", filepath.Join(dir, "damaged"), "--from", backups)
	expectRun(t, 1, `^$`, `cut off: run nilometer backup restore again`, "tsdb", "compact", "--data.dir", filepath.Join(dir, "damaged"))
	expectRun(t, 1, `^$`, `no such backup`, "backup", "restore", "--data.dir", filepath.Join(dir, "none"), "--from", backups, "--name", "x")
	expectRun(t, 2, `^$`, `--to is missing`, "backup", "create", "--data.dir", data)
	expectRun(t, 2, `^$`, `lies in the data directory`, "backup", "create", "--data.dir", data, "--to", filepath.Join(data, "b"))
}

// TestBackupWithoutTheAdminAPI: beside a server that makes no snapshots, the
// head is left out only when that is asked for.
func TestBackupWithoutTheAdminAPI(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	data, backups := filepath.Join(dir, "data"), filepath.Join(dir, "backups")
	config := write(t, dir, "config.yml", shortBlocks)
	s := start(t, data, config)
	r := &recorded{t: t, begin: time.Now().Add(-100 * time.Second)}
	r.push(s, 30)
	waitBlocks(t, data, 2)
	expectRun(t, 1, `^$`, `(?s)in use.*--web\.enable-admin-api.*--without-head`, "backup", "create", "--data.dir", data, "--to", backups)
	expectRun(t, 0, `without the samples that were in no block yet`, `^$`, "backup", "create", "--data.dir", data, "--to", backups, "--without-head")
	restored := filepath.Join(dir, "restored")
	expectRun(t, 0, `^restored backup `, `^$`, "backup", "restore", "--data.dir", restored, "--from", backups)
	before, ok := s.number("count_over_time(kept{id=\"0\"}[1h])")
	s.stop()
	s = start(t, restored, config)
	after, _ := s.number("count_over_time(kept{id=\"0\"}[1h])")
	if !ok || before != 30 || after < 4 || after >= before {
		t.Errorf("%v samples before, %v after", before, after)
	}
	s.stop()
}

// TestSnapshotAPI starts a server on a snapshot.
func TestSnapshotAPI(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	data := filepath.Join(dir, "data")
	config := write(t, dir, "config.yml", shortBlocks)
	s := start(t, data, config, "--web.enable-admin-api")
	r := &recorded{t: t, begin: time.Now().Add(-100 * time.Second)}
	r.push(s, 20)
	waitBlocks(t, data, 2)
	want := r.answer(s)
	resp, err := http.Post(s.url+"/api/v1/admin/tsdb/snapshot", "", nil)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	names := glob(t, data, "snapshots/*")
	if resp.StatusCode != http.StatusOK || len(names) != 1 {
		t.Fatalf("%s: snapshots %q", resp.Status, names)
	}
	r.push(s, 5)
	copied := start(t, names[0], config) // beside the other
	r.expect(copied, want, "on the snapshot")
	copied.stop()
	s.stop()
}

package cli_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/nilometer/nilometer/blob/s3/s3test"
	"github.com/nilometer/nilometer/tsdb"
)

// emptyData makes a data directory.
func emptyData(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "data")
	db, err := tsdb.Open(t.Context(), tsdb.Options{}, tsdb.Deps{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestBackupToAnObjectStore(t *testing.T) {
	srv := s3test.New("bucket")
	defer srv.Close()
	t.Setenv("AWS_ACCESS_KEY_ID", "key")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "secret")
	t.Setenv("AWS_ENDPOINT_URL", srv.URL)
	data, restored := emptyData(t), filepath.Join(t.TempDir(), "restored")
	live(t, "backup", "create", "--data.dir", data, "--to", "s3://bucket/a/b")
	if keys := srv.Keys(); len(keys) != 2 || !strings.HasPrefix(keys[0], "a/b/backup/") || !strings.HasSuffix(keys[1], "/VERSION") {
		t.Errorf("the store has %q", keys)
	}
	if out := live(t, "backup", "list", "--from", "s3://bucket/a/b", "--json"); !strings.Contains(out, `"head":true`) {
		t.Errorf("listed %s", out)
	}
	live(t, "backup", "restore", "--data.dir", restored, "--from", "s3://bucket/a/b?endpoint="+srv.URL)
	want, _ := os.ReadFile(filepath.Join(data, "VERSION"))
	if got, err := os.ReadFile(filepath.Join(restored, "VERSION")); err != nil || !slices.Equal(got, want) {
		t.Errorf("restored %q, %v", got, err)
	}
}

func TestBackupPlaces(t *testing.T) {
	data := emptyData(t)
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		place string
		code  int
		says  string
	}{
		{"", 2, "--to is missing"},
		{"gopher://x", 2, "gopher is not known"},
		{"file://host/x", 2, "three slashes"},
		{"s3://", 2, "--to: write it like s3://bucket/path"},
		{"s3://k:verysecret@b?x=1", 2, `the parameter "x"`},
		{file, 1, "no directory"},
		{filepath.Join(data, "backups"), 2, "lies in the data directory"},
	} {
		code, stdout, stderr := run(t, "backup", "create", "--data.dir", data, "--to", c.place)
		if code != c.code || stdout != "" || !strings.Contains(stderr, c.says) || strings.Contains(stderr, "verysecret") {
			t.Errorf("--to=%s: code %d, %q, %q", c.place, code, stdout, stderr)
		}
	}
}

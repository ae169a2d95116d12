package formattest_test

import (
	"fmt"
	"os"
	"testing"

	"github.com/nilometer/nilometer/format/formattest"
)

// recorder is a test that may fail.
type recorder struct {
	testing.TB
	failed bool
}

func (r *recorder) Helper()               {}
func (r *recorder) Errorf(string, ...any) { r.failed = true }
func (r *recorder) Fatal(args ...any)     { panic(fmt.Sprint(args...)) }

func TestGolden(t *testing.T) {
	t.Chdir(t.TempDir())
	if got := formattest.Golden(t, true, "golden", "as it was"); got != "as it was" {
		t.Errorf("got %q", got)
	}
	formattest.Golden(t, false, "golden", "as it was")
	r := &recorder{TB: t}
	if got := formattest.Golden(r, false, "golden", "as it is"); got != "as it was" || !r.failed {
		t.Errorf("got %q, failed: %v", got, r.failed)
	}
}

func TestDocumented(t *testing.T) {
	t.Chdir(t.TempDir())
	if err := os.WriteFile("FORMAT.md", []byte("Example:\n\n    01 02\n    03\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	formattest.Documented(t, "01 02 03\n")
	r := &recorder{TB: t}
	if formattest.Documented(r, "01 02 04"); !r.failed {
		t.Error("it did not fail")
	}
}

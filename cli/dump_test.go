package cli_test

import (
	"math"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/nilometer/nilometer/model/column"
	"github.com/nilometer/nilometer/model/tenant"
	"github.com/nilometer/nilometer/storage"
	"github.com/nilometer/nilometer/storage/storagetest"
	"github.com/nilometer/nilometer/tsdb"
)

// dataOf makes a data directory that has some series in its log.
func dataOf(t *testing.T, all ...storagetest.Series) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "data")
	opts := tsdb.Options{Retention: 50 * 365 * 24 * time.Hour} // the samples of tests have fixed times
	db, err := tsdb.Open(t.Context(), opts, tsdb.Deps{Dir: dir})
	if err == nil {
		err = db.Close()
	}
	if err == nil {
		db, err = tsdb.OpenIdle(t.Context(), opts, tsdb.Deps{Dir: dir})
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := storagetest.Load(t.Context(), storage.Store(db), tenant.Default, all...); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestDump(t *testing.T) {
	const at = 1_700_000_000_000
	dir := dataOf(t,
		storagetest.Series{Labels: labels.FromStrings("__name__", "up", "job", "a\"b\\c\nd"), Samples: []column.Sample{
			{T: at, V: 1}, {T: at + 1500, V: math.Inf(1)}, {T: at + 3000, V: column.StaleNaN()}, {T: at + 4000, V: 1e21},
		}},
		storagetest.Series{Labels: labels.FromStrings("__name__", "with.dot", "la.bel", "x"), Samples: []column.Sample{{T: at, V: -0.5}}},
		storagetest.Series{Labels: labels.FromStrings("__name__", "bare"), Samples: []column.Sample{{T: at, V: math.NaN()}}},
	)
	const openMetrics = `bare NaN 1700000000
up{job="a\"b\\c\nd"} 1 1700000000
up{job="a\"b\\c\nd"} +Inf 1700000001.500
up{job="a\"b\\c\nd"} 1e+21 1700000004
{"with.dot","la.bel"="x"} -0.5 1700000000
# EOF
`
	if got := live(t, "tsdb", "dump", "--data.dir", dir); got != openMetrics {
		t.Errorf("dumped\n%s", got)
	}
	const promtool = `{__name__="bare"} NaN 1700000000000
{__name__="up", job="a\"b\\c\nd"} 1 1700000000000
{__name__="up", job="a\"b\\c\nd"} +Inf 1700000001500
{__name__="up", job="a\"b\\c\nd"} NaN 1700000003000
{__name__="up", job="a\"b\\c\nd"} 1e+21 1700000004000
{__name__="with.dot", "la.bel"="x"} -0.5 1700000000000
`
	if got := live(t, "tsdb", "dump", "--data.dir", dir, "--format=promtool"); got != promtool {
		t.Errorf("dumped\n%s", got)
	}
	if got := live(t, "tsdb", "dump", "--data.dir", dir, "--match=up", "--min-time=1700000001", "--max-time=1700000002"); strings.Count(got, "\n") != 2 {
		t.Errorf("of a part it dumped\n%s", got)
	}
	for _, wrong := range [][]string{{"--format=csv"}, {"--match=up{"}, {"--min-time=noon"}, {"--min-time=2", "--max-time=1"}} {
		if code, out, _ := run(t, append([]string{"tsdb", "dump", "--data.dir", dir}, wrong...)...); code != 2 || out != "" {
			t.Errorf("%q: code %d, %q", wrong, code, out)
		}
	}
}

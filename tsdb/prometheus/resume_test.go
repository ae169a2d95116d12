package prometheus_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/tsdb/fileutil"

	"github.com/nilometer/nilometer/blob"
	"github.com/nilometer/nilometer/blob/dir"
	blobmem "github.com/nilometer/nilometer/blob/mem"
	format "github.com/nilometer/nilometer/format/manifest"
	"github.com/nilometer/nilometer/model/tenant"
	"github.com/nilometer/nilometer/storage"
	"github.com/nilometer/nilometer/tsdb"
	"github.com/nilometer/nilometer/tsdb/manifest"
	"github.com/nilometer/nilometer/tsdb/prometheus"
	"github.com/nilometer/nilometer/vfs"
	"github.com/nilometer/nilometer/vfs/mem"
	"github.com/nilometer/nilometer/vfs/vfstest"
)

// days fills a source with six hours in each of three ranges of 54 h.
func days(t *testing.T) (string, content) {
	p := newPromDB(t)
	rng := rand.New(rand.NewPCG(5, 5))
	v := values(rng)
	for i := range 114 {
		if i%54 >= 6 {
			continue
		}
		p.at(base+int64(i)*hour, target("node", "a:1", 5), func(s int) float64 { return v(s, i) })
		p.at(base+int64(i)*hour+17, target("node", "b:1", 3), func(s int) float64 { return v(s, i) })
	}
	p.compact()
	return p.end()
}

// blocks returns what the manifest in a file system names.
func blocks(t *testing.T, fs vfs.FS) []format.Block {
	t.Helper()
	bucket, err := dir.New(fs, "store")
	if err != nil {
		t.Fatal(err)
	}
	m, err := manifest.Open(t.Context(), bucket, tenant.Default, 0)
	if err != nil {
		t.Fatal(err)
	}
	return m.Current().State.Blocks
}

func TestAnImportThatWasCancelledGoesOn(t *testing.T) {
	source, want := days(t)
	for stopAfter := range 3 {
		fs := mem.New()
		db := open(t, fs)
		o := importOptions(t)
		ctx, cancel := context.WithCancel(t.Context())
		ranges := 0
		o.Report = func(p prometheus.Progress) {
			if ranges == stopAfter { // in the midst of a range, or at its end
				cancel()
			}
			if p.Range != nil {
				ranges++
			}
		}
		first, err := prometheus.Import(ctx, db.DB, source, o)
		if !errors.Is(err, context.Canceled) {
			t.Fatalf("cancelled after %d ranges: %v, want context.Canceled", stopAfter, err)
		}
		o.Report = nil
		second, err := prometheus.Import(t.Context(), db.DB, source, o)
		if err != nil {
			t.Fatal(err)
		}
		if got := first.Samples + second.Samples; got != want.samples() {
			t.Errorf("cancelled after %d ranges: %d samples added, want %d", stopAfter, got, want.samples())
		}
		if d := diff(all(t, db.DB), want); d != "" {
			t.Errorf("cancelled after %d ranges: %s", stopAfter, d)
		}
		cancel()
	}
}

func TestAnImportThatCrashedGoesOn(t *testing.T) {
	source, want := days(t)
	var o prometheus.ImportOptions
	run := func(fs vfs.FS) (*tsdb.DB, error) {
		d := tsdb.Deps{Dir: "data", FS: fs, Clock: func() time.Time { return now }}
		made, err := tsdb.Open(t.Context(), tsdb.Options{Retention: -1}, d)
		if err == nil {
			err = made.Close()
		}
		if err != nil {
			return nil, err
		}
		db, err := tsdb.OpenIdle(t.Context(), tsdb.Options{Retention: -1}, d)
		if err != nil {
			return nil, err
		}
		_, err = prometheus.Import(t.Context(), db, source, o)
		return db, err
	}
	vfstest.EveryCrashWith(t, vfstest.Crashes{StopsMax: 25, Draws: 1}, func(fs vfs.FS) {
		o = importOptions(t)
		if db, _ := run(fs); db != nil { // the check looks at what came of it
			_ = db.Close()
		}
	}, func(fs vfs.FS) {
		db, err := run(fs)
		if err != nil {
			t.Fatal(err)
		}
		if d := diff(all(t, db), want); d != "" {
			t.Error(d)
		}
		if err := db.Close(); err != nil {
			t.Error(err)
		}
		var samples uint64
		for _, b := range blocks(t, fs) {
			samples += b.Stats.Samples
		}
		if samples != want.samples() {
			t.Errorf("the blocks have %d samples, want %d: some are there twice", samples, want.samples())
		}
	})
}

// TestWhatWasThereFirstStays imports beside samples of the same series, in the
// head and in blocks.
func TestWhatWasThereFirstStays(t *testing.T) {
	p := newPromDB(t)
	series := target("node", "a:1", 3)
	for i := range 100 {
		p.at(base+int64(i)*minute, series, func(s int) float64 { return float64(s*1000 + i) })
	}
	source, want := p.end()
	fs := mem.New()
	db := open(t, fs)
	g, err := db.OpenGroup(t.Context(), tenant.Default, storage.GroupSpec{Name: "push", Kind: storage.Open})
	if err != nil {
		t.Fatal(err)
	}
	slots := make([]storage.Resolution, 2)
	version, err := g.Resolve(t.Context(), series[:2], slots)
	if err != nil {
		t.Fatal(err)
	}
	// Every second sample of two series is there: of the one with the same
	// values, of the other with others.
	key := func(s int) string { return series[s].String() }
	for i := 0; i < 100; i += 2 {
		b := storage.Batch{Version: version, Time: base + int64(i)*minute,
			Slots: []storage.Slot{slots[0].Slot, slots[1].Slot}, Values: []float64{float64(i), -1}}
		if _, err := g.Append(t.Context(), &b, storage.Synced); err != nil {
			t.Fatal(err)
		}
		want[key(1)][i].Bits = math.Float64bits(-1)
	}
	if err := g.Close(); err != nil {
		t.Fatal(err)
	}
	check := func(when string) {
		t.Helper()
		sum, err := prometheus.Import(t.Context(), db.DB, source, importOptions(t))
		if err != nil {
			t.Fatal(err)
		}
		if d := diff(all(t, db.DB), want); d != "" {
			t.Errorf("%s: %s", when, d)
		}
		switch when {
		case "beside the head":
			if sum.Present != 100 || sum.Differ != 50 || sum.Samples != 200 {
				t.Errorf("%s: %+v: want 100 present, 50 of them different, 200 added", when, sum)
			}
		default:
			if sum.Present != 300 || sum.Differ != 50 || sum.Samples != 0 {
				t.Errorf("%s: %+v: want 300 present, 50 of them different", when, sum)
			}
		}
	}
	check("beside the head")
	if err := db.Cut(t.Context()); err != nil {
		t.Fatal(err)
	}
	check("beside two blocks")
	if err := db.Compact(t.Context()); err != nil {
		t.Fatal(err)
	}
	check("beside a merged block")
}

func TestSeriesScrapedTogetherShareColumns(t *testing.T) {
	p := newPromDB(t)
	rng := rand.New(rand.NewPCG(1, 2))
	for i := range 480 {
		for k, instance := range []string{"a:1", "b:1", "c:1"} {
			series := target("node", instance, 40)
			if rng.IntN(60) == 0 {
				series = series[:39] // one is missing now and then
			}
			p.at(base+int64(i)*15*second+int64(k)*411+rng.Int64N(3), series, func(s int) float64 { return float64(s * i) })
		}
	}
	source, want := p.end()
	fs := mem.New()
	db := open(t, fs)
	if _, err := prometheus.Import(t.Context(), db.DB, source, importOptions(t)); err != nil {
		t.Fatal(err)
	}
	live := blocks(t, fs)
	if len(live) != 1 || live[0].Stats.Columns != 3 || live[0].Stats.Series != 120 || live[0].Stats.Samples != want.samples() {
		t.Errorf("%+v: want one block with a column for each of 3 targets", live)
	}
}

// flippingBucket flips a bit in what is put to one kind of object.
type flippingBucket struct {
	blob.Bucket
	part string
}

func (b flippingBucket) PutIfAbsent(ctx context.Context, name string, r io.Reader, size int64) error {
	content, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	if strings.Contains(name, b.part) {
		content[len(content)*2/3] ^= 16
	}
	return b.Bucket.PutIfAbsent(ctx, name, bytes.NewReader(content), size)
}

// TestABlockThatIsNotWhatWasReadIsNotAdded: the import verifies what it wrote.
func TestABlockThatIsNotWhatWasReadIsNotAdded(t *testing.T) {
	source, _ := days(t)
	for _, part := range []string{"/chunks/", "/index"} {
		bucket := blobmem.New()
		d := tsdb.Deps{Dir: "data", FS: mem.New(), Bucket: flippingBucket{bucket, part}, Clock: func() time.Time { return now }}
		db, err := tsdb.Open(t.Context(), tsdb.Options{Retention: -1}, d)
		if err == nil {
			err = db.Close()
		}
		if err == nil {
			db, err = tsdb.OpenIdle(t.Context(), tsdb.Options{Retention: -1}, d)
		}
		if err != nil {
			t.Fatal(err)
		}
		if _, err = prometheus.Import(t.Context(), db, source, importOptions(t)); err == nil || !strings.Contains(err.Error(), "block ") {
			t.Errorf("a bit of %s: error %v, want one that names the block", part, err)
		}
		content, err := db.Content(t.Context(), tenant.Default)
		if err != nil {
			t.Fatal(err)
		}
		if n := len(content.State.Blocks); n != 0 {
			t.Errorf("a bit of %s: %d blocks were added", part, n)
		}
		err = bucket.List(t.Context(), "block/", "", func(i blob.Info) error { return errors.New(i.Name) })
		if err != nil {
			t.Errorf("a bit of %s: %s is left", part, err)
		}
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	}
}

// TestManyDistinctTimestamps: over the bound on timestamps ranges are cut into
// shorter ones, and what has no room even there gets columns of its own. The
// samples are the same.
func TestManyDistinctTimestamps(t *testing.T) {
	source, want := days(t)
	for _, limit := range []int{1, 3, 10} {
		fs := mem.New()
		db := open(t, fs)
		o := importOptions(t)
		o.TimesMax = limit
		for range 2 {
			if _, err := prometheus.Import(t.Context(), db.DB, source, o); err != nil {
				t.Fatal(err)
			}
			if d := diff(all(t, db.DB), want); d != "" {
				t.Fatalf("at most %d timestamps: %s", limit, d)
			}
		}
		if n := len(blocks(t, fs)); n <= 3 {
			t.Errorf("at most %d timestamps: %d blocks, the ranges were not cut", limit, n)
		}
	}
}

func TestRefusedSources(t *testing.T) {
	source, _ := days(t)
	empty := t.TempDir()
	ours := t.TempDir()
	write(t, filepath.Join(ours, "VERSION"), "nilometer data directory, layout 1\n")
	cases := []struct {
		name, dir string
		change    func(o *prometheus.ImportOptions)
		want      []string
	}{
		{"nothing there", filepath.Join(empty, "gone"), nil, []string{"gone", "no such file"}},
		{"not of Prometheus", empty, nil, []string{"no data directory of Prometheus", "--storage.tsdb.path"}},
		{"our own", ours, nil, []string{"data directory of nilometer"}},
		{"older than the retention", source, func(o *prometheus.ImportOptions) { o.Retention = 15 * 24 * time.Hour },
			[]string{"retention of 360h", "--keep", "--min-time"}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			o := importOptions(t)
			if c.change != nil {
				c.change(&o)
			}
			db := open(t, mem.New())
			_, err := prometheus.Import(t.Context(), db.DB, c.dir, o)
			if err == nil {
				t.Fatal("no error")
			}
			for _, part := range c.want {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("%q does not say %q", err, part)
				}
			}
		})
	}
}

// TestKeptBlocksAreExempt: with Keep the retention neither refuses samples nor
// drops their blocks.
func TestKeptBlocksAreExempt(t *testing.T) {
	source, want := days(t)
	fs := mem.New()
	db := open(t, fs)
	o := importOptions(t)
	o.Retention, o.Keep = 24*time.Hour, true
	if _, err := prometheus.Import(t.Context(), db.DB, source, o); err != nil {
		t.Fatal(err)
	}
	if err := db.stop(); err != nil {
		t.Fatal(err)
	}
	d := tsdb.Deps{Dir: "data", FS: fs, Clock: func() time.Time { return now }}
	again, err := tsdb.OpenIdle(t.Context(), tsdb.Options{Retention: 24 * time.Hour}, d)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = again.Close() }() // it was only compacted
	if err := again.Compact(t.Context()); err != nil {
		t.Fatal(err)
	}
	if d := diff(all(t, again), want); d != "" {
		t.Error(d)
	}
}

func TestBoundsAndDryRun(t *testing.T) {
	source, want := days(t)
	from, to := base+2*hour, base+56*hour
	for key, s := range want {
		var kept []sample
		for _, x := range s {
			if x.T >= from && x.T <= to {
				kept = append(kept, x)
			}
		}
		want[key] = kept
	}
	db := open(t, mem.New())
	o := importOptions(t)
	o.MinTime, o.MaxTime = time.UnixMilli(from), time.UnixMilli(to)
	o.DryRun = true
	dry, err := prometheus.Import(t.Context(), nil, source, o)
	if err != nil {
		t.Fatal(err)
	}
	if dry, err = prometheus.Import(t.Context(), db.DB, source, o); err != nil {
		t.Fatal(err)
	}
	if got := all(t, db.DB); len(got) != 0 {
		t.Fatalf("a dry run added %d series", len(got))
	}
	o.DryRun = false
	sum, err := prometheus.Import(t.Context(), db.DB, source, o)
	if err != nil {
		t.Fatal(err)
	}
	if d := diff(all(t, db.DB), want); d != "" {
		t.Fatal(d)
	}
	if dry.Samples != sum.Samples || dry.Series != sum.Series || dry.Bytes != sum.Bytes || sum.Samples != want.samples() {
		t.Errorf("the dry run said %+v, the import %+v", dry, sum)
	}
}

func TestARunningPrometheusIsAWarning(t *testing.T) {
	source, want := days(t)
	lock, _, err := fileutil.Flock(filepath.Join(source, "lock"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = lock.Release() }()
	o := importOptions(t)
	var warnings []string
	o.Warn = func(s string) { warnings = append(warnings, s) }
	db := open(t, mem.New())
	if _, err := prometheus.Import(t.Context(), db.DB, source, o); err != nil {
		t.Fatal(err)
	}
	if len(warnings) != 1 || !strings.Contains(warnings[0], "a Prometheus is running on "+source) {
		t.Errorf("warnings %q", warnings)
	}
	if d := diff(all(t, db.DB), want); d != "" {
		t.Error(d)
	}
}

// TestTheSourceStaysAsItIs compares every file before and after.
func TestTheSourceStaysAsItIs(t *testing.T) {
	source, _ := days(t)
	before := tree(t, source)
	db := open(t, mem.New())
	if _, err := prometheus.Import(t.Context(), db.DB, source, importOptions(t)); err != nil {
		t.Fatal(err)
	}
	after := tree(t, source)
	if len(before) != len(after) {
		t.Errorf("%d files before, %d after", len(before), len(after))
	}
	for name, content := range before {
		if !bytes.Equal(content, after[name]) {
			t.Errorf("%s has changed", name)
		}
	}
}

func TestDamagedSources(t *testing.T) {
	first := func(t *testing.T, pattern string) string {
		t.Helper()
		names, err := filepath.Glob(pattern)
		if err != nil || len(names) == 0 {
			t.Fatalf("%s: %v, %v", pattern, names, err)
		}
		return names[0]
	}
	cases := []struct {
		name   string
		damage func(t *testing.T, source string)
		says   string
	}{
		{"index gone", func(t *testing.T, source string) {
			if err := os.Remove(first(t, source+"/01*/index")); err != nil {
				t.Fatal(err)
			}
		}, "block 01"},
		{"a bit of an index", func(t *testing.T, source string) { flip(t, first(t, source+"/01*/index"), 40) }, "block 01"},
		{"a bit of a chunk", func(t *testing.T, source string) { flip(t, first(t, source+"/01*/chunks/000001"), 30) }, "block 01"},
		{"meta.json", func(t *testing.T, source string) { write(t, first(t, source+"/01*/meta.json"), "{") }, "block 01"},
		{"a bit of the log", func(t *testing.T, source string) {
			flip(t, first(t, source+"/wal/0*"), 200)
		}, "the write-ahead log"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			source, want := days(t)
			c.damage(t, source)
			db := open(t, mem.New())
			o := importOptions(t)
			_, err := prometheus.Import(t.Context(), db.DB, source, o)
			if err == nil || !strings.Contains(err.Error(), c.says) || !strings.Contains(err.Error(), "--skip-damaged") {
				t.Fatalf("error %v, want one that names %s and --skip-damaged", err, c.says)
			}
			o.SkipDamaged = true
			var warned []string
			o.Warn = func(s string) { warned = append(warned, s) }
			sum, err := prometheus.Import(t.Context(), db.DB, source, o)
			if err != nil {
				t.Fatal(err)
			}
			if len(sum.Skipped) == 0 && sum.DamagedChunks == 0 {
				t.Errorf("nothing was skipped: %+v", sum)
			}
			if len(sum.Skipped) != len(warned) {
				t.Errorf("skipped %q, warned of %q", sum.Skipped, warned)
			}
			got := all(t, db.DB)
			if got.samples() == 0 || got.samples() >= want.samples() {
				t.Errorf("%d samples of %d", got.samples(), want.samples())
			}
			for key, s := range got { // what came over is right
				have := map[sample]bool{}
				for _, x := range want[key] {
					have[x] = true
				}
				for _, x := range s {
					if !have[x] {
						t.Fatalf("%s has %v, which the source had not", key, x)
					}
				}
			}
		})
	}
}

func TestNativeHistogramsCanBeLeftOut(t *testing.T) {
	p := newPromDB(t)
	histograms(p, rand.New(rand.NewPCG(1, 1)))
	source, want := p.end()
	var left uint64
	for key, s := range want {
		// Its stale markers are histograms, too.
		floats := slices.DeleteFunc(s, func(x sample) bool { return x.Histogram != "" || x.Bits == value.StaleNaN })
		left += uint64(len(s) - len(floats))
		want[key] = floats
	}
	db := open(t, mem.New())
	o := importOptions(t)
	o.SkipHistograms = true
	sum, err := prometheus.Import(t.Context(), db.DB, source, o)
	if err != nil {
		t.Fatal(err)
	}
	if d := diff(all(t, db.DB), want); d != "" {
		t.Error(d)
	}
	if sum.Histograms != left {
		t.Errorf("%d histograms left out, want %d", sum.Histograms, left)
	}
}

func write(t *testing.T, name, content string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

// flip flips a bit of the byte at an offset.
func flip(t *testing.T, name string, at int) {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	b[at] ^= 4
	write(t, name, string(b))
}

func tree(t *testing.T, root string) map[string][]byte {
	t.Helper()
	out := map[string][]byte{}
	err := filepath.WalkDir(root, func(p string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		out[p] = nil
		if d.Type().IsRegular() {
			out[p], err = os.ReadFile(p)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

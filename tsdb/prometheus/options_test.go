package prometheus_test

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/value"

	"github.com/nilometer/nilometer/tsdb"
	"github.com/nilometer/nilometer/tsdb/prometheus"
	"github.com/nilometer/nilometer/vfs/mem"
)

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

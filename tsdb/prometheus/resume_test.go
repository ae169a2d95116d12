package prometheus_test

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/nilometer/nilometer/blob/dir"
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

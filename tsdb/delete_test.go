package tsdb_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"math/rand/v2"
	"path"
	"slices"
	"testing"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"

	"github.com/nilometer/nilometer/model/tenant"
	"github.com/nilometer/nilometer/storage"
	"github.com/nilometer/nilometer/storage/storagetest"
	"github.com/nilometer/nilometer/tsdb"
	"github.com/nilometer/nilometer/vfs"
	"github.com/nilometer/nilometer/vfs/mem"
	"github.com/nilometer/nilometer/vfs/vfstest"
)

func nameIs(pattern string) *labels.Matcher {
	return labels.MustNewMatcher(labels.MatchRegexp, model.MetricNameLabel, pattern)
}

// load writes one sample every 15 s of each series, from one time to another
// (seconds), in one open group.
func load(t *testing.T, db storage.Store, from, to int64, names ...string) {
	t.Helper()
	var all []storagetest.Series
	for i, name := range names {
		s := storagetest.Series{Labels: storagetest.Named(name)}
		for sec := from; sec < to; sec += 15 {
			s.Samples = append(s.Samples, storagetest.Sample{T: at(sec), V: float64(sec/15) + float64(i)})
		}
		all = append(all, s)
	}
	if err := storagetest.Load(t.Context(), db, tenant.Default, all...); err != nil {
		t.Fatal(err)
	}
}

// without returns the series less the samples of some names in a range.
func without(all []storagetest.Series, from, to int64, names ...string) []storagetest.Series {
	var out []storagetest.Series
	for _, s := range all {
		if slices.Contains(names, s.Labels.Get(model.MetricNameLabel)) {
			s.Samples = slices.DeleteFunc(slices.Clone(s.Samples), func(x storagetest.Sample) bool { return from <= x.T && x.T <= to })
		}
		if len(s.Samples) > 0 {
			out = append(out, s)
		}
	}
	return out
}

func wantSeries(t *testing.T, what string, db storage.Store, want []storagetest.Series) {
	t.Helper()
	if d := storagetest.Diff(want, mustRead(t, db)); d != "" {
		t.Fatalf("%s: %s", what, d)
	}
}

func filesOf(t *testing.T, fsys vfs.FS, dir string) []string {
	t.Helper()
	names, err := fsys.List(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	return names
}

// TestDeleteLife follows deletions from the call until nothing is left of them.
func TestDeleteLife(t *testing.T) {
	db := mustStart(t, mem.New(), quiet(10*time.Minute), tsdb.Deps{})
	load(t, db, 0, 3600, "a", "b", "c")
	if err := db.Cut(t.Context()); err != nil {
		t.Fatal(err)
	}
	load(t, db, 3600, 4000, "a", "b", "c")
	want := mustRead(t, db)
	old, before := mustView(t, db), want
	for _, d := range []struct {
		from, to int64
		names    []string
		pattern  string
	}{
		{at(100), at(3800), []string{"a"}, "a"},
		{math.MinInt64, math.MaxInt64, []string{"b"}, "b"},
		{at(3950), at(99999), []string{"c"}, "c|d"},
		{at(-500), at(-1), nil, "c"},
		{at(0), at(4000), nil, "nothing"},
	} {
		if err := db.Delete(t.Context(), tenant.Default, d.from, d.to, nameIs(d.pattern)); err != nil {
			t.Fatal(err)
		}
		want = without(want, d.from, d.to, d.names...)
		wantSeries(t, "after the deletion of "+d.pattern, db, want)
	}
	again, err := storagetest.Read(t.Context(), old, storage.Selection{MinTime: -1 << 62, MaxTime: 1 << 62})
	if err != nil {
		t.Fatal(err)
	}
	if d := storagetest.Diff(before, again); d != "" {
		t.Errorf("a view of before the deletions: %s", d)
	}
	old.Close()
	values, _, err := mustView(t, db).LabelValues(t.Context(), model.MetricNameLabel, storage.Selection{MinTime: at(0), MaxTime: at(9999)}, 0)
	if err != nil || !slices.Equal(values, []string{"a", "c"}) {
		t.Errorf("names that are left: %q, %v", values, err)
	}
	db = reopened(t, db).(*running)
	wantSeries(t, "after a restart", db, want)
	load(t, db, 4000, 6000, "a", "b", "c")
	want = mustRead(t, db)
	for i, work := range []func(context.Context) error{db.Compact, db.Cut, db.Compact, db.Cut, db.Compact} {
		if err := work(t.Context()); err != nil {
			t.Fatal(err)
		}
		wantSeries(t, fmt.Sprintf("after step %d", i), db, want)
	}
	db = reopened(t, db).(*running)
	wantSeries(t, "after another restart", db, want)
	if n := db.Stats().Tombstones; n != 0 {
		t.Errorf("%d tombstones are left", n)
	}
	if files := filesOf(t, db.fs, "deletions"); len(files) > 0 {
		t.Errorf("files are left: %q", files)
	}
}

func mustView(t *testing.T, db storage.Store) storage.View {
	t.Helper()
	v, err := db.View(t.Context(), tenant.Default)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(v.Close)
	return v
}

// TestDeleteHistories: whatever cuts, compactions, restarts and views stand
// around them, deletions hide what was there and nothing else.
func TestDeleteHistories(t *testing.T) {
	for seed := range uint64(6) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			rng := rand.New(rand.NewPCG(seed, 77))
			ranges := []time.Duration{time.Minute, 10 * time.Minute, time.Hour}
			db := mustStart(t, mem.New(), quiet(ranges[rng.IntN(3)]), tsdb.Deps{})
			names := []string{"a", "b", "c", "d", "e"}
			now := int64(0)
			var want []storagetest.Series
			for step := range 60 {
				switch rng.IntN(9) {
				case 8: // late samples, at times of their own
					if now == 0 {
						continue
					}
					x := storagetest.Series{Labels: storagetest.Named(names[rng.IntN(len(names))])}
					first := at(max(0, now-3000)) + 1 + int64(step)
					for i := range 1 + rng.Int64N(20) {
						x.Samples = append(x.Samples, storagetest.Sample{T: first + 1000*15*i, V: float64(step)})
					}
					if err := storagetest.Load(t.Context(), db, tenant.Default, x); err != nil {
						t.Fatal(err)
					}
					now = max(now, (x.Samples[len(x.Samples)-1].T-base)/1000+1)
					want = mustRead(t, db)
				case 0, 1, 2:
					some := slices.DeleteFunc(slices.Clone(names), func(string) bool { return rng.IntN(3) == 0 })
					if len(some) == 0 {
						continue
					}
					to := now + 15*(1+rng.Int64N(40))
					load(t, db, now, to, some...)
					now = to
					want = mustRead(t, db)
				case 3, 4:
					from, to := at(rng.Int64N(now+1)), at(rng.Int64N(2*now+1))
					name := names[rng.IntN(len(names))]
					if err := db.Delete(t.Context(), tenant.Default, from, to, nameIs(name)); err != nil {
						t.Fatal(err)
					}
					want = without(want, from, to, name)
				case 5:
					disturb(t, db, 0)
				case 6:
					disturb(t, db, 1)
				case 7:
					if rng.IntN(3) == 0 {
						db = reopened(t, db).(*running)
					}
				}
				wantSeries(t, fmt.Sprintf("seed %d, step %d", seed, step), db, want)
			}
		})
	}
}

// TestDeleteWhileMaintained deletes while cuts and compactions run, and reads
// all the time: what is deleted never comes back.
func TestDeleteWhileMaintained(t *testing.T) {
	db := mustStart(t, mem.New(), quiet(time.Minute), tsdb.Deps{})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		for ctx.Err() == nil {
			if err := errors.Join(db.Cut(ctx), db.Compact(ctx)); err != nil && ctx.Err() == nil {
				done <- err
				return
			}
		}
		done <- nil
	}()
	for round := range int64(30) {
		load(t, db, 300*round, 300*round+300, "a", "b")
		if err := db.Delete(t.Context(), tenant.Default, math.MinInt64, math.MaxInt64, nameIs("a")); err != nil {
			t.Fatal(err)
		}
		for _, s := range mustRead(t, db) {
			if name := s.Labels.Get(model.MetricNameLabel); name != "b" || len(s.Samples) != int(20*(round+1)) {
				t.Fatalf("round %d: %s has %d samples", round, s.Labels, len(s.Samples))
			}
		}
	}
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

// TestDeleteCrash stops the file system anywhere around deletions: one that was
// acknowledged holds, one that failed hides nothing or all that it names.
func TestDeleteCrash(t *testing.T) {
	opts := quiet(10 * time.Minute)
	var acknowledged map[string]bool
	workload := func(fsys vfs.FS) {
		acknowledged = map[string]bool{}
		db, err := start(fsys, opts, tsdb.Deps{})
		if err != nil {
			return
		}
		defer func() { _ = db.stop() }() // the disk may have stopped
		var all []storagetest.Series
		for _, name := range []string{"a", "b", "keep"} {
			s := storagetest.Series{Labels: storagetest.Named(name)}
			for sec := int64(0); sec < 2400; sec += 60 {
				s.Samples = append(s.Samples, storagetest.Sample{T: at(sec), V: float64(sec)})
			}
			all = append(all, s)
		}
		if storagetest.Load(context.Background(), db, tenant.Default, all...) != nil {
			return
		}
		acknowledged["keep"] = true
		for _, step := range []string{"a", "", "b", ""} {
			if step != "" {
				if db.Delete(context.Background(), tenant.Default, at(0), at(99999), nameIs(step)) != nil {
					return
				}
				acknowledged[step] = true
			} else if errors.Join(db.Cut(context.Background()), db.Compact(context.Background())) != nil {
				return
			}
		}
	}
	check := func(fsys vfs.FS) {
		db, err := start(fsys, opts, tsdb.Deps{})
		if err != nil {
			t.Errorf("open after the crash: %s", err)
			return
		}
		for range 2 {
			got, err := readAll(db)
			if err != nil {
				t.Errorf("read after the crash: %s", err)
			}
			kept := false
			for _, s := range got {
				name := s.Labels.Get(model.MetricNameLabel)
				kept = kept || name == "keep"
				if name != "keep" && acknowledged[name] {
					t.Errorf("%s is back with %d samples", name, len(s.Samples))
				}
				if acknowledged["keep"] && len(s.Samples) != 40 {
					t.Errorf("%s has %d samples, want all 40 or none", name, len(s.Samples))
				}
			}
			if acknowledged["keep"] && !kept {
				t.Error("what was not deleted is gone")
			}
			if err := errors.Join(db.Cut(context.Background()), db.Compact(context.Background())); err != nil {
				t.Errorf("maintain after the crash: %s", err)
			}
		}
		if err := db.stop(); err != nil {
			t.Errorf("close after the crash: %s", err)
		}
	}
	vfstest.EveryCrashWith(t, crashes(t, 40), workload, check)
}

// TestDeletionDamaged: a file that cannot be read is set aside, and the rest is
// served.
func TestDeletionDamaged(t *testing.T) {
	db := mustStart(t, mem.New(), quiet(time.Hour), tsdb.Deps{})
	load(t, db, 0, 600, "a", "b")
	if err := db.Delete(t.Context(), tenant.Default, at(0), at(600), nameIs("a")); err != nil {
		t.Fatal(err)
	}
	if err := db.stop(); err != nil {
		t.Fatal(err)
	}
	files := filesOf(t, db.fs, "deletions")
	if len(files) != 1 {
		t.Fatalf("files: %q", files)
	}
	name := path.Join("deletions", files[0])
	if err := db.fs.Truncate(name, 20); err != nil {
		t.Fatal(err)
	}
	again := mustStart(t, db.fs, db.opts, tsdb.Deps{})
	if got := mustRead(t, again); len(got) != 2 {
		t.Errorf("%d series", len(got))
	}
	if files := filesOf(t, db.fs, "deletions"); !slices.Equal(files, []string{path.Base(name) + ".damaged"}) {
		t.Errorf("files: %q", files)
	}
}

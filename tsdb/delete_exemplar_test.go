package tsdb_test

import (
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/prometheus/model/exemplar"
	"github.com/prometheus/prometheus/model/labels"

	"github.com/nilometer/nilometer/model/tenant"
	"github.com/nilometer/nilometer/storage"
	"github.com/nilometer/nilometer/storage/storagetest"
	"github.com/nilometer/nilometer/tsdb"
	"github.com/nilometer/nilometer/vfs/mem"
	"github.com/nilometer/nilometer/vfs/vfstest"
)

// exemplify appends an exemplar and no sample.
func exemplify(t *testing.T, g storage.Group, name string, at int64) {
	t.Helper()
	out := make([]storage.Resolution, 1)
	version, err := g.Resolve(t.Context(), []labels.Labels{storagetest.Named(name)}, out)
	if err != nil {
		t.Fatal(err)
	}
	x := exemplar.Exemplar{Labels: labels.FromStrings("trace_id", "1"), Value: 1, Ts: at, HasTs: true}
	res, err := g.Append(t.Context(), &storage.Batch{
		Time: at, Version: version, Slots: []storage.Slot{out[0].Slot}, Values: []float64{1},
		Exemplars: []storage.ExemplarSample{{Slot: out[0].Slot, Exemplar: x}},
	}, storage.Synced)
	if err != nil || len(res.Rejected) > 0 {
		t.Fatalf("%+v, %v", res, err)
	}
}

// exemplarsOf lists all exemplars as "name@seconds".
func exemplarsOf(t *testing.T, db storage.Store) string {
	t.Helper()
	v := mustView(t, db)
	defer v.Close()
	all, err := v.Exemplars(t.Context(), storage.Selection{MinTime: at(-1), MaxTime: at(1000)})
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, s := range all {
		for _, x := range s.Exemplars {
			out = append(out, fmt.Sprintf("%s@%d", s.Labels.Get("__name__"), (x.Ts-at(0))/1000))
		}
	}
	return strings.Join(out, " ")
}

// TestDeletedExemplars: a deletion takes the exemplars of its series and times,
// for ever, and others come after it, with whatever times.
func TestDeletedExemplars(t *testing.T) {
	var db storage.Store = mustStart(t, mem.New(), quiet(time.Hour), tsdb.Deps{})
	g := open(db, storage.Open, "push")
	for i := range int64(5) {
		exemplify(t, g, "a", at(10*i))
		exemplify(t, g, "b", at(10*i))
	}
	remove := func(name string, from, to int64) {
		t.Helper()
		if err := db.Delete(t.Context(), tenant.Default, at(from), at(to), nameIs(name)); err != nil {
			t.Fatal(err)
		}
	}
	check := func(when, want string) {
		t.Helper()
		if got := exemplarsOf(t, db); got != want {
			t.Errorf("%s: %q, want %q", when, got, want)
		}
	}
	const first = "a@0 a@10 b@0 b@10 b@20 b@30 b@40"
	remove("a", 20, 40)
	check("deleted", first)
	db = reopened(t, db)
	check("after a restart", first)
	g = open(db, storage.Open, "push")
	exemplify(t, g, "a", at(50))
	remove("nothing", 0, 100)
	remove("b", 0, 15)
	const second = "a@0 a@10 a@50 b@20 b@30 b@40"
	check("with one more", second)
	db = reopened(t, db)
	check("after another restart", second)
	remove(".*", -1000, 1000)
	check("all deleted", "")
	db = reopened(t, db)
	check("at the end", "")
}

// TestExemplarsAreDeletedForGood: what is gone when Delete returns does not come
// back with a restart, whatever was on its way at that moment.
func TestExemplarsAreDeletedForGood(t *testing.T) {
	var db storage.Store = mustStart(t, mem.New(), quiet(time.Hour), tsdb.Deps{})
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() {
			g := open(db, storage.Open, fmt.Sprint("push", w))
			for i := range int64(60) {
				exemplify(t, g, fmt.Sprint("s", w), at(i))
			}
		})
	}
	for range 20 {
		if err := db.Delete(t.Context(), tenant.Default, at(0), at(1000), nameIs("s.*")); err != nil {
			t.Error(err)
		}
	}
	wg.Wait()
	before := exemplarsOf(t, db)
	db = reopened(t, db)
	if after := exemplarsOf(t, db); after != before {
		t.Errorf("after a restart there are %q, before %q", after, before)
	}
}

// TestExemplarsOnABrokenLog: where the log cannot be written a deletion in
// blocks ends well when there is no exemplar to delete; else its error says what
// was done, and repeating it does the rest.
func TestExemplarsOnABrokenLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var broken atomic.Bool
		disk := vfstest.New(mem.New())
		disk.Fail(func(op vfstest.Op) error {
			if broken.Load() && op.Kind == vfstest.Write && strings.Contains(op.Name, "wal/") {
				return syscall.EIO
			}
			return nil
		})
		db := mustStart(t, disk, quiet(10*time.Minute), tsdb.Deps{})
		load(t, db, 0, 600, "a", "b")
		load(t, db, 600, 3600, "later")
		exemplify(t, open(db, storage.Open, "push"), "a", at(100))
		if err := db.Cut(t.Context()); err != nil {
			t.Fatal(err)
		}
		remove := func(name string) error {
			return db.Delete(t.Context(), tenant.Default, at(0), at(500), nameIs(name))
		}
		broken.Store(true)
		if err := storagetest.Load(t.Context(), db, tenant.Default, storagetest.Series{
			Labels: storagetest.Named("c"), Samples: []storagetest.Sample{{T: at(3600), V: 1}},
		}); err == nil {
			t.Fatal("the log is not broken")
		}
		want := mustRead(t, db) // with what the log may or may not have
		if err := remove("b"); err != nil {
			t.Error(err)
		}
		if err := remove("a"); err == nil || !strings.Contains(err.Error(), "the samples are deleted, but exemplars are not") {
			t.Errorf("the deletion's error is %v", err)
		}
		wantSeries(t, "with a broken log", db, without(want, at(0), at(500), "a", "b"))
		if got := exemplarsOf(t, db); got != "a@100" {
			t.Errorf("exemplars %q", got)
		}
		broken.Store(false)
		time.Sleep(5 * time.Second)
		if err := remove("a"); err != nil {
			t.Error(err)
		}
		if got := exemplarsOf(t, db); got != "" {
			t.Errorf("exemplars %q", got)
		}
		if err := db.stop(); err != nil {
			t.Error(err)
		}
	})
}

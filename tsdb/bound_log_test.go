package tsdb_test

import (
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/nilometer/nilometer/model/tenant"
	"github.com/nilometer/nilometer/storage"
	"github.com/nilometer/nilometer/storage/storagetest"
	"github.com/nilometer/nilometer/tsdb"
	"github.com/nilometer/nilometer/vfs/mem"
)

// TestSlowGroupsDoNotKeepTheLog writes one group every 15 seconds, and others
// once an hour or once at all: the log stays bounded, though nothing is cut, and
// a start finds everything.
func TestSlowGroupsDoNotKeepTheLog(t *testing.T) {
	const hours, segmentsMax = 16, 9 // eight, and the one that a cut may find just begun
	fs := mem.New()
	var now atomic.Int64
	now.Store(base)
	o := quiet(24 * time.Hour)
	o.SealEvery, o.SegmentBytes = 0, 4<<10
	d := tsdb.Deps{Clock: func() time.Time { return time.UnixMilli(now.Load()) }}
	db, err := start(fs, o, d)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := db.stop(); err != nil {
			t.Error(err)
		}
	}()
	groups := map[string]storage.Group{}
	append1 := func(name string, kind storage.GroupKind, sec int64, n int) {
		t.Helper()
		g := groups[name]
		if g == nil {
			if g, err = db.OpenGroup(t.Context(), tenant.Default, storagetest.Spec(kind, name)); err != nil {
				t.Fatal(err)
			}
			groups[name] = g
		}
		b := &storage.Batch{Time: at(sec)}
		var lsets []labels.Labels
		for i := range n {
			lsets, b.Values = append(lsets, storagetest.Named(fmt.Sprintf("%s_%d", name, i))), append(b.Values, float64(sec*int64(i+1)%977)/8)
		}
		out := make([]storage.Resolution, n)
		if b.Version, err = g.Resolve(t.Context(), lsets, out); err != nil {
			t.Fatal(err)
		}
		for _, r := range out {
			b.Slots = append(b.Slots, r.Slot)
		}
		if res, err := g.Append(t.Context(), b, storage.Synced); err != nil || len(res.Rejected) > 0 {
			t.Fatalf("%s at %d s: %+v, %v", name, sec, res, err)
		}
	}
	append1("once", storage.Closed, 0, 3)
	append1("once_pushed", storage.Open, 0, 3)
	most := 0
	for hour := range int64(hours) {
		now.Store(at(3600 * hour))
		append1("slow", storage.Closed, 3600*hour, 3)
		append1("slow_pushed", storage.Open, 3600*hour, 3)
		for i := range int64(240) {
			now.Store(at(3600*hour + 15*i))
			append1("fast", storage.Closed, 3600*hour+15*i, 4)
			if i%40 == 0 {
				if err := db.Cut(t.Context()); err != nil {
					t.Fatal(err)
				}
				names, err := fs.List("wal")
				if err != nil {
					t.Fatal(err)
				}
				most = max(most, len(names))
			}
		}
	}
	if most > segmentsMax || most < segmentsMax-1 {
		t.Errorf("the log had up to %d segments, want %d and at least %d", most, segmentsMax, segmentsMax-1)
	}
	want, err := storagetest.ReadAll(t.Context(), db, tenant.Default)
	if err != nil {
		t.Fatal(err)
	}
	if err := db.stop(); err != nil {
		t.Fatal(err)
	}
	if db, err = start(fs, o, d); err != nil {
		t.Fatal(err)
	}
	got, err := storagetest.ReadAll(t.Context(), db, tenant.Default)
	if err != nil {
		t.Fatal(err)
	}
	if diff := storagetest.Diff(want, got); diff != "" || len(got) != 3+3+3+3+4 {
		t.Errorf("after a start: %d series, %s", len(got), diff)
	}
}

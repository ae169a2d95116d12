package tsdb_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/nilometer/nilometer/model/tenant"
	"github.com/nilometer/nilometer/storage"
	"github.com/nilometer/nilometer/storage/storagetest"
	"github.com/nilometer/nilometer/tsdb"
	"github.com/nilometer/nilometer/vfs/mem"
)

// TestBeforeTheReplay: while the log is not replayed nobody gets a part of the
// data without having asked for it.
func TestBeforeTheReplay(t *testing.T) {
	fs := mem.New()
	first := mustStart(t, fs, quiet(time.Minute), tsdb.Deps{})
	want := storagetest.Series{Labels: storagetest.Named("a")}
	for i := range int64(200) {
		want.Samples = append(want.Samples, storagetest.Sample{T: at(i), V: float64(i)})
	}
	if err := storagetest.Load(t.Context(), first, tenant.Default, want); err != nil {
		t.Fatal(err)
	}
	if err := first.Cut(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := first.stop(); err != nil {
		t.Fatal(err)
	}

	db, err := tsdb.Open(t.Context(), quiet(time.Minute), tsdb.Deps{FS: fs, Dir: "data", Clock: first.deps.Clock})
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Ready(); !errors.Is(err, storage.ErrReplaying) {
		t.Errorf("ready is %v", err)
	}
	short, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	v, err := db.View(short, tenant.Default)
	if err != nil {
		t.Fatal(err)
	}
	defer v.Close()
	all := storage.Selection{MinTime: base, MaxTime: at(1000)}
	if _, err := v.Select(short, all); !errors.Is(err, storage.ErrReplaying) {
		t.Errorf("select ends with %v", err)
	}
	if _, _, err := v.Series(short, all, 0); !errors.Is(err, storage.ErrReplaying) {
		t.Errorf("series ends with %v", err)
	}
	if _, err := db.OpenGroup(short, tenant.Default, storagetest.Spec(storage.Open, "push")); !errors.Is(err, storage.ErrReplaying) {
		t.Errorf("open group ends with %v", err)
	}

	partial := all
	partial.Partial = true
	scan, err := v.Select(t.Context(), partial)
	if err != nil {
		t.Fatal(err)
	}
	got, err := storagetest.ReadScan(t.Context(), scan, partial)
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != 1 || len(got[0].Samples) == 0 || len(got[0].Samples) >= 200 {
		t.Errorf("a partial selection has %d series", len(got))
	}
	if w := scan.Warnings().AsErrors(); len(w) != 1 || !errors.Is(w[0], storage.ErrReplaying) {
		t.Errorf("its warnings are %v", w)
	}

	// The view that was taken before answers completely when the replay is done.
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- db.Run(ctx) }()
	complete, err := storagetest.Read(t.Context(), v, all)
	if err != nil {
		t.Fatal(err)
	}
	if d := storagetest.Diff([]storagetest.Series{want}, complete); d != "" {
		t.Error(d)
	}
	if err := db.Ready(); err != nil {
		t.Errorf("ready is %v", err)
	}
	v.Close()
	stop()
	if err := errors.Join(<-done, db.Close()); err != nil {
		t.Error(err)
	}
}

// TestViewsWhileTheReplayEnds: a tenant that is only in the log must not look
// like one that has nothing, whenever the view was taken.
func TestViewsWhileTheReplayEnds(t *testing.T) {
	fs := mem.New()
	want := storagetest.Series{Labels: storagetest.Named("a"), Samples: []storagetest.Sample{{T: at(0), V: 1}}}
	first := mustStart(t, fs, quiet(time.Minute), tsdb.Deps{})
	if err := storagetest.Load(t.Context(), first, tenant.Default, want); err != nil {
		t.Fatal(err)
	}
	if err := first.stop(); err != nil {
		t.Fatal(err)
	}
	all := storage.Selection{MinTime: base, MaxTime: at(1000)}
	for range 12 {
		db := mustStart(t, fs, quiet(time.Minute), tsdb.Deps{})
		var views []storage.View
		for ready := false; !ready && len(views) < 100_000; {
			ready = db.Ready() == nil
			v, err := db.View(t.Context(), tenant.Default)
			if err != nil {
				t.Fatal(err)
			}
			views = append(views, v)
		}
		for i, v := range views {
			got, err := storagetest.Read(t.Context(), v, all)
			if err != nil {
				t.Fatal(err)
			}
			if d := storagetest.Diff([]storagetest.Series{want}, got); d != "" {
				t.Fatalf("view %d of %d: %s", i, len(views), d)
			}
			v.Close()
		}
		if err := db.stop(); err != nil {
			t.Fatal(err)
		}
	}
}

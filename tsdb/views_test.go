package tsdb_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nilometer/nilometer/model/tenant"
	"github.com/nilometer/nilometer/storage"
	"github.com/nilometer/nilometer/storage/storagetest"
	"github.com/nilometer/nilometer/tsdb"
	"github.com/nilometer/nilometer/vfs/mem"
)

// TestViewsWhileCutting reads without a pause while one writer goes on, spans
// are cut, and blocks compacted: every view has every sample that was
// acknowledged before it, none twice, and nothing but a prefix of what is
// written.
func TestViewsWhileCutting(t *testing.T) {
	const positions, members, readers = 600, 5, 3
	opts := quiet(20 * time.Second)
	opts.MaintenanceInterval = 10 * time.Millisecond
	db := mustStart(t, mem.New(), opts, tsdb.Deps{})
	var written atomic.Int64 // positions acknowledged
	done := make(chan struct{})
	var wg sync.WaitGroup
	for range readers {
		wg.Go(func() {
			for {
				least := written.Load()
				if err := checkPrefix(db, least, written.Load, members); err != nil {
					t.Error(err)
					return
				}
				select {
				case <-done:
					return
				default:
				}
			}
		})
	}
	if err := writePositions(db, positions, members, &written); err != nil {
		t.Error(err)
	}
	for range 3 {
		if err := db.Cut(t.Context()); err != nil {
			t.Error(err)
		}
		if err := db.Compact(t.Context()); err != nil {
			t.Error(err)
		}
	}
	close(done)
	wg.Wait()
	if got := db.Stats(); got.Blocks == 0 || got.BlockSamples == 0 {
		t.Errorf("nothing was cut: %+v", got)
	}
}

// writePositions writes the values 0, 1, 2 … one a second, by a closed group.
func writePositions(db storage.Store, positions int64, members int, written *atomic.Int64) error {
	g, err := db.OpenGroup(context.Background(), tenant.Default, storagetest.Spec(storage.Closed, "scrape"))
	if err != nil {
		return err
	}
	defer g.Close()
	var names []string
	for k := range members {
		names = append(names, fmt.Sprint("m", k))
	}
	for i := range positions {
		values := map[string]float64{}
		for k, name := range names {
			if k == 0 || i%int64(k+1) == 0 {
				values[name] = float64(i)
			}
		}
		res, err := appendBatch(g, names, storage.Batch{Time: at(i)}, values, storage.Logged)
		if err != nil {
			return err
		}
		if res.Appended != members {
			return fmt.Errorf("position %d: %d samples were appended, not %d", i, res.Appended, members)
		}
		written.Store(i + 1)
	}
	return nil
}

// checkPrefix takes a view and checks that every series has the positions 0 to
// n-1 for one n of at least least.
func checkPrefix(db storage.Store, least int64, most func() int64, members int) error {
	got, err := readAll(db)
	if err != nil {
		return err
	}
	if len(got) != members && least > 0 {
		return fmt.Errorf("a view has %d series of %d", len(got), members)
	}
	for _, s := range got {
		n := int64(len(s.Samples))
		if n < least || n > most()+1 {
			return fmt.Errorf("%s has %d samples in a view taken after %d were acknowledged", s.Labels, n, least)
		}
		if n != int64(len(got[0].Samples)) {
			return fmt.Errorf("%s has %d samples, %s %d: a position was seen in part", s.Labels, n, got[0].Labels, len(got[0].Samples))
		}
		for i, x := range s.Samples {
			if x.T != at(int64(i)) {
				return fmt.Errorf("sample %d of %s has the time %d, not %d", i, s.Labels, x.T, at(int64(i)))
			}
		}
	}
	return nil
}

// TestViewsOutliveWhatTheyName holds views while what they name is cut,
// compacted away and dropped by the retention.
func TestViewsOutliveWhatTheyName(t *testing.T) {
	clock := atomic.Int64{}
	clock.Store(base)
	opts := quiet(20 * time.Second)
	opts.Retention = 2 * time.Minute
	db := mustStart(t, mem.New(), opts, tsdb.Deps{Clock: func() time.Time { return time.UnixMilli(clock.Load()) }})
	var written atomic.Int64
	if err := writePositions(db, 100, 3, &written); err != nil {
		t.Fatal(err)
	}
	all := storage.Selection{MinTime: base, MaxTime: at(10_000)}
	type held struct {
		storage.View
		want []storagetest.Series
	}
	var views []held
	hold := func() {
		v, err := db.View(t.Context(), tenant.Default)
		if err != nil {
			t.Fatal(err)
		}
		want, err := storagetest.Read(t.Context(), v, all)
		if err != nil {
			t.Fatal(err)
		}
		views = append(views, held{v, want})
	}
	hold()
	for _, work := range []func(context.Context) error{
		db.Cut, db.Compact,
		func(ctx context.Context) error { clock.Store(at(3600)); return db.Compact(ctx) },
	} {
		if err := work(t.Context()); err != nil {
			t.Fatal(err)
		}
		hold()
	}
	if len(views[0].want) != 3 || len(views[0].want[0].Samples) != 100 {
		t.Fatalf("the first view had %d series", len(views[0].want))
	}
	if n := len(views[3].want[0].Samples); n >= 100 {
		t.Errorf("after the retention a view has %d samples", n)
	}
	for i, v := range views {
		got, err := storagetest.Read(t.Context(), v.View, all)
		if err != nil {
			t.Fatal(err)
		}
		if d := storagetest.Diff(v.want, got); d != "" {
			t.Errorf("view %d: %s", i, d)
		}
		v.Close()
		if _, err := v.Select(t.Context(), all); err == nil {
			t.Errorf("view %d answers after its end", i)
		}
	}
	// Nobody names the dropped blocks any more: their files go.
	if err := db.Compact(t.Context()); err != nil {
		t.Fatal(err)
	}
	if names, err := db.fs.List("store/block/default"); err == nil && len(names) != db.Stats().Blocks {
		t.Errorf("%d blocks are live, these have files: %q", db.Stats().Blocks, names)
	}
}

func TestClosedDatabase(t *testing.T) {
	db := mustStart(t, mem.New(), quiet(time.Hour), tsdb.Deps{})
	if err := db.stop(); err != nil {
		t.Fatal(err)
	}
	if _, err := db.View(t.Context(), tenant.Default); !errors.Is(err, storage.ErrClosed) {
		t.Errorf("view ends with %v", err)
	}
	if _, err := db.OpenGroup(t.Context(), tenant.Default, storagetest.Spec(storage.Open, "push")); !errors.Is(err, storage.ErrClosed) {
		t.Errorf("open group ends with %v", err)
	}
	if err := db.Close(); err != nil {
		t.Errorf("a second close ends with %v", err)
	}
}

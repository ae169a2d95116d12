package scrape_test

import (
	"context"
	"errors"
	"path/filepath"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nilometer/nilometer/metadb"
	"github.com/nilometer/nilometer/metadb/sqlite"
	"github.com/nilometer/nilometer/model/tenant"
	"github.com/nilometer/nilometer/scrape"
	"github.com/nilometer/nilometer/storage/storagetest"
)

// away is a database that can be unreachable.
type away struct {
	metadb.Targets
	is atomic.Bool
}

func (a *away) UpdateTargets(ctx context.Context, tn tenant.ID, u []metadb.TargetUpdate) ([]metadb.Outcome, error) {
	if a.is.Load() {
		return nil, errors.New("the database is away")
	}
	return a.Targets.UpdateTargets(ctx, tn, u)
}

func TestStateFollows(t *testing.T) {
	path := filepath.Join(t.TempDir(), "meta.db")
	synctest.Test(t, func(t *testing.T) { stateFollows(t, path) })
}

func stateFollows(t *testing.T, path string) {
	db, err := sqlite.Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	targets := &away{Targets: db}
	withDB := func(d *scrape.Deps) { d.Targets = targets }
	rows := func() []metadb.Target {
		all, err := db.ListTargets(context.WithoutCancel(t.Context()), tenant.Default, metadb.TargetFilter{})
		if err != nil {
			t.Fatal(err)
		}
		return all
	}
	e := &exporter{body: "x 1\n"}
	o := one(e)
	o.Interval = time.Second
	b := start(t, storagetest.MemoryOptions{}, withDB)
	b.apply(o)
	wait(t, "the first state", func() bool { r := rows(); return len(r) == 1 && r[0].LastStatus == metadb.TargetUp })
	row := rows()[0]
	if row.Job != "j" || row.URL != "http://a:1/metrics" || row.StaticLabels.Get("instance") != "a:1" || !row.Active || row.Version < 2 {
		t.Errorf("row %+v", row)
	}
	wait(t, "the id in the snapshot", func() bool { s := b.only(); return s.ID == row.ID && s.Version >= row.Version })

	// Another writer wins one version: we read again and go on from there.
	if _, err := metadb.UpdateTargetStatus(t.Context(), db, tenant.Default, metadb.TargetUpdate{
		ID: row.ID, Version: rows()[0].Version, ScrapedAt: time.Now(), Status: metadb.TargetTimeout, Duration: time.Second,
	}); err != nil && !errors.Is(err, metadb.ErrConflict) {
		t.Fatal(err)
	}
	e.fail(errors.New("broken"))
	wait(t, "the state after a lost race", func() bool { return rows()[0].LastStatus == metadb.TargetDown })

	// The database is away while the status changes: it follows later, at the
	// latest when the manager stops.
	targets.is.Store(true)
	e.set("x 1\n")
	wait(t, "the target being up", func() bool { return b.only().Status == metadb.TargetUp })
	targets.is.Store(false)
	b.stop()
	if r := rows()[0]; r.LastStatus != metadb.TargetUp || !r.Active {
		t.Errorf("after the stop %+v", r)
	}

	before := rows()[0].Version
	again := start(t, storagetest.MemoryOptions{}, withDB)
	again.apply(o)
	wait(t, "versions going on", func() bool { r := rows(); return len(r) == 1 && r[0].Version > before })
	again.apply()
	wait(t, "the target being inactive", func() bool { return !rows()[0].Active })
}

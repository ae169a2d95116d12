package metadbtest

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/nilometer/nilometer/metadb"
)

func targets(t *testing.T, open func() metadb.DB) {
	db := opened(t, open)
	ctx := t.Context()
	specs := []metadb.TargetSpec{
		target("node", "http://a:9100/metrics", "env", "prod"),
		target("node", "http://a:9100/metrics"), // other labels, other target
		target("db", "http://a:9100/metrics", "env", "prod"),
	}
	first, err := db.UpsertTargets(ctx, acme, specs, start())
	noError(t, err)
	for i, got := range first {
		equal(t, "job", got.Job, specs[i].Job)
		equal(t, "version", got.Version, 1)
		equal(t, "active", got.Active, true)
		equal(t, "status", got.LastStatus, metadb.TargetUnknown)
		equal(t, "never scraped", got.LastScrapedAt.IsZero(), true)
		equal(t, "created", got.CreatedAt, kept(start()))
		equal(t, "interval", got.Interval, 1500*time.Millisecond)
		equal(t, "tenant", got.Tenant, acme)
	}

	// Again: the same rows, no new version. A changed interval: a new one.
	specs[1].Interval = 7 * time.Second
	later := start().Add(time.Minute)
	second, err := db.UpsertTargets(ctx, acme, specs, later)
	noError(t, err)
	for i, want := range []int64{1, 2, 1} {
		equal(t, "id", second[i].ID, first[i].ID)
		equal(t, "version", second[i].Version, want)
	}
	equal(t, "changed at", second[1].UpdatedAt, kept(later))
	equal(t, "unchanged since", second[0].UpdatedAt, kept(start()))

	// What was returned is what is stored.
	listed, err := db.ListTargets(ctx, acme, metadb.TargetFilter{IDs: []metadb.TargetID{second[1].ID}})
	noError(t, err)
	equal(t, "found", len(listed), 1)
	if fmt.Sprint(listed[0]) != fmt.Sprint(second[1]) {
		t.Fatalf("listed %v, upserted %v", listed[0], second[1])
	}

	gone := metadb.TargetVersion{ID: second[2].ID, Version: 1}
	out, err := db.DeactivateTargets(ctx, acme, []metadb.TargetVersion{gone}, later)
	versions(t, out, err, 2)
	gone.Version = 2
	out, err = db.DeactivateTargets(ctx, acme, []metadb.TargetVersion{gone}, later)
	versions(t, out, err, 2) // nothing to change (I1)
	active := true
	listed, err = db.ListTargets(ctx, acme, metadb.TargetFilter{Active: &active})
	noError(t, err)
	equal(t, "active ones", len(listed), 2)

	// It comes back as itself.
	back, err := db.UpsertTargets(ctx, acme, specs[2:], later)
	noError(t, err)
	equal(t, "id", back[0].ID, gone.ID)
	equal(t, "version", back[0].Version, 3)
	equal(t, "active", back[0].Active, true)

	gone.Version = 3
	out, err = db.DeactivateTargets(ctx, acme, []metadb.TargetVersion{gone}, later)
	versions(t, out, err, 4)
	n, err := db.PruneTargets(ctx, acme, later, 0)
	noError(t, err)
	equal(t, "pruned, none is old", n, 0)
	n, err = db.PruneTargets(ctx, acme, later.Add(time.Second), 0)
	noError(t, err)
	equal(t, "pruned", n, 1)
}

func staleTargets(t *testing.T, open func() metadb.DB) {
	db := opened(t, open)
	ctx := t.Context()
	rows, err := db.UpsertTargets(ctx, acme, []metadb.TargetSpec{target("j", "http://a/")}, start())
	noError(t, err)
	row := rows[0]
	update := metadb.TargetUpdate{ID: row.ID, Version: 1, Status: metadb.TargetUp, ScrapedAt: start(), Duration: 12345 * time.Microsecond}
	version, err := metadb.UpdateTargetStatus(ctx, db, acme, update)
	noError(t, err)
	equal(t, "version", version, 2)

	stale := update
	stale.Status, stale.ScrapedAt = metadb.TargetDown, start().Add(time.Hour)
	_, err = metadb.UpdateTargetStatus(ctx, db, acme, stale)
	wantError(t, err, metadb.ErrConflict)
	stale.Version = 3 // from the future
	_, err = metadb.UpdateTargetStatus(ctx, db, acme, stale)
	wantError(t, err, metadb.ErrConflict)
	out, err := db.DeactivateTargets(ctx, acme, []metadb.TargetVersion{{ID: row.ID, Version: 1}}, start())
	fails(t, out, err, metadb.ErrConflict)
	stale.ID = "00000000-0000-7000-8000-000000000000"
	_, err = metadb.UpdateTargetStatus(ctx, db, acme, stale)
	wantError(t, err, metadb.ErrNotFound)

	got := oneTarget(t, db, row.ID)
	equal(t, "version", got.Version, 2)
	equal(t, "status", got.LastStatus, metadb.TargetUp)
	equal(t, "scraped at", got.LastScrapedAt, kept(start()))
	equal(t, "duration", got.LastDuration, 12*time.Millisecond)
	equal(t, "active", got.Active, true)
}

func oneTarget(t *testing.T, db metadb.Targets, id metadb.TargetID) metadb.Target {
	t.Helper()
	got, err := db.ListTargets(t.Context(), acme, metadb.TargetFilter{IDs: []metadb.TargetID{id}})
	noError(t, err)
	equal(t, "found", len(got), 1)
	return got[0]
}

// racingTargets has two databases open on one store, and several writers on
// each: every version must have exactly one winner.
func racingTargets(t *testing.T, open func() metadb.DB) {
	dbs := []metadb.DB{opened(t, open), opened(t, open)}
	rows, err := dbs[0].UpsertTargets(t.Context(), acme, []metadb.TargetSpec{target("j", "http://a/")}, start())
	noError(t, err)
	const writers, rounds = 4, 25
	var mu sync.Mutex // guards winners
	winners := map[int64][]int{}
	var group sync.WaitGroup
	for w := range writers {
		group.Go(func() {
			version := int64(1)
			for version <= rounds {
				update := metadb.TargetUpdate{ID: rows[0].ID, Version: version, Status: metadb.TargetUp, ScrapedAt: start(),
					Duration: time.Duration(w) * time.Second}
				_, err := metadb.UpdateTargetStatus(t.Context(), dbs[w%len(dbs)], acme, update)
				switch {
				case err == nil:
					mu.Lock()
					winners[version] = append(winners[version], w)
					mu.Unlock()
				case !errors.Is(err, metadb.ErrConflict):
					t.Errorf("writer %d, version %d: %v", w, version, err)
					return
				}
				version++
			}
		})
	}
	group.Wait()
	for version := int64(1); version <= rounds; version++ {
		equal(t, fmt.Sprintf("winners of version %d", version), len(winners[version]), 1)
	}
	last := oneTarget(t, dbs[1], rows[0].ID)
	equal(t, "version", last.Version, rounds+1)
	equal(t, "last writer", last.LastDuration, time.Duration(winners[rounds][0])*time.Second)
}

func reconcileTargets(t *testing.T, open func() metadb.DB) {
	db := opened(t, open)
	ctx := t.Context()
	var specs []metadb.TargetSpec
	for i := range metadb.ListDefault + 5 { // more than one page to retire
		specs = append(specs, target("j", fmt.Sprintf("http://%d/", i)))
	}
	_, err := metadb.ReconcileTargets(ctx, db, acme, "j", specs, start())
	noError(t, err)
	_, err = metadb.ReconcileTargets(ctx, db, acme, "k", []metadb.TargetSpec{target("k", "http://k/")}, start())
	noError(t, err)

	got, err := metadb.ReconcileTargets(ctx, db, acme, "j", []metadb.TargetSpec{target("j", "http://new/"), specs[3]}, start())
	noError(t, err)
	equal(t, "returned", len(got), 2)
	equal(t, "order", got[1].URL, "http://3/")
	active := true
	left, err := db.ListTargets(ctx, acme, metadb.TargetFilter{Active: &active})
	noError(t, err)
	var urls []string
	for _, l := range left {
		urls = append(urls, l.URL)
	}
	slices.Sort(urls)
	equal(t, "active", fmt.Sprint(urls), "[http://3/ http://k/ http://new/]")

	_, err = metadb.ReconcileTargets(ctx, db, acme, "j", []metadb.TargetSpec{target("k", "http://k/")}, start())
	wantError(t, err, metadb.ErrInvalid)
}

func targetLabels(t *testing.T, open func() metadb.DB) {
	db := opened(t, open)
	ctx := t.Context()
	_, err := db.UpsertTargets(ctx, acme, []metadb.TargetSpec{
		target("j", "http://1/", "env", "prod", "zone", "a"),
		target("j", "http://2/", "env", "prod", "zone", "b"),
		target("j", "http://3/", "env", `it's "quoted" & <odd> \ ü`),
		target("j", "http://4/", "a.b", "1"),
	}, start())
	noError(t, err)
	for _, test := range []struct {
		want   string
		labels labels.Labels
	}{
		{"[http://1/ http://2/ http://3/ http://4/]", labels.EmptyLabels()},
		{"[http://1/ http://2/]", labels.FromStrings("env", "prod")},
		{"[http://2/]", labels.FromStrings("env", "prod", "zone", "b")},
		{"[]", labels.FromStrings("env", "a")},
		{"[http://3/]", labels.FromStrings("env", `it's "quoted" & <odd> \ ü`)},
		{"[http://4/]", labels.FromStrings("a.b", "1")},
		{"[]", labels.FromStrings("b", "1")},
	} {
		got, err := db.ListTargets(ctx, acme, metadb.TargetFilter{Labels: test.labels})
		noError(t, err)
		urls := []string{}
		for _, g := range got {
			urls = append(urls, g.URL)
		}
		slices.Sort(urls)
		equal(t, "targets with "+test.labels.String(), fmt.Sprint(urls), test.want)
	}
}

func manyTargets(t *testing.T, open func() metadb.DB) {
	db := opened(t, open)
	ctx := t.Context()
	const count = 3000
	specs := make([]metadb.TargetSpec, count)
	for i := range specs {
		specs[i] = target("j", fmt.Sprintf("http://%d/", i), "instance", fmt.Sprint(i))
	}
	rows, err := db.UpsertTargets(ctx, acme, specs, start())
	noError(t, err)
	updates := make([]metadb.TargetUpdate, count)
	for i, r := range rows {
		updates[i] = metadb.TargetUpdate{ID: r.ID, Version: 1, Status: metadb.TargetUp, ScrapedAt: start()}
	}
	updates[17].Version = 9
	updates[18].ID = "nobody"
	out, err := db.UpdateTargets(ctx, acme, updates)
	noError(t, err)
	for i, o := range out {
		switch i {
		case 17:
			wantError(t, o.Err, metadb.ErrConflict)
		case 18:
			wantError(t, o.Err, metadb.ErrNotFound)
		default:
			noError(t, o.Err)
			equal(t, "version", o.Version, 2)
		}
	}

	// Pages meet without a gap or an overlap.
	seen := map[metadb.TargetID]bool{}
	var after metadb.TargetID
	for {
		page, err := db.ListTargets(ctx, acme, metadb.TargetFilter{After: after, Limit: 700})
		noError(t, err)
		if len(page) == 0 {
			break
		}
		for _, p := range page {
			if seen[p.ID] || p.ID <= after {
				t.Fatalf("target %s is out of order or listed twice", p.ID)
			}
			seen[p.ID], after = true, p.ID
		}
	}
	equal(t, "listed", len(seen), count)
	up, err := db.ListTargets(ctx, acme, metadb.TargetFilter{Status: metadb.TargetUnknown})
	noError(t, err)
	equal(t, "not updated", len(up), 2)
}

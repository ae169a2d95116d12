package metadbtest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nilometer/nilometer/metadb"
)

func notification(receiver string, at time.Time) metadb.Notification {
	return metadb.Notification{
		ID: metadb.NewNotificationID(), GroupKey: `{}:{alertname="Down"}`, Receiver: receiver, Integration: "webhook",
		Alerts: []string{"f1", "f2"}, Attempt: 1, Outcome: metadb.NotificationSent, At: at,
	}
}

func notifications(t *testing.T, open func() metadb.DB) {
	db := opened(t, open)
	ctx := t.Context()
	var all []metadb.Notification
	for i := range 6 {
		all = append(all, notification(fmt.Sprint("r", i%2), start().Add(time.Duration(i/2)*time.Minute)))
	}
	all[5].Outcome, all[5].Error, all[5].Alerts = metadb.NotificationFailed, strings.Repeat("e", 5000)+"\xff", nil
	out, err := db.AppendNotifications(ctx, acme, all)
	versions(t, out, err, 1, 1, 1, 1, 1, 1)

	failed, err := db.ListNotifications(ctx, acme, metadb.NotificationFilter{Outcome: metadb.NotificationFailed})
	noError(t, err)
	equal(t, "failed", len(failed), 1)
	equal(t, "length of the error", len(failed[0].Error), 4096)
	equal(t, "alerts", len(failed[0].Alerts), 0)
	byReceiver, err := db.ListNotifications(ctx, acme, metadb.NotificationFilter{Receiver: "r0", GroupKey: all[0].GroupKey})
	noError(t, err)
	equal(t, "of r0", len(byReceiver), 3)
	want := all[4]
	want.Tenant, want.Version, want.At = acme, 1, kept(want.At)
	equal(t, "newest", fmt.Sprint(byReceiver[0]), fmt.Sprint(want))
	older, err := db.ListNotifications(ctx, acme, metadb.NotificationFilter{Before: &byReceiver[0], Receiver: "r0"})
	noError(t, err)
	equal(t, "older", len(older), 2)
	window, err := db.ListNotifications(ctx, acme, metadb.NotificationFilter{From: kept(start()), To: kept(start().Add(time.Minute))})
	noError(t, err)
	equal(t, "in the window", len(window), 2)
	n, err := db.PruneNotifications(ctx, acme, kept(start().Add(time.Minute)), 0)
	noError(t, err)
	equal(t, "pruned", n, 2)
}

func tenants(t *testing.T, open func() metadb.DB) {
	db := opened(t, open)
	ctx := t.Context()
	mine, err := db.UpsertTargets(ctx, acme, []metadb.TargetSpec{target("j", "http://a/")}, start())
	noError(t, err)
	theirs, err := db.UpsertTargets(ctx, other, []metadb.TargetSpec{target("j", "http://a/")}, start())
	noError(t, err)
	if mine[0].ID == theirs[0].ID {
		t.Fatal("two tenants share a target")
	}
	_, err = metadb.UpdateTargetStatus(ctx, db, other, metadb.TargetUpdate{ID: mine[0].ID, Version: 1, Status: metadb.TargetUp})
	wantError(t, err, metadb.ErrNotFound)
	out, err := db.DeactivateTargets(ctx, other, []metadb.TargetVersion{{ID: mine[0].ID, Version: 1}}, start())
	fails(t, out, err, metadb.ErrNotFound)
	found, err := db.ListTargets(ctx, other, metadb.TargetFilter{IDs: []metadb.TargetID{mine[0].ID}})
	noError(t, err)
	equal(t, "targets", len(found), 0)

	r := oneRule(t, db, acme)
	wantError(t, db.DeleteRule(ctx, other, metadb.RuleVersion{ID: r.ID, Version: 1}), metadb.ErrNotFound)
	a := alert(r.ID, "f", start())
	out, err = db.FireAlerts(ctx, other, []metadb.FiredAlert{a})
	fails(t, out, err, metadb.ErrNotFound) // the rule is not theirs
	out, err = db.FireAlerts(ctx, acme, []metadb.FiredAlert{a})
	versions(t, out, err, 1)
	out, err = db.ChangeAlerts(ctx, other, []metadb.AlertChange{{ID: a.ID, Version: 1,
		Resolve: &metadb.Resolution{At: start(), By: metadb.ByHand}}})
	fails(t, out, err, metadb.ErrNotFound)
	state := metadb.AlertState{Rule: r.ID, Fingerprint: "f", State: metadb.StateFiring}
	out, err = db.SaveAlertStates(ctx, other, []metadb.AlertState{state})
	fails(t, out, err, metadb.ErrNotFound)
	out, err = db.SaveAlertStates(ctx, acme, []metadb.AlertState{state})
	versions(t, out, err, 1)
	states, err := db.LoadAlertStates(ctx, other, r.ID, "", 0)
	noError(t, err)
	equal(t, "states", len(states), 0)
	n := notification("r", start())
	out, err = db.AppendNotifications(ctx, acme, []metadb.Notification{n})
	versions(t, out, err, 1)
	out, err = db.AppendNotifications(ctx, other, []metadb.Notification{n})
	fails(t, out, err, metadb.ErrConflict)
	sent, err := db.ListNotifications(ctx, other, metadb.NotificationFilter{})
	noError(t, err)
	equal(t, "notifications", len(sent), 0)
}

func limits(t *testing.T, open func() metadb.DB) {
	db := opened(t, open)
	ctx := t.Context()
	_, err := db.UpdateTargets(ctx, acme, make([]metadb.TargetUpdate, metadb.BatchMax+1))
	wantError(t, err, metadb.ErrInvalid)
	_, err = db.UpsertTargets(ctx, acme, make([]metadb.TargetSpec, metadb.BatchMax+1), start())
	wantError(t, err, metadb.ErrInvalid)
	out, err := db.UpdateTargets(ctx, acme, nil)
	versions(t, out, err)
	for _, limit := range []int{-1, metadb.ListMax + 1} {
		_, err = db.ListTargets(ctx, acme, metadb.TargetFilter{Limit: limit})
		wantError(t, err, metadb.ErrInvalid)
		_, err = db.ListRules(ctx, acme, metadb.RuleFilter{Limit: limit})
		wantError(t, err, metadb.ErrInvalid)
		_, err = db.ListAlerts(ctx, acme, metadb.AlertFilter{Limit: limit})
		wantError(t, err, metadb.ErrInvalid)
		_, err = db.ListNotifications(ctx, acme, metadb.NotificationFilter{Limit: limit})
		wantError(t, err, metadb.ErrInvalid)
		_, err = db.LoadAlertStates(ctx, acme, "r", "", limit)
		wantError(t, err, metadb.ErrInvalid)
		_, err = db.PruneAlerts(ctx, acme, start(), limit)
		wantError(t, err, metadb.ErrInvalid)
	}
	specs := make([]metadb.TargetSpec, metadb.ListDefault+1)
	for i := range specs {
		specs[i] = target("j", fmt.Sprint("http://", i))
	}
	_, err = db.UpsertTargets(ctx, acme, specs, start())
	noError(t, err)
	got, err := db.ListTargets(ctx, acme, metadb.TargetFilter{})
	noError(t, err)
	equal(t, "listed without a limit", len(got), metadb.ListDefault)
}

func invalid(t *testing.T, open func() metadb.DB) {
	db := opened(t, open)
	ctx := t.Context()
	long := target("j", "http://"+strings.Repeat("x", 250))
	twice := target("j", "http://a/")
	for _, specs := range [][]metadb.TargetSpec{{twice, long}, {twice, twice}, {{}}} {
		_, err := db.UpsertTargets(ctx, acme, specs, start())
		wantError(t, err, metadb.ErrInvalid)
	}
	none, err := db.ListTargets(ctx, acme, metadb.TargetFilter{})
	noError(t, err)
	equal(t, "targets after refused batches", len(none), 0)

	rows, err := db.UpsertTargets(ctx, acme, []metadb.TargetSpec{twice}, start())
	noError(t, err)
	out, err := db.UpdateTargets(ctx, acme, []metadb.TargetUpdate{
		{ID: rows[0].ID, Version: 1, Status: "SIDEWAYS"},
		{ID: rows[0].ID, Version: 1, Status: metadb.TargetUp},
	})
	noError(t, err)
	wantError(t, out[0].Err, metadb.ErrInvalid)
	noError(t, out[1].Err)

	r := oneRule(t, db, acme)
	bad := alert(r.ID, "f", start())
	bad.ID = "not-a-uuid"
	out, err = db.FireAlerts(ctx, acme, []metadb.FiredAlert{bad})
	fails(t, out, err, metadb.ErrInvalid)
	out, err = db.ChangeAlerts(ctx, acme, []metadb.AlertChange{{ID: metadb.NewAlertID(), Version: 1}})
	fails(t, out, err, metadb.ErrInvalid)
	out, err = db.SaveAlertStates(ctx, acme, []metadb.AlertState{{Rule: r.ID, State: metadb.StateFiring}})
	fails(t, out, err, metadb.ErrInvalid)
}

func reopen(t *testing.T, open func() metadb.DB) {
	ctx := t.Context()
	db := open()
	rows, err := db.UpsertTargets(ctx, acme, []metadb.TargetSpec{target("j", "http://a/", "k", "v")}, start())
	noError(t, err)
	version, err := metadb.UpdateTargetStatus(ctx, db, acme, metadb.TargetUpdate{ID: rows[0].ID, Version: 1, Status: metadb.TargetTimeout, ScrapedAt: start()})
	noError(t, err)
	r := oneRule(t, db, acme)
	a := alert(r.ID, "f", start())
	out, err := db.FireAlerts(ctx, acme, []metadb.FiredAlert{a})
	versions(t, out, err, 1)
	noError(t, db.Close())

	db = opened(t, open)
	got := oneTarget(t, db, rows[0].ID)
	equal(t, "version", got.Version, version)
	equal(t, "status", got.LastStatus, metadb.TargetTimeout)
	again, err := db.UpsertTargets(ctx, acme, []metadb.TargetSpec{target("j", "http://a/", "k", "v")}, start())
	noError(t, err)
	equal(t, "id", again[0].ID, rows[0].ID)
	equal(t, "version", again[0].Version, version)
	second := alert(r.ID, "f", start())
	out, err = db.FireAlerts(ctx, acme, []metadb.FiredAlert{second})
	fails(t, out, err, metadb.ErrConflict)
}

func cancelled(t *testing.T, open func() metadb.DB) {
	db := opened(t, open)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := db.UpsertTargets(ctx, acme, []metadb.TargetSpec{target("j", "http://a/")}, start())
	wantError(t, err, context.Canceled)
	_, err = db.ListTargets(ctx, acme, metadb.TargetFilter{})
	wantError(t, err, context.Canceled)
	got, err := db.ListTargets(t.Context(), acme, metadb.TargetFilter{})
	noError(t, err)
	equal(t, "targets", len(got), 0)
}

func closed(t *testing.T, open func() metadb.DB) {
	db := open()
	noError(t, db.Close())
	ctx := t.Context()
	_, err := db.UpsertTargets(ctx, acme, []metadb.TargetSpec{target("j", "http://a/")}, start())
	wantError(t, err, metadb.ErrClosed)
	_, err = db.ListTargets(ctx, acme, metadb.TargetFilter{})
	wantError(t, err, metadb.ErrClosed)
	if err := db.Close(); err != nil && !errors.Is(err, metadb.ErrClosed) {
		t.Fatalf("second Close: %v", err)
	}
}

package metadbtest

import (
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/nilometer/nilometer/metadb"
)

func rules(t *testing.T, open func() metadb.DB) {
	db := opened(t, open)
	ctx := t.Context()
	specs := []metadb.RuleSpec{rule("g", "Down", 0), rule("g", "Down", 1), rule("h", "Down", 0)}
	first, err := db.UpsertRules(ctx, acme, specs, start())
	noError(t, err)
	specs[1].Annotations = labels.FromStrings("summary", "other")
	specs[2].For += time.Millisecond
	second, err := db.UpsertRules(ctx, acme, specs, start())
	noError(t, err)
	for i, want := range []int64{1, 2, 2} {
		equal(t, "id", second[i].ID, first[i].ID)
		equal(t, "version", second[i].Version, want)
	}
	listed, err := db.ListRules(ctx, acme, metadb.RuleFilter{Group: "h", Name: "Down", Source: "rules.yml"})
	noError(t, err)
	equal(t, "found", len(listed), 1)
	if fmt.Sprint(listed[0]) != fmt.Sprint(second[2]) {
		t.Fatalf("listed %v, upserted %v", listed[0], second[2])
	}

	out, err := db.DisableRules(ctx, acme, []metadb.RuleVersion{{ID: first[0].ID, Version: 1}}, start())
	versions(t, out, err, 2)
	out, err = db.DisableRules(ctx, acme, []metadb.RuleVersion{{ID: first[0].ID, Version: 1}}, start())
	fails(t, out, err, metadb.ErrConflict)
	enabled := true
	listed, err = db.ListRules(ctx, acme, metadb.RuleFilter{Enabled: &enabled})
	noError(t, err)
	equal(t, "enabled", len(listed), 2)
	back, err := db.UpsertRules(ctx, acme, specs[:1], start())
	noError(t, err)
	equal(t, "version", back[0].Version, 3)
	equal(t, "enabled", back[0].Enabled, true)

	// Only an explicit deletion cascades.
	id := first[0].ID
	states, err := db.SaveAlertStates(ctx, acme, []metadb.AlertState{{Rule: id, Fingerprint: "f", State: metadb.StateFiring}})
	versions(t, states, err, 1)
	fired, err := db.FireAlerts(ctx, acme, []metadb.FiredAlert{alert(id, "f", start())})
	versions(t, fired, err, 1)
	wantError(t, db.DeleteRule(ctx, acme, metadb.RuleVersion{ID: id, Version: 2}), metadb.ErrConflict)
	noError(t, db.DeleteRule(ctx, acme, metadb.RuleVersion{ID: id, Version: 3}))
	wantError(t, db.DeleteRule(ctx, acme, metadb.RuleVersion{ID: id, Version: 3}), metadb.ErrNotFound)
	left, err := db.LoadAlertStates(ctx, acme, id, "", 0)
	noError(t, err)
	equal(t, "states", len(left), 0)
	history, err := db.ListAlerts(ctx, acme, metadb.AlertFilter{})
	noError(t, err)
	equal(t, "alerts", len(history), 0)
}

func reconcileRules(t *testing.T, open func() metadb.DB) {
	db := opened(t, open)
	ctx := t.Context()
	_, err := metadb.ReconcileRules(ctx, db, acme, []metadb.RuleSpec{rule("g", "A", 0), rule("g", "B", 1)}, start())
	noError(t, err)
	got, err := metadb.ReconcileRules(ctx, db, acme, []metadb.RuleSpec{rule("g", "B", 1), rule("g", "C", 2)}, start())
	noError(t, err)
	equal(t, "version of the one that stays", got[0].Version, 1)
	all, err := db.ListRules(ctx, acme, metadb.RuleFilter{})
	noError(t, err)
	enabled := map[string]bool{}
	for _, r := range all {
		enabled[r.Name] = r.Enabled
	}
	equal(t, "enabled", fmt.Sprint(enabled), "map[A:false B:true C:true]")
	_, err = metadb.ReconcileRules(ctx, db, acme, nil, start())
	noError(t, err)
	yes := true
	all, err = db.ListRules(ctx, acme, metadb.RuleFilter{Enabled: &yes})
	noError(t, err)
	equal(t, "enabled", len(all), 0)
}

func alertStates(t *testing.T, open func() metadb.DB) {
	db := opened(t, open)
	ctx := t.Context()
	r := oneRule(t, db, acme)
	at := func(s int) time.Time { return start().Add(time.Duration(s) * time.Second) }
	full := metadb.AlertState{
		Rule: r.ID, Fingerprint: "b", State: metadb.StateFiring, Value: math.Inf(-1),
		Labels: labels.FromStrings("a", "1"), Annotations: labels.FromStrings("summary", "x"),
		ActiveAt: at(1), FiredAt: at(2), ResolvedAt: at(3), LastSentAt: at(4), KeepFiringSince: at(5), LastEvaluationAt: at(6),
	}
	bare := metadb.AlertState{Rule: r.ID, Fingerprint: "a", State: metadb.StatePending, Value: math.NaN()}
	out, err := db.SaveAlertStates(ctx, acme, []metadb.AlertState{full, bare})
	versions(t, out, err, 1, 1)
	got, err := db.LoadAlertStates(ctx, acme, r.ID, "", 0)
	noError(t, err)
	equal(t, "states", len(got), 2)
	equal(t, "order", got[0].Fingerprint, "a")
	equal(t, "NaN", math.IsNaN(got[0].Value), true)
	equal(t, "never", got[0].FiredAt.IsZero(), true)
	equal(t, "labels", got[0].Labels.Len(), 0)
	want := full
	want.Tenant, want.Version = acme, 1
	for _, p := range []*time.Time{&want.ActiveAt, &want.FiredAt, &want.ResolvedAt, &want.LastSentAt, &want.KeepFiringSince, &want.LastEvaluationAt} {
		*p = kept(*p)
	}
	equal(t, "state", fmt.Sprint(got[1]), fmt.Sprint(want))
	page, err := db.LoadAlertStates(ctx, acme, r.ID, "a", 1)
	noError(t, err)
	equal(t, "page", page[0].Fingerprint, "b")

	// Compare and swap, the insert included.
	out, err = db.SaveAlertStates(ctx, acme, []metadb.AlertState{full})
	fails(t, out, err, metadb.ErrConflict)
	want.State, want.Value = metadb.StateInactive, 3
	out, err = db.SaveAlertStates(ctx, acme, []metadb.AlertState{want})
	versions(t, out, err, 2)
	out, err = db.SaveAlertStates(ctx, acme, []metadb.AlertState{want})
	fails(t, out, err, metadb.ErrConflict)
	missing := bare
	missing.Rule = "00000000-0000-7000-8000-000000000000"
	out, err = db.SaveAlertStates(ctx, acme, []metadb.AlertState{missing})
	fails(t, out, err, metadb.ErrNotFound)
	missing = bare
	missing.Fingerprint, missing.Version = "zzz", 1
	out, err = db.SaveAlertStates(ctx, acme, []metadb.AlertState{missing})
	fails(t, out, err, metadb.ErrNotFound)

	out, err = db.DeleteAlertStates(ctx, acme, []metadb.AlertStateVersion{{Rule: r.ID, Fingerprint: "b", Version: 1}})
	fails(t, out, err, metadb.ErrConflict)
	out, err = db.DeleteAlertStates(ctx, acme, []metadb.AlertStateVersion{{Rule: r.ID, Fingerprint: "b", Version: 2}})
	versions(t, out, err, 0)
	out, err = db.DeleteAlertStates(ctx, acme, []metadb.AlertStateVersion{{Rule: r.ID, Fingerprint: "b", Version: 2}})
	fails(t, out, err, metadb.ErrNotFound)
}

func firing(t *testing.T, open func() metadb.DB) {
	db := opened(t, open)
	ctx := t.Context()
	r := oneRule(t, db, acme)
	first, second := alert(r.ID, "f", start()), alert(r.ID, "f", start().Add(time.Hour))
	out, err := db.FireAlerts(ctx, acme, []metadb.FiredAlert{first, alert(r.ID, "other", start())})
	versions(t, out, err, 1, 1)
	out, err = db.FireAlerts(ctx, acme, []metadb.FiredAlert{second})
	fails(t, out, err, metadb.ErrConflict)
	out, err = db.ChangeAlerts(ctx, acme, []metadb.AlertChange{{ID: first.ID, Version: 1,
		Resolve: &metadb.Resolution{At: start().Add(time.Minute), By: metadb.BySystem}}})
	versions(t, out, err, 2)
	out, err = db.FireAlerts(ctx, acme, []metadb.FiredAlert{second})
	versions(t, out, err, 1)
	missing := alert("00000000-0000-7000-8000-000000000000", "f", start())
	out, err = db.FireAlerts(ctx, acme, []metadb.FiredAlert{missing})
	fails(t, out, err, metadb.ErrNotFound)
	got, err := db.ListAlerts(ctx, acme, metadb.AlertFilter{Fingerprint: "f", Rule: r.ID, Status: metadb.AlertFiring})
	noError(t, err)
	equal(t, "firing", len(got), 1)
	equal(t, "id", got[0].ID, second.ID)
}

func repeating(t *testing.T, open func() metadb.DB) {
	db := opened(t, open)
	ctx := t.Context()
	r := oneRule(t, db, acme)
	a := alert(r.ID, "f", start())
	out, err := db.FireAlerts(ctx, acme, []metadb.FiredAlert{a, a})
	versions(t, out, err, 1, 1)
	out, err = db.ChangeAlerts(ctx, acme, []metadb.AlertChange{{ID: a.ID, Version: 1,
		Resolve: &metadb.Resolution{At: start(), By: metadb.BySystem}}})
	versions(t, out, err, 2)
	changed := a
	changed.Value = 99
	out, err = db.FireAlerts(ctx, acme, []metadb.FiredAlert{changed})
	versions(t, out, err, 2)
	got, err := db.ListAlerts(ctx, acme, metadb.AlertFilter{})
	noError(t, err)
	equal(t, "alerts", len(got), 1)
	equal(t, "status", got[0].Status, metadb.AlertResolved)
	equal(t, "value", got[0].Value, a.Value)

	n := notification("r", start())
	out, err = db.AppendNotifications(ctx, acme, []metadb.Notification{n, n})
	versions(t, out, err, 1, 1)
	list, err := db.ListNotifications(ctx, acme, metadb.NotificationFilter{})
	noError(t, err)
	equal(t, "notifications", len(list), 1)
}

func changes(t *testing.T, open func() metadb.DB) {
	db := opened(t, open)
	ctx := t.Context()
	r := oneRule(t, db, acme)
	a := alert(r.ID, "f", start())
	out, err := db.FireAlerts(ctx, acme, []metadb.FiredAlert{a})
	versions(t, out, err, 1)
	silence, none := "s-1", ""
	change := func(c metadb.AlertChange, want int64) metadb.FiredAlert {
		t.Helper()
		c.ID = a.ID
		out, err := db.ChangeAlerts(ctx, acme, []metadb.AlertChange{c})
		versions(t, out, err, want)
		got, err := db.ListAlerts(ctx, acme, metadb.AlertFilter{IDs: []metadb.AlertID{a.ID}})
		noError(t, err)
		equal(t, "version", got[0].Version, want)
		return got[0]
	}
	got := change(metadb.AlertChange{Version: 1, SilencedBy: &silence,
		Acknowledge: &metadb.Acknowledgement{By: "on-call", Comment: "looking", At: start()}}, 2)
	equal(t, "silenced", got.SilencedBy, silence)
	equal(t, "by", got.AcknowledgedBy, "on-call")
	equal(t, "comment", got.AcknowledgedComment, "looking")
	equal(t, "at", got.AcknowledgedAt, kept(start()))
	equal(t, "resolver of a firing alert", got.ResolvedBy, "")
	equal(t, "expression", got.Expression, a.Expression)
	equal(t, "annotations", got.Annotations.String(), a.Annotations.String())

	got = change(metadb.AlertChange{Version: 2, SilencedBy: &none, Acknowledge: &metadb.Acknowledgement{At: start()}}, 3)
	equal(t, "silenced", got.SilencedBy, "")
	equal(t, "acknowledged", got.AcknowledgedBy+got.AcknowledgedComment, "")
	equal(t, "acknowledged at", got.AcknowledgedAt.IsZero(), true)

	resolve := metadb.AlertChange{Version: 3, Resolve: &metadb.Resolution{At: start().Add(time.Hour), By: metadb.ByHand}}
	got = change(resolve, 4)
	equal(t, "status", got.Status, metadb.AlertResolved)
	equal(t, "resolver", got.ResolvedBy, metadb.ByHand)
	equal(t, "resolved at", got.ResolvedAt, kept(start().Add(time.Hour)))

	resolve.ID, resolve.Version = a.ID, 4
	out, err = db.ChangeAlerts(ctx, acme, []metadb.AlertChange{resolve})
	fails(t, out, err, metadb.ErrConflict)
	out, err = db.ChangeAlerts(ctx, acme, []metadb.AlertChange{{ID: metadb.NewAlertID(), Version: 1, SilencedBy: &none}})
	fails(t, out, err, metadb.ErrNotFound)
}

func history(t *testing.T, open func() metadb.DB) {
	db := opened(t, open)
	ctx := t.Context()
	r := oneRule(t, db, acme)
	var all []metadb.FiredAlert
	for i := range 10 { // pairs that start together
		all = append(all, alert(r.ID, fmt.Sprint("f", i), start().Add(time.Duration(i/2)*time.Minute)))
	}
	_, err := db.FireAlerts(ctx, acme, all)
	noError(t, err)

	var listed []metadb.FiredAlert
	var before *metadb.FiredAlert
	for {
		page, err := db.ListAlerts(ctx, acme, metadb.AlertFilter{Before: before, Limit: 3})
		noError(t, err)
		if len(page) == 0 {
			break
		}
		listed = append(listed, page...)
		before = &page[len(page)-1]
	}
	equal(t, "listed", len(listed), len(all))
	for i, a := range listed[1:] {
		prev := listed[i]
		if a.StartedAt.After(prev.StartedAt) || a.StartedAt.Equal(prev.StartedAt) && a.ID >= prev.ID {
			t.Fatalf("alert %d is not older than the one before", i+1)
		}
	}
	window, err := db.ListAlerts(ctx, acme, metadb.AlertFilter{From: kept(start().Add(time.Minute)), To: kept(start().Add(3 * time.Minute))})
	noError(t, err)
	equal(t, "in the window", len(window), 4)

	n, err := db.PruneAlerts(ctx, acme, start().Add(time.Hour), 0)
	noError(t, err)
	equal(t, "pruned while firing", n, 0)
	var ends []metadb.AlertChange
	for i, a := range all {
		ends = append(ends, metadb.AlertChange{ID: a.ID, Version: 1, Resolve: &metadb.Resolution{At: start().Add(time.Duration(i) * time.Hour), By: metadb.BySystem}})
	}
	_, err = db.ChangeAlerts(ctx, acme, ends)
	noError(t, err)
	for _, want := range []int{3, 1, 0} {
		n, err = db.PruneAlerts(ctx, acme, kept(start().Add(4*time.Hour)), 3)
		noError(t, err)
		equal(t, "pruned", n, want)
	}
}

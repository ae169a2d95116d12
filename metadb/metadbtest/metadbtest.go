// Package metadbtest is the conformance suite of metadb: what every driver's
// tests run.
//
//	func TestConformance(t *testing.T) {
//		metadbtest.Run(t, func(t *testing.T) func() metadb.DB { … })
//	}
//
// It tests the invariants of metadb by number; run it under the race detector
// too.
package metadbtest

import (
	"errors"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/nilometer/nilometer/metadb"
	"github.com/nilometer/nilometer/model/tenant"
)

// Fresh makes an empty database and returns how to open it, as often as needed;
// what it leaves is its own to clean up.
type Fresh func(t *testing.T) (open func() metadb.DB)

// Run runs the suite, each test on a fresh database.
func Run(t *testing.T, fresh Fresh) {
	for _, test := range []struct {
		name string
		run  func(t *testing.T, open func() metadb.DB)
	}{
		{"targets: upsert, list, deactivate, prune", targets},
		{"targets: stale writers change nothing (I2)", staleTargets},
		{"targets: one of two racing writers wins each version (I2)", racingTargets},
		{"targets: reconcile a job", reconcileTargets},
		{"targets: filter by labels", targetLabels},
		{"targets: a batch of thousands", manyTargets},
		{"rules: upsert, disable, delete", rules},
		{"rules: reconcile", reconcileRules},
		{"alert states: save, load, delete", alertStates},
		{"fired alerts: one firing per fingerprint", firing},
		{"fired alerts: repeating changes nothing", repeating},
		{"fired alerts: resolve, silence, acknowledge", changes},
		{"fired alerts: history", history},
		{"notifications", notifications},
		{"tenants are apart (I5)", tenants},
		{"limits", limits},
		{"invalid items fail alone", invalid},
		{"reopening keeps rows and versions (I3)", reopen},
		{"a cancelled call applies nothing", cancelled},
		{"closed", closed},
	} {
		t.Run(test.name, func(t *testing.T) { test.run(t, fresh(t)) })
	}
}

const (
	acme  tenant.ID = "acme"
	other tenant.ID = "other"
)

// start is the time at which the suite's stories begin, finer than is kept.
func start() time.Time { return time.Date(2026, 1, 2, 3, 4, 5, 678_901_234, time.UTC) }

// kept is t as the database keeps it.
func kept(t time.Time) time.Time { return t.UTC().Truncate(time.Millisecond) }

// opened opens the database for the length of a test.
func opened(t *testing.T, open func() metadb.DB) metadb.DB {
	t.Helper()
	db := open()
	t.Cleanup(func() { noError(t, db.Close()) })
	return db
}

func target(job, url string, pairs ...string) metadb.TargetSpec {
	return metadb.TargetSpec{
		TargetKey: metadb.TargetKey{Job: job, URL: url, StaticLabels: labels.FromStrings(pairs...)},
		Interval:  1500 * time.Millisecond, Timeout: time.Second,
	}
}

func rule(group, name string, position int) metadb.RuleSpec {
	return metadb.RuleSpec{
		RuleKey:    metadb.RuleKey{Source: "rules.yml", Group: group, Name: name, Position: position},
		Expression: "up == 0", For: 90 * time.Second, KeepFiringFor: 250 * time.Millisecond,
		Labels:      labels.FromStrings("severity", "page"),
		Annotations: labels.FromStrings("summary", `{{ $labels.instance }} is "down" <b>`),
	}
}

func alert(rule metadb.RuleID, fingerprint string, at time.Time) metadb.FiredAlert {
	return metadb.FiredAlert{
		ID: metadb.NewAlertID(), Rule: rule, Fingerprint: fingerprint, InstanceName: "db-1:9100",
		Labels: labels.FromStrings("alertname", "Down", "instance", "db-1:9100"), StartedAt: at,
		RuleName: "Down", Expression: "up == 0", Annotations: labels.FromStrings("summary", "down"), Value: 0.5,
	}
}

// oneRule stores a rule for alerts to belong to.
func oneRule(t *testing.T, db metadb.DB, tn tenant.ID) metadb.Rule {
	t.Helper()
	got, err := db.UpsertRules(t.Context(), tn, []metadb.RuleSpec{rule("g", "Down", 0)}, start())
	noError(t, err)
	return got[0]
}

func noError(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func wantError(t *testing.T, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Fatalf("got the error %v, want %v", err, want)
	}
}

func equal[T comparable](t *testing.T, what string, got, want T) {
	t.Helper()
	if got != want {
		t.Fatalf("%s: got %v, want %v", what, got, want)
	}
}

// versions checks the outcomes of a batch that has succeeded whole.
func versions(t *testing.T, got []metadb.Outcome, err error, want ...int64) {
	t.Helper()
	noError(t, err)
	equal(t, "outcomes", len(got), len(want))
	for i, o := range got {
		noError(t, o.Err)
		equal(t, "version", o.Version, want[i])
	}
}

// fails checks the outcome of a batch of one.
func fails(t *testing.T, got []metadb.Outcome, err, want error) {
	t.Helper()
	noError(t, err)
	equal(t, "outcomes", len(got), 1)
	wantError(t, got[0].Err, want)
	equal(t, "version of a failed item", got[0].Version, 0)
}

package metadb_test

import (
	"context"
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/nilometer/nilometer/metadb"
	"github.com/nilometer/nilometer/metadb/sqlite"
	"github.com/nilometer/nilometer/model/tenant"
)

func TestValidate(t *testing.T) {
	at := time.Unix(1, 0)
	target := metadb.TargetSpec{TargetKey: metadb.TargetKey{Job: "j", URL: "u"}, Interval: time.Second, Timeout: time.Second}
	rule := metadb.RuleSpec{RuleKey: metadb.RuleKey{Source: "s", Group: "g", Name: "n"}, Expression: "up"}
	alert := metadb.FiredAlert{ID: metadb.NewAlertID(), Fingerprint: "f", StartedAt: at}
	sent := metadb.Notification{ID: metadb.NewNotificationID(), GroupKey: "k", Receiver: "r", Attempt: 1, Outcome: metadb.NotificationSent, At: at}
	for _, test := range []struct {
		name string
		err  error
		want string // part of the message; empty: valid
	}{
		{"target", target.Validate(), ""},
		{"rule", rule.Validate(), ""},
		{"alert", alert.Validate(), ""},
		{"notification", sent.Validate(), ""},
		{"job of 129 bytes", changed(target, func(s *metadb.TargetSpec) { s.Job = strings.Repeat("j", 129) }).Validate(), "job name has 129 bytes, 1 to 128"},
		{"URL of 256 bytes", changed(target, func(s *metadb.TargetSpec) { s.URL = strings.Repeat("u", 256) }).Validate(), ""},
		{"URL of 257 bytes", changed(target, func(s *metadb.TargetSpec) { s.URL = strings.Repeat("u", 257) }).Validate(), "target URL has 257 bytes"},
		{"URL of other bytes", changed(target, func(s *metadb.TargetSpec) { s.URL = "\xff" }).Validate(), "not UTF-8"},
		{"no interval", changed(target, func(s *metadb.TargetSpec) { s.Interval = 0 }).Validate(), "scrape interval is 0s"},
		{"labels of other bytes", changed(target, func(s *metadb.TargetSpec) { s.StaticLabels = labels.FromStrings("a", "\xff") }).Validate(), "not UTF-8"},
		{"labels too large", changed(target, func(s *metadb.TargetSpec) { s.StaticLabels = labels.FromStrings("a", strings.Repeat("x", 1<<16)) }).Validate(), "static labels have 65537 bytes"},
		{"rule before the first", changed(rule, func(s *metadb.RuleSpec) { s.Position = -1 }).Validate(), "position is -1"},
		{"rule without expression", changed(rule, func(s *metadb.RuleSpec) { s.Expression = "" }).Validate(), "expression has 0 bytes"},
		{"negative for", changed(rule, func(s *metadb.RuleSpec) { s.For = -1 }).Validate(), "for is -1ns"},
		{"id in capitals", changed(alert, func(a *metadb.FiredAlert) { a.ID = "0190A0B0-0000-7000-8000-000000000000" }).Validate(), "no UUID in lower-case"},
		{"alert without start", changed(alert, func(a *metadb.FiredAlert) { a.StartedAt = time.Time{} }).Validate(), "start of the firing is not set"},
		{"attempt 0", changed(sent, func(n *metadb.Notification) { n.Attempt = 0 }).Validate(), "attempt 0"},
		{"unknown outcome", changed(sent, func(n *metadb.Notification) { n.Outcome = "MAYBE" }).Validate(), `outcome is "MAYBE"`},
		{"error of any length", changed(sent, func(n *metadb.Notification) { n.Error = strings.Repeat("\xff", 1<<20) }).Validate(), ""},
	} {
		switch {
		case test.want == "" && test.err != nil:
			t.Errorf("%s: %v", test.name, test.err)
		case test.want != "" && (!errors.Is(test.err, metadb.ErrInvalid) || !strings.Contains(test.err.Error(), test.want)):
			t.Errorf("%s: got %v, want ErrInvalid with %q", test.name, test.err, test.want)
		}
	}
}

// changed returns a copy of v with a change.
func changed[T any](v T, change func(*T)) T {
	change(&v)
	return v
}

func TestCutError(t *testing.T) {
	for text, want := range map[string]string{
		"":                              "",
		"as it is: ü":                   "as it is: ü",
		"a\xffb":                        "ab",
		strings.Repeat("x", 4095) + "ü": strings.Repeat("x", 4095), // not half a letter
	} {
		if got := (metadb.Notification{Error: text}).CutError(); got != want {
			t.Errorf("%.20q is cut to %.20q, %d bytes", text, got, len(got))
		}
	}
}

func TestIDsGrow(t *testing.T) {
	first := metadb.NewAlertID()
	time.Sleep(2 * time.Millisecond)
	if second := metadb.NewAlertID(); second <= first {
		t.Errorf("%s comes after %s", second, first)
	}
}

// contested lets another writer change a target between a walk's list and its
// deactivation, for the first so many times.
type contested struct {
	metadb.Targets
	times int
}

func (c *contested) DeactivateTargets(ctx context.Context, tn tenant.ID, gone []metadb.TargetVersion, now time.Time) ([]metadb.Outcome, error) {
	if c.times > 0 {
		c.times--
		update := metadb.TargetUpdate{ID: gone[0].ID, Version: gone[0].Version, Status: metadb.TargetUp, ScrapedAt: now}
		if _, err := metadb.UpdateTargetStatus(ctx, c.Targets, tn, update); err != nil {
			return nil, err
		}
	}
	return c.Targets.DeactivateTargets(ctx, tn, gone, now)
}

// TestReconcileRace: a walk that loses a race reads again, but not for ever.
func TestReconcileRace(t *testing.T) {
	for _, test := range []struct {
		times int
		want  error
	}{{0, nil}, {3, nil}, {1000, metadb.ErrConflict}} {
		db, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "meta.db"))
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		spec := metadb.TargetSpec{TargetKey: metadb.TargetKey{Job: "j", URL: "u"}, Interval: time.Second, Timeout: time.Second}
		if _, err := metadb.ReconcileTargets(t.Context(), db, "t", "j", []metadb.TargetSpec{spec}, time.Unix(1, 0)); err != nil {
			t.Fatal(err)
		}
		_, err = metadb.ReconcileTargets(t.Context(), &contested{db, test.times}, "t", "j", nil, time.Unix(2, 0))
		if !errors.Is(err, test.want) {
			t.Errorf("another writer wins %d times: %v", test.times, err)
		}
		rows, err := db.ListTargets(t.Context(), "t", metadb.TargetFilter{})
		if err != nil {
			t.Fatal(err)
		}
		active := slices.ContainsFunc(rows, func(r metadb.Target) bool { return r.Active })
		if active != (test.want != nil) {
			t.Errorf("another writer wins %d times: active is %v", test.times, active)
		}
	}
}

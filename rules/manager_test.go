package rules_test

import (
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/rulefmt"

	"github.com/nilometer/nilometer/metadb"
	"github.com/nilometer/nilometer/metadb/sqlite"
	"github.com/nilometer/nilometer/model/column"
	"github.com/nilometer/nilometer/model/tenant"
	"github.com/nilometer/nilometer/promql"
	"github.com/nilometer/nilometer/rules"
	"github.com/nilometer/nilometer/storage"
	"github.com/nilometer/nilometer/storage/storagetest"
)

// inbox is a Notifier that keeps what it gets.
type inbox struct {
	mu  sync.Mutex // guards got
	got []rules.Notification
}

func (b *inbox) Notify(_ context.Context, alerts []rules.Notification) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.got = append(b.got, alerts...)
}

func (b *inbox) all() []rules.Notification {
	b.mu.Lock()
	defer b.mu.Unlock()
	return append([]rules.Notification(nil), b.got...)
}

func newManager(t *testing.T, store storage.Store, db rules.Database, box *inbox) *rules.Manager {
	t.Helper()
	engine, err := promql.NewEngine(promql.Options{}, promql.Deps{})
	if err != nil {
		t.Fatal(err)
	}
	return rules.New(rules.Deps{
		Engine: engine, Reader: store, Writer: store, Database: db, Notifier: box,
		Tenant: tenant.Default, Logger: slog.New(slog.DiscardHandler),
	})
}

// start runs a manager; the function returned ends it.
func start(t *testing.T, m *rules.Manager) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- m.Run(ctx) }()
	return func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

func group(interval time.Duration, rs ...rulefmt.Rule) []rules.File {
	return []rules.File{{Path: "f.yml", Groups: []rulefmt.RuleGroup{{Name: "g", Interval: model.Duration(interval), Rules: rs}}}}
}

func write(t *testing.T, store storage.Store, v float64) {
	t.Helper()
	err := storagetest.Load(context.Background(), store, tenant.Default, storagetest.Series{
		Labels:  labels.FromStrings("__name__", "water", "instance", "i", "job", "j"),
		Samples: []storagetest.Sample{{T: time.Now().UnixMilli(), V: v}},
	})
	if err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, store storage.Store, name string) []storagetest.Series {
	t.Helper()
	all, err := storagetest.ReadAll(context.Background(), store, tenant.Default, labels.MustNewMatcher(labels.MatchEqual, model.MetricNameLabel, name))
	if err != nil {
		t.Fatal(err)
	}
	return all
}

var flood = rulefmt.Rule{
	Alert: "Flood", Expr: "water > 10", For: model.Duration(2 * time.Second),
	Labels:      map[string]string{"severity": "high"},
	Annotations: map[string]string{"summary": "{{ $labels.instance }} at {{ $value }}"},
}

func TestRecordsAndAlerts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := storagetest.NewMemory(storagetest.MemoryOptions{})
		box := &inbox{}
		m := newManager(t, store, nil, box)
		record := rulefmt.Rule{Record: "job:water:sum", Expr: "sum by (job) (water)"}
		if err := m.Apply(group(time.Second, record, flood), rules.Options{}); err != nil {
			t.Fatal(err)
		}
		stop := start(t, m)
		defer stop()
		write(t, store, 20)
		time.Sleep(5500 * time.Millisecond)
		write(t, store, 5)
		time.Sleep(3 * time.Second)

		sums := read(t, store, "job:water:sum")
		if len(sums) != 1 || sums[0].Samples[0].V != 20 || sums[0].Samples[len(sums[0].Samples)-1].V != 5 {
			t.Errorf("recorded %v", sums)
		}
		for _, s := range read(t, store, "ALERTS") {
			last := s.Samples[len(s.Samples)-1].V
			if !column.IsStale(last) {
				t.Errorf("%s ends with %v, want a stale marker", s.Labels, last)
			}
		}
		if got := len(read(t, store, "ALERTS")); got != 2 {
			t.Errorf("%d series of ALERTS, want one pending and one firing", got)
		}
		got := box.all()
		if len(got) != 2 {
			t.Fatalf("%d notifications: %+v, want firing and resolved", len(got), got)
		}
		if !got[0].EndsAt.After(got[0].StartsAt) || got[0].Annotations.Get("summary") != "i at 20" || got[0].Labels.Get("severity") != "high" {
			t.Errorf("firing: %+v", got[0])
		}
		if got[1].EndsAt.After(time.Now()) {
			t.Errorf("resolved: %+v ends in the future", got[1])
		}
		groups := m.Groups()
		if len(groups) != 1 || !groups[0].Rules[0].Evaluated || groups[0].Rules[1].State != rules.Inactive {
			t.Errorf("groups %+v", groups)
		}
	})
}

// replaying is a store that cannot answer until it is told.
type replaying struct {
	storage.Store
	mu    sync.Mutex // guards ready
	ready bool
}

func (r *replaying) View(ctx context.Context, id tenant.ID) (storage.View, error) {
	v, err := r.Store.View(ctx, id)
	if err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.ready {
		return partial{v}, nil
	}
	return v, nil
}

type partial struct{ storage.View }

func (partial) Select(context.Context, storage.Selection) (storage.Scan, error) {
	return nil, storage.ErrReplaying
}

func TestNothingIsEvaluatedOnAPart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &replaying{Store: storagetest.NewMemory(storagetest.MemoryOptions{})}
		m := newManager(t, store, nil, &inbox{})
		if err := m.Apply(group(time.Second, rulefmt.Rule{Record: "waters", Expr: "count(water) or vector(0)"}), rules.Options{}); err != nil {
			t.Fatal(err)
		}
		write(t, store, 1)
		stop := start(t, m)
		defer stop()
		time.Sleep(10 * time.Second)
		store.mu.Lock()
		store.ready = true
		store.mu.Unlock()
		time.Sleep(3 * time.Second)
		all := read(t, store, "waters")
		if len(all) != 1 {
			t.Fatalf("recorded %v", all)
		}
		samples := all[0].Samples
		if len(samples) < 12 {
			t.Errorf("%d evaluations, want those of the first ten seconds made up", len(samples))
		}
		for i, s := range samples {
			if s.V != 1 {
				t.Errorf("at %d the rule saw %v series", s.T, s.V)
			}
			if i > 0 && s.T-samples[i-1].T != 1000 {
				t.Errorf("an evaluation is missing between %d and %d", samples[i-1].T, s.T)
			}
		}
	})
}

func TestReloadKeepsAlerts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := storagetest.NewMemory(storagetest.MemoryOptions{})
		m := newManager(t, store, nil, &inbox{})
		if err := m.Apply(group(time.Second, flood), rules.Options{}); err != nil {
			t.Fatal(err)
		}
		stop := start(t, m)
		defer stop()
		write(t, store, 20)
		time.Sleep(5 * time.Second)
		before := m.Groups()[0].Rules[0].Alerts
		changed := flood
		changed.Annotations = map[string]string{"summary": "other"}
		if err := m.Apply(group(time.Second, changed), rules.Options{}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Second)
		after := m.Groups()[0].Rules[0].Alerts
		if len(before) != 1 || len(after) != 1 || !after[0].ActiveAt.Equal(before[0].ActiveAt) || after[0].State != rules.Firing {
			t.Errorf("before %+v, after %+v", before, after)
		}
		bad := group(time.Second, rulefmt.Rule{Alert: "Bad", Expr: "water >"})
		if err := m.Apply(bad, rules.Options{}); err == nil {
			t.Error("a rule that does not parse was taken")
		}
		if now := m.Groups(); len(now) != 1 || now[0].Rules[0].Alert != "Flood" {
			t.Errorf("after a bad reload the groups are %+v", now)
		}
	})
}

func TestStatesSurviveARestart(t *testing.T) {
	store := storagetest.NewMemory(storagetest.MemoryOptions{})
	file := filepath.Join(t.TempDir(), "meta.db")
	quick := flood
	quick.For = model.Duration(200 * time.Millisecond)
	files := group(100*time.Millisecond, quick)
	run := func(until func(rules.GroupStatus) bool) rules.GroupStatus {
		t.Helper()
		db, err := sqlite.Open(context.Background(), file)
		if err != nil {
			t.Fatal(err)
		}
		defer func() {
			if err := db.Close(); err != nil {
				t.Error(err)
			}
		}()
		m := newManager(t, store, db, &inbox{})
		if err := m.Apply(files, rules.Options{}); err != nil {
			t.Fatal(err)
		}
		stop := start(t, m)
		defer stop()
		deadline := time.Now().Add(20 * time.Second)
		for time.Now().Before(deadline) {
			write(t, store, 20)
			if g := m.Groups()[0]; until(g) {
				return g
			}
			time.Sleep(20 * time.Millisecond)
		}
		t.Fatal("the alert did not come to the state wanted")
		return rules.GroupStatus{}
	}
	first := run(func(g rules.GroupStatus) bool { return g.Rules[0].State == rules.Firing })
	shown := func() rules.GroupStatus { // before anything is evaluated
		db, err := sqlite.Open(context.Background(), file)
		if err != nil {
			t.Fatal(err)
		}
		m := newManager(t, store, db, &inbox{})
		if err = errors.Join(m.Apply(files, rules.Options{}), db.Close()); err != nil {
			t.Fatal(err)
		}
		return m.Groups()[0]
	}()
	second := run(func(g rules.GroupStatus) bool { return !g.LastEvaluation.IsZero() })
	for what, g := range map[string]rules.GroupStatus{"before the first evaluation": shown, "after one": second} {
		if g.Rules[0].State != rules.Firing || len(g.Rules[0].Alerts) != 1 {
			t.Fatalf("%s the rule is %+v", what, g.Rules[0])
		}
		a, b := first.Rules[0].Alerts[0], g.Rules[0].Alerts[0]
		if b.State != rules.Firing || !b.ActiveAt.Equal(a.ActiveAt.Truncate(time.Millisecond)) || b.Value != 20 || b.Annotations.Get("summary") != "i at 20" {
			t.Errorf("before the restart %+v, %s %+v", a, what, b)
		}
	}
	if shown.Rules[0].Evaluated || !shown.LastEvaluation.IsZero() {
		t.Errorf("nothing was evaluated: %+v", shown)
	}
	db, err := sqlite.Open(context.Background(), file)
	if err != nil {
		t.Fatal(err)
	}
	history, err := db.ListAlerts(context.Background(), tenant.Default, metadb.AlertFilter{})
	if err = errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
	if len(history) != 1 || history[0].Status != metadb.AlertFiring || history[0].RuleName != "Flood" {
		t.Errorf("history %+v, want one firing", history)
	}
}

// interrupting stops the manager in the middle of the evaluation that fires.
type interrupting struct {
	rules.Database
	stop func()
}

func (d interrupting) SaveAlertStates(ctx context.Context, id tenant.ID, states []metadb.AlertState) ([]metadb.Outcome, error) {
	for _, s := range states {
		if s.State == metadb.InstanceState(rules.Firing) {
			d.stop()
		}
	}
	return d.Database.SaveAlertStates(ctx, id, states)
}

func TestAStopSavesTheEvaluationThatItInterrupts(t *testing.T) {
	store := storagetest.NewMemory(storagetest.MemoryOptions{})
	db, err := sqlite.Open(context.Background(), filepath.Join(t.TempDir(), "meta.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	m := newManager(t, store, interrupting{db, cancel}, &inbox{})
	quick := flood
	quick.For = 0
	if err := m.Apply(group(100*time.Millisecond, quick), rules.Options{}); err != nil {
		t.Fatal(err)
	}
	write(t, store, 20)
	if err := m.Run(ctx); err != nil {
		t.Fatal(err)
	}
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		t.Fatal("the alert did not fire")
	}
	history, err := db.ListAlerts(context.Background(), tenant.Default, metadb.AlertFilter{})
	if err != nil || len(history) != 1 || history[0].Status != metadb.AlertFiring {
		t.Errorf("history %+v, error %v, want one firing", history, err)
	}
}

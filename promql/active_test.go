package promql_test

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/nilometer/nilometer/model/tenant"
	"github.com/nilometer/nilometer/promql"
	"github.com/nilometer/nilometer/storage"
	"github.com/nilometer/nilometer/storage/storagetest"
)

// stuckAfter is how many batches a stuck store gives: some hundred series.
const stuckAfter = 8

// stuck is a store whose scans stop after some batches until the query's
// context ends. Each stop is told to stopped.
type stuck struct {
	storage.Reader
	stopped chan struct{}
}

func newStuck(t *testing.T) *stuck {
	store := memory(t, generate(3, 12, 100), storagetest.MemoryOptions{BatchSeries: 64})
	return &stuck{store, make(chan struct{}, 100)}
}

func (s *stuck) View(ctx context.Context, id tenant.ID) (storage.View, error) {
	v, err := s.Reader.View(ctx, id)
	return stuckView{v, s}, err
}

type stuckView struct {
	storage.View
	s *stuck
}

func (v stuckView) Select(ctx context.Context, sel storage.Selection) (storage.Scan, error) {
	scan, err := v.View.Select(ctx, sel)
	return &stuckScan{Scan: scan, s: v.s}, err
}

type stuckScan struct {
	storage.Scan
	s     *stuck
	calls atomic.Int32
}

func (s *stuckScan) Next(ctx context.Context, b *storage.ColumnBatch) (bool, error) {
	if s.calls.Add(1) <= stuckAfter {
		return s.Scan.Next(ctx, b)
	}
	s.s.stopped <- struct{}{}
	<-ctx.Done()
	return false, ctx.Err()
}

// TestActiveQueries: what runs and what waits is listed with its progress, can
// be killed, and is gone afterwards.
func TestActiveQueries(t *testing.T) {
	reg := prometheus.NewRegistry()
	e, err := promql.NewEngine(promql.Options{ConcurrentMax: 1, Workers: 1, Cores: 4}, promql.Deps{Registerer: reg})
	if err != nil {
		t.Fatal(err)
	}
	store := newStuck(t)
	const expr = `sum(rate({__name__=~".+"}[5m]))`
	failed := make(chan error)
	go func() {
		_, err := e.Range(context.Background(), store, tenant.Default, span(expr))
		failed <- err
	}()
	<-store.stopped
	list := e.Active()
	if len(list) != 1 {
		t.Fatalf("one query runs, listed are %+v", list)
	}
	q := list[0]
	if q.Expr != expr || q.Tenant != tenant.Default || q.Kind != promql.KindRange || q.State != promql.StateRunning ||
		!q.Start.Equal(at(600)) || !q.End.Equal(at(1800)) || q.Step != 15*time.Second || q.Admitted.Before(q.Arrived) {
		t.Errorf("listed as %+v", q)
	}
	if q.SeriesRead < 64 || q.SeriesSelected <= q.SeriesRead || q.SamplesRead == 0 || q.MemoryBytes == 0 || q.MemoryPeakBytes < q.MemoryBytes {
		t.Errorf("after some batches the progress is %+v", q)
	}

	// A rule has a place of its own, another query waits.
	go func() {
		_, err := e.Instant(storage.Essential(context.Background()), store, tenant.Default, promql.Query{Expr: `{__name__=~".+"}`, Time: at(1500)})
		failed <- err
	}()
	<-store.stopped
	long := strings.Repeat("1+", 4000) + "1"
	go func() {
		_, err := e.Instant(context.Background(), store, tenant.Default, promql.Query{Expr: long, Time: at(0)})
		failed <- err
	}()
	for list = e.Active(); len(list) < 3; list = e.Active() {
		time.Sleep(time.Millisecond)
	}
	rule, w := list[1], list[2]
	if rule.State != promql.StateRunning || rule.Kind != promql.KindRule || rule.Step != 0 || rule.ID <= q.ID {
		t.Errorf("the rule is listed as %+v", rule)
	}
	if w.State != promql.StateWaiting || w.Kind != promql.KindInstant || !w.Admitted.IsZero() || len(w.Expr) > 5000 || w.ID <= rule.ID {
		t.Errorf("the one that waits is listed as %+v", w)
	}

	for _, victim := range []promql.ActiveQuery{w, rule, q} {
		if was, ok := e.Kill(victim.ID, "by the test"); !ok || was.ID != victim.ID {
			t.Errorf("kill %d: %+v, %v", victim.ID, was, ok)
		}
		if err := <-failed; !errors.Is(err, promql.ErrKilled) || err.Error() != "query was killed by the test" {
			t.Errorf("the killed query: %v", err)
		}
	}
	if _, ok := e.Kill(q.ID, "again"); ok || len(e.Active()) != 0 {
		t.Errorf("killed twice; listed are %+v", e.Active())
	}
	if n := testutil.ToFloat64(counter1(t, reg, "nilometer_queries_total", "killed")); n != 3 {
		t.Errorf("%v queries counted as killed", n)
	}
}

// counter1 reads a counter with one label of the given value back as a collector.
func counter1(t *testing.T, reg *prometheus.Registry, name, value string) prometheus.Collector {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
		for _, m := range f.GetMetric() {
			if m.GetLabel()[0].GetValue() == value {
				c := prometheus.NewCounter(prometheus.CounterOpts{Name: "x"})
				c.Add(m.GetCounter().GetValue())
				return c
			}
		}
	}
	t.Fatalf("no counter %s with %s", name, value)
	return nil
}

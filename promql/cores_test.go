package promql_test

import (
	"context"
	"errors"
	"log/slog"
	"math"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/nilometer/nilometer/model/tenant"
	"github.com/nilometer/nilometer/promql"
	"github.com/nilometer/nilometer/storage"
	"github.com/nilometer/nilometer/storage/storagetest"
)

// TestFewCores: queries whose workers wait for each other's rows end with any
// number of cores, and answer the same.
func TestFewCores(t *testing.T) {
	store := memory(t, generate(3, 12, 200), storagetest.MemoryOptions{BatchSeries: 3})
	exprs := []string{
		`sum(rate({__name__=~"requests_total|cpu_seconds_total"}[5m]) + 0)`, `sum by (job) (rate(requests_total[5m]))`, `{__name__=~".+"}`,
		`topk(3, requests_total)`, `max_over_time(sum(odd)[10m:1m])`, `avg without (path) ({__name__=~".+_.+"}) + on () group_left () sum(up)`,
	}
	reference := newEngine(t, promql.Options{Workers: 1})
	for _, cores := range []int{1, 2, 5} {
		e := newEngine(t, promql.Options{Workers: 4, Cores: cores, ConcurrentMax: 8})
		var wg sync.WaitGroup
		for i := range 8 {
			wg.Go(func() {
				for j := range exprs {
					q := span(exprs[(i+j)%len(exprs)])
					got, err := e.Range(context.Background(), store, tenant.Default, q)
					want, err2 := reference.Range(context.Background(), store, tenant.Default, q)
					if err != nil || err2 != nil {
						t.Errorf("%s with %d cores: %v, %v", q.Expr, cores, err, err2)
						return
					}
					if d := exactlyDifferent(got, want); d != "" {
						t.Errorf("%s with %d cores: %s", q.Expr, cores, d)
					}
				}
			})
		}
		wg.Wait()
	}
}

// TestCoreOfOthers: a query that waits for a core ends with its context, and a
// rule does not wait for one.
func TestCoreOfOthers(t *testing.T) {
	e := newEngine(t, promql.Options{Workers: 1, Cores: 1, ConcurrentMax: 5})
	slow := newStuck(t)
	ctx, end := context.WithCancel(context.Background())
	done := make(chan error)
	go func() {
		_, err := e.Range(ctx, slow, tenant.Default, span(`{__name__=~".+"}`))
		done <- err
	}()
	<-slow.stopped // it has the only core
	store := memory(t, generate(3, 4, 100), storagetest.MemoryOptions{})
	short, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	if _, err := e.Range(short, store, tenant.Default, span("up")); !errors.Is(err, promql.ErrTimeout) {
		t.Errorf("a query without a core: %v", err)
	}
	if _, err := e.Range(storage.Essential(context.Background()), store, tenant.Default, span("up")); err != nil {
		t.Errorf("a rule: %v", err)
	}
	end()
	if err := <-done; !errors.Is(err, promql.ErrCanceled) {
		t.Errorf("the one that had it: %v", err)
	}
	if _, err := e.Range(context.Background(), store, tenant.Default, span("up")); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}

// TestRulesKeepACoreFree: while a rule is evaluated others have one core less.
func TestRulesKeepACoreFree(t *testing.T) {
	e := newEngine(t, promql.Options{Workers: 1, Cores: 2, ConcurrentMax: 5, CacheMaxBytes: -1}) // equal queries do not wait for one another
	begin := func(ctx context.Context, store *stuck) (end func()) {
		ctx, cancel := context.WithCancel(ctx)
		done := make(chan error)
		go func() {
			_, err := e.Range(ctx, store, tenant.Default, span(`{__name__=~".+"}`))
			done <- err
		}()
		<-store.stopped
		return func() {
			cancel()
			if err := <-done; !errors.Is(err, promql.ErrCanceled) {
				t.Error(err)
			}
		}
	}
	store := memory(t, generate(3, 4, 100), storagetest.MemoryOptions{})
	quick := func(wait time.Duration) error {
		ctx, cancel := context.WithTimeout(context.Background(), wait)
		defer cancel()
		_, err := e.Range(ctx, store, tenant.Default, span("up"))
		return err
	}
	endRule := begin(storage.Essential(context.Background()), newStuck(t))
	endRule2 := begin(storage.Essential(context.Background()), newStuck(t))
	endOther := begin(context.Background(), newStuck(t))
	if err := quick(20 * time.Millisecond); !errors.Is(err, promql.ErrTimeout) {
		t.Errorf("beside rules and another query: %v", err)
	}
	endRule()
	if err := quick(20 * time.Millisecond); !errors.Is(err, promql.ErrTimeout) {
		t.Errorf("beside a rule and another query: %v", err)
	}
	endRule2()
	if err := quick(time.Minute); err != nil {
		t.Errorf("beside another query: %v", err)
	}
	// A rule that comes when no core is free gets the next.
	endSecond := begin(context.Background(), newStuck(t))
	endRule = begin(storage.Essential(context.Background()), newStuck(t))
	endSecond()
	if err := quick(20 * time.Millisecond); !errors.Is(err, promql.ErrTimeout) {
		t.Errorf("beside a rule that came late and another query: %v", err)
	}
	endRule()
	endOther()
	if err := quick(time.Minute); err != nil {
		t.Errorf("alone: %v", err)
	}
}

// broken is a store whose scans panic.
type broken struct{ storage.Reader }

func (b broken) View(ctx context.Context, id tenant.ID) (storage.View, error) {
	v, err := b.Reader.View(ctx, id)
	return brokenView{v}, err
}

type brokenView struct{ storage.View }

func (v brokenView) Select(ctx context.Context, s storage.Selection) (storage.Scan, error) {
	scan, err := v.View.Select(ctx, s)
	return brokenScan{scan}, err
}

type brokenScan struct{ storage.Scan }

func (brokenScan) Next(context.Context, *storage.ColumnBatch) (bool, error) { panic("a defect") }

// TestPanicOfWorker: a panic in a worker's goroutine fails its query and no
// other, and the log has the worker's stack.
func TestPanicOfWorker(t *testing.T) {
	var log strings.Builder
	e, err := promql.NewEngine(promql.Options{Workers: 3, Cores: 2}, promql.Deps{Logger: slog.New(slog.NewTextHandler(&log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	store := memory(t, generate(3, 4, 100), storagetest.MemoryOptions{})
	for range 5 {
		_, err := e.Range(context.Background(), broken{store}, tenant.Default, span(`sum({__name__=~".+"})`))
		var execution *promql.ExecutionError
		if !errors.As(err, &execution) || err.Error() != "unexpected error: a defect" {
			t.Fatalf("%v", err)
		}
	}
	if !strings.Contains(log.String(), "brokenScan.Next") {
		t.Errorf("the log does not say where: %s", log.String())
	}
	if _, err := e.Range(context.Background(), store, tenant.Default, span("up")); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}

// TestLongWindowsEnd: a query whose one series takes minutes is killed within
// that series, and pieces of it are the whole.
func TestLongWindowsEnd(t *testing.T) {
	long := storagetest.Series{Labels: labels.FromStrings("__name__", "x")}
	for i := range 100_000 {
		long.Samples = append(long.Samples, storagetest.Sample{T: dataStart + int64(i)*1000, V: float64(i * 7919 % 10007)})
	}
	store := memory(t, []storagetest.Series{long}, storagetest.MemoryOptions{})
	e := newEngine(t, promql.Options{Workers: 2})
	for _, expr := range []string{`quantile_over_time(0.9, x[30d])`, `quantile_over_time(0.9, (x + 0)[1d:5s])`} {
		done := make(chan error)
		go func() {
			_, err := e.Range(context.Background(), store, tenant.Default, promql.Query{Expr: expr, Start: at(0), End: at(100_000), Step: 5 * time.Second})
			done <- err
		}()
		for killed := false; !killed; time.Sleep(10 * time.Millisecond) {
			for _, q := range e.Active() {
				if q.MemoryBytes > 0 { // it reads
					time.Sleep(30 * time.Millisecond)
					_, killed = e.Kill(q.ID, "by the test")
				}
			}
		}
		if err := <-done; !errors.Is(err, promql.ErrKilled) {
			t.Errorf("%s: %v", expr, err)
		}
	}

	// 1,600 steps of 100,000 samples are more than one piece, 100 of them are not.
	ask := func(from, to int64) []promql.Point {
		q := promql.Query{Expr: `sum_over_time(x[1h]) + max_over_time(x[1h])`, Start: at(from), End: at(to), Step: 50 * time.Second}
		res, err := e.Range(context.Background(), store, tenant.Default, q)
		if err != nil || len(res.Matrix) != 1 {
			t.Fatalf("%v, %v", res, err)
		}
		return slices.Collect(res.Matrix[0].Points.All())
	}
	whole := ask(10_000, 90_000)
	for i := 0; i < len(whole); i += 100 {
		to := min(i+100, len(whole))
		for j, p := range ask(10_000+int64(i)*50, 10_000+int64(to-1)*50) {
			if w := whole[i+j]; w.T != p.T || math.Float64bits(w.V) != math.Float64bits(p.V) {
				t.Fatalf("at %d: %v and %v", i+j, w, p)
			}
		}
	}
}

package promql_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"

	"github.com/nilometer/nilometer/model/tenant"
	"github.com/nilometer/nilometer/promql"
	"github.com/nilometer/nilometer/storage"
	"github.com/nilometer/nilometer/storage/storagetest"
)

func at(seconds int64) time.Time { return time.UnixMilli(dataStart + seconds*1000) }

func span(expr string) promql.Query {
	return promql.Query{Expr: expr, Start: at(600), End: at(1800), Step: 15 * time.Second}
}

func ask(t *testing.T, e *promql.Engine, r storage.Reader, q promql.Query) *promql.Result {
	t.Helper()
	res, err := e.Range(context.Background(), r, tenant.Default, q)
	if err != nil {
		t.Fatalf("%s: %v", q.Expr, err)
	}
	return res
}

// TestWorkersAgree: I2, bit for bit, with small aggregations in label order and
// with large ones in lanes.
func TestWorkersAgree(t *testing.T) {
	store := memory(t, generate(3, 12, 300), storagetest.MemoryOptions{BatchSeries: 3})
	wide := func(expr string) promql.Query {
		return promql.Query{Expr: expr, Start: at(0), End: at(10000), Step: 5 * time.Second}
	}
	exprs := []string{
		`sum(rate({__name__=~"requests_total|cpu_seconds_total|latency_bucket|odd"}[5m]) + 0)`, `sum by (job) (rate(requests_total[5m]))`, `avg by (job) (latency_bucket)`,
		`sum({__name__=~".+"})`, `avg without (path) ({__name__=~".+_.+"})`, `min by (job) (odd)`, `max(odd)`, `count({__name__=~".+"})`,
		`topk(3, requests_total)`, `stddev(odd)`, `group by (instance) (up)`, `histogram_quantile(0.9, sum by (le) (rate(latency_bucket[5m])))`,
	}
	one := newEngine(t, promql.Options{Workers: 1})
	for _, workers := range []int{2, 3, 8} {
		many := newEngine(t, promql.Options{Workers: workers})
		for _, expr := range exprs {
			for _, q := range []promql.Query{span(expr), wide(expr)} {
				a, b := ask(t, one, store, q), ask(t, many, store, q)
				if d := exactlyDifferent(a, b); d != "" {
					t.Errorf("%s with %d workers: %s", expr, workers, d)
				}
			}
		}
	}
}

// exactlyDifferent compares bit for bit.
func exactlyDifferent(a, b *promql.Result) string {
	if len(a.Matrix) != len(b.Matrix) {
		return fmt.Sprintf("%d and %d series", len(a.Matrix), len(b.Matrix))
	}
	for i, s := range a.Matrix {
		o := b.Matrix[i]
		if !labels.Equal(s.Labels, o.Labels) || s.Points.Len() != o.Points.Len() {
			return fmt.Sprintf("%s with %d points and %s with %d", s.Labels, s.Points.Len(), o.Labels, o.Points.Len())
		}
		others := slices.Collect(o.Points.All())
		for j, p := range slices.Collect(s.Points.All()) {
			if q := others[j]; p.T != q.T || math.Float64bits(p.V) != math.Float64bits(q.V) {
				return fmt.Sprintf("%s: %v and %v", s.Labels, p, q)
			}
		}
	}
	return ""
}

// TestCutsAgree: the same samples in batches and tiles of every size, encoded
// and decoded, give the same answers.
func TestCutsAgree(t *testing.T) {
	all := generate(5, 5, 200)
	e := newEngine(t, promql.Options{Workers: 2})
	reference := memory(t, all, storagetest.MemoryOptions{})
	for _, o := range []storagetest.MemoryOptions{
		{BatchSeries: 1}, {BatchSeries: 7, TilePositions: 3}, {TilePositions: 1}, {Decoded: true, TilePositions: 17}, {BatchSeries: 1000, TilePositions: 480},
	} {
		store := memory(t, all, o)
		for _, expr := range expressions() {
			q := span(expr)
			a, err := e.Range(context.Background(), reference, tenant.Default, q)
			b, err2 := e.Range(context.Background(), store, tenant.Default, q)
			if (err == nil) != (err2 == nil) {
				t.Errorf("%s, %+v: %v and %v", expr, o, err, err2)
				continue
			}
			if err != nil {
				continue
			}
			if d := differentValues(toUpstream(a).Value, toUpstream(b).Value, false); d != "" {
				t.Errorf("%s, %+v: %s", expr, o, d)
			}
		}
	}
}

func TestConcurrentQueries(t *testing.T) {
	reg := prometheus.NewRegistry()
	e, err := promql.NewEngine(promql.Options{Workers: 4, ConcurrentMax: 3}, promql.Deps{Registerer: reg})
	if err != nil {
		t.Fatal(err)
	}
	store := memory(t, generate(9, 3, 100), storagetest.MemoryOptions{BatchSeries: 4})
	exprs := expressions()
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for j := range exprs {
				_, _ = e.Range(context.Background(), store, tenant.Default, span(exprs[(i*31+j)%len(exprs)]))
			}
		})
	}
	wg.Wait()
	if n := testutil.ToFloat64(gauge1(t, reg, "nilometer_query_running")); n != 0 {
		t.Errorf("%v queries are still counted as running", n)
	}
}

// gauge1 reads a gauge of a registry back as a collector.
func gauge1(t *testing.T, reg *prometheus.Registry, name string) prometheus.Collector {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	g := prometheus.NewGauge(prometheus.GaugeOpts{Name: "value"})
	for _, f := range families {
		if f.GetName() == name {
			g.Set(f.Metric[0].GetGauge().GetValue())
			return g
		}
	}
	t.Fatalf("no metric %s", name)
	return nil
}

func TestErrors(t *testing.T) {
	store := memory(t, generate(1, 4, 100), storagetest.MemoryOptions{})
	done, cancel := context.WithCancel(context.Background())
	cancel()
	cases := []struct {
		name    string
		options promql.Options
		ctx     context.Context
		reader  storage.Reader
		q       promql.Query
		check   func(error) bool
		text    string
	}{
		{name: "syntax", q: span(`up{`), check: as[*promql.ParseError], text: "unexpected end of input"},
		{name: "step", q: promql.Query{Expr: "up", Start: at(0), End: at(1)}, check: as[*promql.ParseError], text: "at least 1ms"},
		{name: "backwards", q: promql.Query{Expr: "up", Start: at(1), End: at(0), Step: time.Second}, check: as[*promql.ParseError], text: "before its start"},
		{name: "range of a range", q: span(`up[5m]`), check: as[*promql.ParseError], text: `invalid expression type "range vector" for range query`},
		{name: "duration", q: span(`rate(up[5m - 6m])`), check: as[*promql.ParseError], text: "duration must be greater than 0"},
		{name: "modifier", q: span(`avg_over_time(up[5m] smoothed)`), check: as[*promql.ExecutionError], text: "smoothed modifier can only be used with: delta, increase, rate - not with avg_over_time"},
		{name: "matching", q: span(`up + on (job) up`), check: as[*promql.ExecutionError], text: "found duplicate series for the match group"},
		{name: "canceled", ctx: done, q: span(`up`), check: is(promql.ErrCanceled), text: "canceled"},
		{name: "timeout", options: promql.Options{Timeout: time.Nanosecond}, q: span(`up`), check: is(promql.ErrTimeout), text: "timed out"},
		{name: "own timeout", q: promql.Query{Expr: "up", Start: at(0), End: at(1), Step: time.Second, Timeout: time.Nanosecond}, check: is(promql.ErrTimeout), text: "timed out"},
		{name: "samples", options: promql.Options{SamplesMax: 10}, q: span(`up`), check: as[*promql.LimitError], text: "limit of 10 samples in memory in an instant selector"},
		{name: "memory", options: promql.Options{MemoryMaxBytes: 1000}, q: span(`sum(rate(requests_total[5m]))`), check: as[*promql.LimitError], text: "bytes of memory"},
		{name: "steps", options: promql.Options{StepsMax: 5}, q: span(`1`), check: as[*promql.LimitError], text: "limit of 5 steps in the query"},
		{name: "subquery steps", options: promql.Options{StepsMax: 100}, q: span(`max_over_time(up[1h:1s])`), check: as[*promql.LimitError], text: "in a subquery"},
		{name: "depth", q: span(strings.Repeat("abs(", 6000) + "up" + strings.Repeat(")", 6000)), check: as[*promql.LimitError], text: "levels of nesting"},
		{name: "replaying", reader: replaying{Reader: store}, q: span(`up`), check: is(storage.ErrReplaying), text: "replaying"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			ctx, reader := c.ctx, c.reader
			if ctx == nil {
				ctx = context.Background()
			}
			if reader == nil {
				reader = store
			}
			res, err := newEngine(t, c.options).Range(ctx, reader, tenant.Default, c.q)
			if err == nil || !c.check(err) || !strings.Contains(err.Error(), c.text) {
				t.Errorf("error %v (%T), want %q", err, err, c.text)
			}
			if res != nil {
				t.Errorf("a failed query has the result %v", res)
			}
		})
	}
}

func as[E error](err error) bool {
	var e E
	return errors.As(err, &e)
}

func is(target error) func(error) bool {
	return func(err error) bool { return errors.Is(err, target) }
}

// replaying is a store that is not ready.
type replaying struct{ storage.Reader }

type replayingView struct{ storage.View }

func (r replaying) View(ctx context.Context, id tenant.ID) (storage.View, error) {
	v, err := r.Reader.View(ctx, id)
	return replayingView{v}, err
}

func (replayingView) Select(context.Context, storage.Selection) (storage.Scan, error) {
	return nil, fmt.Errorf("select: %w", storage.ErrReplaying)
}

func TestQueueIsBounded(t *testing.T) {
	reg := prometheus.NewRegistry()
	e, err := promql.NewEngine(whole(promql.Options{ConcurrentMax: 1, QueueMax: 1}), promql.Deps{Registerer: reg})
	if err != nil {
		t.Fatal(err)
	}
	entered, release := make(chan struct{}), make(chan struct{})
	reader := slow{entered: entered, release: release, Reader: memory(t, generate(1, 1, 10), storagetest.MemoryOptions{})}
	results := make(chan error, 2)
	run := func(ctx context.Context) {
		_, err := e.Range(ctx, reader, tenant.Default, span(`up`))
		results <- err
	}
	go run(context.Background())
	<-entered // one runs
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go run(ctx)
	for testutil.ToFloat64(gauge1(t, reg, "nilometer_query_waiting")) == 0 {
		time.Sleep(time.Millisecond) // until one waits
	}
	_, err = e.Range(context.Background(), reader, tenant.Default, span(`up`))
	if !as[*promql.LimitError](err) {
		t.Errorf("the third query: %v", err)
	}
	cancel()
	if err := <-results; !errors.Is(err, promql.ErrCanceled) {
		t.Errorf("the waiting query: %v", err)
	}
	close(release)
	if err := <-results; err != nil {
		t.Errorf("the running query: %v", err)
	}
}

// slow blocks in View until it is released.
type slow struct {
	storage.Reader
	entered, release chan struct{}
}

func (s slow) View(ctx context.Context, id tenant.ID) (storage.View, error) {
	s.entered <- struct{}{}
	<-s.release
	return s.Reader.View(ctx, id)
}

func TestOptionsReportEveryProblem(t *testing.T) {
	err := promql.Options{LookbackDelta: 1, Workers: -1, QueueMax: -1}.Validate()
	for _, field := range []string{"LookbackDelta", "Workers", "QueueMax"} {
		if err == nil || !strings.Contains(err.Error(), field) {
			t.Errorf("%v does not name %s", err, field)
		}
	}
}

func TestLimitCutsWithAWarning(t *testing.T) {
	store := memory(t, generate(1, 4, 100), storagetest.MemoryOptions{})
	q := span(`requests_total`)
	q.Limit = 2
	res := ask(t, newEngine(t, promql.Options{}), store, q)
	if len(res.Matrix) != 2 || len(res.Warnings) != 1 {
		t.Errorf("%d series, warnings %v; want 2 and one", len(res.Matrix), res.Warnings)
	}
}

func TestStats(t *testing.T) {
	all := generate(1, 2, 100)
	store := memory(t, all, storagetest.MemoryOptions{})
	res := ask(t, newEngine(t, promql.Options{}), store, span(`sum(up)`))
	s := res.Stats
	if s.Steps != 81 || s.SeriesSelected == 0 || s.SamplesRead == 0 || s.MemoryPeakBytes == 0 || s.Total <= 0 {
		t.Errorf("stats %+v", s)
	}
	if res.Type != parser.ValueTypeMatrix {
		t.Errorf("type %s", res.Type)
	}
}

func TestExplain(t *testing.T) {
	e := newEngine(t, promql.Options{})
	built, optimized, err := e.Explain(span(`sum by (job) (rate(x[5m])) * (1 + 1)`))
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(built, "Binary +") || strings.Contains(optimized, "Binary +") || !strings.Contains(optimized, "Aggregate sum by (job) fused") {
		t.Errorf("built\n%s\noptimized\n%s", built, optimized)
	}
	if _, _, err := e.Explain(promql.Query{Expr: "("}); !as[*promql.ParseError](err) {
		t.Errorf("error %v", err)
	}
}

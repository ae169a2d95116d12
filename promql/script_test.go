package promql_test

import (
	"context"
	"path"
	"sync"
	"testing"
	"time"

	oracle "github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/promql/promqltest"
	upstream "github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
	"github.com/prometheus/prometheus/util/teststorage"

	"github.com/nilometer/nilometer/model/tenant"
	"github.com/nilometer/nilometer/promql"
)

// notYet lists, by file, how many queries of upstream's scripts the engine
// refuses with NotSupportedError; they are answered by upstream's engine, so
// that the file goes on. The numbers only shrink.
func notYet() map[string]int {
	return map[string]int{
		"info.test": 147,
	}
}

func TestUpstreamScripts(t *testing.T) {
	count := &scriptCount{asked: map[string]int{}, refused: map[string]int{}}
	engine := &scriptEngine{
		ours:   newEngine(t, promql.Options{DelayedNameRemoval: true, StartTimestamps: true, Workers: 2}),
		theirs: promqltest.NewTestEngine(t, false, 0, 50_000_000),
		count:  count,
	}
	open := func(tb testing.TB) upstream.Storage {
		count.enter(tb.Name())
		return teststorage.New(tb, func(opt *tsdb.Options) {
			opt.EnableSTStorage = true
			opt.FloatChunkEncoding = chunkenc.EncXOR2
			opt.EnableHistogramSTEncoding = true
		})
	}
	promqltest.RunBuiltinTestsWithStorage(t, engine, open)
	asked, refused := 0, 0
	for file, n := range count.asked {
		t.Logf("%-28s %4d queries, %4d not supported yet", file, n, count.refused[file])
		asked, refused = asked+n, refused+count.refused[file]
		if want := notYet()[file]; count.refused[file] != want {
			t.Errorf("%s: %d queries are not supported, the list says %d", file, count.refused[file], want)
		}
	}
	t.Logf("%d of %d queries are answered", asked-refused, asked)
}

// scriptCount counts the queries of the file that is running.
type scriptCount struct {
	mu             sync.Mutex // guards all
	file           string
	asked, refused map[string]int
}

func (c *scriptCount) enter(test string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.file = path.Base(test)
}

// scriptEngine is upstream's interface over our engine.
type scriptEngine struct {
	ours   *promql.Engine
	theirs *oracle.Engine
	count  *scriptCount
}

func (e *scriptEngine) NewInstantQuery(_ context.Context, q upstream.Queryable, o oracle.QueryOpts, text string, at time.Time) (oracle.Query, error) {
	return &scriptQuery{
		e: e,
		ours: func(ctx context.Context) (*promql.Result, error) {
			return e.ours.Instant(ctx, upstreamReader{q: q}, tenant.Default, promql.Query{Expr: text, Time: at})
		},
		theirs: func(ctx context.Context) (oracle.Query, error) { return e.theirs.NewInstantQuery(ctx, q, o, text, at) },
	}, nil
}

func (e *scriptEngine) NewRangeQuery(_ context.Context, q upstream.Queryable, o oracle.QueryOpts, text string, start, end time.Time, step time.Duration) (oracle.Query, error) {
	return &scriptQuery{
		e: e,
		ours: func(ctx context.Context) (*promql.Result, error) {
			return e.ours.Range(ctx, upstreamReader{q: q}, tenant.Default, promql.Query{Expr: text, Start: start, End: end, Step: step})
		},
		theirs: func(ctx context.Context) (oracle.Query, error) {
			return e.theirs.NewRangeQuery(ctx, q, o, text, start, end, step)
		},
	}, nil
}

// scriptQuery asks our engine, and upstream's for what ours does not support.
type scriptQuery struct {
	oracle.Query
	e      *scriptEngine
	ours   func(context.Context) (*promql.Result, error)
	theirs func(context.Context) (oracle.Query, error)
}

func (q *scriptQuery) Close() {}

func (q *scriptQuery) Exec(ctx context.Context) *oracle.Result {
	c := q.e.count
	c.mu.Lock()
	file := c.file
	c.asked[file]++
	c.mu.Unlock()
	res, err := q.ours(ctx)
	if isNotSupported(err) {
		c.mu.Lock()
		c.refused[file]++
		c.mu.Unlock()
		theirs, err := q.theirs(ctx)
		if err != nil {
			return &oracle.Result{Err: err}
		}
		return theirs.Exec(ctx)
	}
	if err != nil {
		return &oracle.Result{Err: err}
	}
	return toUpstream(res)
}

// toUpstream turns our result into upstream's.
func toUpstream(res *promql.Result) *oracle.Result {
	out := &oracle.Result{Warnings: res.Warnings}
	switch res.Type {
	case parser.ValueTypeVector:
		v := oracle.Vector{}
		for _, s := range res.Vector {
			v = append(v, oracle.Sample{Metric: s.Labels, T: s.T, F: s.V, H: s.H})
		}
		out.Value = v
	case parser.ValueTypeMatrix:
		m := oracle.Matrix{}
		for _, s := range res.Matrix {
			row := oracle.Series{Metric: s.Labels}
			for _, p := range s.Points {
				if p.H != nil {
					row.Histograms = append(row.Histograms, oracle.HPoint{T: p.T, H: p.H})
					continue
				}
				row.Floats = append(row.Floats, oracle.FPoint{T: p.T, F: p.V})
			}
			m = append(m, row)
		}
		out.Value = m
	case parser.ValueTypeScalar:
		out.Value = oracle.Scalar{T: res.Scalar.T, V: res.Scalar.V}
	case parser.ValueTypeString:
		out.Value = oracle.String{T: res.String.T, V: res.String.V}
	}
	return out
}

func newEngine(tb testing.TB, o promql.Options) *promql.Engine {
	tb.Helper()
	e, err := promql.NewEngine(o, promql.Deps{})
	if err != nil {
		tb.Fatal(err)
	}
	return e
}

package promql_test

import (
	"context"
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

// TestUpstreamScripts runs every file of Prometheus' PromQL scripts on this
// engine, over upstream's storage.
func TestUpstreamScripts(t *testing.T) {
	engine := scriptEngine{newEngine(t, promql.Options{DelayedNameRemoval: true, StartTimestamps: true, Workers: 2})}
	promqltest.RunBuiltinTestsWithStorage(t, engine, func(tb testing.TB) upstream.Storage {
		return teststorage.New(tb, func(opt *tsdb.Options) {
			opt.EnableSTStorage = true
			opt.FloatChunkEncoding = chunkenc.EncXOR2
			opt.EnableHistogramSTEncoding = true
		})
	})
}

// scriptEngine is upstream's interface over our engine.
type scriptEngine struct{ ours *promql.Engine }

func (e scriptEngine) NewInstantQuery(_ context.Context, q upstream.Queryable, _ oracle.QueryOpts, text string, at time.Time) (oracle.Query, error) {
	return &scriptQuery{exec: func(ctx context.Context) (*promql.Result, error) {
		return e.ours.Instant(ctx, upstreamReader{q: q}, tenant.Default, promql.Query{Expr: text, Time: at})
	}}, nil
}

func (e scriptEngine) NewRangeQuery(_ context.Context, q upstream.Queryable, _ oracle.QueryOpts, text string, start, end time.Time, step time.Duration) (oracle.Query, error) {
	return &scriptQuery{exec: func(ctx context.Context) (*promql.Result, error) {
		return e.ours.Range(ctx, upstreamReader{q: q}, tenant.Default, promql.Query{Expr: text, Start: start, End: end, Step: step})
	}}, nil
}

type scriptQuery struct {
	oracle.Query
	exec func(context.Context) (*promql.Result, error)
}

func (q *scriptQuery) Close() {}

func (q *scriptQuery) Exec(ctx context.Context) *oracle.Result {
	res, err := q.exec(ctx)
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
			for p := range s.Points.All() {
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

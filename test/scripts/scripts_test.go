package scripts_test

import (
	"context"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/exemplar"
	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	oracle "github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/promql/promqltest"
	upstream "github.com/prometheus/prometheus/storage"

	"github.com/nilometer/nilometer/model/column"
	"github.com/nilometer/nilometer/model/tenant"
	"github.com/nilometer/nilometer/promql"
	"github.com/nilometer/nilometer/storage"
	"github.com/nilometer/nilometer/storage/storagetest"
	"github.com/nilometer/nilometer/tsdb"
	"github.com/nilometer/nilometer/vfs/mem"
)

// TestUpstreamScriptsOnTSDB runs every file of Prometheus' PromQL scripts on
// the engine over the database: once with all samples in the head, and once
// with what can be cut in blocks.
func TestUpstreamScriptsOnTSDB(t *testing.T) {
	for _, blocks := range []bool{false, true} {
		name := "head"
		if blocks {
			name = "blocks"
		}
		t.Run(name, func(t *testing.T) {
			e, err := promql.NewEngine(promql.Options{DelayedNameRemoval: true, StartTimestamps: true, Workers: 2, CacheMaxBytes: -1, SplitInterval: 7 * time.Minute}, promql.Deps{}) // of several databases it must not keep answers
			if err != nil {
				t.Fatal(err)
			}
			promqltest.RunBuiltinTestsWithStorage(t, engine{e}, func(tb testing.TB) upstream.Storage { return open(tb, blocks) })
		})
	}
}

// database is upstream's storage, as far as scripts use it, over ours.
type database struct {
	upstream.Storage
	tb     testing.TB
	db     *tsdb.DB
	blocks bool
	end    func()
}

func open(tb testing.TB, blocks bool) *database {
	tb.Helper()
	o := tsdb.Options{BlockRange: 2 * time.Hour, Retention: -1, MaintenanceInterval: time.Hour, SyncInterval: time.Second, LatePushes: 1000 * time.Hour, LateScrapes: 1000 * time.Hour}
	if blocks {
		o.BlockRange = 30 * time.Minute
	}
	ctx, cancel := context.WithCancel(context.Background())
	db, err := tsdb.Open(ctx, o, tsdb.Deps{FS: mem.New(), Dir: "data", Admitter: storage.AdmitAll{}})
	if err != nil {
		tb.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- db.Run(ctx) }()
	return &database{tb: tb, db: db, blocks: blocks, end: func() {
		cancel()
		if err := <-done; err != nil && ctx.Err() == nil {
			tb.Error(err)
		}
	}}
}

func (d *database) Close() error {
	d.end()
	return d.db.Close()
}

func (d *database) AppenderV2(context.Context) upstream.AppenderV2 {
	return &appender{d: d, byLabels: map[string]int{}}
}

// appender collects samples until they are committed.
type appender struct {
	upstream.AppenderV2
	d        *database
	series   []storagetest.Series
	byLabels map[string]int
}

func (a *appender) Append(_ upstream.SeriesRef, lset labels.Labels, start, t int64, v float64, h *histogram.Histogram, fh *histogram.FloatHistogram, _ upstream.AppendV2Options) (upstream.SeriesRef, error) {
	key := string(lset.Bytes(nil))
	i, ok := a.byLabels[key]
	if !ok {
		i = len(a.series)
		a.byLabels[key] = i
		a.series = append(a.series, storagetest.Series{Labels: lset})
	}
	s := column.Sample{T: t, V: v, Start: start, H: column.Histogram{Int: h, Float: fh}}
	a.series[i].Samples = append(a.series[i].Samples, s)
	return 0, nil
}

func (a *appender) Commit() error {
	if err := storagetest.Load(a.d.tb.Context(), a.d.db, tenant.Default, a.series...); err != nil {
		return err
	}
	if !a.d.blocks {
		return nil
	}
	return a.d.db.Cut(a.d.tb.Context())
}

func (a *appender) Rollback() error { return nil }

func (*appender) AppendExemplar(upstream.SeriesRef, labels.Labels, exemplar.Exemplar) (upstream.SeriesRef, error) {
	return 0, nil
}

// engine is upstream's interface over our engine.
type engine struct{ e *promql.Engine }

func (e engine) NewInstantQuery(_ context.Context, q upstream.Queryable, _ oracle.QueryOpts, text string, at time.Time) (oracle.Query, error) {
	return &query{exec: func(ctx context.Context) (*promql.Result, error) {
		return e.e.Instant(ctx, q.(*database).db, tenant.Default, promql.Query{Expr: text, Time: at})
	}}, nil
}

func (e engine) NewRangeQuery(_ context.Context, q upstream.Queryable, _ oracle.QueryOpts, text string, start, end time.Time, step time.Duration) (oracle.Query, error) {
	return &query{exec: func(ctx context.Context) (*promql.Result, error) {
		return e.e.Range(ctx, q.(*database).db, tenant.Default, promql.Query{Expr: text, Start: start, End: end, Step: step})
	}}, nil
}

type query struct {
	oracle.Query
	exec func(context.Context) (*promql.Result, error)
}

func (*query) Close() {}

func (q *query) Exec(ctx context.Context) *oracle.Result {
	res, err := q.exec(ctx)
	if err != nil {
		return &oracle.Result{Err: err}
	}
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
				} else {
					row.Floats = append(row.Floats, oracle.FPoint{T: p.T, F: p.V})
				}
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

package promql_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/util/annotations"
	"github.com/prometheus/prometheus/util/teststorage"

	format "github.com/nilometer/nilometer/format/column"
	"github.com/nilometer/nilometer/model/column"
	"github.com/nilometer/nilometer/model/tenant"
	"github.com/nilometer/nilometer/promql"
	"github.com/nilometer/nilometer/storage"
)

// yardstick is a day of counters at 15 s, as encoded chunks in memory: targets
// with phases of their own, 2 % of the scrapes late, and a restart of each
// target every 8 h. Its values are integers that rise by a few a scrape; every
// fourth series rarely changes.
type yardstick struct {
	targets []yardTarget
	labels  []labels.Labels
}

type yardTarget struct {
	times  []int64
	tiles  []storage.Tile
	ranks  []uint32
	chunks []storage.Chunk
	values [][]float64
}

func newYardstick(tb testing.TB, targets, perTarget, positions int) *yardstick {
	tb.Helper()
	y := &yardstick{}
	rnd := rand.New(rand.NewPCG(11, 12))
	var enc format.Encoder
	for i := range targets {
		t := yardTarget{}
		at := dataStart + rnd.Int64N(15_000)
		for p := range positions {
			late := int64(0)
			if rnd.IntN(50) == 0 {
				late = rnd.Int64N(2000)
			}
			t.times = append(t.times, at+int64(p)*15_000+late)
		}
		for from := 0; from < positions; from += column.TilePositions {
			t.tiles = append(t.tiles, storage.Tile{From: from, To: min(from+column.TilePositions, positions)})
		}
		restart := rnd.IntN(1920)
		for j := range perTarget {
			rank := len(y.labels)
			t.ranks = append(t.ranks, uint32(rank))
			y.labels = append(y.labels, labels.FromStrings(
				"__name__", "x_total", "instance", fmt.Sprintf("host-%03d", i), "job", fmt.Sprintf("job-%d", j%10), "n", fmt.Sprintf("%03d", j)))
			v, n := make([]float64, positions), float64(rnd.IntN(1_000_000))
			for p := range v {
				if p%1920 == restart {
					n = 0
				}
				if j%4 > 0 || rnd.IntN(100) == 0 {
					n += float64(rnd.IntN(20 * (j%7 + 1)))
				}
				v[p] = n
			}
			t.values = append(t.values, v)
			for _, tile := range t.tiles {
				data := enc.Append(nil, v[tile.From:tile.To])
				t.chunks = append(t.chunks, storage.Chunk{Kind: storage.Encoded, Data: data})
			}
		}
		y.targets = append(y.targets, t)
	}
	return y
}

func (y *yardstick) query() promql.Query {
	last := y.targets[0].times[len(y.targets[0].times)-1]
	return promql.Query{Expr: `sum by (job) (rate(x_total[5m]))`, Start: time.UnixMilli(dataStart), End: time.UnixMilli(last), Step: 15 * time.Second}
}

type yardReader struct {
	storage.Reader
	y *yardstick
}

func (r yardReader) View(context.Context, tenant.ID) (storage.View, error) {
	return yardView{y: r.y}, nil
}

type yardView struct {
	storage.View
	y *yardstick
}

func (yardView) Close() {}

func (yardView) Estimate(context.Context, storage.Selection) (storage.Estimate, error) {
	return storage.Estimate{}, nil
}

func (v yardView) Select(context.Context, storage.Selection) (storage.Scan, error) {
	return &yardScan{y: v.y}, nil
}

type yardScan struct {
	y    *yardstick
	mu   sync.Mutex // guards next
	next int
}

func (s *yardScan) Series() int                                { return len(s.y.labels) }
func (s *yardScan) Labels(rank uint32) labels.Labels           { return s.y.labels[rank] }
func (s *yardScan) LabelValue(rank uint32, name string) string { return s.y.labels[rank].Get(name) }
func (*yardScan) Warnings() annotations.Annotations            { return nil }
func (*yardScan) Close()                                       {}

func (s *yardScan) Next(_ context.Context, b *storage.ColumnBatch) (bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.next == len(s.y.targets) {
		return false, nil
	}
	t := &s.y.targets[s.next]
	b.Reset()
	b.Number = s.next
	s.next++
	b.Times, b.Tiles = append(b.Times, t.times...), append(b.Tiles, t.tiles...)
	b.Ranks, b.Chunks = append(b.Ranks, t.ranks...), append(b.Chunks, t.chunks...)
	return true, nil
}

// upstream loads the samples into upstream's storage.
func (y *yardstick) upstream(tb testing.TB) *teststorage.TestStorage {
	theirs := teststorage.New(tb)
	app := theirs.Appender(context.Background())
	for _, t := range y.targets {
		for i, rank := range t.ranks {
			for p, at := range t.times {
				if _, err := app.Append(0, y.labels[rank], at, t.values[i][p]); err != nil {
					tb.Fatal(err)
				}
			}
		}
	}
	if err := app.Commit(); err != nil {
		tb.Fatal(err)
	}
	return theirs
}

func runYardstick(b *testing.B, y *yardstick, workers int, q promql.Query) {
	e := newEngine(b, whole(promql.Options{Workers: workers}))
	b.ReportAllocs()
	for b.Loop() {
		res, err := e.Range(context.Background(), yardReader{y: y}, tenant.Default, q)
		if err != nil {
			b.Fatal(err)
		}
		if len(res.Matrix) != 10 {
			b.Fatalf("%d series", len(res.Matrix))
		}
		b.ReportMetric(float64(res.Stats.MemoryPeakBytes)/1e6, "MB-peak")
	}
}

// BenchmarkSumRateDay is the yardstick of the design: 57.6 M samples.
func BenchmarkSumRateDay(b *testing.B) {
	y := newYardstick(b, 100, 100, 5760)
	b.Run("workers=1", func(b *testing.B) { runYardstick(b, y, 1, y.query()) })
	b.Run("workers=2", func(b *testing.B) { runYardstick(b, y, 2, y.query()) })
}

// BenchmarkSumRateDecode is what decoding alone takes of it.
func BenchmarkSumRateDecode(b *testing.B) {
	y := newYardstick(b, 100, 100, 5760)
	var dst []float64
	for b.Loop() {
		for _, t := range y.targets {
			for i := range t.chunks {
				var err error
				if dst, err = format.Decode(dst[:0], t.chunks[i].Data, t.tiles[i%len(t.tiles)].Len()); err != nil {
					b.Fatal(err)
				}
			}
		}
	}
}

// BenchmarkSumRateUpstream has a twelfth of the samples, in 2 h, for us and for
// upstream's engine on its own storage.
func BenchmarkSumRateUpstream(b *testing.B) {
	y := newYardstick(b, 20, 100, 480)
	theirs := y.upstream(b)
	q := y.query()
	b.Run("ours", func(b *testing.B) { runYardstick(b, y, 1, q) })
	b.Run("upstream", func(b *testing.B) {
		p := newPair(b, theirs, nil, promql.Options{})
		b.ReportAllocs()
		for b.Loop() {
			if res := p.askTheirs(q.Expr, when{start: q.Start, end: q.End, step: q.Step}); res.Err != nil {
				b.Fatal(res.Err)
			}
		}
	})
}

// BenchmarkShapes are queries of other shapes over 2,000 series and 2 h, for us
// and for upstream.
func BenchmarkShapes(b *testing.B) {
	y := newYardstick(b, 20, 100, 480)
	theirs := y.upstream(b)
	p := newPair(b, theirs, yardReader{y: y}, whole(promql.Options{Workers: 1}))
	q := y.query()
	for _, expr := range []string{
		`x_total`, `rate(x_total[5m])`, `x_total / x_total`, `sum by (instance) (x_total)`, `count(x_total)`, `max_over_time(x_total[30m])`,
		`avg_over_time(x_total[5m])`, `topk(5, rate(x_total[5m]))`, `rate(x_total[5m]) > 1`, `quantile_over_time(0.9, x_total[10m])`,
	} {
		for _, w := range []when{{start: q.End}, {start: q.Start, end: q.End, step: 15 * time.Second}} {
			name := expr + "/range"
			if w.step == 0 {
				name = expr + "/instant"
			}
			b.Run(name+"/ours", func(b *testing.B) {
				for b.Loop() {
					if _, err := p.ask(expr, w); err != nil {
						b.Fatal(err)
					}
				}
			})
			b.Run(name+"/upstream", func(b *testing.B) {
				for b.Loop() {
					if res := p.askTheirs(expr, w); res.Err != nil {
						b.Fatal(res.Err)
					}
				}
			})
		}
	}
}

// BenchmarkOwnColumns is an instant query over 10,000 targets, each with a time
// column of its own.
func BenchmarkOwnColumns(b *testing.B) {
	y := newYardstick(b, 10_000, 1, 40)
	for _, expr := range []string{`x_total`, `sum(x_total)`, `count(x_total)`} {
		b.Run(expr, func(b *testing.B) {
			e := newEngine(b, promql.Options{Workers: 1})
			b.ReportAllocs()
			for b.Loop() {
				res, err := e.Instant(context.Background(), yardReader{y: y}, tenant.Default, promql.Query{Expr: expr, Time: y.query().End})
				if err != nil || len(res.Vector) == 0 {
					b.Fatal(err)
				}
			}
		})
	}
}

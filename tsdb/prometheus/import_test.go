package prometheus_test

import (
	"context"
	"math"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	promstorage "github.com/prometheus/prometheus/storage"
	promtsdb "github.com/prometheus/prometheus/tsdb"
	"github.com/prometheus/prometheus/tsdb/tsdbutil"

	"github.com/nilometer/nilometer/model/tenant"
	"github.com/nilometer/nilometer/storage"
	"github.com/nilometer/nilometer/tsdb"
	"github.com/nilometer/nilometer/tsdb/prometheus"
	"github.com/nilometer/nilometer/vfs"
	"github.com/nilometer/nilometer/vfs/mem"
)

// now is the present of the tests: every range of the source is closed.
var now = time.UnixMilli(base + 30*24*hour).UTC()

// running is a database with its Run.
type running struct {
	*tsdb.DB
	stop func() error
}

func open(t *testing.T, fs vfs.FS) *running {
	t.Helper()
	db, err := tsdb.Open(context.Background(), tsdb.Options{Retention: -1, MaintenanceInterval: time.Hour},
		tsdb.Deps{Dir: "data", FS: fs, Clock: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- db.Run(ctx) }()
	r := &running{DB: db}
	r.stop = sync.OnceValue(func() error {
		cancel()
		err := <-done
		if cerr := db.Close(); err == nil {
			err = cerr
		}
		return err
	})
	t.Cleanup(func() {
		if err := r.stop(); err != nil {
			t.Error(err)
		}
	})
	return r
}

// all returns everything that a database has.
func all(t *testing.T, db *tsdb.DB) content {
	t.Helper()
	view, err := db.View(t.Context(), tenant.Default)
	if err != nil {
		t.Fatal(err)
	}
	defer view.Close()
	scan, err := view.Select(t.Context(), storage.Selection{MinTime: math.MinInt64, MaxTime: math.MaxInt64,
		Matchers: []*labels.Matcher{labels.MustNewMatcher(labels.MatchRegexp, "__name__", ".*")}})
	if err != nil {
		t.Fatal(err)
	}
	defer scan.Close()
	out := content{}
	var b storage.ColumnBatch
	var v storage.Values
	for {
		ok, err := scan.Next(t.Context(), &b)
		if err != nil {
			t.Fatal(err)
		}
		if !ok {
			break
		}
		for i, rank := range b.Ranks {
			key := scan.Labels(rank).String()
			chunks := b.Series(i)
			for k := range chunks {
				tile := b.Tiles[k]
				if err := v.Decode(&chunks[k], tile.Len()); err != nil {
					t.Fatal(err)
				}
				if chunks[k].Kind == storage.None {
					continue
				}
				for _, x := range v.AppendSamples(nil, b.Times[tile.From:tile.To], chunks[k].Runs) {
					out[key] = append(out[key], sampleOf(x))
				}
			}
		}
	}
	if errs := scan.Warnings().AsErrors(); len(errs) > 0 {
		t.Fatal(errs)
	}
	return out
}

func importOptions(t *testing.T) prometheus.ImportOptions {
	return prometheus.ImportOptions{Scratch: t.TempDir(), Now: now}
}

// sources are data directories of every kind.
var sources = []struct {
	name string
	fill func(p *promDB, rng *rand.Rand)
}{
	{"log only", func(p *promDB, rng *rand.Rand) {
		v := values(rng)
		for i := range 300 {
			p.at(base+int64(i)*15*second, target("node", "a:9100", 30), func(s int) float64 { return v(s, i) })
		}
	}},
	{"blocks and log, several targets", func(p *promDB, rng *rand.Rand) {
		v := values(rng)
		for i := range 9 * 60 {
			for k, instance := range []string{"a:1", "b:1", "c:1"} {
				p.at(base+int64(i)*minute+int64(k)*1237, target("node", instance, 15), func(s int) float64 { return v(s, i) })
			}
		}
		p.compact()
	}},
	{"one second", func(p *promDB, rng *rand.Rand) {
		v := values(rng)
		for i := range 3 * 3600 {
			p.at(base+int64(i)*second, target("fast", "a:1", 4), func(s int) float64 { return v(s, i) })
		}
		p.compact()
	}},
	{"irregular timestamps without an instance", func(p *promDB, rng *rand.Rand) {
		series := []labels.Labels{labels.FromStrings("__name__", "pushed", "job", "x"), labels.FromStrings("__name__", "pushed", "job", "y"), labels.FromStrings("only", "label")}
		for i := range 4000 {
			k := rng.IntN(len(series))
			p.at(base+int64(i)*7*second+rng.Int64N(7*second), series[k:k+1], func(int) float64 { return rng.NormFloat64() })
		}
		p.compact()
	}},
	{"churn, gaps and stale markers", func(p *promDB, rng *rand.Rand) {
		v := values(rng)
		for i := range 8 * 60 {
			series := target("pods", "a:1", 12)
			if i%120 < 60 {
				series = series[:6] // the others end each second hour
			}
			if i%97 == 13 {
				continue // a scrape is missing
			}
			p.at(base+int64(i)*minute, series, func(s int) float64 {
				if s >= 6 && i%120 == 119 || rng.IntN(200) == 0 {
					return stale()
				}
				return v(s, i)
			})
			if i%11 == 0 { // a series of each generation
				p.at(base+int64(i)*minute, []labels.Labels{labels.FromStrings("__name__", "pod", "instance", "a:1", "job", "pods", "pod", string(rune('a'+i/60)))}, func(int) float64 { return float64(i) })
			}
		}
		p.compact()
	}},
	{"out of order in the log", func(p *promDB, rng *rand.Rand) {
		outOfOrder(p, rng)
	}},
	{"out of order in blocks", func(p *promDB, rng *rand.Rand) {
		outOfOrder(p, rng)
		p.compact()
		if err := p.CompactOOOHead(p.t.Context()); err != nil {
			p.t.Fatal(err)
		}
	}},
	{"native histograms", func(p *promDB, rng *rand.Rand) {
		histograms(p, rng)
		p.compact()
		if err := p.Delete(p.t.Context(), base+hour, base+hour+10*minute, labels.MustNewMatcher(labels.MatchRegexp, "__name__", "metric_00[02]")); err != nil {
			p.t.Fatal(err)
		}
	}},
	{"start timestamps", startTimestamps},
	{"start timestamps in blocks", func(p *promDB, rng *rand.Rand) {
		startTimestamps(p, rng)
		p.compact()
	}},
	{"deletions", func(p *promDB, rng *rand.Rand) {
		v := values(rng)
		for i := range 8 * 60 {
			p.at(base+int64(i)*minute, target("node", "a:1", 20), func(s int) float64 { return v(s, i) })
		}
		p.compact()
		for _, r := range []struct {
			re       string
			from, to int64
		}{
			{"metric_00.", base + hour, base + 3*hour},
			{"metric_001", math.MinInt64, math.MaxInt64},
			{"metric_01.", base + 7*hour + 30*minute, base + 9*hour},
		} {
			if err := p.Delete(p.t.Context(), r.from, r.to, labels.MustNewMatcher(labels.MatchRegexp, "__name__", r.re)); err != nil {
				p.t.Fatal(err)
			}
		}
	}},
}

// histograms fills a source with histograms of every kind among floats.
func histograms(p *promDB, rng *rand.Rand) {
	series := target("app", "a:1", 6)
	for i := range 9 * 60 {
		ts := base + int64(i)*minute
		app := p.Appender(p.t.Context())
		for k, l := range series {
			n := int64(i%200 + k) // a reset each 200
			var err error
			switch {
			case k == 5 || k == 4 && i%100 < 30:
				_, err = app.Append(0, l, ts, float64(i))
			case i%150 == 149:
				_, err = app.AppendHistogram(0, l, ts, &histogram.Histogram{Sum: stale()}, nil)
			case k == 0:
				_, err = app.AppendHistogram(0, l, ts, tsdbutil.GenerateTestHistogram(n), nil)
			case k == 1:
				_, err = app.AppendHistogram(0, l, ts, nil, tsdbutil.GenerateTestFloatHistogram(n))
			case k == 2:
				_, err = app.AppendHistogram(0, l, ts, tsdbutil.GenerateTestCustomBucketsHistogram(n), nil)
			case k == 3:
				_, err = app.AppendHistogram(0, l, ts, tsdbutil.GenerateTestGaugeHistogram(rng.Int64N(9)), nil)
			default:
				h := tsdbutil.GenerateTestHistogram(n)
				h.Schema = int32(i/60) % 4
				_, err = app.AppendHistogram(0, l, ts, h, nil)
			}
			if err != nil {
				p.t.Fatal(err)
			}
		}
		if err := app.Commit(); err != nil {
			p.t.Fatal(err)
		}
	}
}

// startTimestamps fills a source with counters that say when they began.
func startTimestamps(p *promDB, rng *rand.Rand) {
	series := target("app", "a:1", 6)
	began := base - hour
	for i := range 9 * 60 {
		ts := base + int64(i)*minute
		if rng.IntN(90) == 0 {
			began = ts - second
		}
		app := p.AppenderV2(p.t.Context())
		for k, l := range series {
			st := began
			if k == 5 {
				st = 0
			}
			var h *histogram.Histogram
			if k == 4 {
				h = tsdbutil.GenerateTestHistogram(int64(i))
			}
			if _, err := app.Append(0, l, st, ts, float64(i), h, nil, promstorage.AOptions{}); err != nil {
				p.t.Fatal(err)
			}
		}
		if err := app.Commit(); err != nil {
			p.t.Fatal(err)
		}
	}
}

func outOfOrder(p *promDB, rng *rand.Rand) {
	v := values(rng)
	for i := range 8 * 60 {
		p.at(base+int64(i)*minute, target("node", "a:1", 10), func(s int) float64 { return v(s, i) })
	}
	p.compact()
	series := target("node", "a:1", 10)
	for range 300 {
		k := rng.IntN(4)
		p.at(base+rng.Int64N(8*60)*minute+30*second+rng.Int64N(2)*second, series[k:k+1], func(int) float64 { return 7 })
	}
}

// optionsOf are those of a source's database.
func optionsOf(name string) []func(*promtsdb.Options) {
	if strings.HasPrefix(name, "start timestamps") {
		return []func(*promtsdb.Options){withStarts}
	}
	return nil
}

func TestImport(t *testing.T) {
	for seed, src := range sources {
		t.Run(src.name, func(t *testing.T) {
			p := newPromDB(t, optionsOf(src.name)...)
			src.fill(p, rand.New(rand.NewPCG(uint64(seed), 1)))
			dir, want := p.end()
			fs := mem.New()
			db := open(t, fs)
			o := importOptions(t)
			sum, err := prometheus.Import(t.Context(), db.DB, dir, o)
			if err != nil {
				t.Fatal(err)
			}
			if d := diff(all(t, db.DB), want); d != "" {
				t.Fatal(d)
			}
			if sum.Samples != want.samples() || sum.Present != 0 || sum.Differ != 0 {
				t.Errorf("%+v: want %d samples added", sum, want.samples())
			}

			// Again, with the record and without it: nothing is added.
			for _, o := range []prometheus.ImportOptions{o, importOptions(t)} {
				sum, err = prometheus.Import(t.Context(), db.DB, dir, o)
				if err != nil {
					t.Fatal(err)
				}
				if sum.Samples != 0 || sum.Ranges != 0 || sum.Differ != 0 {
					t.Errorf("a repeated import: %+v", sum)
				}
			}
			if err := db.Compact(t.Context()); err != nil {
				t.Fatal(err)
			}
			if err := db.stop(); err != nil {
				t.Fatal(err)
			}
			if d := diff(all(t, open(t, fs).DB), want); d != "" {
				t.Fatalf("after compaction and a restart: %s", d)
			}
		})
	}
}

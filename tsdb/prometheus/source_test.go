package prometheus_test

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"
	promstorage "github.com/prometheus/prometheus/storage"
	promtsdb "github.com/prometheus/prometheus/tsdb"
	"github.com/prometheus/prometheus/tsdb/chunkenc"

	"github.com/nilometer/nilometer/model/column"
)

const (
	second = int64(1000)
	minute = 60 * second
	hour   = 60 * minute
	// base is where the tests' samples begin: aligned to every block range.
	base = 9000 * 54 * hour
)

// sample is one sample: a float by its bits, or a histogram as text; a stale
// marker is a float.
type sample struct {
	T         int64
	Bits      uint64
	Histogram string
	Start     int64
}

// sampleOf returns a sample for comparison. Hints about counter resets are left
// out, and buckets that are empty: both depend on what stands before in a chunk.
func sampleOf(x column.Sample) sample {
	s := sample{T: x.T, Start: x.Start}
	switch h := x.H; {
	case x.IsStale():
		s.Bits = value.StaleNaN
	case h.Int != nil:
		h := *h.Int.Copy().Compact(0)
		h.CounterResetHint = histogram.UnknownCounterReset
		type plain histogram.Histogram // without a method that shortens
		s.Histogram = fmt.Sprintf("%+v", plain(h))
	case h.Float != nil:
		h := *h.Float.Copy().Compact(0)
		h.CounterResetHint = histogram.UnknownCounterReset
		type plain histogram.FloatHistogram
		s.Histogram = fmt.Sprintf("%+v", plain(h))
	default:
		s.Bits = math.Float64bits(x.V)
	}
	return s
}

// content is what a store has: samples by label set.
type content map[string][]sample

// promDB is a Prometheus database that a test fills.
type promDB struct {
	*promtsdb.DB
	t   *testing.T
	dir string
}

func newPromDB(t *testing.T, change ...func(*promtsdb.Options)) *promDB {
	t.Helper()
	dir := t.TempDir()
	o := promtsdb.DefaultOptions()
	o.OutOfOrderTimeWindow = 24 * hour
	o.RetentionDuration = math.MaxInt64 / 4
	for _, c := range change {
		c(o)
	}
	db, err := promtsdb.Open(dir, slog.New(slog.DiscardHandler), nil, o, nil)
	if err != nil {
		t.Fatal(err)
	}
	db.DisableCompactions()
	p := &promDB{DB: db, t: t, dir: dir}
	t.Cleanup(func() { _ = db.Close() }) // most tests have closed it
	return p
}

// at appends samples of several series at one time.
func (p *promDB) at(ts int64, series []labels.Labels, v func(i int) float64) {
	p.t.Helper()
	app := p.Appender(p.t.Context())
	for i, l := range series {
		if _, err := app.Append(0, l, ts, v(i)); err != nil {
			p.t.Fatal(err)
		}
	}
	if err := app.Commit(); err != nil {
		p.t.Fatal(err)
	}
}

// compact makes blocks of what can be one.
func (p *promDB) compact() {
	p.t.Helper()
	if err := p.Compact(p.t.Context()); err != nil {
		p.t.Fatal(err)
	}
}

// end returns what Prometheus itself answers, closes the database, and returns
// its directory.
func (p *promDB) end() (string, content) {
	p.t.Helper()
	q, err := p.Querier(math.MinInt64, math.MaxInt64)
	if err != nil {
		p.t.Fatal(err)
	}
	c := readQuerier(p.t, q)
	if err := q.Close(); err != nil {
		p.t.Fatal(err)
	}
	if err := p.Close(); err != nil {
		p.t.Fatal(err)
	}
	return p.dir, c
}

func readQuerier(t *testing.T, q promstorage.Querier) content {
	t.Helper()
	out := content{}
	set := q.Select(context.Background(), true, nil, labels.MustNewMatcher(labels.MatchRegexp, "__name__", ".*"))
	var it chunkenc.Iterator
	for set.Next() {
		s := set.At()
		key := s.Labels().String()
		it = s.Iterator(it)
		for vt := it.Next(); vt != chunkenc.ValNone; vt = it.Next() {
			x := column.Sample{T: it.AtT(), Start: it.AtST()}
			switch vt {
			case chunkenc.ValHistogram:
				_, x.H.Int = it.AtHistogram(nil)
			case chunkenc.ValFloatHistogram:
				_, x.H.Float = it.AtFloatHistogram(nil)
			default:
				_, x.V = it.At()
			}
			out[key] = append(out[key], sampleOf(x))
		}
		if it.Err() != nil {
			t.Fatal(it.Err())
		}
	}
	if set.Err() != nil {
		t.Fatal(set.Err())
	}
	return out
}

// target returns the series of one target.
func target(job, instance string, metrics int) []labels.Labels {
	var out []labels.Labels
	for i := range metrics {
		out = append(out, labels.FromStrings("__name__", fmt.Sprintf("metric_%03d", i), "instance", instance, "job", job))
	}
	return out
}

// values are what exporters have: constants, counters, gauges, floats of all
// kinds.
func values(rng *rand.Rand) func(series, at int) float64 {
	return func(series, at int) float64 {
		switch series % 7 {
		case 0:
			return 1
		case 1:
			return float64(at * 15)
		case 2:
			return rng.Float64() * 1000
		case 3:
			return float64(rng.IntN(50)) / 10
		case 4:
			return []float64{math.Inf(1), math.Inf(-1), math.Copysign(0, -1), math.NaN(), math.MaxFloat64, 5e-324}[rng.IntN(6)]
		case 5:
			return math.Float64frombits(rng.Uint64())
		}
		return float64(at / 20)
	}
}

// diff describes the first difference of two contents, "" for none.
func diff(got, want content) string {
	for _, key := range sortedKeys(want) {
		g, w := got[key], want[key]
		if len(g) != len(w) {
			return fmt.Sprintf("%s has %d samples, want %d", key, len(g), len(w))
		}
		for i := range w {
			if g[i] != w[i] {
				return fmt.Sprintf("%s, sample %d: got %+v, want %+v (%s)", key, i, g[i], w[i], time.UnixMilli(w[i].T).UTC())
			}
		}
	}
	for _, key := range sortedKeys(got) {
		if len(want[key]) == 0 {
			return fmt.Sprintf("%s has %d samples, and should not exist", key, len(got[key]))
		}
	}
	return ""
}

func sortedKeys(c content) []string {
	keys := make([]string, 0, len(c))
	for k := range c {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

func (c content) samples() (n uint64) {
	for _, s := range c {
		n += uint64(len(s))
	}
	return n
}

func stale() float64 { return math.Float64frombits(value.StaleNaN) }

// withStarts switches start timestamps on.
func withStarts(o *promtsdb.Options) {
	o.EnableSTStorage, o.EnableHistogramSTEncoding, o.FloatChunkEncoding = true, true, chunkenc.EncXOR2
}

package block_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/nilometer/nilometer/blob/mem"
	"github.com/nilometer/nilometer/model/column"
	"github.com/nilometer/nilometer/model/tenant"
	"github.com/nilometer/nilometer/tsdb/block"
	"github.com/nilometer/nilometer/tsdb/part"
	"github.com/nilometer/nilometer/tsdb/part/parttest"
)

// zoo is a part with label sets of several shapes.
func zoo(n int) *parttest.Part {
	p := parttest.New("zoo")
	id := p.Regular(0, 15_000, 4)
	for i := range n {
		b := labels.NewBuilder(labels.EmptyLabels())
		b.Set("__name__", fmt.Sprintf("metric_%d_total", i%37))
		b.Set("instance", fmt.Sprintf("10.0.0.%d:9100", i%50))
		b.Set("id", fmt.Sprintf("%05d", i))
		if i%3 > 0 {
			b.Set("job", []string{"node", "db", "web"}[i%3])
		}
		if i%7 == 0 {
			b.Set("Zone", fmt.Sprint("z", i%2)) // sorts before __name__
		}
		if i%11 == 0 {
			b.Set("path", strings.Repeat("/x", i%40)+"/ä\x00")
		}
		p.Samples(b.Labels(), id, column.Sample{T: 15_000, V: float64(i)})
	}
	return p
}

func TestSelect(t *testing.T) {
	src := zoo(3000)
	bucket := mem.New()
	write(t, bucket, 1, block.Options{}, src)
	b := open(t, bucket, 1, nil)
	m := labels.MustNewMatcher
	cases := [][]*labels.Matcher{
		nil,
		{m(labels.MatchEqual, "__name__", "metric_7_total")},
		{m(labels.MatchEqual, "__name__", "metric_7")},
		{m(labels.MatchEqual, "nothing", "x")},
		{m(labels.MatchEqual, "nothing", "")},
		{m(labels.MatchEqual, "job", "")},
		{m(labels.MatchNotEqual, "job", "")},
		{m(labels.MatchNotEqual, "job", "db")},
		{m(labels.MatchNotEqual, "nothing", "db")},
		{m(labels.MatchRegexp, "job", "db|web")},
		{m(labels.MatchRegexp, "job", "db|")},
		{m(labels.MatchRegexp, "job", "")},
		{m(labels.MatchRegexp, "job", ".*")},
		{m(labels.MatchRegexp, "job", ".+")},
		{m(labels.MatchRegexp, "job", "(?i)DB")},
		{m(labels.MatchNotRegexp, "job", "db|web")},
		{m(labels.MatchNotRegexp, "job", "db|")},
		{m(labels.MatchNotRegexp, "job", ".+")},
		{m(labels.MatchNotRegexp, "job", ".*")},
		{m(labels.MatchNotRegexp, "job", "d.+")},
		{m(labels.MatchNotRegexp, "nothing", "")},
		{m(labels.MatchRegexp, "__name__", "metric_1.*")},
		{m(labels.MatchRegexp, "__name__", "metric_1.*_total"), m(labels.MatchNotRegexp, "instance", "10.0.0.[1-3].*")},
		{m(labels.MatchRegexp, "id", "0[01].*5"), m(labels.MatchEqual, "job", ""), m(labels.MatchNotEqual, "Zone", "z0")},
		{m(labels.MatchRegexp, "path", ".*x/ä.*")},
		{m(labels.MatchRegexp, "path", "(?s).*x/ä.*")},
		{m(labels.MatchNotEqual, "__name__", "metric_7_total"), m(labels.MatchEqual, "instance", "10.0.0.9:9100")},
	}
	for _, ms := range cases {
		t.Run(fmt.Sprint(ms), func(t *testing.T) {
			got, err := parttest.Read(t.Context(), b, ms...)
			if err != nil {
				t.Fatal(err)
			}
			want, err := parttest.Read(t.Context(), src, ms...)
			if err != nil {
				t.Fatal(err)
			}
			if diff := parttest.Diff(got, want); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestLabelNamesAndValues(t *testing.T) {
	src := zoo(500)
	bucket := mem.New()
	write(t, bucket, 1, block.Options{}, src)
	b := open(t, bucket, 1, nil)
	want, _ := src.LabelNames(t.Context())
	got, err := b.LabelNames(t.Context())
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("names %q, %v; want %q", got, err, want)
	}
	for _, name := range append(want, "nothing") {
		want, _ := src.LabelValues(t.Context(), name)
		got, err := b.LabelValues(t.Context(), name)
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("values of %s %q, %v; want %q", name, got, err, want)
		}
	}
	refs, err := b.Select(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, ref := range refs {
		for _, name := range append(want, "nothing") {
			if got, want := b.LabelValue(ref, name), src.LabelValue(ref, name); got != want {
				t.Fatalf("label %s of %d is %q, want %q", name, ref, got, want)
			}
		}
	}
}

// TestPiecesOfARange: every sample in a range is in the pieces of that range,
// and the column keys tell equal columns.
func TestPiecesOfARange(t *testing.T) {
	rng := rand.New(rand.NewPCG(4, 4))
	src := parttest.Random(rng, "source", parttest.RandomOptions{Targets: 3, Metrics: 4, Start: 0, Interval: 60_000, Positions: 2000, Gaps: true})
	bucket := mem.New()
	write(t, bucket, 1, block.Options{}, src)
	b := open(t, bucket, 1, nil)
	refs, err := b.Select(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for range 300 {
		ref := refs[rng.IntN(len(refs))]
		from := rng.Int64N(2000 * 60_000)
		to := from + rng.Int64N(300*60_000)
		in := func(p part.Part) []parttest.Series {
			samples, err := parttest.Samples(p, ref, from, to)
			if err != nil {
				t.Fatal(err)
			}
			samples = slices.DeleteFunc(samples, func(s column.Sample) bool { return s.T < from || s.T > to })
			return []parttest.Series{{Samples: samples}}
		}
		if diff := parttest.Diff(in(b), in(src)); diff != "" {
			t.Fatal(diff)
		}
		pieces, err := b.Pieces(ref, from, to, nil)
		if err != nil {
			t.Fatal(err)
		}
		if n, bytes := b.EstimateSeries(ref, from, to); len(pieces) > 0 && (n == 0 || bytes == 0) {
			t.Errorf("estimate of %d pieces: %d samples, %d bytes", len(pieces), n, bytes)
		}
		for _, p := range pieces {
			times, err := b.Column(p.Column)
			if err != nil {
				t.Fatal(err)
			}
			if b.ColumnKey(p.Column) != block.HashTimes(times) {
				t.Error("column key")
			}
		}
	}
}

// TestMovedSeries: a series that leaves a column in the middle of a tile for
// another one, and comes back, keeps its pieces in order of time, not
// overlapping.
func TestMovedSeries(t *testing.T) {
	p := parttest.New("source")
	a, c := p.Regular(0, 60_000, 480), p.Regular(30_000, 60_000, 480)
	lset := labels.FromStrings("__name__", "up")
	samples := func(from, to, phase int64) (out []column.Sample) {
		for k := from; k < to; k++ {
			out = append(out, column.Sample{T: k*60_000 + phase, V: float64(k)})
		}
		return out
	}
	p.Samples(lset, a, samples(10, 100, 0)...)
	p.Samples(lset, c, samples(150, 300, 30_000)...)
	p.Samples(lset, a, samples(310, 400, 0)...)
	p.Samples(labels.FromStrings("__name__", "z"), a, samples(0, 480, 0)...)
	bucket := mem.New()
	write(t, bucket, 1, block.Options{RowMs: 3_600_000}, p)
	b := open(t, bucket, 1, nil)
	if diff := parttest.Diff(read(t, b), read(t, p)); diff != "" {
		t.Fatal(diff)
	}
	pieces, err := b.Pieces(0, math.MinInt64, math.MaxInt64, nil)
	if err != nil || len(pieces) != 3 || pieces[0].From != 10 || pieces[0].To != 100 || pieces[2].To != 400 {
		t.Errorf("%v %+v", err, pieces)
	}
}

func TestStaleOnly(t *testing.T) {
	p := parttest.New("source")
	id := p.Regular(0, 1000, 10)
	p.Samples(labels.FromStrings("__name__", "gone"), id, column.Sample{T: 3000, V: column.StaleNaN()})
	bucket := mem.New()
	write(t, bucket, 1, block.Options{}, p)
	if diff := parttest.Diff(read(t, open(t, bucket, 1, nil)), read(t, p)); diff != "" {
		t.Fatal(diff)
	}
}

func TestEmptyPartIsNoBlock(t *testing.T) {
	bucket := mem.New()
	_, err := block.Write(t.Context(), bucket, tenant.Default, blockID(1), block.Options{}, block.Meta{}, parttest.New("empty"))
	if !errors.Is(err, block.ErrEmpty) {
		t.Errorf("got %v", err)
	}
	if names := list(t, bucket); len(names) != 0 {
		t.Errorf("left behind: %v", names)
	}
}

// TestDamagedSourceFailsTheWrite, and leaves nothing.
func TestDamagedSourceFailsTheWrite(t *testing.T) {
	src := zoo(100)
	lost := errors.New("lost")
	refs, _ := src.Select(t.Context())
	sb := labels.NewScratchBuilder(4)
	src.Labels(refs[50], &sb)
	src.Damage(sb.Labels(), lost)
	bucket := mem.New()
	_, err := block.Write(t.Context(), bucket, tenant.Default, blockID(1), block.Options{}, block.Meta{}, src)
	if !errors.Is(err, lost) {
		t.Errorf("got %v", err)
	}
	if names := list(t, bucket); len(names) != 0 {
		t.Errorf("left behind: %v", names)
	}
}

// TestConcurrentReaders share a cache that holds a fraction of the block.
func TestConcurrentReaders(t *testing.T) {
	rng := rand.New(rand.NewPCG(8, 8))
	src := parttest.Random(rng, "source", parttest.RandomOptions{Targets: 5, Metrics: 40, Start: 0, Interval: 15_000, Positions: 960, Gaps: true})
	bucket := mem.New()
	write(t, bucket, 1, block.Options{Compress: true, PageBytes: 4096}, src)
	cache := block.NewCache(20 << 10)
	b := open(t, bucket, 1, cache)
	want := read(t, src)
	var wg sync.WaitGroup
	for range 4 {
		b.Retain()
		wg.Add(1)
		go func() {
			defer wg.Done()
			got, err := parttest.Read(context.Background(), b)
			if err != nil {
				t.Error(err)
				return
			}
			if diff := parttest.Diff(got, want); diff != "" {
				t.Error(diff)
			}
			if err := b.Release(); err != nil {
				t.Error(err)
			}
		}()
	}
	wg.Wait()
	if used := cache.UsedBytes(); used > 80<<10 {
		t.Errorf("the cache holds %d bytes", used)
	}
}

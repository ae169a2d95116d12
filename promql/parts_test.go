package promql_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	oracle "github.com/prometheus/prometheus/promql"

	"github.com/nilometer/nilometer/model/tenant"
	"github.com/nilometer/nilometer/promql"
	"github.com/nilometer/nilometer/storage"
	"github.com/nilometer/nilometer/storage/storagetest"
)

// whole answers every query at once, parted in many parts of which it keeps all.
func whole(o promql.Options) promql.Options {
	o.CacheMaxBytes, o.SplitInterval = -1, -1
	return o
}

func parted(o promql.Options, split time.Duration) promql.Options {
	o.CacheMaxBytes, o.SplitInterval = 64<<20, split
	return o
}

// TestPartsAgree asks the same expressions again and again while samples come, in
// order and late, and are deleted: what is put together of parts, some of them
// kept from before, is what is evaluated at once.
func TestPartsAgree(t *testing.T) {
	n, seed := fromEnvironment(t, "NILOMETER_PROMQL_EXPRESSIONS", 3000), fromEnvironment(t, "NILOMETER_PROMQL_SEED", 1)
	const perData = 600
	kept, steps, failures := 0, 0, 0
	for done := 0; done < n; done += perData {
		seed := uint64(seed + done)
		g := &generator{rnd: rand.New(rand.NewPCG(seed, 5)), histograms: done/perData%3 == 2}
		all := generate(seed, 3, 160)
		if g.histograms {
			all = generateHistograms(seed, 3, 160)
		}
		store := storagetest.NewMemory(storagetest.MemoryOptions{BatchSeries: 5, TilePositions: 50, LateWindow: 1000 * time.Hour})
		feed := &feed{rnd: g.rnd, all: all}
		o := promql.Options{Workers: 2, DelayedNameRemoval: g.rnd.IntN(4) == 0}
		p := parted(o, pick(g, -1, 7*time.Second, time.Minute, 5*time.Minute, time.Hour))
		p.HeldPoints = int64(pick(g, 0, 1, 500))
		a, b := newEngine(t, whole(o)), newEngine(t, p)
		exprs := expressions()
		for range 40 {
			exprs = append(exprs, g.vector(1+g.rnd.IntN(3)))
		}
		g.rnd.Shuffle(len(exprs), func(i, j int) { exprs[i], exprs[j] = exprs[j], exprs[i] })
		exprs = exprs[:20]
		for range perData {
			if g.rnd.IntN(4) == 0 {
				feed.step(t, store)
			}
			expr := exprs[g.rnd.IntN(len(exprs))]
			step := pick(g, 15*time.Second, 15*time.Second, 67*time.Second)
			from := time.UnixMilli(dataStart + int64(g.rnd.IntN(60))*step.Milliseconds() - 100*step.Milliseconds() + int64(g.rnd.IntN(2)))
			q := promql.Query{Expr: expr, Start: from, End: from.Add(step*time.Duration(g.rnd.IntN(150)) + time.Duration(g.rnd.IntN(1000))), Step: step}
			d, res := differentRanges(a, b, store, q)
			if d != "" {
				t.Errorf("seed %d, %s from %d to %d step %v: %s", seed, expr, q.Start.UnixMilli(), q.End.UnixMilli(), step, d)
				if failures++; failures > 10 {
					t.Fatal("stopping")
				}
			}
			if res != nil {
				kept, steps = kept+res.Stats.StepsKept, steps+res.Stats.Steps
			}
		}
	}
	t.Logf("%d of %d steps were kept", kept, steps)
	if kept*20 < steps {
		t.Errorf("%d of %d steps were kept: the test asks for nothing twice", kept, steps)
	}
}

// differentRanges asks two engines for a range, and returns what they disagree
// about and b's answer.
func differentRanges(a, b *promql.Engine, r storage.Reader, q promql.Query) (string, *promql.Result) {
	want, werr := a.Range(context.Background(), r, tenant.Default, q)
	got, err := b.Range(context.Background(), r, tenant.Default, q)
	if werr != nil || err != nil {
		if werr == nil || err == nil || !sameError(err.Error(), werr.Error()) {
			return fmt.Sprintf("error %v, want %v", err, werr), nil
		}
		return "", nil
	}
	if d := differentAnnotations(q.Expr, got.Warnings, want.Warnings); d != "" {
		return d, got
	}
	return differentMatrices(withoutHints(got), withoutHints(want)), got
}

// withoutHints forgets which histograms are known not to be resets: of the first
// one that is read nobody knows, and no answer shows it.
func withoutHints(r *promql.Result) oracle.Matrix {
	m := toUpstream(r).Value.(oracle.Matrix)
	for _, s := range m {
		for i, p := range s.Histograms {
			if p.H.CounterResetHint == histogram.NotCounterReset {
				h := *p.H
				h.CounterResetHint = histogram.UnknownCounterReset
				s.Histograms[i].H = &h
			}
		}
	}
	return m
}

// feed brings series bit by bit.
type feed struct {
	rnd  *rand.Rand
	all  []storagetest.Series
	at   int64 // up to which it has been brought
	late []storagetest.Series
}

func (f *feed) step(t *testing.T, store *storagetest.Memory) {
	t.Helper()
	from := max(f.at, dataStart-1)
	f.at = from + int64(f.rnd.IntN(300_000))
	var now, late []storagetest.Series
	for _, s := range f.all {
		var x, y []storagetest.Sample
		for _, v := range s.Samples {
			if v.T <= from || v.T > f.at {
				continue
			}
			if f.rnd.IntN(40) == 0 {
				y = append(y, v)
			} else {
				x = append(x, v)
			}
		}
		now, late = append(now, storagetest.Series{Labels: s.Labels, Samples: x}), append(late, storagetest.Series{Labels: s.Labels, Samples: y})
	}
	if f.rnd.IntN(3) == 0 {
		f.load(t, store, f.late)
		f.late = nil
	}
	f.load(t, store, now)
	f.late = append(f.late, late...)
	if f.rnd.IntN(6) == 0 {
		mint := dataStart + int64(f.rnd.IntN(1500_000))
		m := labels.MustNewMatcher(labels.MatchRegexp, "__name__", f.all[f.rnd.IntN(len(f.all))].Labels.Get("__name__"))
		if err := store.Delete(t.Context(), tenant.Default, mint, mint+int64(f.rnd.IntN(100_000)), m); err != nil {
			t.Fatal(err)
		}
	}
}

func (f *feed) load(t *testing.T, store *storagetest.Memory, all []storagetest.Series) {
	t.Helper()
	all = slices.DeleteFunc(slices.Clone(all), func(s storagetest.Series) bool { return len(s.Samples) == 0 })
	for _, s := range all {
		if err := storagetest.Load(t.Context(), store, tenant.Default, s); err != nil {
			t.Fatal(err)
		}
	}
}

// TestOneEvaluatesForAll asks one question at once by many.
func TestOneEvaluatesForAll(t *testing.T) {
	store := memory(t, generate(3, 12, 300), storagetest.MemoryOptions{})
	e := newEngine(t, parted(promql.Options{ConcurrentMax: 20}, -1))
	q := span(`sum by (job) (rate(requests_total[5m]))`)
	var mu sync.Mutex
	read, kept := int64(0), 0
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			res, err := e.Range(context.Background(), store, tenant.Default, q)
			if err != nil {
				t.Error(err)
				return
			}
			defer res.Close()
			mu.Lock()
			defer mu.Unlock()
			read += res.Stats.SamplesRead
			if res.Stats.StepsKept == res.Stats.Steps {
				kept++
			}
		})
	}
	all.Wait()
	once := ask(t, newEngine(t, whole(promql.Options{})), store, q)
	if kept != 19 || read != once.Stats.SamplesRead {
		t.Errorf("%d of 20 answers were kept ones, %d samples were read, want 19 and %d", kept, read, once.Stats.SamplesRead)
	}
	fresh := q
	fresh.NoCache = true
	if res := ask(t, e, store, fresh); res.Stats.StepsKept != 0 {
		t.Errorf("%d steps were kept, though none were asked for", res.Stats.StepsKept)
	}
}

// TestLongRangesAreSplit: each part is estimated and read on its own.
func TestLongRangesAreSplit(t *testing.T) {
	store := memory(t, generate(3, 4, 300), storagetest.MemoryOptions{})
	q := span(`sum by (job) (rate(requests_total[5m]))`)
	series := int64(0)
	for _, split := range []time.Duration{-1, 7 * time.Minute} {
		o := parted(promql.Options{}, split)
		o.CacheMaxBytes = -1
		res := ask(t, newEngine(t, o), store, q)
		if split < 0 {
			series = res.Stats.SeriesSelected
		} else if res.Stats.SeriesSelected < 3*series || series == 0 {
			t.Errorf("%d series were selected, %d at once: the range of 20 minutes was not split every %v", res.Stats.SeriesSelected, series, split)
		}
	}
}

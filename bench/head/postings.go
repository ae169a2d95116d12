package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"time"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/nilometer/nilometer/model/series"
	"github.com/nilometer/nilometer/model/tenant"
	"github.com/nilometer/nilometer/storage"
	"github.com/nilometer/nilometer/tsdb/head"
)

// The made-up fleet: each target has perTarget series with 10 labels, of 10
// names, 100 of the 5,000 paths, 5 codes; 12 targets are a cluster; 1,000 paths
// begin with /y.
const (
	perTarget       = 5000
	pathsPerTarget  = 100
	targetsTogether = 12
)

// postings measures selections over n made-up series.
func postings(ctx context.Context, heads *head.Heads, n int) error {
	r := rand.New(rand.NewPCG(1, 2))
	start := time.Now()
	for i := range (n + perTarget - 1) / perTarget {
		if err := resolve(ctx, heads, i, fleet(r, i)); err != nil {
			return err
		}
	}
	h := heads.Head(tenant.Default)
	fmt.Printf("%d series made, %.0f ns each\n", h.Series(), float64(time.Since(start).Nanoseconds())/float64(h.Series()))
	sizes := h.Sizes()
	fmt.Printf("index and members %.0f bytes/series outside of the Go heap\n", float64(sizes.Bytes)/float64(sizes.Series))
	for _, q := range []struct {
		name string
		ms   []*labels.Matcher
	}{
		{`{cluster="c7",path=~"/y.*",code!="500"}`, []*labels.Matcher{
			labels.MustNewMatcher(labels.MatchEqual, "cluster", "c7"),
			labels.MustNewMatcher(labels.MatchRegexp, "path", "/y.*"),
			labels.MustNewMatcher(labels.MatchNotEqual, "code", "500"),
		}},
		{`{__name__="m3",path="/y5"}`, []*labels.Matcher{
			labels.MustNewMatcher(labels.MatchEqual, "__name__", "m3"),
			labels.MustNewMatcher(labels.MatchEqual, "path", "/y5"),
		}},
		{`{instance="10.0.0.5:80"}`, []*labels.Matcher{labels.MustNewMatcher(labels.MatchEqual, "instance", "10.0.0.5:80")}},
		{`{path=~".*99"}`, []*labels.Matcher{labels.MustNewMatcher(labels.MatchRegexp, "path", ".*99")}},
		{`{__name__="m3"}`, []*labels.Matcher{labels.MustNewMatcher(labels.MatchEqual, "__name__", "m3")}},
	} {
		if err := measure(ctx, h, q.name, q.ms); err != nil {
			return err
		}
	}
	return nil
}

// measure prints the best and the median of some selections.
func measure(ctx context.Context, h *head.Head, name string, ms []*labels.Matcher) error {
	snap := h.Snapshot(-1 << 62)
	defer snap.Release()
	runtime.GC()
	var took []time.Duration
	found := 0
	for begin := time.Now(); len(took) < 5 || time.Since(begin) < time.Second && len(took) < 200; {
		start := time.Now()
		refs, err := snap.Select(ctx, ms...)
		if err != nil {
			return err
		}
		took, found = append(took, time.Since(start)), len(refs)
	}
	slices.Sort(took)
	fmt.Printf("%-45s %8d series, %v (median %v)\n", name, found, took[0].Round(time.Microsecond), took[len(took)/2].Round(time.Microsecond))
	return nil
}

// fleet returns the series of a target.
func fleet(r *rand.Rand, target int) []labels.Labels {
	out := make([]labels.Labels, 0, perTarget)
	for p := range pathsPerTarget {
		path := fmt.Sprintf("/%c%d", "yabcd"[r.IntN(5)], r.IntN(1000/pathsPerTarget)*pathsPerTarget+p)
		for name := range 10 {
			for _, code := range []string{"200", "204", "301", "404", "500"} {
				out = append(out, labels.FromStrings(
					"__name__", fmt.Sprint("m", name), "cluster", fmt.Sprint("c", target/targetsTogether), "code", code, "env", "production",
					"instance", fmt.Sprintf("10.0.%d.%d:80", target/250, target%250), "job", "web", "method", "GET", "path", path,
					"region", fmt.Sprint("r", target%5), "team", "shop",
				))
			}
		}
	}
	return out
}

// resolve makes the series of a target known.
func resolve(ctx context.Context, heads *head.Heads, target int, lsets []labels.Labels) error {
	key, _ := series.KeyOf(lsets[0], nil)
	g, err := heads.OpenGroup(ctx, tenant.Default, storage.GroupSpec{Kind: storage.Closed, Key: key, Name: fmt.Sprint("scrape", target)})
	if err != nil {
		return err
	}
	out := make([]storage.Resolution, len(lsets))
	b := storage.Batch{Time: begin, Values: make([]float64, len(lsets))}
	if b.Version, err = g.Resolve(ctx, lsets, out); err != nil {
		return err
	}
	for _, r := range out {
		b.Slots = append(b.Slots, r.Slot)
	}
	_, err = g.Append(ctx, &b, storage.Logged)
	return err
}

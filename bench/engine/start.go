package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"runtime/pprof"
	"sync/atomic"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"

	"github.com/nilometer/nilometer/bench/corpus"
	"github.com/nilometer/nilometer/model/column"
	"github.com/nilometer/nilometer/model/tenant"
	"github.com/nilometer/nilometer/storage"
	"github.com/nilometer/nilometer/tsdb"
)

// start opens what fill has left, and tells when the first answer and the
// complete one were there.
func start(ctx context.Context, o options) error {
	rec, err := corpus.Load("node", 1)
	if err != nil {
		return err
	}
	end := begin + int64(o.scrapes)*o.interval.Milliseconds()
	var now atomic.Int64
	now.Store(end)
	stop, err := profile(o.profile)
	if err != nil {
		return err
	}
	debug.SetGCPercent(startGCPercent)
	peak := watch()
	begun := time.Now()
	db, err := open(ctx, o, func() time.Time { return time.UnixMilli(now.Load()) }, nil)
	if err != nil {
		return err
	}
	opened := time.Since(begun)
	go db.Run(ctx) //nolint:errcheck // it ends with the process
	n, err := count(ctx, db, storage.Selection{MinTime: end - 300_000, MaxTime: end, Matchers: []*labels.Matcher{
		labels.MustNewMatcher(labels.MatchEqual, model.MetricNameLabel, "node_load1"),
		labels.MustNewMatcher(labels.MatchEqual, "instance", instance(o.targets(rec)/2)), // one that nothing has replaced
	}})
	if err != nil {
		return err
	}
	first := time.Since(begun)
	replayed := peak()
	peak = watch()
	all, err := count(ctx, db, storage.Selection{MinTime: end - 300_000, MaxTime: end})
	if err != nil {
		return err
	}
	if err := stop(); err != nil {
		return err
	}
	counted := peak()
	debug.SetGCPercent(gcPercent)
	peak = watch()
	fmt.Printf("start: open %.2f s, first answer (%d series) after %.2f s, all %d series after %.2f s\n",
		opened.Seconds(), n, first.Seconds(), all, time.Since(begun).Seconds())
	if err := db.Cut(ctx); err != nil { // the span is not over yet
		return err
	}
	var took time.Duration
	now.Store(end + (3 * time.Hour).Milliseconds())
	slow, err := beside(ctx, o, db, &now, func() error {
		begun := time.Now()
		defer func() { took = time.Since(begun) }()
		return db.Cut(ctx)
	})
	if err != nil {
		return err
	}
	m, most := measure(), peak()
	fmt.Println("during the cut", slow)
	perSeries := func(n int64) float64 { return float64(n) / float64(all) }
	fmt.Printf("cut: %.1f s; bytes/series: anonymous %.0f, files %.0f; peak of anonymous up to the first answer %.0f, up to all %.0f, up to the end of the cut %.0f\n", took.Seconds(),
		perSeries(m.anonymous), perSeries(m.files), perSeries(replayed.anonymous), perSeries(counted.anonymous), perSeries(most.anonymous))
	return nil
}

// profile begins a CPU profile; it does nothing without a file.
func profile(file string) (stop func() error, err error) {
	if file == "" {
		return func() error { return nil }, nil
	}
	f, err := os.Create(file)
	if err != nil {
		return nil, err
	}
	if err := pprof.StartCPUProfile(f); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return func() error { pprof.StopCPUProfile(); return f.Close() }, nil
}

// count returns the number of series that have a sample.
func count(ctx context.Context, db *tsdb.DB, s storage.Selection) (int, error) {
	v, err := db.View(ctx, tenant.Default)
	if err != nil {
		return 0, err
	}
	defer v.Close()
	scan, err := v.Select(ctx, s)
	if err != nil {
		return 0, err
	}
	defer scan.Close()
	n := 0
	var b storage.ColumnBatch
	for {
		ok, err := scan.Next(ctx, &b)
		if err != nil || !ok {
			return n, err
		}
		for i := range b.Ranks {
			for k, c := range b.Series(i) {
				if c.Kind != storage.None && column.PresentCount(c.Runs, b.Tiles[k].Len()) > 0 {
					n++
					break
				}
			}
		}
	}
}

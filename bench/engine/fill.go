package main

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/prometheus/model/labels"

	"github.com/nilometer/nilometer/bench/corpus"
	"github.com/nilometer/nilometer/model/series"
	"github.com/nilometer/nilometer/model/tenant"
	"github.com/nilometer/nilometer/storage"
	"github.com/nilometer/nilometer/tsdb"
)

// target is one scraped exporter.
type target struct {
	group storage.Group
	batch storage.Batch
}

// fill writes the scrapes and ends without closing the database.
func fill(ctx context.Context, o options) error {
	rec, err := corpus.Load("node", o.scrapes)
	if err != nil {
		return err
	}
	var now atomic.Int64
	now.Store(begin)
	reg := prometheus.NewRegistry()
	db, err := open(ctx, o, func() time.Time { return time.UnixMilli(now.Load()) }, reg)
	if err != nil {
		return err
	}
	go db.Run(ctx) //nolint:errcheck // it ends with the process
	windowScrapes := max(1, int(window/o.interval))
	if o.changing > 0 {
		stir(rec, windowScrapes, o.changing)
	}
	ts, err := resolve(ctx, db, rec, o.targets(rec))
	if err != nil {
		return err
	}
	begun, samples, peak := time.Now(), 0, watch()
	left := 0.0 // of targets to be replaced
	var first, firstCPU time.Duration
	fresh := 0 // samples of the first scrapes
	cpu := worked()
	for k := range o.scrapes {
		if k == 1 {
			first, firstCPU, fresh = time.Since(begun), worked()-cpu, samples
		}
		t := begin + int64(k)*o.interval.Milliseconds()
		for left += o.churn * float64(len(ts.all)) * o.interval.Hours(); left >= 1; left-- {
			now.Store(t)
			if err := ts.replace(ctx, db, rec, t); err != nil {
				return err
			}
		}
		for i := range ts.all {
			x := &ts.all[i]
			// Every target is at another place of the recording.
			x.batch.Time = t + int64(i)%o.interval.Milliseconds()
			x.batch.Values = rec.Values[(k+7*i)%len(rec.Values)]
			durability := storage.Logged
			if i == len(ts.all)-1 {
				durability = storage.Synced
			}
			now.Store(x.batch.Time)
			res, err := x.group.Append(ctx, &x.batch, durability)
			if err != nil || len(res.Rejected) > 0 {
				return fmt.Errorf("append: %+v, %w", res, err)
			}
			samples += len(x.batch.Slots)
		}
	}
	elapsed, worked, most := time.Since(begun)-first, worked()-cpu-firstCPU, peak()
	fmt.Printf("share of the series that change within %v: %.2f; targets replaced: %d\n", window, changing(rec, windowScrapes), ts.made-len(ts.all))
	n := float64(db.ActiveSeries(tenant.Default))
	each := func(d time.Duration, samples int) float64 { return float64(d.Nanoseconds()) / float64(max(1, samples)) }
	fmt.Printf("%.0f series of %d targets, %d samples: %.1f ns/sample with log and seals, %.1f of CPU; the first of each series %.0f and %.0f\n",
		n, len(ts.all), samples, each(elapsed, samples-fresh), each(worked, samples-fresh), each(first, fresh), each(firstCPU, fresh))
	fmt.Printf("peak memory, bytes/series: anonymous %.0f, files %.0f\n", float64(most.anonymous)/n, float64(most.files)/n)
	written, err := counter(reg, "nilometer_wal_appended_bytes_total")
	if err != nil {
		return err
	}
	fmt.Printf("bytes/sample: log %.3f, of which %.3f is still there; seals and series %.3f\n", written/float64(samples), size(o.dir, "wal")/float64(samples), size(o.dir, "head")/float64(samples))
	os.Exit(0) //nolint:gocritic // as a kill would end it
	return nil
}

// targets are those that are scraped now.
type targets struct {
	all  []target
	made int // so far
	next int // to be replaced
}

func resolve(ctx context.Context, db *tsdb.DB, rec *corpus.Recording, n int) (*targets, error) {
	ts := &targets{all: make([]target, n)}
	for i := range ts.all {
		var err error
		if ts.all[i], err = ts.make(ctx, db, rec); err != nil {
			return nil, err
		}
	}
	return ts, nil
}

// make makes a target that was not there before.
func (ts *targets) make(ctx context.Context, db *tsdb.DB, rec *corpus.Recording) (t target, err error) {
	lsets := rec.Of(instance(ts.made))
	ts.made++
	key, _ := series.KeyOf(lsets[0], nil)
	if t.group, err = db.OpenGroup(ctx, tenant.Default, storage.GroupSpec{Kind: storage.Closed, Key: key, Name: "scrape"}); err != nil {
		return t, err
	}
	return t, t.resolve(ctx, lsets)
}

// resolve finds the slots of a target's series.
func (t *target) resolve(ctx context.Context, lsets []labels.Labels) (err error) {
	out := make([]storage.Resolution, len(lsets))
	if t.batch.Version, err = t.group.Resolve(ctx, lsets, out); err != nil {
		return err
	}
	t.batch.Slots = t.batch.Slots[:0]
	for _, r := range out {
		t.batch.Slots = append(t.batch.Slots, r.Slot)
	}
	return nil
}

// replace ends the next target at t and puts another one in its place.
func (ts *targets) replace(ctx context.Context, db *tsdb.DB, rec *corpus.Recording, t int64) error {
	x := &ts.all[ts.next%len(ts.all)]
	ts.next++
	if _, err := x.group.Append(ctx, &storage.Batch{Time: t, Version: x.batch.Version, BodyStale: true}, storage.Logged); err != nil {
		return fmt.Errorf("end a target: %w", err)
	}
	var err error
	*x, err = ts.make(ctx, db, rec)
	return err
}

// targets is how many have so many series.
func (o options) targets(rec *corpus.Recording) int {
	return (o.series + len(rec.Labels) - 1) / len(rec.Labels)
}

func instance(i int) string { return fmt.Sprintf("10.%d.%d.%d:9100", i/62500, i/250%250, i%250) }

// size is the number of bytes below a directory.
func size(elem ...string) float64 {
	var n int64
	_ = filepath.WalkDir(filepath.Join(elem...), func(_ string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return nil
		}
		if info, err := d.Info(); err == nil {
			n += info.Size()
		}
		return nil
	})
	return float64(n)
}

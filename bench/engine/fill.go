package main

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

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
	db, err := open(ctx, o, func() time.Time { return time.UnixMilli(now.Load()) })
	if err != nil {
		return err
	}
	go db.Run(ctx) //nolint:errcheck // it ends with the process
	targets, err := resolve(ctx, db, rec, (o.series+len(rec.Labels)-1)/len(rec.Labels))
	if err != nil {
		return err
	}
	begun, samples, peak := time.Now(), 0, memory{}
	for k := range o.scrapes {
		for i := range targets {
			t := &targets[i]
			// Every target is at another place of the recording.
			t.batch.Time = begin + int64(k)*o.interval.Milliseconds() + int64(i)%o.interval.Milliseconds()
			t.batch.Values = rec.Values[(k+7*i)%len(rec.Values)]
			durability := storage.Logged
			if i == len(targets)-1 {
				durability = storage.Synced
			}
			now.Store(t.batch.Time)
			res, err := t.group.Append(ctx, &t.batch, durability)
			if err != nil || len(res.Rejected) > 0 {
				return fmt.Errorf("append: %+v, %w", res, err)
			}
			samples += len(t.batch.Slots)
		}
		if k%4 == 3 {
			peak = peak.max(measure())
		}
	}
	elapsed := time.Since(begun)
	n := float64(db.ActiveSeries(tenant.Default))
	fmt.Printf("%.0f series of %d targets, %d samples: %.1f ns/sample with log and seals\n", n, len(targets), samples, float64(elapsed.Nanoseconds())/float64(samples))
	fmt.Printf("peak memory, bytes/series: anonymous %.0f, files %.0f\n", float64(peak.anonymous)/n, float64(peak.files)/n)
	fmt.Printf("bytes/sample: log %.3f, seals and series %.3f\n", size(o.dir, "wal")/float64(samples), size(o.dir, "head")/float64(samples))
	os.Exit(0) //nolint:gocritic // as a kill would end it
	return nil
}

func resolve(ctx context.Context, db *tsdb.DB, rec *corpus.Recording, n int) ([]target, error) {
	targets := make([]target, n)
	for i := range targets {
		lsets := rec.Of(instance(i))
		key, _ := series.KeyOf(lsets[0], nil)
		t := &targets[i]
		var err error
		if t.group, err = db.OpenGroup(ctx, tenant.Default, storage.GroupSpec{Kind: storage.Closed, Key: key, Name: "scrape"}); err != nil {
			return nil, err
		}
		out := make([]storage.Resolution, len(lsets))
		if t.batch.Version, err = t.group.Resolve(ctx, lsets, out); err != nil {
			return nil, err
		}
		for _, r := range out {
			t.batch.Slots = append(t.batch.Slots, r.Slot)
		}
	}
	return targets, nil
}

func instance(i int) string { return fmt.Sprintf("10.0.%d.%d:9100", i/250, i%250) }

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

package attack

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/nilometer/nilometer/bench/corpus"
	"github.com/nilometer/nilometer/model/series"
	"github.com/nilometer/nilometer/model/tenant"
	"github.com/nilometer/nilometer/storage"
	"github.com/nilometer/nilometer/tsdb"
)

// Interval is the time between two scrapes that Fill writes.
const Interval = 15 * time.Second

// recorded is how many scrapes of the recording are used.
const recorded = 240

// Fill makes a data directory with about so many series of recorded node
// exporters, and so many scrapes of each of them up to now. It returns how many
// series and samples there are.
func Fill(ctx context.Context, dir string, wanted, scrapes int) (found uint64, samples int, err error) {
	rec, err := corpus.Load("node", recorded)
	if err != nil {
		return 0, 0, err
	}
	first := time.Now().Add(-time.Duration(scrapes) * Interval).UnixMilli()
	var now atomic.Int64
	now.Store(first)
	db, err := tsdb.Open(ctx, tsdb.Options{}, tsdb.Deps{Dir: dir, Clock: func() time.Time { return time.UnixMilli(now.Load()) }})
	if err != nil {
		return 0, 0, err
	}
	ctx, end := context.WithCancel(ctx)
	defer end()
	ended := make(chan error, 1)
	go func() { ended <- db.Run(ctx) }()
	type target struct {
		group storage.Group
		batch storage.Batch
	}
	targets := make([]target, (wanted+len(rec.Labels)-1)/len(rec.Labels))
	for i := range targets {
		x := &targets[i]
		lsets := rec.Of(fmt.Sprintf("10.0.%d.%d:9100", i/250, i%250))
		key, _ := series.KeyOf(lsets[0], nil)
		if x.group, err = db.OpenGroup(ctx, tenant.Default, storage.GroupSpec{Kind: storage.Closed, Key: key, Name: "scrape"}); err != nil {
			return 0, 0, err
		}
		out := make([]storage.Resolution, len(lsets))
		if x.batch.Version, err = x.group.Resolve(ctx, lsets, out); err != nil {
			return 0, 0, err
		}
		for _, r := range out {
			x.batch.Slots = append(x.batch.Slots, r.Slot)
		}
	}
	for k := range scrapes {
		for i := range targets {
			x := &targets[i]
			x.batch.Time = first + int64(k)*Interval.Milliseconds() + int64(i*37)%Interval.Milliseconds()
			x.batch.Values = rec.Values[(k+7*i)%len(rec.Values)]
			now.Store(max(now.Load(), x.batch.Time))
			if _, err := x.group.Append(ctx, &x.batch, storage.Logged); err != nil {
				return 0, 0, err
			}
			samples += len(x.batch.Slots)
		}
	}
	found = db.ActiveSeries(tenant.Default)
	end()
	if err := <-ended; err != nil {
		return 0, 0, err
	}
	return found, samples, db.Close()
}

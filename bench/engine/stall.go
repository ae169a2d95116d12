package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"

	"github.com/nilometer/nilometer/bench/corpus"
	"github.com/nilometer/nilometer/storage"
	"github.com/nilometer/nilometer/tsdb"
)

// stalls are how long scrapes and small queries took while something else ran.
type stalls struct{ appends, queries []time.Duration }

// scraped is the number of targets that are scraped meanwhile.
const scraped = 50

// beside scrapes some targets, and asks for one series, one after the other
// without a pause of more than a millisecond, until work has returned.
func beside(ctx context.Context, o options, db *tsdb.DB, at *atomic.Int64, work func() error) (s stalls, err error) {
	rec, err := corpus.Load("node", 2)
	if err != nil {
		return s, err
	}
	ts, err := resolve(ctx, db, rec, min(scraped, o.targets(rec)))
	if err != nil {
		return s, err
	}
	done := make(chan struct{})
	var wg sync.WaitGroup
	var appendErr, queryErr error
	repeat := func(times *[]time.Duration, failed *error, do func(k int) error) {
		wg.Go(func() {
			for k := 0; *failed == nil; k++ {
				begun := time.Now()
				*failed = do(k)
				*times = append(*times, time.Since(begun))
				select {
				case <-done:
					return
				case <-time.After(time.Millisecond):
				}
			}
		})
	}
	repeat(&s.appends, &appendErr, func(k int) error {
		i := k % len(ts.all)
		x := &ts.all[i]
		x.batch.Time, x.batch.Values = at.Load()+int64(k), rec.Values[k%len(rec.Values)]
		_, err := x.group.Append(ctx, &x.batch, storage.Logged)
		if errors.Is(err, storage.ErrVersion) { // the cut has forgotten what is stale
			if err = x.resolve(ctx, rec.Of(instance(i))); err == nil {
				_, err = x.group.Append(ctx, &x.batch, storage.Logged)
			}
		}
		return err
	})
	repeat(&s.queries, &queryErr, func(int) error {
		now := at.Load()
		_, err := count(ctx, db, storage.Selection{MinTime: now - 300_000, MaxTime: now + 3_600_000, Matchers: []*labels.Matcher{
			labels.MustNewMatcher(labels.MatchEqual, model.MetricNameLabel, "node_load1"),
			labels.MustNewMatcher(labels.MatchEqual, "instance", instance(0)),
		}})
		return err
	})
	err = work()
	close(done)
	wg.Wait()
	return s, errors.Join(err, appendErr, queryErr)
}

// String has median, 99th percentile and maximum.
func (s stalls) String() string {
	text := func(d []time.Duration) string {
		slices.Sort(d)
		return fmt.Sprintf("%.1f, %.1f, %.1f ms (%d times)", ms(d[len(d)/2]), ms(d[len(d)*99/100]), ms(d[len(d)-1]), len(d))
	}
	return fmt.Sprintf("a scrape took %s, a query %s: median, 99th percentile, most", text(s.appends), text(s.queries))
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

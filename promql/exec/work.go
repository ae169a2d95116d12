package exec

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"

	"github.com/nilometer/nilometer/promql/function"
	"github.com/nilometer/nilometer/storage"
)

// Panic is what a worker's panic becomes in the goroutine that waits for it.
type Panic struct {
	Value any
	Stack []byte
}

// Error is the panic's value.
func (p *Panic) Error() string { return fmt.Sprint(p.Value) }

// crew is the workers of one scan and what they share.
type crew struct {
	run   *Run
	src   *rowSource
	grid  function.Grid
	sink  rowSink
	feed  *feed
	order *turns // nil: the order of rows does not matter

	touched sync.Mutex // held while a worker hands in what it counted
}

// work reads a scan into a sink with as many workers as the query has.
func (r *Run) work(ctx context.Context, src *rowSource, g function.Grid, scan storage.Scan, sink rowSink, lanes int) error {
	c := &crew{run: r, src: src, grid: g, sink: sink, feed: &feed{scan: scan}}
	if lanes > 0 {
		c.order = newTurns(lanes)
	}
	// The workers take cores of their own while this goroutine waits.
	r.core.give()
	if r.q.Workers == 1 || scan.Series() < 2 {
		c.one(ctx)
	} else {
		var wg sync.WaitGroup
		for range r.q.Workers {
			wg.Go(func() { c.one(ctx) })
		}
		wg.Wait()
	}
	err := c.feed.failure()
	var p *Panic
	if errors.As(err, &p) {
		panic(p)
	}
	if err != nil {
		return err
	}
	return r.core.take(ctx)
}

// one is a worker from its first unit to the end of the scan.
func (c *crew) one(ctx context.Context) {
	w := newWorker(c.run, c.src, c.grid, c.sink, c.order)
	defer w.close(&c.touched)
	defer func() {
		if p := recover(); p != nil {
			c.fail(&Panic{Value: p, Stack: debug.Stack()})
		}
	}()
	for {
		if err := w.core.take(ctx); err != nil {
			c.fail(err)
			return
		}
		u, ok, err := c.feed.claim(ctx)
		if !ok {
			if err != nil {
				c.fail(err)
			}
			return
		}
		err = w.unit(ctx, u)
		c.feed.finish(u)
		w.report(u.to - u.from)
		if err != nil {
			c.fail(err)
			return
		}
	}
}

// fail ends all workers.
func (c *crew) fail(err error) {
	c.feed.fail(err)
	if c.order != nil {
		c.order.fail()
	}
}

// reportSeries is how many series a worker reads before it says so: the counts
// are shared, and ten thousand batches of one series would feel it.
const reportSeries = 64

// report counts a unit of so many series as read.
func (w *worker) report(series int) {
	if w.seriesRead += int64(series); w.seriesRead >= reportSeries {
		w.tell()
	}
}

func (w *worker) tell() {
	w.run.seriesRead.Add(w.seriesRead)
	w.run.samplesRead.Add(w.samplesRead)
	w.seriesRead, w.samplesRead = 0, 0
}

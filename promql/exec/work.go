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

// strand is one of the sources that read a scan together, and where its rows go.
type strand struct {
	src  *rowSource
	sink rowSink
	// rankOf, if not nil, has the ranks of its series by those of the scan, -1 for
	// those that it leaves out.
	rankOf []int32
	order  *turns // nil: the order of rows does not matter
	// ends are the right ends of the windows of all steps, ms.
	ends []int64
}

// begin tells the sink of the scan, as the strand sees it.
func (st *strand) begin(scan storage.Scan) error {
	lanes, err := st.sink.begin(scan)
	if lanes > 0 {
		st.order = newTurns(lanes)
	}
	return err
}

// crew is the workers of one scan and what they share.
type crew struct {
	run     *Run
	grid    function.Grid
	strands []*strand
	feed    *feed

	touched sync.Mutex // held while a worker hands in what it counted
}

// pointsSmall is for how many points, with at least stepsLeast for each series, a
// second worker is worth its start: another processor wakes up for it and has
// nothing of what is read in its caches. Those of windows of more than windowShort
// ms count more: some functions look at all samples.
const (
	pointsSmall = 16 << 10
	stepsLeast  = 64
	windowShort = 300_000
)

// small tells whether one worker is enough.
func (c *crew) small() bool {
	points := int64(c.feed.scan.Series()) * int64(max(c.grid.Steps, stepsLeast))
	for _, st := range c.strands {
		if points*max(1, st.src.rangeMs/windowShort) >= pointsSmall {
			return false
		}
	}
	return true
}

// work reads a scan into the sinks of its strands with as many workers as the
// query has.
func (r *Run) work(ctx context.Context, g function.Grid, scan storage.Scan, strands ...*strand) error {
	c := &crew{run: r, grid: g, strands: strands, feed: &feed{scan: scan}}
	for _, st := range strands {
		if err := r.q.Budget.takeBytes(int64(g.Steps)*8, st.src.where); err != nil {
			return err
		}
		defer r.q.Budget.giveBytes(int64(g.Steps) * 8)
		st.ends = make([]int64, g.Steps)
		for i := range st.ends {
			st.ends[i] = st.src.when.Reference(g.At(i))
		}
	}
	// The workers take cores of their own while this goroutine waits.
	r.core.give()
	if r.q.Workers == 1 || c.small() {
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

// one is a goroutine from its first batch to the end of the scan: it has a worker
// for every strand.
func (c *crew) one(ctx context.Context) {
	own := &core{of: c.run.q.Cores}
	defer own.give()
	workers := make([]*worker, len(c.strands))
	for i, st := range c.strands {
		workers[i] = newWorker(c.run, st, c.grid, own)
		defer workers[i].close(&c.touched)
	}
	defer func() {
		if p := recover(); p != nil {
			c.fail(&Panic{Value: p, Stack: debug.Stack()})
		}
	}()
	var b storage.ColumnBatch
	for {
		if err := own.take(ctx); err != nil {
			c.fail(err)
			return
		}
		if !c.feed.next(ctx, &b) {
			c.fail(nil)
			return
		}
		for _, w := range workers {
			if err := w.read(ctx, &b); err != nil {
				c.fail(err)
				return
			}
		}
		workers[0].report(len(b.Ranks))
	}
}

// fail ends all workers, if err or what the feed has failed with is an error.
func (c *crew) fail(err error) {
	if err != nil {
		c.feed.fail(err)
	}
	if !c.feed.failed.Load() {
		return
	}
	for _, st := range c.strands {
		if st.order != nil {
			st.order.fail()
		}
	}
}

// reportSeries is how many series a worker reads before it says so: the counts
// are shared, and ten thousand batches of one series would feel it.
const reportSeries = 64

// report counts a batch of so many series as read.
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

package exec

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Cores bounds the goroutines that work on queries at one time, over all
// queries: beyond the number of processors more of them make nothing faster,
// and everything else on the machine slower. Who waits is served in order of
// arrival. It is safe for concurrent use.
type Cores struct {
	waits atomic.Int32 // len(queue)
	owed  atomic.Bool  // free < 0

	mu        sync.Mutex // guards all below
	n         int
	free      int             // -1: the next that is given up is for essential queries
	essential int             // queries under way
	queue     []chan struct{} // closed when the core is theirs
}

// NewCores returns n cores, at least 1.
func NewCores(n int) *Cores { return &Cores{n: n, free: n} }

// Essential keeps one of several cores free until end is called: essential
// queries take none, and this leaves them a processor to run on.
func (c *Cores) Essential() (end func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.essential++; c.essential == 1 && c.n > 1 {
		c.free--
		c.owed.Store(c.free < 0)
	}
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.essential--; c.essential == 0 && c.n > 1 {
			c.giveLocked()
		}
	}
}

func (c *Cores) take(ctx context.Context) error {
	c.mu.Lock()
	if c.free > 0 {
		c.free--
		c.mu.Unlock()
		return nil
	}
	mine := make(chan struct{})
	c.queue = append(c.queue, mine)
	c.waits.Add(1)
	c.mu.Unlock()
	select {
	case <-mine:
		return nil
	case <-ctx.Done():
	}
	c.mu.Lock()
	i := slices.Index(c.queue, mine)
	if i >= 0 {
		c.queue = slices.Delete(c.queue, i, i+1)
		c.waits.Add(-1)
	}
	c.mu.Unlock()
	if i < 0 { // it came at the same moment
		c.give()
	}
	return ctx.Err()
}

func (c *Cores) give() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.giveLocked()
}

func (c *Cores) giveLocked() {
	if c.free < 0 || len(c.queue) == 0 {
		c.free++
		c.owed.Store(c.free < 0)
		return
	}
	close(c.queue[0])
	c.queue = slices.Delete(c.queue, 0, 1)
	c.waits.Add(-1)
}

// Do calls f with one of the cores, or returns why ctx ended before there was
// one.
func (c *Cores) Do(ctx context.Context, f func() error) error {
	if err := c.take(ctx); err != nil {
		return err
	}
	defer c.give()
	return f()
}

// slice is how long a goroutine works before it lets another one have its
// core: short beside what a person notices, long beside the change.
const slice = 5 * time.Millisecond

// core is one goroutine's hold on one of Cores, or none. Without Cores its
// methods do nothing, but for pause, which looks at the context.
type core struct {
	of    *Cores
	held  bool
	since time.Time
}

// take waits for a core, unless it is held.
func (c *core) take(ctx context.Context) error {
	if c.of == nil || c.held {
		return nil
	}
	if err := c.of.take(ctx); err != nil {
		return err
	}
	c.held, c.since = true, time.Now()
	return nil
}

// give gives the core up. Who waits for another goroutine of its query does so
// first: that one may wait for a core.
func (c *core) give() {
	if c.held {
		c.held = false
		c.of.give()
	}
}

// pause lets another goroutine work if one waits, and this one has had its
// time, or if the core is owed to essential queries. Afterwards the core is held again, or ctx has ended.
func (c *core) pause(ctx context.Context) error {
	if !c.held {
		return ctx.Err()
	}
	if !c.of.owed.Load() && (c.of.waits.Load() == 0 || time.Since(c.since) < slice) {
		return ctx.Err()
	}
	c.give()
	return c.take(ctx)
}

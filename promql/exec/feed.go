package exec

import (
	"context"
	"sync"
	"sync/atomic"

	"github.com/nilometer/nilometer/storage"
)

// feed is what the workers of a scan share: each takes batches by itself, until
// one fails.
type feed struct {
	scan   storage.Scan
	failed atomic.Bool // err is set

	mu  sync.Mutex // guards err
	err error
}

// next fills b with another batch; ok is false at the end, and after an error.
func (f *feed) next(ctx context.Context, b *storage.ColumnBatch) (ok bool) {
	if f.failed.Load() {
		return false
	}
	ok, err := f.scan.Next(ctx, b)
	if err != nil {
		f.fail(err)
		return false
	}
	return ok
}

// fail makes every later next end.
func (f *feed) fail(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err == nil {
		f.err = err
		f.failed.Store(true)
	}
}

// failure returns the first error.
func (f *feed) failure() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.err
}

// turns makes workers add to a lane in the order of their batches.
type turns struct {
	mu   sync.Mutex // guards next and dead
	cond *sync.Cond
	next []int // per lane, the sequence number whose turn it is
	dead bool
}

func newTurns(lanes int) *turns {
	t := &turns{next: make([]int, lanes)}
	t.cond = sync.NewCond(&t.mu)
	for i := range t.next {
		t.next[i] = i
	}
	return t
}

// wait blocks until it is seq's turn, and returns its lane; false when the
// scan failed meanwhile. Before it blocks it gives the core up: whose turn it is
// may wait for one.
func (t *turns) wait(seq int, c *core) (lane int, ok bool) {
	lane = seq % len(t.next)
	t.mu.Lock()
	defer t.mu.Unlock()
	for t.next[lane] != seq && !t.dead {
		c.give()
		t.cond.Wait()
	}
	return lane, !t.dead
}

func (t *turns) done(seq int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.next[seq%len(t.next)] += len(t.next)
	t.cond.Broadcast()
}

// fail wakes everybody.
func (t *turns) fail() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.dead = true
	t.cond.Broadcast()
}

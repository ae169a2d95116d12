package exec

import (
	"context"
	"sync"

	"github.com/nilometer/nilometer/storage"
)

// unitSeries is how many series of a batch a worker takes at a time: large
// enough that windows are located rarely, small enough that a single large
// target keeps several workers busy.
const unitSeries = 128

// feed cuts a scan into units, in order, and hands them to workers.
type feed struct {
	scan storage.Scan

	mu   sync.Mutex // guards what is below
	cur  *sharedBatch
	next int // first series of cur that was not handed out
	seq  int // units handed out
	free []*sharedBatch
	done bool
	err  error
}

// sharedBatch is a batch that several workers read.
type sharedBatch struct {
	storage.ColumnBatch
	id    int // of the batch, counted through the scan
	users int // units that are being worked on, guarded by feed.mu
	spent bool
}

// unit is a piece of work: the series [from, to) of a batch.
type unit struct {
	*sharedBatch
	from, to int
	seq      int
}

// claim returns the next unit; ok is false at the end, and after an error.
func (f *feed) claim(ctx context.Context) (u unit, ok bool, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err != nil || f.done {
		return unit{}, false, f.err
	}
	for f.cur == nil || f.next >= len(f.cur.Ranks) {
		if err := f.advanceLocked(ctx); err != nil || f.done {
			f.err = err
			return unit{}, false, err
		}
	}
	to := min(f.next+unitSeries, len(f.cur.Ranks))
	u = unit{sharedBatch: f.cur, from: f.next, to: to, seq: f.seq}
	f.next = to
	f.seq++
	f.cur.users++
	return u, true, nil
}

func (f *feed) advanceLocked(ctx context.Context) error {
	id := 0
	if f.cur != nil {
		id = f.cur.id + 1
		f.cur.spent = true
		f.recycleLocked(f.cur)
		f.cur = nil
	}
	var b *sharedBatch
	if n := len(f.free); n > 0 {
		b, f.free = f.free[n-1], f.free[:n-1]
	} else {
		b = &sharedBatch{}
	}
	b.spent, b.id = false, id
	ok, err := f.scan.Next(ctx, &b.ColumnBatch)
	if err != nil {
		return err
	}
	if !ok {
		f.done = true
		return nil
	}
	f.cur, f.next = b, 0
	return nil
}

// finish gives a unit back.
func (f *feed) finish(u unit) {
	f.mu.Lock()
	defer f.mu.Unlock()
	u.users--
	f.recycleLocked(u.sharedBatch)
}

func (f *feed) recycleLocked(b *sharedBatch) {
	if b.spent && b.users == 0 {
		b.spent = false
		f.free = append(f.free, b)
	}
}

// fail makes every later claim end.
func (f *feed) fail(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err == nil {
		f.err = err
	}
}

// failure returns the first error.
func (f *feed) failure() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.err
}

// turns makes workers add to a lane in the order of their units.
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

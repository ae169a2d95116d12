package frontend

import (
	"context"
	"sync"
)

// Flights are the keys for which somebody evaluates. The zero value is ready.
type Flights struct {
	mu  sync.Mutex // guards all below
	now map[Key]*flight
}

// flight is a query that is being evaluated.
type flight struct {
	grid     Grid
	waiting  int
	answered bool // written before done is closed
	done     chan struct{}
}

// waitingMax bounds those that wait for one flight: who comes then evaluates
// himself, or waits where all queries wait.
const waitingMax = 100

// Enter waits while somebody evaluates most of the steps of a query with its key.
// The caller calls leave when it has evaluated what the cache has not, and says
// whether it has an answer: if so, those that have waited go on all at once, else
// one of them evaluates. The error is that of ctx.
func (f *Flights) Enter(ctx context.Context, k Key, q Grid) (leave func(answered bool), err error) {
	for {
		f.mu.Lock()
		other := f.now[k]
		if other == nil {
			own := &flight{grid: q, done: make(chan struct{})}
			if f.now == nil {
				f.now = map[Key]*flight{}
			}
			f.now[k] = own
			f.mu.Unlock()
			return func(answered bool) { f.leave(k, own, answered) }, nil
		}
		if other.waiting >= waitingMax || !other.helps(q) {
			f.mu.Unlock()
			return func(bool) {}, nil
		}
		other.waiting++
		f.mu.Unlock()
		select {
		case <-other.done:
			if other.answered {
				return func(bool) {}, nil
			}
		case <-ctx.Done():
			f.mu.Lock()
			other.waiting--
			f.mu.Unlock()
			return nil, ctx.Err()
		}
	}
}

// helps tells whether at least half of a query's steps are among a flight's.
func (f *flight) helps(q Grid) bool {
	common := min(q.End, f.grid.End) - max(q.Start, f.grid.Start)
	return 2*common >= q.End-q.Start
}

func (f *Flights) leave(k Key, own *flight, answered bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.now, k)
	own.answered = answered
	close(own.done)
}

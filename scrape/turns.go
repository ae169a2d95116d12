package scrape

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
)

const (
	// turnsPerCPU is how many scrapes are decompressed, read and stored at one time
	// for each processor. More would not be done earlier, only all of them later.
	turnsPerCPU = 2
	// newcomersMax is how many targets without remembered lines wait for a turn.
	// Each of their lines costs some twenty times what a known one does: where ten
	// thousand such targets come at once, those that go on must not wait for them,
	// and none of them may come to nothing because all were begun.
	newcomersMax = 256
)

// turns says which scrapes are worked on. Targets whose lines are remembered go
// before others, and in the order in which they came.
type turns struct {
	mu      sync.Mutex // guards what follows
	free    int
	waiting [2][]chan struct{} // by rank
}

// rank is who goes first.
type rank int

const (
	known rank = iota
	newcomer
)

func newTurns() *turns { return &turns{free: turnsPerCPU * runtime.GOMAXPROCS(0)} }

var errCrowded = errors.New("the scrape was not made, this server is short of CPU: too many targets are new at once, and go first")

// crowded tells whether one more newcomer would find no place to wait.
func (t *turns) crowded() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.waiting[newcomer]) >= newcomersMax
}

// take waits for a turn, which give ends.
func (t *turns) take(ctx context.Context, r rank) error {
	t.mu.Lock()
	if t.free > 0 {
		t.free--
		t.mu.Unlock()
		return nil
	}
	if r == newcomer && len(t.waiting[r]) >= newcomersMax {
		t.mu.Unlock()
		return errCrowded
	}
	mine := make(chan struct{}, 1)
	t.waiting[r] = append(t.waiting[r], mine)
	t.mu.Unlock()
	select {
	case <-mine:
		return nil
	case <-ctx.Done():
	}
	t.mu.Lock()
	at := slices.Index(t.waiting[r], mine)
	if at >= 0 {
		t.waiting[r] = slices.Delete(t.waiting[r], at, at+1)
	}
	t.mu.Unlock()
	if at < 0 { // it came at the same time
		t.give()
	}
	return fmt.Errorf("the scrape was not worked on, this server is short of CPU: scrape less often, or fewer targets: %w", ctx.Err())
}

// give ends a turn: the next one's begins.
func (t *turns) give() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for r := range t.waiting {
		if w := t.waiting[r]; len(w) > 0 {
			t.waiting[r] = w[1:]
			w[0] <- struct{}{}
			return
		}
	}
	t.free++
}

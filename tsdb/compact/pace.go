package compact

import (
	"context"
	"time"
)

// Pace makes work take a share of the time: it pauses as long as the share asks
// for after each stretch of work. One goroutine uses it. The clock is the
// machine's.
type Pace struct {
	// Share is over 0, and at most 1.
	Share float64

	since time.Time // when the stretch began
}

// paceStretch is the work between two pauses: short beside what a query waits
// for, long beside what a pause costs.
const paceStretch = 10 * time.Millisecond

// Pause ends a stretch of work that has been long enough. It ends with ctx's cause.
func (p *Pace) Pause(ctx context.Context) error {
	now := time.Now()
	if p.since.IsZero() {
		p.since = now
	}
	busy := now.Sub(p.since)
	if busy < paceStretch {
		return nil
	}
	timer := time.NewTimer(time.Duration(float64(busy) * (1 - p.Share) / p.Share))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	p.since = time.Now()
	return nil
}

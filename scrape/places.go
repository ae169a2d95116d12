package scrape

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// placesLimit is the limit of places, as errors name it.
const placesLimit = "nilometer.scrape.job_concurrency_max"

// takePlace waits for one of the pool's places of scrapes under way, and returns
// how long. The error says whether there was none until the deadline, or no time
// for a scrape at all.
func (l *loop) takePlace(ctx context.Context) (waited time.Duration, err error) {
	if err := l.pool.checkTargets(); err != nil {
		return 0, err
	}
	if l.sink.rank() == newcomer && l.manager.bodies.turns.crowded() {
		return 0, errCrowded
	}
	if err := ctx.Err(); err != nil {
		return 0, fmt.Errorf("the scrape began after its deadline, this server is short of CPU: %w", err)
	}
	select {
	case l.pool.places <- struct{}{}: // rather than a deadline that has just passed
		return 0, nil
	default:
	}
	begin := time.Now()
	select {
	case l.pool.places <- struct{}{}:
		return time.Since(begin), nil
	case <-ctx.Done():
		l.manager.metrics.noPlace.Inc()
		return 0, fmt.Errorf("no request was sent: until the deadline, %s after the scrape began, other targets of the job had all of its %d places "+
			"for scrapes under way (%s): raise it, or give slow targets a shorter scrape_timeout or a job of their own: %w",
			deadline(l.spec.interval, l.spec.timeout), cap(l.pool.places), placesLimit, ctx.Err())
	}
}

func (l *loop) givePlace() { <-l.pool.places }

// afterWait says of a scrape that was too late how much of its time it had
// waited for a place.
func (l *loop) afterWait(waited time.Duration, err error) error {
	if waited < time.Millisecond || !errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return fmt.Errorf("%w, after %s of waiting for one of the %d places of the job (%s)", err, waited.Round(time.Millisecond), cap(l.pool.places), placesLimit)
}

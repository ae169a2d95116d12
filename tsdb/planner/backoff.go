package planner

import (
	"math"
	"time"
)

// Backoff keeps a loop that has failed from trying again at every turn.
type Backoff struct {
	failures int
	until    time.Time
}

// BackoffMax bounds the pause after failures.
const BackoffMax = time.Hour

// Pauses tells whether it is too early to try again.
func (b *Backoff) Pauses(now time.Time) bool { return now.Before(b.until) }

// Ended notes the end of a try: each failure in a row doubles the pause, from
// one interval on.
func (b *Backoff) Ended(now time.Time, interval time.Duration, err error) {
	if err == nil {
		*b = Backoff{}
		return
	}
	b.until = now.Add(min(BackoffMax, time.Duration(float64(interval)*math.Pow(2, float64(min(b.failures, 20))))))
	b.failures++
}

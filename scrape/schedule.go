package scrape

import "time"

// toleranceMax is how far from its schedule a scrape may begin and still get
// the scheduled timestamp, which keeps time columns regular. Prometheus takes 2 ms
// where nothing else is asked for; here the targets of a step begin together, 67 of
// ten thousand at 15 s, and a third of them later than that.
const toleranceMax = 10 * time.Millisecond

// schedule says when a target is scraped and with which timestamp. It is a pure
// step machine; times carry the monotonic clock where the system has one, so
// that a step of the wall clock moves timestamps and not the rhythm.
type schedule struct {
	interval time.Duration
	next     time.Time // of the scrape to come
}

// newSchedule begins at the first time after now that has the given phase in
// its interval of the wall clock, or at now.
func newSchedule(now time.Time, interval, phase time.Duration, immediately bool) schedule {
	if immediately {
		return schedule{interval, now}
	}
	wait := (phase - time.Duration(now.UnixNano()%int64(interval)) + interval) % interval
	return schedule{interval, now.Add(wait)}
}

// stamp returns the timestamp (ms) of the scrape that begins now. When the
// wall clock was set since the schedule began, the schedule takes it over.
func (s *schedule) stamp(now time.Time) int64 {
	tolerance := min(toleranceMax, s.interval/100)
	wall := now.Round(0).Sub(s.next.Round(0))
	if -tolerance <= wall && wall <= tolerance {
		return s.next.UnixMilli()
	}
	if moved := wall - now.Sub(s.next); moved < -tolerance || moved > tolerance {
		s.next = now
	}
	return now.UnixMilli()
}

// advance moves to the next scrape after now and returns how many were missed.
func (s *schedule) advance(now time.Time) (missed int) {
	s.next = s.next.Add(s.interval)
	if late := now.Sub(s.next); late > 0 {
		missed = int(late/s.interval) + 1
		s.next = s.next.Add(time.Duration(missed) * s.interval)
	}
	return missed
}

// deadline is the longest that a scrape may take: the timeout, but so much
// less than the interval that scrapes never overlap.
func deadline(interval, timeout time.Duration) time.Duration {
	return min(timeout, interval-interval/20)
}

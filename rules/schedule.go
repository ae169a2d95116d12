package rules

import (
	"time"

	"github.com/cespare/xxhash/v2"
)

// madeUpMax bounds the evaluations made up after a stall; older ones are
// counted as missed.
const madeUpMax = 120

// phase spreads groups over their interval: the group's own, always the same
// offset. It is whole milliseconds, as intervals are: so are then the times of
// samples, and a time that was saved and loaded is still the same.
func phase(file, name string, interval time.Duration) time.Duration {
	h := xxhash.Sum64String(file + "\x00" + name)
	return time.Duration(h%uint64(max(interval.Milliseconds(), 1))) * time.Millisecond
}

// firstEvaluation is the first time of a group's schedule that is not before
// now.
func firstEvaluation(now time.Time, interval, phase time.Duration) time.Time {
	since := time.Duration((now.UnixNano() - int64(phase)) % int64(interval))
	if since == 0 {
		return now
	}
	return now.Add(interval - since)
}

// nextEvaluation is the time after last that is evaluated next: the following
// one, unless more than madeUpMax have passed by now. missed counts those left
// out.
func nextEvaluation(last, now time.Time, interval time.Duration) (next time.Time, missed int) {
	next = last.Add(interval)
	if behind := int(now.Sub(next) / interval); behind >= madeUpMax {
		missed = behind - madeUpMax + 1
		next = next.Add(time.Duration(missed) * interval)
	}
	return next, missed
}

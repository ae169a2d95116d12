package load

import (
	"errors"
	"fmt"
	"time"
)

const (
	targetsMax = 100_000
	seriesMax  = 1_000_000
	// restartMax keeps the nanoseconds of a _sum within an int64.
	restartMax = 24 * time.Hour
)

// Options describe a load. The zero value of a field is its default.
type Options struct {
	// Targets is the number of scrape targets, default 100.
	Targets int
	// Series is the number of series of each target, default 1,000.
	Series int
	// Jobs is the number of jobs over which the targets are spread, default 4.
	Jobs int
	// Seed selects everything that is drawn.
	Seed uint64
	// Tick is the time between two states of a target, default 1 s. Scrapes
	// within one tick see the same values.
	Tick time.Duration
	// Changing is the share of series (0-1) that move all the time, default
	// 0.22: between two scrapes 5 s apart 16-30 % of the samples of real
	// exporters differ. 1 makes everything change. Negative: nothing moves.
	Changing float64
	// Churn is the share of series (0-1) that get a new label value per hour,
	// default 0.05. Negative: none.
	Churn float64
	// Restart is the time between restarts of a target, which set counters
	// back to zero, default 8 h. Each target has its own phase.
	Restart time.Duration
}

func (o Options) withDefaults() Options {
	o.Targets = orDefault(o.Targets, 100)
	o.Series = orDefault(o.Series, 1000)
	o.Jobs = orDefault(o.Jobs, max(1, min(4, o.Targets)))
	o.Tick = orDefault(o.Tick, time.Second)
	o.Restart = orDefault(o.Restart, 8*time.Hour)
	o.Changing = max(0, orDefault(o.Changing, 0.22))
	o.Churn = max(0, orDefault(o.Churn, 0.05))
	return o
}

func orDefault[T comparable](v, def T) T {
	var zero T
	if v == zero {
		return def
	}
	return v
}

// Validate reports every problem of the options at once.
func (o Options) Validate() error {
	o = o.withDefaults()
	var errs []error
	reject := func(bad bool, format string, args ...any) {
		if bad {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	reject(o.Targets < 1 || o.Targets > targetsMax, "%d targets: between 1 and %d are possible", o.Targets, targetsMax)
	reject(o.Series < 1 || o.Series > seriesMax, "%d series a target: between 1 and %d are possible", o.Series, seriesMax)
	reject(o.Jobs < 1 || o.Jobs > o.Targets, "%d jobs for %d targets: at least one target a job is needed", o.Jobs, o.Targets)
	reject(o.Tick < time.Millisecond, "a tick of %s: at least 1ms is needed", o.Tick)
	reject(o.Restart < time.Minute || o.Restart > restartMax, "a restart every %s: between 1m and %s are possible", o.Restart, restartMax)
	reject(o.Changing > 1, "a changing share of %g: at most 1 is possible", o.Changing)
	reject(o.Churn > 1, "a churn of %g an hour: at most 1 is possible", o.Churn)
	return errors.Join(errs...)
}

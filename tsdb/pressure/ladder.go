package pressure

import (
	"fmt"
	"math"
)

// Level is a step of the ladder. Each includes those before it.
type Level uint8

// The levels, from none to the last.
const (
	Relaxed       Level = iota // nothing is given up
	SealEarly                  // streams are encoded before they are due
	CutEarly                   // spans become blocks as soon as they have ended
	RefuseSeries               // series that are not known are refused
	RefuseQueries              // queries are refused; rules go on
	RefusePushes               // pushed samples are refused; scrapes of known series go on
	levelCount
)

// thresholds are the shares of the limit from which on a level holds, in
// percent.
var thresholds = [levelCount]int64{0, 80, 85, 90, 95, 97}

// slackPercent is how far usage must sink below a threshold before its level
// ends, in percent of the limit.
const slackPercent = 2

var levelNames = [levelCount]string{"relaxed", "seal_early", "cut_early", "refuse_series", "refuse_queries", "refuse_pushes"}

// String returns the level as a label value.
func (l Level) String() string {
	if l < levelCount {
		return levelNames[l]
	}
	return fmt.Sprintf("level(%d)", uint8(l))
}

// Levels returns every level, in order.
func Levels() []Level {
	out := make([]Level, levelCount)
	for i := range out {
		out[i] = Level(i)
	}
	return out
}

// Next is the level after usage has been looked at; was is the one before.
// aside is what is not in use yet and will be (Deps.Aside): it counts up to
// RefuseSeries, so that what is let in leaves room for it, and refuses no query.
// All are bytes. Without a limit (0) it is Relaxed.
func Next(was Level, usage, aside, limit int64) Level {
	if limit <= 0 {
		return Relaxed
	}
	level := Relaxed
	for l := SealEarly; l < levelCount; l++ {
		percent := thresholds[l]
		if l <= was {
			percent -= slackPercent // it holds already (I1)
		}
		counts := usage
		if l <= RefuseSeries {
			counts += aside
		}
		if counts >= limit/100*percent {
			level = l
		}
	}
	return level
}

// seriesBytes is what a new series may take until the next look, in bytes: its
// place in the head (some 250), its line, its definition on the way to the log,
// and the garbage of all that (docs/design/limits.md).
const seriesBytes = 1 << 10

// allowance is how many new series may come in until the next look.
func allowance(now Level, usage, aside, limit int64) int64 {
	if limit <= 0 {
		return math.MaxInt64
	}
	if now >= RefuseSeries {
		return 0
	}
	return max(limit/100*thresholds[RefuseSeries]-usage-aside, 0) / seriesBytes
}

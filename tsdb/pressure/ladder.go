package pressure

import "fmt"

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

// Next is the level after usage has been looked at; was is the one before. Both
// are bytes. Without a limit (0) it is Relaxed.
func Next(was Level, usage, limit int64) Level {
	if limit <= 0 {
		return Relaxed
	}
	level := Relaxed
	for l := SealEarly; l < levelCount; l++ {
		percent := thresholds[l]
		if l <= was {
			percent -= slackPercent // it holds already (I1)
		}
		if usage >= limit/100*percent {
			level = l
		}
	}
	return level
}

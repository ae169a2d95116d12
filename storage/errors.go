package storage

import (
	"errors"
	"fmt"
)

// Errors that callers branch on. Implementations wrap them with what was being
// done to what.
var (
	// ErrVersion: the membership changed; resolve all members again.
	ErrVersion = errors.New("the group's membership changed")
	// ErrGroupClosed: the handle was closed, or another writer opened the group.
	ErrGroupClosed = errors.New("the group was closed or taken over by another writer")
	// ErrUncertain: the log may or may not hold the batches; repeating is safe.
	ErrUncertain = errors.New("the outcome of the write is not known")
	// ErrReplaying: what the query needs is still being rebuilt after a start.
	ErrReplaying = errors.New("replaying the write-ahead log")
	// ErrReadOnly: the store takes no writes now (full disk, failed sync); the
	// wrapping error names the reason.
	ErrReadOnly = errors.New("storage is read-only")
	// ErrOverloaded: memory or queues are full; retry later.
	ErrOverloaded = errors.New("storage is overloaded")
	// ErrUnsupported: the engine cannot do this yet.
	ErrUnsupported = errors.New("not supported yet")
	// ErrTruncated is the warning of a result that was cut to a limit, in the
	// words that clients of Prometheus' API look for.
	ErrTruncated = errors.New("results truncated due to limit")
	// ErrClosed: the store was closed.
	ErrClosed = errors.New("storage is closed")
)

// Reason says why a label set or a sample was refused. The set is closed: it
// is the value of a metric's label.
type Reason uint8

// The reasons for refusals.
const (
	ReasonNone             Reason = iota // accepted
	ReasonUnknownSlot                    // the slot is not a member of the group
	ReasonConflict                       // another value was accepted for this timestamp (N1)
	ReasonOutOfOrder                     // older than the series' last sample, outside the window for late samples
	ReasonTooOld                         // older than the retention
	ReasonTooFarAhead                    // further in the future than the engine accepts
	ReasonInvalidLabels                  // empty, unsorted or duplicate labels, a bad name, or over the size limits
	ReasonSeriesLimit                    // a limit on the number of series was reached
	ReasonMemory                         // memory pressure: new series are refused
	ReasonUnsupported                    // a kind of sample that the engine cannot keep yet
	ReasonOverloaded                     // no room for late samples now: send them again later (ErrOverloaded)
	ReasonInvalidHistogram               // a native histogram that contradicts itself, or has too many buckets
	ReasonJobLimit                       // the job has as many series as it may have
	ReasonTargetLimit                    // the target has as many series as it may have
	ReasonMetricLimit                    // the metric has as many series as it may have
	ReasonCardinality                    // a label of the metric has as many values as it may have
	reasonCount
)

var reasonNames = [reasonCount]string{
	"none", "unknown_slot", "conflict", "out_of_order", "too_old",
	"too_far_ahead", "invalid_labels", "series_limit", "memory", "unsupported",
	"overloaded", "invalid_histogram", "job_limit", "target_limit", "metric_limit", "cardinality",
}

// String returns the reason as a label value.
func (r Reason) String() string {
	if r < reasonCount {
		return reasonNames[r]
	}
	return fmt.Sprintf("reason(%d)", uint8(r))
}

// Reasons returns every reason but ReasonNone, for metrics that show all.
func Reasons() []Reason {
	out := make([]Reason, 0, reasonCount-1)
	for r := ReasonNone + 1; r < reasonCount; r++ {
		out = append(out, r)
	}
	return out
}

// RejectedError turns a rejection into an error for protocols that answer
// with one.
type RejectedError struct {
	Reason Reason
	// Series is the label set's text form, as much as the caller wants to show.
	Series string
}

// Error names the series and the reason.
func (e *RejectedError) Error() string {
	return fmt.Sprintf("series %s: %s", e.Series, e.Reason)
}

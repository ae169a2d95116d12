package promql

import (
	"time"

	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/util/annotations"

	"github.com/nilometer/nilometer/promql/exec"

	"github.com/nilometer/nilometer/promql/plan"
)

// Query is what is asked. An instant query reads Time, a range query Start,
// End and Step.
type Query struct {
	// Expr is the PromQL text.
	Expr string
	// Time is the evaluation time of an instant query; milliseconds count.
	Time time.Time
	// Start and End are the first and the latest evaluation time of a range
	// query, Step (at least 1 ms) the distance between two.
	Start, End time.Time
	Step       time.Duration
	// LookbackDelta is how far back an instant selector looks for a sample;
	// zero takes the engine's.
	LookbackDelta time.Duration
	// Timeout shortens the engine's timeout; zero and longer ones do not.
	Timeout time.Duration
	// Limit cuts the result to that many series, in the order of the result,
	// with a warning; zero does not.
	Limit int
	// Trace asks for what every operator did, in Result.Trace.
	Trace bool
	// NoCache evaluates all steps, and keeps none for later queries.
	NoCache bool
	// Partial asks for what there is, with a warning, where storage would
	// answer with storage.ErrReplaying.
	Partial bool
}

// Result is a complete answer. Type says which of the value fields is set. Its
// memory counts against the limit on all queries until it is closed.
type Result struct {
	Type parser.ValueType

	// Vector is the answer of an instant query of type vector: in label order
	// is not promised, but the order is determined (that of sort and topk where
	// they are outermost).
	Vector []Sample
	// Matrix is the answer of every range query, and of an instant query whose
	// expression is a range vector: sorted by labels, without empty series.
	Matrix []Series
	// Scalar is the answer of an instant query of type scalar.
	Scalar Point
	// String is the answer of an instant query of type string.
	String String

	// Warnings has upstream's warnings and infos; their texts with positions
	// come from its AsStrings.
	Warnings annotations.Annotations
	// Stats say what the answer took.
	Stats Stats
	// Trace is the plan with what its operators did, for Query.Trace.
	Trace *plan.Tree

	budget *exec.Budget // that counts the answer
}

// Point is a value at a time: T in ms since the Unix epoch. It is the native
// histogram H if that is set, else the float V. H is shared, and not to be
// changed.
type Point struct {
	T int64
	V float64
	H *histogram.FloatHistogram
}

// Series is a label set with its points in order of time.
type Series struct {
	Labels labels.Labels
	Points Points
}

// Sample is a label set with its value at one time: T in ms since the Unix
// epoch. As of a Point, the value is H if that is set.
type Sample struct {
	Labels labels.Labels
	T      int64
	V      float64
	H      *histogram.FloatHistogram
}

// String is a string at a time: T in ms since the Unix epoch.
type String struct {
	T int64
	V string
}

// Stats say what a query took.
type Stats struct {
	// Queued is the time spent waiting for admission, Total the time from the
	// call to the answer, Queued included.
	Queued, Total time.Duration
	// Steps is the number of evaluation times, StepsKept that of those of them that
	// were answered before.
	Steps, StepsKept int
	// SeriesSelected counts the series of all selections, SamplesRead the
	// samples decoded for them.
	SeriesSelected, SamplesRead int64
	// MemoryPeakBytes is the largest number of bytes counted at one time.
	MemoryPeakBytes int64
}

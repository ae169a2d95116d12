package storage

import (
	"context"
	"time"

	"github.com/nilometer/nilometer/model/tenant"
)

// CardinalityReader tells of what a tenant's series consist, for as long as they
// are in memory. Its method is safe for concurrent use.
type CardinalityReader interface {
	// Cardinality looks at every series. most bounds each list of the answer.
	Cardinality(ctx context.Context, id tenant.ID, most int) (Cardinality, error)
}

// Cardinality is how many series there are of what. Lists begin with the largest.
type Cardinality struct {
	Series     uint64
	LabelPairs uint64
	// Chunks counts series on columns of time.
	Chunks uint64
	// MinTime and MaxTime are those of the samples, ms; math.MaxInt64 and
	// math.MinInt64 without any.
	MinTime, MaxTime int64

	Metrics, Labels, Pairs, Jobs, Targets Ranking

	// ValuesOf counts the values of label names, BytesOf their bytes.
	ValuesOf, BytesOf []Cardinal
	// ChurnSince is from when on new series are counted as such: an hour ago, or
	// since the start when that is later. GrowthSince is that of Growth.
	ChurnSince, GrowthSince time.Time
}

// Ranking are things by what they have most of.
type Ranking struct {
	BySeries, ByChurn, BySamples, ByGrowth []Cardinal
}

// Cardinal is something that series have in common: a metric, the name of a
// label, a label ("name=value"), a job, a target ("job/instance").
type Cardinal struct {
	Name   string
	Series uint64
	// New counts those series that were made since Cardinality.ChurnSince.
	New uint64
	// SamplesPerSecond is how many samples they bring, by the positions of their
	// groups: of pushed series at most so many.
	SamplesPerSecond float64
	// Growth is how many series more they are than at Cardinality.GrowthSince. Of
	// what was small then, it is what it has grown at least.
	Growth int64
}

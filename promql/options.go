package promql

import (
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Options are the settings of an Engine. The zero value is the default of
// each.
type Options struct {
	// LookbackDelta is how far back an instant selector looks for a sample;
	// default 5 min, at least 1 ms.
	LookbackDelta time.Duration
	// ExprBytesMax bounds the text of a query; default 512 KiB.
	ExprBytesMax int
	// Timeout bounds a query, waiting for admission included; default 2 min.
	Timeout time.Duration
	// SubqueryStep is the resolution of a subquery that names none; default
	// 1 min (Prometheus takes its global evaluation interval).
	SubqueryStep time.Duration
	// SamplesMax bounds the points that the steps of a query hold in memory at
	// one time; default 50,000,000.
	SamplesMax int64
	// ReadSamplesMax bounds the samples that a query is expected to read; default
	// 20,000,000,000.
	ReadSamplesMax int64
	// StepsMax bounds the evaluation times of a query and of each subquery;
	// default 1,000,000. (The API's own limit on points per series is lower.)
	StepsMax int
	// SeriesMax bounds the series that the selections of a query find; default
	// 5,000,000.
	SeriesMax int64
	// ResultMaxBytes bounds an answer in memory: about 9 bytes a point and the labels;
	// default 512 MiB.
	ResultMaxBytes int64
	// MemoryMaxBytes bounds the buffers and results of all queries together;
	// default 4 GiB.
	MemoryMaxBytes int64
	// QueryMemoryMaxBytes bounds those of one query; default a quarter of
	// MemoryMaxBytes.
	QueryMemoryMaxBytes int64
	// RulesMemoryBytes is what of MemoryMaxBytes only the queries of rules get
	// (storage.Essential); default an eighth of it.
	RulesMemoryBytes int64
	// CacheMaxBytes bounds the answers of range queries that are kept, of one
	// storage.Reader: who asks several has an engine for each, or keeps none. Default a
	// sixteenth of MemoryMaxBytes, at most 256 MiB. Less than 64 KiB, and negative,
	// keeps none.
	CacheMaxBytes int64
	// SplitInterval is the longest range that is evaluated at once, where a query
	// allows it; default 1 d. Negative does not split.
	SplitInterval time.Duration
	// HeldPoints is about how many points the rows below aggregations may have at
	// one time where a shorter range at once makes them fewer; default 512 Ki.
	HeldPoints int64
	// Workers is the number of goroutines that work on one query; default
	// GOMAXPROCS.
	Workers int
	// Cores bounds the goroutines of all queries that work at one time, those of
	// rules aside; default GOMAXPROCS.
	Cores int
	// ConcurrentMax bounds the queries that run at one time, those of rules
	// aside; default 20.
	ConcurrentMax int
	// TenantConcurrentMax bounds those of one tenant; default ConcurrentMax. In
	// any case tenants take turns.
	TenantConcurrentMax int
	// RulesConcurrentMax bounds the queries of rules that run at one time
	// (storage.Essential), on places of their own; default 10.
	RulesConcurrentMax int
	// QueueMax bounds the queries that wait to run, and those of rules that do;
	// default 1,000.
	QueueMax int
	// SlowLog is how long a query takes that is logged as slow; default 0: none
	// is.
	SlowLog time.Duration
	// DelayedNameRemoval keeps the labels that name a metric until the end of a
	// query, as Prometheus' feature promql-delayed-name-removal does. It changes
	// the answers of some queries.
	DelayedNameRemoval bool
	// StartTimestamps makes rate, irate, increase and resets look at the start
	// timestamps of samples, and start_timestamp answer, as Prometheus' feature
	// use-start-timestamps does.
	StartTimestamps bool
	// TypeAndUnitLabels tells counters by their label __type__ instead of their
	// name, as Prometheus' feature type-and-unit-labels does.
	TypeAndUnitLabels bool
}

func (o Options) withDefaults() Options {
	setDefault(&o.LookbackDelta, 5*time.Minute)
	setDefault(&o.Timeout, 2*time.Minute)
	setDefault(&o.SubqueryStep, time.Minute)
	setDefault(&o.SamplesMax, 50_000_000)
	setDefault(&o.ReadSamplesMax, 20_000_000_000)
	setDefault(&o.StepsMax, 1_000_000)
	setDefault(&o.ExprBytesMax, 512<<10)
	setDefault(&o.SeriesMax, 5_000_000)
	setDefault(&o.ResultMaxBytes, 512<<20)
	setDefault(&o.MemoryMaxBytes, 4<<30)
	setDefault(&o.QueryMemoryMaxBytes, max(o.MemoryMaxBytes/4, 1))
	setDefault(&o.RulesMemoryBytes, o.MemoryMaxBytes/8)
	setDefault(&o.CacheMaxBytes, min(o.MemoryMaxBytes/16, 256<<20))
	setDefault(&o.SplitInterval, 24*time.Hour)
	setDefault(&o.HeldPoints, 1<<19)
	setDefault(&o.Workers, runtime.GOMAXPROCS(0))
	setDefault(&o.Cores, runtime.GOMAXPROCS(0))
	setDefault(&o.ConcurrentMax, 20)
	setDefault(&o.TenantConcurrentMax, o.ConcurrentMax)
	setDefault(&o.RulesConcurrentMax, 10)
	setDefault(&o.QueueMax, 1000)
	return o
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// Validate reports every problem of the options at once, or nil.
func (o Options) Validate() error {
	var errs []error
	atLeast := func(name string, ok bool, value any, least string) {
		if !ok {
			errs = append(errs, fmt.Errorf("%s is %v: it must be %s (or zero for the default)", name, value, least))
		}
	}
	atLeast("LookbackDelta", o.LookbackDelta == 0 || o.LookbackDelta >= time.Millisecond, o.LookbackDelta, "at least 1ms")
	atLeast("Timeout", o.Timeout >= 0, o.Timeout, "positive")
	atLeast("SubqueryStep", o.SubqueryStep == 0 || o.SubqueryStep >= time.Millisecond, o.SubqueryStep, "at least 1ms")
	atLeast("SlowLog", o.SlowLog >= 0, o.SlowLog, "positive")
	atLeast("SamplesMax", o.SamplesMax >= 0, o.SamplesMax, "positive")
	atLeast("ReadSamplesMax", o.ReadSamplesMax >= 0, o.ReadSamplesMax, "positive")
	atLeast("StepsMax", o.StepsMax >= 0, o.StepsMax, "positive")
	atLeast("ExprBytesMax", o.ExprBytesMax >= 0, o.ExprBytesMax, "positive")
	atLeast("SeriesMax", o.SeriesMax >= 0, o.SeriesMax, "positive")
	atLeast("ResultMaxBytes", o.ResultMaxBytes >= 0, o.ResultMaxBytes, "positive")
	atLeast("MemoryMaxBytes", o.MemoryMaxBytes >= 0, o.MemoryMaxBytes, "positive")
	atLeast("QueryMemoryMaxBytes", o.QueryMemoryMaxBytes >= 0, o.QueryMemoryMaxBytes, "positive")
	atLeast("RulesMemoryBytes", o.RulesMemoryBytes >= 0, o.RulesMemoryBytes, "positive")
	atLeast("HeldPoints", o.HeldPoints >= 0, o.HeldPoints, "positive")
	atLeast("Workers", o.Workers >= 0, o.Workers, "positive")
	atLeast("Cores", o.Cores >= 0, o.Cores, "positive")
	atLeast("ConcurrentMax", o.ConcurrentMax >= 0, o.ConcurrentMax, "positive")
	atLeast("TenantConcurrentMax", o.TenantConcurrentMax >= 0, o.TenantConcurrentMax, "positive")
	atLeast("RulesConcurrentMax", o.RulesConcurrentMax >= 0, o.RulesConcurrentMax, "positive")
	atLeast("QueueMax", o.QueueMax >= 0, o.QueueMax, "positive")
	full := o.withDefaults()
	atLeast("QueryMemoryMaxBytes", full.QueryMemoryMaxBytes <= full.MemoryMaxBytes, full.QueryMemoryMaxBytes, "at most MemoryMaxBytes")
	atLeast("RulesMemoryBytes", full.RulesMemoryBytes < full.MemoryMaxBytes, full.RulesMemoryBytes, "less than MemoryMaxBytes")
	return errors.Join(errs...)
}

// Deps are what an Engine stands on. Every field may be nil.
type Deps struct {
	// Logger gets what is ours to repair, a panic inside a query, and slow
	// queries.
	Logger *slog.Logger
	// Registerer gets the metrics nilometer_query_….
	Registerer prometheus.Registerer
}

package config

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/alecthomas/units"
	"github.com/prometheus/common/model"
)

// Query bounds the queries. Zero values mean the defaults, which depend on the
// memory limit where they are about memory; nothing is ever without a limit.
type Query struct {
	// Timeout bounds a query, waiting included. Default 2m.
	Timeout model.Duration `yaml:"timeout"`
	// LookbackDelta is how far back a selector looks for a sample. Default 5m.
	LookbackDelta model.Duration `yaml:"lookback_delta"`
	// ConcurrencyMax bounds the queries that run at one time, those of rules
	// aside, TenantConcurrencyMax those of one tenant. Default 20.
	ConcurrencyMax       int `yaml:"concurrency_max"`
	TenantConcurrencyMax int `yaml:"tenant_concurrency_max"`
	// RulesConcurrencyMax bounds the queries of rules that run, on places of
	// their own. Default 10.
	RulesConcurrencyMax int `yaml:"rules_concurrency_max"`
	// QueueMax bounds the queries that wait. Default 1,000.
	QueueMax int `yaml:"queue_max"`
	// SamplesMax bounds the points that a query holds at one time (default
	// 50,000,000), SeriesMax the series that it selects (5,000,000), StepsMax the
	// points of a series in a range query (11,000).
	SamplesMax int64 `yaml:"samples_max"`
	SeriesMax  int64 `yaml:"series_max"`
	// ReadSamplesMax bounds the samples that a query is expected to read, by an
	// estimate before it begins (default 20,000,000,000).
	ReadSamplesMax int64 `yaml:"read_samples_max"`
	StepsMax       int   `yaml:"steps_max"`
	// ResultSizeMax bounds an answer in memory (default 512MiB),
	// ExpressionSizeMax the text of a query (512KiB).
	ResultSizeMax     units.Base2Bytes `yaml:"result_size_max"`
	ExpressionSizeMax units.Base2Bytes `yaml:"expression_size_max"`
	// MemoryMax bounds the memory of all queries and their answers (default:
	// half of the process' limit), QueryMemoryMax that of one query (a quarter
	// of it). RulesMemory is the part of it that only rules get (an eighth).
	MemoryMax      units.Base2Bytes `yaml:"memory_max"`
	QueryMemoryMax units.Base2Bytes `yaml:"query_memory_max"`
	RulesMemory    units.Base2Bytes `yaml:"rules_memory"`
	// CacheMax bounds the answers of range queries that are kept (default: a
	// sixteenth of MemoryMax, at most 256MiB); SplitInterval is the longest range
	// that is evaluated at once (1d).
	CacheMax      units.Base2Bytes `yaml:"cache_max"`
	SplitInterval model.Duration   `yaml:"split_interval"`
	// SlowLog is how long a query takes that is logged as slow. Default 10s.
	SlowLog model.Duration `yaml:"slow_log"`
	// Features are names of Prometheus' features that change how queries are
	// answered.
	Features []string `yaml:"features"`
}

// The features of queries that change answers, off by default.
const (
	FeatureDelayedNames      = "promql-delayed-name-removal"
	FeatureStartTimestamps   = "use-start-timestamps"
	FeatureTypeAndUnitLabels = "type-and-unit-labels"
)

// QueryFeatures returns the names that Query.Features may have: those that
// change answers, and those of Prometheus that are always on here.
func QueryFeatures() []string {
	return []string{
		FeatureDelayedNames, FeatureStartTimestamps, FeatureTypeAndUnitLabels,
		"promql-experimental-functions", "promql-duration-expr", "promql-extended-range-selectors", "promql-binop-fill-modifiers",
	}
}

func (q *Query) check(path string, report func(path, text string)) {
	for key, v := range map[string]int64{
		"concurrency_max": int64(q.ConcurrencyMax), "tenant_concurrency_max": int64(q.TenantConcurrencyMax), "rules_concurrency_max": int64(q.RulesConcurrencyMax),
		"queue_max": int64(q.QueueMax), "samples_max": q.SamplesMax, "series_max": q.SeriesMax, "read_samples_max": q.ReadSamplesMax, "steps_max": int64(q.StepsMax),
		"result_size_max": int64(q.ResultSizeMax), "expression_size_max": int64(q.ExpressionSizeMax),
		"memory_max": int64(q.MemoryMax), "query_memory_max": int64(q.QueryMemoryMax), "rules_memory": int64(q.RulesMemory),
		"cache_max": int64(q.CacheMax),
	} {
		if v < 0 {
			report(path+"."+key, fmt.Sprintf("%d is negative: every limit is at least 1, 0 is the default", v))
		}
	}
	if d := time.Duration(q.LookbackDelta); d != 0 && d < time.Millisecond {
		report(path+".lookback_delta", fmt.Sprintf("%s is under the smallest, 1ms", d))
	}
	if q.MemoryMax > 0 && q.QueryMemoryMax > q.MemoryMax {
		report(path+".query_memory_max", fmt.Sprintf("%s is over memory_max, %s", q.QueryMemoryMax, q.MemoryMax))
	}
	if q.MemoryMax > 0 && q.RulesMemory >= q.MemoryMax {
		report(path+".rules_memory", fmt.Sprintf("%s leaves nothing of memory_max, %s", q.RulesMemory, q.MemoryMax))
	}
	for i, f := range q.Features {
		if !slices.Contains(QueryFeatures(), f) {
			report(fmt.Sprintf("%s.features[%d]", path, i), fmt.Sprintf("%q is no feature of queries: there are %s", f, strings.Join(QueryFeatures(), ", ")))
		}
	}
}

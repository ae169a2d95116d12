package server

import (
	"cmp"
	"time"

	"github.com/nilometer/nilometer/config"
	"github.com/nilometer/nilometer/promql"
)

// queriesShare is what all queries may have of the process' memory, as a
// divisor.
const queriesShare = 2

// slowLogDefault is how long a query takes that the log tells of.
const slowLogDefault = 10 * time.Second

// queryOptions translates the limits of queries; flags override the file.
// memoryLimit is that of the process in bytes, 0 when it is not known: then the
// engine's own defaults hold.
func (s *server) queryOptions(c *config.Config, memoryLimit int64) (promql.Options, error) {
	q := c.Nilometer.Query
	o := promql.Options{
		SlowLog:       cmp.Or(time.Duration(q.SlowLog), slowLogDefault),
		LookbackDelta: cmp.Or(s.opts.QueryLookbackDelta, time.Duration(q.LookbackDelta)),
		Timeout:       cmp.Or(s.opts.QueryTimeout, time.Duration(q.Timeout)),
		SubqueryStep:  time.Duration(c.Global.EvaluationInterval),
		SamplesMax:    cmp.Or(s.opts.QuerySamplesMax, q.SamplesMax),
		ConcurrentMax: cmp.Or(s.opts.QueryConcurrencyMax, q.ConcurrencyMax),

		TenantConcurrentMax: q.TenantConcurrencyMax, RulesConcurrentMax: q.RulesConcurrencyMax, QueueMax: q.QueueMax,
		SeriesMax: q.SeriesMax, ReadSamplesMax: q.ReadSamplesMax, ResultMaxBytes: int64(q.ResultSizeMax), ExprBytesMax: int(q.ExpressionSizeMax),
		MemoryMaxBytes:      cmp.Or(int64(q.MemoryMax), memoryLimit/queriesShare),
		QueryMemoryMaxBytes: int64(q.QueryMemoryMax), RulesMemoryBytes: int64(q.RulesMemory),
		CacheMaxBytes: int64(q.CacheMax), SplitInterval: time.Duration(q.SplitInterval),
	}
	applyFeatures(&o, q.Features, s.opts.Features, s.logger)
	return o, o.Validate()
}

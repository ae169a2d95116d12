package cli

import (
	"fmt"
	"strings"

	"github.com/spf13/pflag"

	"github.com/nilometer/nilometer/server"
)

// queryFlags are Prometheus' flags for queries, as texts.
type queryFlags struct {
	timeout, lookback string
	samplesMax        int64
	concurrencyMax    int
	features          []string
}

func (q *queryFlags) add(f *pflag.FlagSet) {
	f.StringVar(&q.timeout, "query.timeout", "", "how `long` a query may take; overrides the configuration file (default 2m)")
	f.StringVar(&q.lookback, "query.lookback-delta", "", "how `far` back a selector looks for a sample; overrides the configuration file (default 5m)")
	f.Int64Var(&q.samplesMax, "query.max-samples", 0, "how `many` samples a query may hold; overrides the configuration file (default 50000000)")
	f.IntVar(&q.concurrencyMax, "query.max-concurrency", 0, "how `many` queries run at one time; overrides the configuration file (default 20)")
	f.StringSliceVar(&q.features, "enable-feature", nil, "`names` of Prometheus' features, separated by commas: promql-delayed-name-removal, use-start-timestamps and type-and-unit-labels change answers, st-storage and extra-scrape-metrics scrapes; others have nothing to switch")
}

func (q *queryFlags) apply(o *server.Options) (err error) {
	if o.QueryTimeout, err = parseDuration("query.timeout", q.timeout); err != nil {
		return err
	}
	if o.QueryLookbackDelta, err = parseDuration("query.lookback-delta", q.lookback); err != nil {
		return err
	}
	if q.samplesMax < 0 {
		return fmt.Errorf("--query.max-samples=%d: it is at least 1, or 0 for the default", q.samplesMax)
	}
	if q.concurrencyMax < 0 {
		return fmt.Errorf("--query.max-concurrency=%d: it is at least 1, or 0 for the default", q.concurrencyMax)
	}
	o.QuerySamplesMax, o.QueryConcurrencyMax = q.samplesMax, q.concurrencyMax
	for _, name := range q.features {
		if name = strings.TrimSpace(name); name != "" {
			o.Features = append(o.Features, name)
		}
	}
	return nil
}

package server

import (
	"log/slog"
	"slices"
	"strings"

	"github.com/nilometer/nilometer/config"
	"github.com/nilometer/nilometer/promql"
	"github.com/nilometer/nilometer/scrape"
)

// settledFeatures are the names that --enable-feature of Prometheus takes and
// that have nothing to switch here, with the reason.
var settledFeatures = []struct{ why, names string }{
	{"it is always on", "exemplar-storage memory-snapshot-on-shutdown metadata-wal-records native-histograms ooo-native-histograms histograms-st-encoding fast-startup promql-experimental-functions promql-duration-expr promql-extended-range-selectors promql-binop-fill-modifiers"},
	{"blocks have a format of their own", "xor2-encoding use-uncached-io"},
	{"compaction is staggered by itself", "delayed-compaction"},
	{"it is always on: --config.auto-reload-interval", "auto-reload-config"},
	{"groups of rules are evaluated beside each other, the rules of a group in order", "concurrent-rule-eval"},
	{"it is not supported", "promql-per-step-stats created-timestamp-zero-ingestion st-synthesis otlp-deltatocumulative otlp-native-delta-ingestion openmetrics2 zstd-scrape old-ui search-api"},
}

// The features of scrapes.
const (
	featureStartStorage = "st-storage"
	featureExtraMetrics = "extra-scrape-metrics"
)

// applyScrapeFeatures changes a pool to what the command line names.
func applyScrapeFeatures(o *scrape.PoolOptions, flags []string) {
	if slices.Contains(flags, featureExtraMetrics) {
		o.ExtraMetrics = true
	}
	if !slices.Contains(flags, featureStartStorage) {
		return
	}
	o.StartTimestamps = true
	if slices.Equal(o.Protocols, scrape.DefaultProtocols(false)) {
		o.Protocols = scrape.DefaultProtocols(true)
	}
}

// applyFeatures switches on what the configuration and the command line name.
// Names on the command line that have nothing to switch, or that nobody knows,
// are logged, as Prometheus does.
func applyFeatures(o *promql.Options, file, flags []string, logger *slog.Logger) {
	for i, name := range append(slices.Clone(file), flags...) {
		onFlags := i >= len(file)
		switch name {
		case config.FeatureDelayedNames:
			o.DelayedNameRemoval = true
		case config.FeatureStartTimestamps:
			o.StartTimestamps = true
		case config.FeatureTypeAndUnitLabels:
			o.TypeAndUnitLabels = true
		case featureStartStorage, featureExtraMetrics: // features of scrapes, see pool
		default:
			why := settled(name)
			if why == "" {
				logger.Warn("unknown feature", "option", name)
			} else if onFlags {
				logger.Warn("feature has nothing to switch", "option", name, "why", why)
			}
			continue
		}
		logger.Info("feature switched on", "option", name)
	}
}

// settled returns why a feature has nothing to switch, "" for others.
func settled(name string) string {
	for _, f := range settledFeatures {
		if slices.Contains(strings.Fields(f.names), name) {
			return f.why
		}
	}
	return ""
}

package scrape

import (
	"time"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/nilometer/nilometer/discovery"
	"github.com/nilometer/nilometer/metadb"
	"github.com/nilometer/nilometer/storage"
)

// Health is the outcome of the last scrape in one word, as Prometheus says it.
type Health string

// The values of Health.
const (
	HealthUnknown Health = "unknown" // not scraped yet
	HealthUp      Health = "up"
	HealthDown    Health = "down"
)

// Snapshot is what is known about all targets at one moment. It belongs to the
// caller.
type Snapshot struct {
	// Active targets, sorted by pool and URL.
	Active []Target
	// Dropped targets by pool: found, and removed by relabelling. At most
	// PoolOptions.DroppedTargetsMax of each pool; DroppedCount has all.
	Dropped      []DroppedTarget
	DroppedCount map[string]int
	// Problems of discovery.
	Problems []discovery.Problem
}

// Target is one active target.
type Target struct {
	// ID and Version are the target's row in the metadata database; zero while
	// it has not been written yet.
	ID      metadb.TargetID
	Version int64
	// Pool is the job's name in the configuration; the job label may differ.
	Pool string
	URL  string
	// Labels are on every sample of the target, Discovered those that relabelling
	// began with.
	Labels            labels.Labels
	Discovered        labels.Labels
	Interval, Timeout time.Duration

	Health Health
	Status metadb.TargetStatus
	// LastScrape is the start of the last scrape; zero before the first.
	LastScrape   time.Time
	LastDuration time.Duration
	// LastError is why the last scrape failed, with the offending line and its
	// number where there is one; empty after a success.
	LastError string
	// LastWarning is what was not stored by the last successful scrape: counts
	// of duplicates and refused series.
	LastWarning string
	// LastSamples and LastSeriesAdded are what the last scrape brought.
	LastSamples, LastSeriesAdded int
	// LastBodySize is in bytes, uncompressed.
	LastBodySize int
}

// DroppedTarget is a target that relabelling removed.
type DroppedTarget struct {
	Pool       string
	Discovered labels.Labels
}

// TargetMetadata is what one target says about one metric family.
type TargetMetadata struct {
	Pool string
	// Labels are the target's.
	Labels labels.Labels
	storage.Metadata
}

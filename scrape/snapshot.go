package scrape

import (
	"cmp"
	"maps"
	"slices"
	"time"
	"unique"

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

// Targets returns the state of all targets. It does not wait for scrapes.
func (m *Manager) Targets() Snapshot {
	out := Snapshot{DroppedCount: map[string]int{}, Problems: m.discovery.Problems()}
	for _, loops := range m.live() {
		for _, l := range loops {
			out.Active = append(out.Active, l.snapshot())
		}
	}
	slices.SortFunc(out.Active, func(a, b Target) int {
		return cmp.Or(cmp.Compare(a.Pool, b.Pool), cmp.Compare(a.URL, b.URL), labels.Compare(a.Labels, b.Labels))
	})
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, job := range slices.Sorted(maps.Keys(m.pools)) {
		p := m.pools[job]
		out.DroppedCount[job] = p.droppedCount
		out.Problems = append(out.Problems, p.bad...)
		for _, d := range p.dropped {
			out.Dropped = append(out.Dropped, DroppedTarget{Pool: job, Discovered: d})
		}
	}
	return out
}

func (l *loop) snapshot() Target {
	s := l.state.get()
	t := Target{
		ID: s.id, Version: s.version,
		Pool: l.pool.options.Job, URL: l.spec.url,
		Labels: l.spec.labels, Discovered: l.spec.discovered,
		Interval: l.spec.interval, Timeout: l.spec.timeout,
		Health: HealthDown, Status: s.status,
		LastScrape: s.scraped, LastDuration: s.duration,
		LastError: s.err, LastWarning: s.warning,
		LastSamples: s.samples, LastSeriesAdded: s.added, LastBodySize: s.bodySize,
	}
	switch s.status {
	case metadb.TargetUnknown:
		t.Health = HealthUnknown
	case metadb.TargetUp:
		t.Health = HealthUp
	}
	return t
}

// Pools returns the names of the pools, sorted.
func (m *Manager) Pools() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Sorted(maps.Keys(m.pools))
}

// Metadata returns what the targets say about their metric families, sorted by
// pool, target and family. An empty family means all of them.
func (m *Manager) Metadata(family string) []TargetMetadata {
	var out []TargetMetadata
	for _, loops := range m.live() {
		for _, l := range loops {
			known := l.state.get().families
			add := func(h unique.Handle[storage.Metadata]) {
				out = append(out, TargetMetadata{Pool: l.pool.options.Job, Labels: l.spec.labels, Metadata: h.Value()})
			}
			if family == "" {
				for _, h := range known {
					add(h)
				}
			} else if h, ok := known[family]; ok {
				add(h)
			}
		}
	}
	slices.SortFunc(out, func(a, b TargetMetadata) int {
		return cmp.Or(cmp.Compare(a.Pool, b.Pool), labels.Compare(a.Labels, b.Labels), cmp.Compare(a.Family, b.Family))
	})
	return out
}

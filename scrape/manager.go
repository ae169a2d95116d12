package scrape

import (
	"context"
	"errors"
	"log/slog"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/nilometer/nilometer/metadb"
	"github.com/nilometer/nilometer/model/tenant"
	"github.com/nilometer/nilometer/storage"
)

// Deps are what a Manager works with.
type Deps struct {
	// Writer takes the samples. Required.
	Writer storage.Writer
	// Targets keeps the targets' state; nil keeps it in memory alone.
	Targets metadb.Targets
	// Tenant owns everything scraped; empty means tenant.Default.
	Tenant tenant.ID
	// Logger and Registerer may be nil: nothing is logged or registered.
	Logger     *slog.Logger
	Registerer prometheus.Registerer
	// UserAgent of HTTP requests; empty means "Nilometer".
	UserAgent string
}

// Manager runs the scrape loops of all pools. Its methods are safe for
// concurrent use.
type Manager struct{ deps Deps }

// NewManager returns a Manager without pools. It fails when its metrics cannot
// be registered.
func NewManager(deps Deps) (*Manager, error) { return &Manager{deps: deps}, nil }

// Run scrapes until ctx ends, and returns when every loop has ended. It is
// called once. Targets get no stale markers then: a restart goes on with them.
func (m *Manager) Run(ctx context.Context) error { <-ctx.Done(); return nil }

// Apply makes pools the pools that are scraped. It reports every problem of
// every pool at once, and changes nothing then (I4).
func (m *Manager) Apply(pools []PoolOptions) error {
	if len(pools) > 0 {
		return errors.New("scraping is not supported yet")
	}
	return nil
}

// Targets returns the state of all targets. It does not wait for scrapes.
func (m *Manager) Targets() Snapshot { return Snapshot{} }

// Pools returns the names of the pools, sorted.
func (m *Manager) Pools() []string { return nil }

// Metadata returns what the targets say about their metric families, sorted by
// pool, target and family. An empty family means all of them.
func (m *Manager) Metadata(family string) []TargetMetadata { return nil }

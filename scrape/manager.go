package scrape

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/nilometer/nilometer/discovery"
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
	// BodyMemoryMax bounds the memory (bytes) that the bodies of all scrapes
	// under way grow to; a scrape that finds none left fails. 0 means 1 GiB.
	BodyMemoryMax int64
}

const bodyMemoryMaxDefault = 1 << 30

// Manager runs the scrape loops of all pools. Its methods are safe for
// concurrent use.
type Manager struct {
	deps      Deps
	logger    *slog.Logger
	metrics   *metrics
	discovery *discovery.Manager
	keeper    *keeper
	works     sync.Pool
	bodies    bodies
	wg        sync.WaitGroup // of loops
	workBytes atomic.Int64   // as WorkBytes was last counted

	mu    sync.Mutex // guards what follows
	pools map[string]*pool
	logs  failureLogs
	ctx   context.Context // of Run; nil before it
}

// NewManager returns a Manager without pools. It fails when its metrics cannot
// be registered.
func NewManager(deps Deps) (*Manager, error) {
	if deps.Writer == nil {
		return nil, errors.New("a scrape manager needs a writer")
	}
	if deps.Tenant == "" {
		deps.Tenant = tenant.Default
	}
	if deps.Logger == nil {
		deps.Logger = slog.New(slog.DiscardHandler)
	}
	if deps.Registerer == nil {
		deps.Registerer = prometheus.NewRegistry()
	}
	if deps.UserAgent == "" {
		deps.UserAgent = "Nilometer"
	}
	if deps.BodyMemoryMax == 0 {
		deps.BodyMemoryMax = bodyMemoryMaxDefault
	}
	m := &Manager{deps: deps, logger: deps.Logger, pools: map[string]*pool{}}
	m.bodies.budget.max, m.bodies.turns = deps.BodyMemoryMax, newTurns()
	m.works.New = func() any { return newWork() }
	var err error
	if m.metrics, err = newMetrics(deps.Registerer, m); err != nil {
		return nil, err
	}
	if m.discovery, err = discovery.NewManager(deps.Logger, deps.Registerer); err != nil {
		return nil, err
	}
	m.keeper = newKeeper(m)
	return m, nil
}

// Run scrapes until ctx ends, and returns when every loop has ended. It is
// called once. Targets get no stale markers then: a restart goes on with them.
func (m *Manager) Run(ctx context.Context) error {
	inner, cancel := context.WithCancel(ctx)
	defer cancel()
	var parts sync.WaitGroup
	errs := make(chan error, 2)
	parts.Go(func() { errs <- m.discovery.Run(inner) })
	parts.Go(func() { errs <- m.keeper.run(inner) })

	m.mu.Lock()
	m.ctx = inner
	m.syncLocked()
	m.mu.Unlock()
	for inner.Err() == nil {
		select {
		case <-inner.Done():
		case <-m.discovery.Changed():
			m.mu.Lock()
			m.syncLocked()
			m.mu.Unlock()
			pause(inner, syncGap)
		}
	}

	m.mu.Lock() // no loop starts after this
	m.ctx = nil
	m.mu.Unlock()
	m.wg.Wait()
	parts.Wait()
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, p := range m.pools {
		p.fetcher.close()
	}
	return errors.Join(<-errs, <-errs, m.logs.begin(nil, nil))
}

// syncGap is the least time between two syncs that discovery causes: a burst of
// its changes is one sync.
const syncGap = 100 * time.Millisecond

// pause waits for d or the end of ctx.
func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// Apply makes pools the pools that are scraped. It reports every problem of
// every pool at once, and changes nothing then (I4).
func (m *Manager) Apply(pools []PoolOptions) error {
	wanted := make(map[string]PoolOptions, len(pools))
	var errs []error
	for _, o := range pools {
		if err := o.Validate(); err != nil {
			errs = append(errs, fmt.Errorf("scrape job %q: %w", o.Job, err))
		}
		if _, twice := wanted[o.Job]; twice {
			errs = append(errs, fmt.Errorf("scrape job %q occurs twice", o.Job))
		}
		wanted[o.Job] = o.withDefaults()
	}
	if len(errs) > 0 {
		return errors.Join(errs...)
	}

	m.mu.Lock()
	defer m.mu.Unlock()
	logs, files, err := m.logs.open(wanted)
	if err != nil {
		return err
	}
	next := make(map[string]*pool, len(wanted))
	jobs := make(map[string]discovery.Options, len(wanted))
	for job, o := range wanted {
		jobs[job] = o.Discovery
		if p := m.pools[job]; p != nil && p.options.same(o) {
			next[job] = p
			continue
		}
		p, err := m.newPool(o)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		p.failures = logs[o.FailureLog]
		next[job] = p
	}
	if err = errors.Join(errs...); err == nil {
		err = m.discovery.Apply(jobs)
	}
	if err != nil {
		closeFiles(files)
		return err
	}
	if err := m.logs.begin(logs, files); err != nil {
		m.logger.Warn("a log of failed scrapes was not closed", "err", err)
	}
	m.logs = logs
	m.replaceLocked(next)
	return nil
}

// replaceLocked swaps the pools: targets that a changed pool still has go on,
// all others of pools that are no more end.
func (m *Manager) replaceLocked(next map[string]*pool) {
	before := m.pools
	m.pools = next
	groups := m.discovery.Groups()
	for job, p := range next {
		old := before[job]
		if old == p {
			if m.ctx != nil {
				p.syncLocked(m.ctx, groups[job], nil)
			}
			continue
		}
		if old == nil {
			old = &pool{}
		}
		if m.ctx != nil {
			p.syncLocked(m.ctx, groups[job], old.loops)
		}
	}
	for job, old := range before {
		if next[job] != old {
			old.endLocked(errGone)
			old.fetcher.close()
		}
	}
	m.keeper.wake()
}

// syncLocked brings all pools up to what discovery knows.
func (m *Manager) syncLocked() {
	if m.ctx == nil {
		return
	}
	groups := m.discovery.Groups()
	for job, p := range m.pools {
		p.syncLocked(m.ctx, groups[job], nil)
	}
	m.metrics.syncs.Inc()
	m.keeper.wake()
}

// live returns the loops by pool.
func (m *Manager) live() map[string][]*loop {
	m.mu.Lock()
	defer m.mu.Unlock()
	out := make(map[string][]*loop, len(m.pools))
	for job, p := range m.pools {
		out[job] = make([]*loop, 0, len(p.loops))
		for l := range maps.Values(p.loops) {
			out[job] = append(out[job], l)
		}
	}
	return out
}

package scrape

import (
	"context"
	"maps"
	"slices"
	"sync/atomic"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/nilometer/nilometer/discovery"
)

// pool is one job. Manager.mu guards it.
type pool struct {
	manager *Manager
	options PoolOptions // with defaults; never changed: another set of options is another pool
	fetcher fetcher
	// failures gets the scrapes that fail; nil: they are not written.
	failures *failureLog
	places   chan struct{} // one for each scrape under way
	// targets is how many there are; atomic, for the loops.
	targets atomic.Int64

	loops        map[string]*loop // by spec.key
	dropped      []labels.Labels
	droppedCount int
	bad          []discovery.Problem
}

// newPool makes what can fail before anything is changed.
func (m *Manager) newPool(o PoolOptions) (*pool, error) {
	f, err := newFetcher(&o, m.deps.UserAgent)
	if err != nil {
		return nil, err
	}
	return &pool{
		manager: m, options: o, fetcher: f,
		places: make(chan struct{}, o.ConcurrencyMax), loops: map[string]*loop{},
	}, nil
}

// syncLocked makes the targets in groups the pool's targets. before holds the
// loops of the pool that this one replaces; those that go on are removed from
// it.
func (p *pool) syncLocked(ctx context.Context, groups []discovery.Group, before map[string]*loop) {
	f := specsOf(&p.options, groups)
	p.targets.Store(int64(len(f.specs)))
	p.fetcher.keep(f.specs)
	next := make(map[string]*loop, len(f.specs))
	for _, s := range f.specs {
		key := s.key()
		if l := p.loops[key]; l != nil && l.spec.same(s) {
			next[key] = l
			delete(p.loops, key)
			continue
		}
		old := p.loops[key]
		delete(p.loops, key)
		if old == nil {
			old = before[key]
			delete(before, key)
		}
		if old != nil {
			old.end(errReplaced)
		}
		next[key] = p.startLoop(ctx, s, old)
	}
	p.endLocked(errGone)
	p.loops = next
	p.bad, p.droppedCount = f.bad, len(f.dropped)
	p.dropped = f.dropped
	if limit := p.options.DroppedTargetsMax; limit > 0 && len(p.dropped) > limit {
		p.dropped = slices.Clone(p.dropped[:limit])
	}
}

// checkTargets fails while the pool has too many targets.
func (p *pool) checkTargets() error {
	if limit, n := int64(p.options.TargetMax), p.targets.Load(); limit > 0 && n > limit {
		return &limitError{what: "target_limit", max: limit, seen: n, who: "the job"}
	}
	return nil
}

// endLocked ends the loops that are left.
func (p *pool) endLocked(cause error) {
	for l := range maps.Values(p.loops) {
		l.end(cause)
	}
	p.loops = map[string]*loop{}
}

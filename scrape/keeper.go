package scrape

import (
	"context"
	"errors"
	"time"

	"github.com/nilometer/nilometer/metadb"
)

// The keeper's rhythm and limits.
const (
	keepEvery    = 3 * time.Second  // between two batches
	keepAgain    = 30 * time.Second // between two writes of a target whose status stays
	keepBatchMax = 1000             // updates in one call
	keepTimeout  = 10 * time.Second // of one round
)

// keeper writes the targets' states to the metadata database: a batch every few
// seconds, by compare-and-swap. While the database is away the states stay in
// memory, the newest of each target, and follow later.
type keeper struct {
	manager *Manager
	db      metadb.Targets
	signal  chan struct{} // at most one pending
	// jobs are the targets that the database has, by job, as last reconciled.
	// The run goroutine's.
	jobs map[string]map[*loop]bool
}

func newKeeper(m *Manager) *keeper {
	return &keeper{manager: m, db: m.deps.Targets, signal: make(chan struct{}, 1), jobs: map[string]map[*loop]bool{}}
}

// wake asks for a round soon: targets came or went.
func (k *keeper) wake() {
	select {
	case k.signal <- struct{}{}:
	default:
	}
}

func (k *keeper) run(ctx context.Context) error {
	if k.db == nil {
		<-ctx.Done()
		return nil
	}
	ticker := time.NewTicker(keepEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			// What the last seconds brought is written before the end.
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), keepTimeout)
			defer cancel()
			k.update(last, true)
			return nil
		case <-ticker.C:
		case <-k.signal:
		}
		round, cancel := context.WithTimeout(ctx, keepTimeout)
		k.reconcile(round)
		k.update(round, false)
		cancel()
	}
}

// reconcile makes the live targets of every job that changed the active ones.
func (k *keeper) reconcile(ctx context.Context) {
	live := k.manager.live()
	for job, loops := range live {
		if !sameLoops(k.jobs[job], loops) {
			k.reconcileJob(ctx, job, loops)
		}
	}
	for job := range k.jobs {
		if _, is := live[job]; !is {
			k.reconcileJob(ctx, job, nil)
		}
	}
}

func sameLoops(known map[*loop]bool, loops []*loop) bool {
	if known == nil || len(known) != len(loops) {
		return false
	}
	for _, l := range loops {
		if !known[l] {
			return false
		}
	}
	return true
}

func (k *keeper) reconcileJob(ctx context.Context, job string, loops []*loop) {
	var specs []metadb.TargetSpec
	var kept []*loop
	known := make(map[*loop]bool, len(loops))
	for _, l := range loops {
		known[l] = true
		s := metadb.TargetSpec{
			TargetKey: metadb.TargetKey{Job: job, URL: l.spec.url, StaticLabels: l.spec.labels},
			Interval:  l.spec.interval, Timeout: l.spec.timeout,
		}
		if err := s.Validate(); err != nil {
			k.count("invalid", 1)
			k.manager.logger.Warn("a target's state cannot be kept", "target", l.spec.url, "err", err)
			continue
		}
		specs, kept = append(specs, s), append(kept, l)
	}
	rows, err := metadb.ReconcileTargets(ctx, k.db, k.manager.deps.Tenant, job, specs, time.Now())
	if err != nil {
		k.fail(err)
		return
	}
	for i, row := range rows {
		kept[i].state.change(func(s *targetState) { s.adopt(row) })
	}
	k.jobs[job] = known
	if loops == nil {
		delete(k.jobs, job)
	}
}

// adopt takes over a row's version; its state only tells what need not be
// written again.
func (s *targetState) adopt(row metadb.Target) {
	s.id, s.version = row.ID, row.Version
	s.savedScrape, s.savedStatus = row.LastScrapedAt, row.LastStatus
}

// due tells whether the database should learn of a target's last scrape.
func (s *targetState) due(all bool) bool {
	if s.id == "" || s.scraped.IsZero() || !s.scraped.After(s.savedScrape) {
		return false
	}
	return all || s.status != s.savedStatus || s.scraped.Sub(s.savedScrape) >= keepAgain
}

// update writes what changed, or everything that the database does not have.
func (k *keeper) update(ctx context.Context, all bool) {
	var loops []*loop
	var updates []metadb.TargetUpdate
	flush := func() {
		if len(updates) > 0 {
			k.send(ctx, loops, updates, true)
		}
		loops, updates = nil, nil
	}
	for _, targets := range k.manager.live() {
		for _, l := range targets {
			s := l.state.get()
			if !s.due(all) {
				continue
			}
			loops, updates = append(loops, l), append(updates, updateOf(s))
			if len(updates) == keepBatchMax {
				flush()
			}
		}
	}
	flush()
}

// updateOf cuts the time to what the database keeps, so that both compare.
func updateOf(s targetState) metadb.TargetUpdate {
	return metadb.TargetUpdate{
		ID: s.id, Version: s.version, ScrapedAt: s.scraped.UTC().Truncate(time.Millisecond), Status: s.status, Duration: s.duration,
	}
}

// send writes one batch. Who lost a race reads its row again, and tries once
// more when its scrape is still the newer one.
func (k *keeper) send(ctx context.Context, loops []*loop, updates []metadb.TargetUpdate, again bool) {
	outcomes, err := k.db.UpdateTargets(ctx, k.manager.deps.Tenant, updates)
	if err != nil {
		k.fail(err)
		return
	}
	lost := map[metadb.TargetID]*loop{}
	for i, o := range outcomes {
		switch {
		case o.Err == nil:
			k.count("written", 1)
			loops[i].state.change(func(s *targetState) {
				s.version, s.savedScrape, s.savedStatus = o.Version, updates[i].ScrapedAt, updates[i].Status
			})
		case errors.Is(o.Err, metadb.ErrConflict):
			k.count("conflict", 1)
			lost[updates[i].ID] = loops[i]
		case errors.Is(o.Err, metadb.ErrNotFound): // somebody deleted the row
			k.count("not_found", 1)
			delete(k.jobs, loops[i].pool.options.Job)
		default:
			k.fail(o.Err)
		}
	}
	if len(lost) > 0 && again {
		k.retry(ctx, lost)
	}
}

func (k *keeper) retry(ctx context.Context, lost map[metadb.TargetID]*loop) {
	ids := make([]metadb.TargetID, 0, len(lost))
	for id := range lost {
		ids = append(ids, id)
	}
	rows, err := k.db.ListTargets(ctx, k.manager.deps.Tenant, metadb.TargetFilter{IDs: ids, Limit: metadb.ListMax})
	if err != nil {
		k.fail(err)
		return
	}
	var loops []*loop
	var updates []metadb.TargetUpdate
	for _, row := range rows {
		l := lost[row.ID]
		l.state.change(func(s *targetState) { s.adopt(row) })
		if s := l.state.get(); s.due(true) {
			loops, updates = append(loops, l), append(updates, updateOf(s))
		}
	}
	if len(updates) > 0 {
		k.send(ctx, loops, updates, false)
	}
}

func (k *keeper) fail(err error) {
	k.count("error", 1)
	k.manager.logger.Warn("target states were not written, they follow later", "err", err)
}

func (k *keeper) count(outcome string, n int) {
	k.manager.metrics.state.WithLabelValues(outcome).Add(float64(n))
}

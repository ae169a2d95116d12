package tsdb

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nilometer/nilometer/tsdb/compact"
	"github.com/nilometer/nilometer/tsdb/planner"
)

// Run replays the log and then keeps the database in order until ctx ends: it
// syncs the log, cuts complete spans, compacts, and drops what is older than
// the retention. It returns nil when ctx ended, or the error that makes going
// on pointless.
func (db *DB) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel(nil)
	wg.Go(func() {
		if err := db.memory.log.Run(ctx); err != nil && ctx.Err() == nil {
			cancel(fmt.Errorf("write-ahead log: %w", err))
		}
	})
	wg.Go(func() { _ = db.pressure.Run(ctx) }) // ends with ctx, without an error
	if err := db.replay(ctx); err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return err
	}
	wg.Go(func() {
		db.every(ctx, loopFlush, func(ctx context.Context) error { return db.memory.heads.Flush(ctx, false) })
	})
	wg.Go(func() { db.every(ctx, loopCut, db.Cut) })
	wg.Go(func() {
		if err := db.remember(ctx); err != nil && ctx.Err() == nil {
			db.logger.Error("series not counted", "err", err)
		}
		db.every(ctx, loopCount, db.remember)
	})
	wg.Go(func() { db.every(ctx, loopSeal, db.sealEarly) })
	wg.Go(func() { db.every(ctx, loopCompact, db.compactDue()) })
	wg.Go(func() { db.whenLate(ctx) })
	<-ctx.Done()
	if cause := context.Cause(ctx); !errors.Is(cause, context.Canceled) && !errors.Is(cause, context.DeadlineExceeded) {
		return cause
	}
	return nil
}

// whenLate writes late samples to blocks when a buffer of them is half full.
// After an error it waits for a maintenance interval.
func (db *DB) whenLate(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-db.memory.heads.LateFull():
		}
		err := db.spillFull(ctx)
		if err == nil || ctx.Err() != nil {
			continue
		}
		db.logger.Error("writing late samples failed, it is tried again", "err", err, "retry_after", db.opts.MaintenanceInterval.String())
		select {
		case <-ctx.Done():
		case <-time.After(db.opts.MaintenanceInterval):
		}
	}
}

// Seal writes what the heads have sealed to files now. It is done on its own as
// time goes by.
func (db *DB) Seal(ctx context.Context) error {
	if err := db.memory.wait(ctx); err != nil {
		return fmt.Errorf("seal: %w", err)
	}
	return db.memory.heads.Flush(ctx, true)
}

// every runs a loop's work at the maintenance interval. An error is logged,
// counted, and tried again at the next turn.
func (db *DB) every(ctx context.Context, loop string, work func(context.Context) error) {
	ticker := time.NewTicker(db.opts.MaintenanceInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		start := time.Now() // the clock may be set back meanwhile
		err := work(ctx)
		if ctx.Err() != nil {
			return
		}
		db.metrics.ran(loop, time.Since(start), db.deps.Clock(), err)
		if err != nil {
			db.logger.Error("maintenance failed, it is tried again", "loop", loop, "err", err, "retry_after", db.opts.MaintenanceInterval.String())
		}
	}
}

// Compact runs every compaction that is due, retention included, and deletes
// the files of blocks that nobody can name any more.
func (db *DB) Compact(ctx context.Context) error {
	return db.compactAll(ctx, nil, func(*planner.Options) {})
}

// compactDue returns what Run does at each turn: Compact, or the drops alone
// while it is too early to try again what has failed.
func (db *DB) compactDue() func(context.Context) error {
	var pause planner.Backoff
	return func(ctx context.Context) error {
		pausing := pause.Pauses(db.deps.Clock())
		p := compact.Pace{Share: db.opts.CompactionShare}
		err := db.compactAll(ctx, p.Pause, func(o *planner.Options) { o.DropsOnly = pausing })
		if !pausing {
			pause.Ended(db.deps.Clock(), db.opts.MaintenanceInterval, err)
		}
		return err
	}
}

// compactAll is Compact with other options, and with pauses: one tenant after
// the other, so that one block is written at a time.
func (db *DB) compactAll(ctx context.Context, pause func(context.Context) error, with func(*planner.Options)) error {
	var errs []error
	tenants := db.opened()
	budgets, err := db.blockBudgets(tenants)
	if err != nil {
		errs = append(errs, err)
	}
	for i, b := range tenants {
		o := db.plannerOptions()
		if budgets != nil {
			o.RetentionBytes = budgets[i]
		}
		with(&o)
		err := b.compact(ctx, db.now(), o, db.retention.Load(), pause, func(job planner.Job, r compact.Result, err error) {
			db.compacted(b, job, r, err)
		})
		if err != nil {
			errs = append(errs, fmt.Errorf("compact tenant %s: %w", b.id, err))
		}
		b.sweep()
		if err := db.dropTombstones(ctx, b); err != nil {
			errs = append(errs, fmt.Errorf("compact tenant %s: %w", b.id, err))
		}
	}
	return errors.Join(errs...)
}

// compacted notes the end of a job.
func (db *DB) compacted(b *blocks, job planner.Job, r compact.Result, err error) {
	db.metrics.jobs.WithLabelValues(job.Kind.String(), result(err)).Inc()
	if err != nil {
		return // the loop logs it
	}
	if job.Kind == planner.Drop {
		db.metrics.dropped.WithLabelValues(job.Cause).Add(float64(len(job.Blocks)))
	}
	db.metrics.conflicts.Add(float64(r.Stats.Conflicts))
	db.logger.Info("blocks compacted", "tenant", string(b.id), "kind", job.Kind.String(), "reason", job.Reason,
		"sources", len(job.Blocks), "block", r.Block.ID.String(), "samples", r.Block.Stats.Samples, "bytes", r.Block.Stats.Bytes())
}

func (db *DB) plannerOptions() planner.Options {
	o := db.opts
	o.Retention = db.retention.Load().Time
	return o.planner()
}

func (o Options) planner() planner.Options {
	p := planner.Options{BlockRangeMs: o.BlockRange.Milliseconds(), RewriteMaxMs: o.DeleteRewriteMax.Milliseconds()}
	if o.Retention > 0 {
		p.RetentionMs = o.Retention.Milliseconds()
	}
	return p
}

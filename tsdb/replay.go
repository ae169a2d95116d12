package tsdb

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nilometer/nilometer/model/tenant"
	"github.com/nilometer/nilometer/storage"
	"github.com/nilometer/nilometer/tsdb/arena"
	"github.com/nilometer/nilometer/tsdb/head"
	"github.com/nilometer/nilometer/tsdb/pressure"
	"github.com/nilometer/nilometer/tsdb/wal"
)

const walName = "wal"

// horizonKey is the name of the head's mark in a manifest: one for all groups
// of a tenant.
const horizonKey = "head"

// memory is the side of the database that is not in blocks yet: the heads over
// their log. It is empty until it was replayed.
type memory struct {
	log   *wal.Log
	heads *head.Heads

	replayed chan struct{} // closed when the replay has ended
	err      error         // why it failed; set before replayed is closed
}

func openMemory(dir *directory, o Options, d Deps, mem *arena.Allocator, m *pressure.Monitor) (*memory, error) {
	log, err := wal.Open(dir.fs, walName, wal.Options{SyncInterval: o.SyncInterval, SegmentSizeMax: o.SegmentBytes}, wal.NewMetrics(d.Registerer))
	if err != nil {
		return nil, fmt.Errorf("open the write-ahead log: %w", err)
	}
	heads, err := head.New(o.head(), head.Deps{
		Log: log, Files: dir.fs, Dir: headName, Admitter: d.Admitter, Now: d.Clock, Registerer: d.Registerer, Memory: mem, Pressure: m.Level, Room: m.Admit,
	})
	if err != nil {
		return nil, errors.Join(err, log.Close())
	}
	return &memory{log: log, heads: heads, replayed: make(chan struct{})}, nil
}

// head returns the settings of heads.
func (o Options) head() head.Options {
	return head.Options{
		BlockRange: o.BlockRange, SealEvery: o.SealEvery, Retention: max(0, o.Retention), Backfill: o.Backfill,
		LateScrapes: o.LateScrapes, LatePushes: o.LatePushes, LateBytesMax: o.LateBytes,
	}
}

// replay rebuilds the heads; what is before a tenant's horizon is in blocks.
func (db *DB) replay(ctx context.Context) error {
	start := time.Now()
	for _, b := range db.opened() {
		h, g := db.memory.heads.Head(b.id), b.newest.Load()
		h.SetHorizon(g.horizon())
		h.Late().SetMarks(g.late())
		h.Late().Refuse(db.lateBlocks(b) > db.opts.LateBlocksMax)
	}
	err := db.restoreDeletions()
	var r head.Replayed
	if err == nil {
		r, err = db.memory.heads.Replay(ctx)
	}
	if err == nil {
		err = db.openReplayed(ctx)
	}
	for _, b := range db.opened() {
		b.head().ForgetDeletions(b.newest.Load().horizon())
	}
	if err != nil {
		err = fmt.Errorf("replay the write-ahead log in %s/%s: %w", db.deps.Dir, walName, err)
	}
	read := time.Since(start)
	for _, fault := range r.Faults {
		db.logger.Warn("a file of the head cannot be read, the log is asked in its stead", "dir", headName, "err", fault)
	}
	for _, d := range r.Damage {
		db.logger.Warn("a part of the write-ahead log cannot be read, what was in it is lost", "damage", d.String())
	}
	db.logLosses(r.Losses)
	if db.memory.err = err; err != nil && ctx.Err() != nil { // who waits waits for a database that ends
		db.memory.err = fmt.Errorf("%w: %w", storage.ErrClosed, err)
	}
	close(db.memory.replayed)
	if err != nil {
		return err
	}
	// From here on queries are answered: they bring up to date what they touch.
	lost, err := db.memory.heads.CatchUp(ctx)
	if err != nil {
		return err
	}
	db.logLosses(lost)
	if db.deps.CaughtUp != nil {
		db.deps.CaughtUp()
	}
	if r.Segments > 0 {
		db.logger.Info("write-ahead log replayed", "segments", r.Segments, "batches", r.Batches, "samples", r.Samples,
			"duration_ms", time.Since(start).Milliseconds(), "read_ms", read.Milliseconds())
	}
	return nil
}

// logLosses tells which groups have lost samples.
func (db *DB) logLosses(losses []head.Loss) {
	for _, l := range losses {
		db.logger.Warn("a group has lost samples with the log", "tenant", string(l.Tenant), "group", l.Group,
			"from", time.UnixMilli(l.From).UTC().String(), "to", time.UnixMilli(l.To).UTC().String())
	}
}

// openReplayed opens the blocks of tenants that the log knows and the bucket
// does not: nothing of them was cut yet.
func (db *DB) openReplayed(ctx context.Context) error {
	for _, id := range db.memory.heads.Tenants() {
		if _, err := db.openTenant(ctx, id); err != nil {
			return err
		}
	}
	return nil
}

// wait returns when the heads are complete. When ctx ends first the error is
// storage.ErrReplaying.
func (m *memory) wait(ctx context.Context) error {
	select {
	case <-m.replayed:
		return m.err
	default:
	}
	select {
	case <-m.replayed:
		return m.err
	case <-ctx.Done():
		return fmt.Errorf("%w (%w)", storage.ErrReplaying, context.Cause(ctx))
	}
}

// isReplayed reports whether the heads are complete.
func (m *memory) isReplayed() bool {
	select {
	case <-m.replayed:
		return m.err == nil
	default:
		return false
	}
}

// head returns the head of a tenant.
func (m *memory) head(id tenant.ID) *head.Head { return m.heads.Head(id) }

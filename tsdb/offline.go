package tsdb

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/nilometer/nilometer/model/tenant"
	"github.com/nilometer/nilometer/tsdb/compact"
	"github.com/nilometer/nilometer/tsdb/late"
	"github.com/nilometer/nilometer/tsdb/planner"
	"github.com/nilometer/nilometer/vfs"
)

// existing returns the file system of a data directory, and refuses one that
// there is not: opening it would make it.
func existing(d Deps) (vfs.FS, error) {
	if d.FS == nil {
		if _, err := os.Stat(d.Dir); err != nil {
			return nil, fmt.Errorf("open data directory: %w", err)
		}
	}
	fsys, err := d.fileSystem()
	if err != nil {
		return nil, err
	}
	if _, err := fsys.Stat(versionName); errors.Is(err, fs.ErrNotExist) {
		if _, err := fsys.Stat(restoreMark); err == nil {
			return nil, unrestored(d.Dir)
		}
		return nil, fmt.Errorf("%s has no file %s: it is no data directory; name another one with --data.dir", d.Dir, versionName)
	}
	return fsys, nil
}

// OpenIdle opens an existing data directory that no server uses, with
// everything that its log holds, for work on the whole of it. Run must not be
// called: nothing is cut, compacted or dropped unless it is asked for.
func OpenIdle(ctx context.Context, o Options, d Deps) (*DB, error) {
	fsys, err := existing(d)
	if err != nil {
		return nil, err
	}
	d.FS = fsys
	db, err := Open(ctx, o, d)
	if err != nil {
		return nil, err
	}
	if err := db.replay(ctx); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return db, nil
}

// CompactReport is one step of Compact.
type CompactReport struct {
	Tenant tenant.ID
	Job    planner.Job
	Result compact.Result
}

// Compacted is what Compact has made of a data directory.
type Compacted struct {
	Before, After Usage
	// Samples is the number of samples in blocks.
	Samples uint64
	// CutSamples is how many of them came from the log.
	CutSamples uint64
	Jobs       int
}

// Compact brings a data directory that no server uses into its final state:
// what the log holds is cut into blocks, unfinished spans too, and the log is
// emptied; then blocks are merged to the largest ranges, compressed, and
// dropped by the retention. report is called after each job of the planner. A
// server that is started later goes on after the last sample.
func Compact(ctx context.Context, o Options, d Deps, report func(CompactReport)) (c Compacted, err error) {
	fsys, err := existing(d)
	if err != nil {
		return c, err
	}
	d.FS = fsys
	if c.Before, err = measure(fsys); err != nil {
		return c, err
	}
	db, err := OpenIdle(ctx, o, d)
	if err != nil {
		return c, err
	}
	err = db.finish(ctx, &c, report)
	if err = errors.Join(err, db.Close()); err != nil {
		return c, err
	}
	c.After, err = measure(fsys)
	return c, err
}

// finish runs the steps of Compact.
func (db *DB) finish(ctx context.Context, c *Compacted, report func(CompactReport)) error {
	before := db.Stats().BlockSamples
	if err := db.cutAll(ctx); err != nil {
		return err
	}
	c.CutSamples = db.Stats().BlockSamples - before
	p := db.plannerOptions()
	p.Final = true
	for _, b := range db.opened() {
		err := b.compact(ctx, db.now(), p, db.retention.Load(), nil, func(j planner.Job, r compact.Result, err error) {
			if err == nil {
				c.Jobs++
				report(CompactReport{Tenant: b.id, Job: j, Result: r})
			}
		})
		if err != nil {
			return fmt.Errorf("compact tenant %s: %w", b.id, err)
		}
		b.sweep()
	}
	c.Samples = db.Stats().BlockSamples
	return nil
}

// cutAll cuts every span of every head up to its last sample, and drops the log:
// all samples are in blocks then.
func (db *DB) cutAll(ctx context.Context) error {
	db.cutting.Lock()
	defer db.cutting.Unlock()
	for _, b := range db.opened() {
		h := db.memory.head(b.id)
		for _, span := range h.Spans(endOfTime) {
			if err := db.cutSpan(ctx, b, h, span, untilNewest); err != nil {
				return fmt.Errorf("cut the head of tenant %s: %w", b.id, err)
			}
		}
		if err := db.spill(ctx, b, h, func(late.Span) bool { return true }); err != nil {
			return fmt.Errorf("tenant %s: %w", b.id, err)
		}
		b.sweep()
	}
	if err := db.keepAbout(ctx); err != nil {
		return err
	}
	if err := db.dropLog(ctx, db.memory.log.Segment(), true); err != nil {
		return fmt.Errorf("empty the log: %w", err)
	}
	return nil
}

// keepAbout puts what the heads know beside samples, metadata and exemplars, into
// the segment of the log that stays.
func (db *DB) keepAbout(ctx context.Context) error {
	log := db.memory.log
	for _, payload := range db.about() {
		if _, err := log.Enter(); err != nil {
			return err
		}
		at, err := log.Append(payload, 0)
		log.Exit()
		if err == nil {
			err = log.Wait(ctx, at)
		}
		if err != nil {
			return fmt.Errorf("keep metadata and exemplars: %w", err)
		}
	}
	return nil
}

// endOfTime is after every sample, with room for a span.
const endOfTime = 1 << 62

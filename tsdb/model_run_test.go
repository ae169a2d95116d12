package tsdb_test

import (
	"context"
	"fmt"
	"math"
	"runtime/debug"
	"time"

	"github.com/nilometer/nilometer/tsdb"
	"github.com/nilometer/nilometer/vfs/mem"
	"github.com/nilometer/nilometer/vfs/vfstest"
)

// run is a script on its way: a database on a disk that fails as it is told,
// beside the oracle. It runs in a synctest bubble: a minute goes by in no time,
// and what a timer does falls between two operations.
type run struct {
	script script
	begin  time.Time // of the bubble: base of the database's clock
	disk   *mem.FS
	faults *vfstest.FS
	hook   hook
	db     *running
	w      *writers
	oracle *oracle
	held   []heldView

	crashSeed uint64 // of the stop that is due
	settled   bool   // no fault now, nor so short ago that the log has not recovered
	cutBefore int64  // spans before it may have been cut
	cutTried  bool   // since the last durable point
	forgotten int64  // samples before it may have been dropped
	newest    int64  // accepted, of all tenants
	deleted   bool   // something was, perhaps

	count int // see TestModel
}

// play runs a script and returns how many operations that were, and what was
// wrong: nil almost always. It must be called in a bubble. end sees the run at
// its end, with the database open.
func play(s script, end func(*run)) (count int, err error) {
	r := &run{
		script: s, begin: time.Now(), disk: mem.New(), oracle: newOracle(),
		settled: true, cutBefore: math.MinInt64, forgotten: math.MinInt64, newest: math.MinInt64,
	}
	at := -1
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
		if r.db != nil {
			r.releaseViews()
			r.hook.set("", 0, 0)
			if serr := r.db.stop(); err == nil && serr != nil && r.settled && !r.faults.Stopped() {
				err = fmt.Errorf("close: %w", serr)
			}
		}
		if err != nil && at >= 0 && at < len(s.Ops) {
			err = fmt.Errorf("operation %d (%s %s) after %s: %w", at+1, s.Ops[at].Do, s.Ops[at].Group, time.Since(r.begin), err)
		}
		count = r.count
	}()
	if err := r.open(r.disk); err != nil {
		return 0, err
	}
	for i := range s.Ops {
		at = i
		if err := r.do(&s.Ops[i]); err != nil {
			return r.count, err
		}
		if r.faults.Stopped() {
			if err := r.crash(); err != nil {
				return r.count, err
			}
		}
	}
	at = len(s.Ops)
	if err := r.end(); err != nil {
		return r.count, err
	}
	end(r)
	return r.count, nil
}

// end reads all, and all again after another start.
func (r *run) end() error {
	if err := r.heal(); err != nil {
		return err
	}
	if err := r.read(&op{From: math.MinInt64 / 2, To: math.MaxInt64 / 2}); err != nil {
		return fmt.Errorf("at the end: %w", err)
	}
	if err := r.restart(context.Background(), &op{}); err != nil || !r.faults.Stopped() {
		return err
	}
	return r.crash()
}

// open starts a database on a disk. Its loops begin half a millisecond after a
// whole one, so that no operation falls on a tick.
func (r *run) open(disk *mem.FS) error {
	time.Sleep(time.Millisecond - time.Since(r.begin)%time.Millisecond + time.Millisecond/2)
	r.disk, r.faults = disk, vfstest.New(disk)
	r.faults.Fail(r.hook.see)
	db, err := start(r.faults, r.options(), tsdb.Deps{Clock: r.now})
	if err != nil {
		return fmt.Errorf("open: %w", err)
	}
	r.db, r.w = db, newWriters(db)
	return nil
}

func (r *run) options() tsdb.Options {
	o := quiet(time.Duration(r.script.Settings.BlockRangeMs) * time.Millisecond)
	o.SyncInterval, o.SegmentBytes = time.Second, r.script.Settings.SegmentBytes
	o.LateBytes, o.LateBlocksMax = 16<<10, 4 // so that late samples are spilled, and refused
	if keep := r.script.Settings.RetentionMs; keep > 0 {
		o.Retention = time.Duration(keep) * time.Millisecond
	}
	return o
}

// now is the database's clock.
func (r *run) now() time.Time { return time.UnixMilli(base).Add(time.Since(r.begin)) }

// do runs one operation.
func (r *run) do(o *op) error {
	r.count++
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	if o.Cancel < 0 {
		cancel()
	} else if o.Cancel > 0 {
		r.hook.arm(o.Cancel, cancel)
		defer r.hook.arm(0, nil)
	}
	switch o.Do {
	case doAppend:
		return r.append(ctx, o)
	case doScrapes:
		return r.scrapes(ctx, o)
	case doOpen:
		return r.reopen(o.Group)
	case doClose:
		return r.closeGroup(o.Group)
	case doWait:
		return r.wait(time.Duration(o.Ms) * time.Millisecond)
	case doCut:
		return r.cut(ctx)
	case doCompact:
		return r.compact(ctx)
	case doSeal:
		return r.failed(ctx, r.db.Seal(ctx))
	case doDelete:
		return r.delete(ctx, o)
	case doRead:
		return r.read(o)
	case doHold:
		return r.hold()
	case doRelease:
		return r.release()
	case doRestart:
		return r.restart(ctx, o)
	case doCrash:
		r.crashSeed = o.Seed
		r.faults.StopAt(r.faults.Count()+max(1, o.At), o.Seed)
	case doFault:
		r.hook.set(o.Fault, o.At, o.Count)
		r.settled = false
	case doHeal:
		return r.heal()
	default:
		return fmt.Errorf("no operation is called %q", o.Do)
	}
	return nil
}

// failed judges an error of the database: with a broken disk or an ended
// context it may be; else it is a fault of the database.
func (r *run) failed(ctx context.Context, err error) error {
	if err == nil || !r.settled || ctx.Err() != nil || r.faults.Stopped() {
		return nil
	}
	return err
}

// wait lets time go by. After two intervals of the log everything is durable.
func (r *run) wait(d time.Duration) error {
	time.Sleep(d)
	if d >= 2*time.Second && r.settled && !r.faults.Stopped() {
		return r.durable()
	}
	return nil
}

// waitFor waits until no row is of the future.
func (r *run) waitFor(rows []row) error {
	last := int64(math.MinInt64)
	for _, x := range rows {
		last = max(last, base+x.At)
	}
	if d := time.UnixMilli(last).Sub(r.now()); d > 0 {
		return r.wait(d)
	}
	return nil
}

// heal ends a fault. The log is given the time to notice.
func (r *run) heal() error {
	r.hook.set("", 0, 0)
	if r.settled {
		return nil
	}
	time.Sleep(3 * time.Second)
	if r.faults.Stopped() {
		return nil
	}
	r.settled = true
	return r.durable()
}

func (r *run) cut(ctx context.Context) error {
	span := r.script.Settings.BlockRangeMs
	end := max(r.newest, r.now().UnixMilli()) - span/2
	r.cutBefore, r.cutTried = max(r.cutBefore, end-end%span), true
	err := r.db.Cut(ctx)
	return r.failed(ctx, err)
}

// forget notes what is older than the retention: blocks are dropped by a
// compaction, late samples are left out at once.
func (r *run) forget() {
	if keep := r.script.Settings.RetentionMs; keep > 0 {
		r.forgotten = max(r.forgotten, r.now().UnixMilli()-keep)
	}
}

func (r *run) compact(ctx context.Context) error {
	r.forget()
	return r.failed(ctx, r.db.Compact(ctx))
}

// restart ends the database and starts another one, at times after attempts
// that come to nothing. With a broken disk it is kill -9: what was written is
// there, synced or not.
func (r *run) restart(ctx context.Context, o *op) error {
	if err := r.release(); err != nil {
		return err
	}
	for name := range r.w.open {
		if err := r.closeGroup(name); err != nil {
			return err
		}
	}
	err := r.db.stop()
	switch {
	case r.faults.Stopped():
		return nil // the crash comes next
	case !r.settled:
		return r.recover(mem.KeepAll)
	case err != nil:
		return fmt.Errorf("close: %w", err)
	}
	if err := r.durable(); err != nil {
		return err
	}
	if err := r.falseStarts(ctx, o); err != nil || r.faults.Stopped() {
		return err
	}
	if err := r.open(r.disk); err != nil {
		return err
	}
	if err := r.read(&op{From: math.MinInt64 / 2, To: math.MaxInt64 / 2}); err != nil {
		return fmt.Errorf("after a restart: %w", err)
	}
	return nil
}

// falseStarts opens the database with a context that ends meanwhile, when the
// operation says so, and then Count times only to end it at once.
func (r *run) falseStarts(ctx context.Context, o *op) error {
	deps := tsdb.Deps{Clock: r.now}
	if o.Cancel != 0 {
		deps.FS, deps.Dir = r.faults, "data"
		db, err := tsdb.Open(ctx, r.options(), deps)
		if err == nil {
			err = db.Close()
		}
		if err := r.failed(ctx, err); err != nil {
			return fmt.Errorf("open with a context that ends: %w", err)
		}
	}
	for range o.Count {
		db, err := start(r.faults, r.options(), deps)
		if err == nil {
			err = db.stop()
		}
		if err := r.failed(context.Background(), err); err != nil {
			return fmt.Errorf("end during the start: %w", err)
		}
	}
	return nil
}

// crash is what comes after the disk has stopped.
func (r *run) crash() error {
	r.releaseViews()
	_ = r.db.stop() // its disk is gone
	return r.recover(r.crashSeed)
}

// recover starts a database on what a crash has left, and tells the oracle.
func (r *run) recover(seed uint64) error {
	r.hook.set("", 0, 0)
	r.settled = true
	if err := r.open(r.disk.Crash(seed)); err != nil {
		return err
	}
	found, err := everythingOf(r.db)
	if err != nil {
		return fmt.Errorf("after the crash: %w", err)
	}
	cut := int64(math.MinInt64)
	if r.cutTried {
		cut = r.cutBefore
	}
	r.cutTried = false
	r.forget()
	return r.oracle.reopened(found, cut, r.forgotten)
}

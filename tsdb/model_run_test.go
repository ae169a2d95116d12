package tsdb_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"runtime/debug"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"

	"github.com/nilometer/nilometer/model/tenant"
	"github.com/nilometer/nilometer/storage"
	"github.com/nilometer/nilometer/storage/storagetest"
	"github.com/nilometer/nilometer/tsdb"
	"github.com/nilometer/nilometer/vfs"
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

	count int // see TestModel
}

// heldView is a view and what it had when it was taken.
type heldView struct {
	view storage.View
	have []storagetest.Series
}

// hook decides about operations of the disk, and ends contexts at them.
type hook struct {
	mu     sync.Mutex // guards what follows
	fault  string
	left   int // operations until cancel; 0: there is none
	cancel context.CancelFunc
}

func (h *hook) see(op vfstest.Op) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.left > 0 {
		if h.left--; h.left == 0 {
			h.cancel()
		}
	}
	switch {
	case h.fault == "full" && op.Kind != vfstest.Remove && op.Kind != vfstest.Sync && op.Kind != vfstest.SyncDir && op.Kind != vfstest.Lock:
		return vfs.ErrFull
	case h.fault == "sync" && (op.Kind == vfstest.Sync || op.Kind == vfstest.SyncDir):
		return syscall.EIO
	case h.fault == "write" && op.Kind == vfstest.Write, h.fault == "link" && (op.Kind == vfstest.Link || op.Kind == vfstest.Rename):
		return syscall.EIO
	}
	return nil
}

func (h *hook) set(fault string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.fault = fault
}

func (h *hook) arm(left int, cancel context.CancelFunc) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.left, h.cancel = left, cancel
}

// play runs a script and returns how many operations that were, and what was
// wrong: nil almost always. It must be called in a bubble.
func play(s script) (count int, err error) {
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
			r.hook.set("")
			if serr := r.db.stop(); err == nil && serr != nil && r.settled {
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
	return r.count, r.end()
}

// end reads all, and all again after another start.
func (r *run) end() error {
	if err := r.heal(); err != nil {
		return err
	}
	if err := r.read(&op{From: math.MinInt64 / 2, To: math.MaxInt64 / 2}); err != nil {
		return fmt.Errorf("at the end: %w", err)
	}
	return r.restart()
}

// open starts a database on a disk. Its loops begin half a millisecond after a
// whole one, so that no operation falls on a tick.
func (r *run) open(disk *mem.FS) error {
	time.Sleep(time.Millisecond - time.Since(r.begin)%time.Millisecond + time.Millisecond/2)
	r.disk, r.faults = disk, vfstest.New(disk)
	r.faults.Fail(r.hook.see)
	o := quiet(time.Duration(r.script.Settings.BlockRangeMs) * time.Millisecond)
	o.SyncInterval = time.Second
	if r.script.Settings.RetentionMs > 0 {
		o.Retention = time.Duration(r.script.Settings.RetentionMs) * time.Millisecond
	}
	db, err := start(r.faults, o, tsdb.Deps{Clock: r.now})
	if err != nil {
		return fmt.Errorf("open: %w", err)
	}
	r.db, r.w = db, newWriters(db)
	return nil
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
	case doDelete:
		return r.delete(ctx, o)
	case doRead:
		return r.read(o)
	case doHold:
		return r.hold()
	case doRelease:
		return r.release()
	case doRestart:
		return r.restart()
	case doCrash:
		r.crashSeed = o.Seed
		r.faults.StopAt(r.faults.Count()+max(1, o.At), o.Seed)
	case doFault:
		r.hook.set(o.Fault)
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

// append writes rows. What was applied is noted by the oracle, whose results
// must be the same.
func (r *run) append(ctx context.Context, o *op) error {
	if !o.Together {
		for i := range o.Rows {
			if err := r.commit(ctx, o, o.Rows[i:i+1]); err != nil {
				return err
			}
		}
		return nil
	}
	return r.commit(ctx, o, o.Rows)
}

func (r *run) commit(ctx context.Context, o *op, rows []row) error {
	r.count++
	if err := r.waitFor(rows); err != nil {
		return err
	}
	var prepared []storage.Prepared
	for _, x := range rows {
		p, err := r.w.prepare(ctx, o.Group, x)
		if err != nil {
			for _, p := range prepared {
				p.Abort()
			}
			return r.failed(ctx, fmt.Errorf("prepare: %w", err))
		}
		prepared = append(prepared, p)
	}
	d := storage.Logged
	if o.Synced {
		d = storage.Synced
	}
	err := r.db.Commit(ctx, d, prepared...)
	if problem := r.failed(ctx, err); problem != nil {
		return fmt.Errorf("commit: %w", problem)
	}
	if err != nil && !errors.Is(err, storage.ErrUncertain) {
		for _, p := range prepared {
			p.Abort()
		}
		return nil // nothing of it was applied
	}
	for i, x := range rows {
		if err := r.applied(o.Group, x, prepared[i].Result()); err != nil {
			return err
		}
	}
	if o.Synced && err == nil && len(rows) > 0 {
		return r.durable()
	}
	return nil
}

// applied compares what became of a row with what the oracle makes of it.
func (r *run) applied(group string, x row, got storage.Result) error {
	if len(got.Rejected) > 0 && got.Rejected[0].Reason == storage.ReasonTooOld {
		if len(got.Rejected) != len(x.Names) || got.Appended > 0 || base+x.At >= r.cutBefore {
			return fmt.Errorf("batch %+v: the result is %+v; spans before %d may have been cut", x, got, r.cutBefore-base)
		}
		return nil
	}
	want, err := r.oracle.commit(group, x)
	if err != nil {
		return fmt.Errorf("oracle: %w", err)
	}
	same := func(a, b storage.Rejection) bool { return a.Index == b.Index && a.Reason == b.Reason }
	if got.Appended != want.Appended || !slices.EqualFunc(got.Rejected, want.Rejected, same) {
		return fmt.Errorf("batch %+v: the result is %+v, want %+v", x, got, want)
	}
	r.count += want.Appended
	r.newest = max(r.newest, base+x.At)
	return nil
}

// scrapes are Count positions of a closed group from From on: its first series
// count, change seldom, or stay as they are.
func (r *run) scrapes(ctx context.Context, o *op) error {
	known := modelGroups()[o.Group]
	for i := range int64(o.Count) {
		x := row{At: o.From + i*o.Interval}
		for k := range known.series {
			name := fmt.Sprintf("s%d", known.first+k)
			switch phase := (int64(o.Seed) + int64(k)) % 4; {
			case phase == 0:
				x.add(name, float64(i*7+int64(k)))
			case phase == 1 && i%9 == 0:
				x.add(name, float64(i)/8)
			case phase == 2 && i%50 == 0:
				x.add(name, math.Float64frombits(o.Seed*uint64(i+1)*0x9e3779b97f4a7c15&^(1<<62)))
			case i == 0:
				x.add(name, 1)
			}
		}
		if err := r.commit(ctx, o, []row{x}); err != nil {
			return err
		}
	}
	return nil
}

func (r *run) durable() error {
	r.cutTried = false
	return r.oracle.durable()
}

// reopen lets another writer open a group: whoever had it is not asked.
func (r *run) reopen(name string) error {
	delete(r.w.open, name)
	if _, err := r.w.group(context.Background(), name); err != nil {
		return r.failed(context.Background(), err)
	}
	return r.oracle.note(change{apply: func(w *writers) error {
		delete(w.open, name)
		_, err := w.group(context.Background(), name)
		return err
	}})
}

func (r *run) closeGroup(name string) error {
	if err := r.failed(context.Background(), r.w.close(name)); err != nil {
		return err
	}
	return r.oracle.note(change{apply: func(w *writers) error { return w.close(name) }})
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
	r.hook.set("")
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

func (r *run) compact(ctx context.Context) error {
	if keep := r.script.Settings.RetentionMs; keep > 0 {
		r.forgotten = max(r.forgotten, r.now().UnixMilli()-keep)
	}
	return r.failed(ctx, r.db.Compact(ctx))
}

func (r *run) delete(ctx context.Context, o *op) error {
	m := nameMatcher(o.Match)
	err := r.db.Delete(ctx, tenant.Default, base+o.From, base+o.To, m)
	if err := r.failed(ctx, err); err != nil || errors.Is(err, storage.ErrUnsupported) {
		return err
	}
	return r.oracle.note(change{kept: true, apply: func(w *writers) error {
		return w.store.Delete(context.Background(), tenant.Default, base+o.From, base+o.To, m)
	}})
}

func nameMatcher(expression string) *labels.Matcher {
	return labels.MustNewMatcher(labels.MatchRegexp, model.MetricNameLabel, expression)
}

func (o *op) selection() storage.Selection {
	s := storage.Selection{MinTime: base + o.From, MaxTime: base + o.To}
	if o.Match != "" {
		s.Matchers = []*labels.Matcher{nameMatcher(o.Match)}
	}
	return s
}

// read compares what a selection finds, by samples, label sets, names and the
// estimate. Reads go on whatever the disk does.
func (r *run) read(o *op) error {
	s := o.selection()
	for _, id := range modelTenants() {
		want, err := readStore(r.oracle.live.store, id, s)
		if err != nil {
			return err
		}
		v, err := r.db.View(context.Background(), id)
		if err != nil {
			return err
		}
		err = r.readView(v, s, want)
		v.Close()
		if err != nil {
			return fmt.Errorf("tenant %s: %w", id, err)
		}
	}
	return nil
}

func readStore(st storage.Store, id tenant.ID, s storage.Selection) ([]storagetest.Series, error) {
	v, err := st.View(context.Background(), id)
	if err != nil {
		return nil, err
	}
	defer v.Close()
	return storagetest.Read(context.Background(), v, s)
}

func (r *run) readView(v storage.View, s storage.Selection, want []storagetest.Series) error {
	got, err := storagetest.Read(context.Background(), v, s)
	if err != nil {
		return fmt.Errorf("read: %w", err)
	}
	if err := same(want, got, r.forgotten); err != nil {
		return fmt.Errorf("from %d to %d: %w", s.MinTime-base, s.MaxTime-base, err)
	}
	lsets, _, err := v.Series(context.Background(), s, 0)
	if err != nil {
		return fmt.Errorf("series: %w", err)
	}
	names, _, err := v.LabelValues(context.Background(), model.MetricNameLabel, s, 0)
	if err != nil {
		return fmt.Errorf("label values: %w", err)
	}
	samples := int64(0)
	for _, x := range got {
		samples += int64(len(x.Samples))
		if !slices.ContainsFunc(lsets, func(l labels.Labels) bool { return labels.Equal(l, x.Labels) }) {
			return fmt.Errorf("the series are %v, without %s", lsets, x.Labels)
		}
		if name := x.Labels.Get(model.MetricNameLabel); !slices.Contains(names, name) {
			return fmt.Errorf("the names are %q, without %s", names, name)
		}
	}
	est, err := v.Estimate(context.Background(), s)
	if err != nil || est.Series < int64(len(got)) || samples > 0 && est.Samples == 0 {
		return fmt.Errorf("the estimate is %+v for %d series with %d samples (%w)", est, len(got), samples, err)
	}
	return nil
}

// heldMax bounds the views that are held at once.
const heldMax = 4

func (r *run) hold() error {
	if len(r.held) == heldMax {
		r.held[0].view.Close()
		r.held = r.held[1:]
	}
	v, err := r.db.View(context.Background(), tenant.Default)
	if err != nil {
		return err
	}
	h := heldView{view: v}
	if h.have, err = storagetest.Read(context.Background(), v, (&op{From: math.MinInt64 / 2, To: math.MaxInt64 / 2}).selection()); err != nil {
		return err
	}
	r.held = append(r.held, h)
	return nil
}

// release compares and closes the views that are held.
func (r *run) release() error {
	defer r.releaseViews()
	for i, h := range r.held {
		got, err := storagetest.Read(context.Background(), h.view, (&op{From: math.MinInt64 / 2, To: math.MaxInt64 / 2}).selection())
		if err != nil {
			return fmt.Errorf("held view %d: %w", i, err)
		}
		if d := storagetest.Diff(h.have, got); d != "" {
			return fmt.Errorf("held view %d has changed: %s", i, d)
		}
	}
	return nil
}

func (r *run) releaseViews() {
	for _, h := range r.held {
		h.view.Close()
	}
	r.held = nil
}

// restart ends the database and starts another one. With a broken disk that is
// kill -9: what was written is there, synced or not.
func (r *run) restart() error {
	if err := r.release(); err != nil {
		return err
	}
	for name := range r.w.open {
		if err := r.closeGroup(name); err != nil {
			return err
		}
	}
	err := r.db.stop()
	if r.faults.Stopped() || !r.settled {
		return r.recover(mem.KeepAll)
	}
	if err != nil {
		return fmt.Errorf("close: %w", err)
	}
	if err := r.durable(); err != nil {
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

// crash is what comes after the disk has stopped.
func (r *run) crash() error {
	r.releaseViews()
	_ = r.db.stop() // its disk is gone
	return r.recover(r.crashSeed)
}

// recover starts a database on what a crash has left, and tells the oracle.
func (r *run) recover(seed uint64) error {
	r.hook.set("")
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
	return r.oracle.reopened(found, cut, r.forgotten)
}

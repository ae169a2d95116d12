package tsdb_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/nilometer/nilometer/model/tenant"
	"github.com/nilometer/nilometer/storage"
	"github.com/nilometer/nilometer/tsdb"
	"github.com/nilometer/nilometer/tsdb/manifest"
)

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
	rows = slices.Clone(rows)
	for i := range rows {
		rows[i] = rows[i].floatsFirst()
	}
	d := storage.Logged
	if o.Synced {
		d = storage.Synced
	}
	prepared, err := r.send(ctx, o.Group, rows, d)
	if problem := r.failed(ctx, err); problem != nil {
		return problem
	}
	if err != nil && !errors.Is(err, storage.ErrUncertain) {
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

// send commits rows. A drop, which comes after a cut when its time has come, may
// change the members between any two steps: then all begins again, as every
// writer does it.
func (r *run) send(ctx context.Context, group string, rows []row, d storage.Durability) (prepared []storage.Prepared, err error) {
	for range sendAttempts {
		prepared, err = nil, nil
		for _, x := range rows {
			var p storage.Prepared
			if p, err = r.w.prepare(ctx, group, x); err != nil {
				err = fmt.Errorf("prepare: %w", err)
				break
			}
			prepared = append(prepared, p)
		}
		if err == nil {
			if err = r.db.Commit(ctx, d, prepared...); err == nil || errors.Is(err, storage.ErrUncertain) {
				return prepared, err
			}
			err = fmt.Errorf("commit: %w", err)
		}
		for _, p := range prepared {
			p.Abort()
		}
		if !errors.Is(err, storage.ErrVersion) {
			break
		}
	}
	return nil, err
}

// sendAttempts bounds how often members may change under a commit.
const sendAttempts = 5

// applied compares what became of a row with what the oracle makes of it.
func (r *run) applied(group string, x row, got storage.Result) error {
	// What is sent once more after its deletion may be refused, as what it is: of
	// the rest reads tell.
	again := r.deleted && base+x.At <= r.newest
	r.newest = max(r.newest, base+x.At)
	keep := r.script.Settings.RetentionMs
	if old := r.now().UnixMilli() - keep; keep > 0 && base+x.At < old && modelGroups()[group].kind == storage.Open {
		r.forget() // late samples of that age are refused, others are not
		_, err := r.oracle.commit(group, x.spared(got.Rejected, true))
		return err
	}
	open := modelGroups()[group].kind == storage.Open
	for _, refused := range got.Rejected {
		if refused.Reason == storage.ReasonTooOld && (base+x.At >= r.cutBefore || !open && (len(got.Rejected) != len(x.Names) || got.Appended > 0)) {
			return fmt.Errorf("batch %+v: the result is %+v; spans before %d may have been cut", x, got, r.cutBefore-base)
		}
		if refused.Reason == storage.ReasonOverloaded && !open {
			return fmt.Errorf("batch %+v: a scrape is refused: %+v", x, got)
		}
	}
	spared := x.spared(got.Rejected, again)
	whole := len(x.spared(got.Rejected, false).Names) == 0 && got.Appended == 0 && base+x.At < r.cutBefore
	if whole || open && len(spared.Names) == 0 {
		return nil // a scrape that is too old has nothing to refuse when it mentions nothing
	}
	want, err := r.oracle.commit(group, spared)
	if err != nil {
		return fmt.Errorf("oracle: %w", err)
	}
	if again || len(spared.Names) < len(x.Names) || open && base+x.At < r.cutBefore {
		return nil // late, and judged without what has become a block: reads tell
	}
	same := func(a, b storage.Rejection) bool { return a.Index == b.Index && a.Reason == b.Reason }
	if modelGroups()[group].kind == storage.Open {
		// What is in a block already may be taken late once more: reads tell that
		// the first value stands.
		for _, w := range want.Rejected {
			if !slices.ContainsFunc(got.Rejected, func(g storage.Rejection) bool { return g.Index == w.Index }) {
				got.Rejected = append(got.Rejected, w)
			}
		}
		slices.SortFunc(got.Rejected, func(a, b storage.Rejection) int { return a.Index - b.Index })
		got.Appended = min(got.Appended, want.Appended)
	}
	if err := r.forgive(group, x, &got, want); err != nil {
		return err
	}
	if got.Appended != want.Appended || !slices.EqualFunc(got.Rejected, want.Rejected, same) {
		return fmt.Errorf("batch %+v: the result is %+v, want %+v", x, got, want)
	}
	r.count += want.Appended
	return nil
}

// forgive makes the rejections of a batch those that are wanted where they
// differ for a reason: what was taken late and is in a block already the head
// does not know any more. A closed group takes nothing late: then a repeat and a
// conflict are out of order like any other sample. An open group has perhaps
// taken another value late since: then the repeat of the first one is a conflict
// with that. Reads tell that the first value stands.
func (r *run) forgive(group string, x row, got *storage.Result, want storage.Result) error {
	due := make([]storage.Reason, len(x.Names))
	for _, w := range want.Rejected {
		due[w.Index] = w.Reason
	}
	unknown := func(g storage.Rejection) bool {
		switch g.Reason {
		case storage.ReasonOutOfOrder:
			return due[g.Index] == storage.ReasonNone || due[g.Index] == storage.ReasonConflict
		case storage.ReasonConflict:
			return due[g.Index] == storage.ReasonNone
		}
		return false
	}
	if !slices.ContainsFunc(got.Rejected, unknown) {
		return nil
	}
	in, err := r.inBlock(modelGroups()[group].tenant, base+x.At)
	if err != nil || !in {
		return err
	}
	for i := range got.Rejected {
		if g := &got.Rejected[i]; unknown(*g) {
			g.Reason = due[g.Index]
		}
	}
	got.Rejected = slices.DeleteFunc(got.Rejected, func(g storage.Rejection) bool { return g.Reason == storage.ReasonNone })
	return nil
}

// inBlock tells whether a tenant has a block of a time.
func (r *run) inBlock(id tenant.ID, t int64) (bool, error) {
	all, err := tsdb.Blocks(context.Background(), tsdb.Deps{FS: r.disk, Dir: "data"})
	return slices.ContainsFunc(all, func(b tsdb.Listed) bool {
		return b.Tenant == id && b.Meta.MinTime <= t && t <= b.Meta.MaxTime
	}), err
}

// spared returns a row without what came too late for its span, or while the
// buffer of late samples was full; or without all that was rejected.
func (r row) spared(rejected []storage.Rejection, all bool) row {
	out := row{At: r.At, BodyStale: r.BodyStale}
	for i, name := range r.Names {
		if !slices.ContainsFunc(rejected, func(x storage.Rejection) bool {
			return x.Index == i && (all || x.Reason == storage.ReasonTooOld || x.Reason == storage.ReasonOverloaded)
		}) {
			out.Names, out.Values = append(out.Names, name), append(out.Values, r.Values[i])
		}
	}
	return out
}

// scrapes are Count positions of a group from From on: its first series count,
// change seldom, or stay as they are. When they are mixed some of what counts or
// changes are histograms, and some are of a process that starts anew at times.
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
		if o.Mixed {
			x.mix(o, i)
		}
		if err := r.commit(ctx, o, []row{x}); err != nil {
			return err
		}
	}
	return nil
}

// mix gives some values of the i-th scrape other shapes and start timestamps.
func (r *row) mix(o *op, i int64) {
	for k := range r.Values {
		v := &r.Values[k]
		kind := int64(o.Seed) + int64(len(r.Names[k])) + int64(r.Names[k][1])
		if kind%3 == 0 {
			v.shape, v.v = modelShapes()[(kind/3+i/30)%4], float64(i)
		}
		if kind%4 < 2 {
			v.start = max(1, o.From+i/40*40*o.Interval)
		}
	}
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

// delete deletes. What a deletion has done that did not end well is asked by
// making it again, when the disk is whole.
func (r *run) delete(ctx context.Context, o *op) error {
	d := deletion{base + o.From, base + o.To, nameMatcher(o.Match)}
	r.deleted = true
	make := func(ctx context.Context) error {
		return r.db.Delete(ctx, tenant.Default, d.from, d.to, d.matcher)
	}
	err := make(ctx)
	switch {
	case err == nil:
		return r.oracle.delete(d)
	case r.faults.Stopped():
		r.oracle.maybe = &d
		return nil
	case !errors.Is(err, manifest.ErrUncertain):
		return r.failed(ctx, err)
	}
	if err := r.heal(); err != nil {
		return err
	}
	if err := make(context.Background()); r.faults.Stopped() {
		r.oracle.maybe = &d
		return nil
	} else if err != nil {
		return fmt.Errorf("delete again: %w", err)
	}
	return r.oracle.delete(d)
}

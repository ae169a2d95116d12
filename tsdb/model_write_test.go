package tsdb_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/nilometer/nilometer/model/tenant"
	"github.com/nilometer/nilometer/storage"
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
	keep := r.script.Settings.RetentionMs
	if old := r.now().UnixMilli() - keep; keep > 0 && base+x.At < old && modelGroups()[group].kind == storage.Open {
		r.forget() // late samples of that age are refused, others are not
		_, err := r.oracle.commit(group, x)
		return err
	}
	if slices.ContainsFunc(got.Rejected, overloaded) { // of the rest reads tell
		_, err := r.oracle.commit(group, x.spared(got.Rejected, func(r storage.Rejection) bool { return overloaded(r) || tooOld(r) }))
		return err
	}
	old := slices.ContainsFunc(got.Rejected, tooOld)
	switch {
	case old && (base+x.At >= r.cutBefore || modelGroups()[group].kind == storage.Closed && (len(got.Rejected) != len(x.Names) || got.Appended > 0)):
		return fmt.Errorf("batch %+v: the result is %+v; spans before %d may have been cut", x, got, r.cutBefore-base)
	case old:
		if x = x.spared(got.Rejected, tooOld); len(x.Names) == 0 {
			return nil
		}
	}
	want, err := r.oracle.commit(group, x)
	if err != nil {
		return fmt.Errorf("oracle: %w", err)
	}
	if modelGroups()[group].kind == storage.Open && base+x.At < r.cutBefore {
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
	if got.Appended != want.Appended || !slices.EqualFunc(got.Rejected, want.Rejected, same) {
		return fmt.Errorf("batch %+v: the result is %+v, want %+v", x, got, want)
	}
	r.count += want.Appended
	r.newest = max(r.newest, base+x.At)
	return nil
}

func overloaded(r storage.Rejection) bool { return r.Reason == storage.ReasonOverloaded }

func tooOld(r storage.Rejection) bool { return r.Reason == storage.ReasonTooOld }

// spared returns a row without what was rejected for some reasons.
func (r row) spared(rejected []storage.Rejection, reason func(storage.Rejection) bool) row {
	out := row{At: r.At, BodyStale: r.BodyStale}
	for i, name := range r.Names {
		if !slices.ContainsFunc(rejected, func(x storage.Rejection) bool { return x.Index == i && reason(x) }) {
			out.Names, out.Values = append(out.Names, name), append(out.Values, r.Values[i])
		}
	}
	return out
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

package tsdb_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"

	"github.com/nilometer/nilometer/model/series"
	"github.com/nilometer/nilometer/model/tenant"
	"github.com/nilometer/nilometer/storage"
	"github.com/nilometer/nilometer/storage/storagetest"
)

// modelGroup is a group that scripts write to, and the series it may bring.
type modelGroup struct {
	kind     storage.GroupKind
	tenant   tenant.ID
	instance string
	first    int // number of its first series: groups of one instance overlap
	series   int
}

// modelGroups are all groups: closed and open ones that share series, a closed
// and an open one of another placement key, and one of another tenant.
func modelGroups() map[string]modelGroup {
	return map[string]modelGroup{
		"A": {storage.Closed, tenant.Default, "one", 0, 6},
		"B": {storage.Closed, tenant.Default, "one", 4, 5},
		"P": {storage.Open, tenant.Default, "one", 2, 10},
		"Q": {storage.Open, tenant.Default, "one", 5, 7},
		"C": {storage.Closed, tenant.Default, "two", 0, 4},
		"R": {storage.Open, tenant.Default, "two", 2, 6},
		"T": {storage.Open, "other", "one", 0, 4},
	}
}

func (g modelGroup) labels(name string) labels.Labels {
	return labels.FromStrings("__name__", name, "instance", g.instance, "job", "model")
}

func (g modelGroup) spec(name string) storage.GroupSpec {
	key, _ := series.KeyOf(g.labels("x"), nil)
	return storage.GroupSpec{Kind: g.kind, Key: key, Name: name}
}

// writers are handles of a store by the groups' names.
type writers struct {
	store storage.Store
	open  map[string]storage.Group
}

func newWriters(s storage.Store) *writers {
	return &writers{store: s, open: map[string]storage.Group{}}
}

// group returns the handle of a group, opened when it is not.
func (w *writers) group(ctx context.Context, name string) (storage.Group, error) {
	if g := w.open[name]; g != nil {
		return g, nil
	}
	known := modelGroups()[name]
	g, err := w.store.OpenGroup(ctx, known.tenant, known.spec(name))
	if err != nil {
		return nil, err
	}
	w.open[name] = g
	return g, nil
}

func (w *writers) close(name string) error {
	g := w.open[name]
	if g == nil {
		return nil
	}
	delete(w.open, name)
	return g.Close()
}

// prepare makes a batch of a row.
func (w *writers) prepare(ctx context.Context, name string, r row) (storage.Prepared, error) {
	g, err := w.group(ctx, name)
	if err != nil {
		return nil, err
	}
	lsets := make([]labels.Labels, len(r.Names))
	for i, n := range r.Names {
		lsets[i] = modelGroups()[name].labels(n)
	}
	out := make([]storage.Resolution, len(lsets))
	b := &storage.Batch{Time: base + r.At, BodyStale: r.BodyStale}
	if b.Version, err = g.Resolve(ctx, lsets, out); err != nil {
		return nil, err
	}
	for i, x := range out {
		if x.Reason != storage.ReasonNone {
			return nil, fmt.Errorf("resolve %s: %s", lsets[i], x.Reason)
		}
	}
	r.fill(b, out)
	return g.Prepare(ctx, b)
}

// oracle knows what a database must have. It is a storagetest.Memory of all
// that was applied, and another one of what is durable for sure, with the
// changes that bring the one to the other.
type oracle struct {
	live, sure *writers
	journal    []change
	maybe      *deletion // that was under way when the disk stopped
}

// change is something that was done to the database and may be lost in a crash:
// all but deletions.
type change struct {
	apply   func(*writers) error
	deleted *deletion
}

// deletion is of the default tenant's series.
type deletion struct {
	from, to int64
	matcher  *labels.Matcher
}

// hidden returns what is left of series.
func (d *deletion) hidden(all []storagetest.Series) (out []storagetest.Series) {
	for _, s := range all {
		if d.matcher.Matches(s.Labels.Get(model.MetricNameLabel)) {
			s.Samples = slices.DeleteFunc(slices.Clone(s.Samples), func(x storagetest.Sample) bool { return d.from <= x.T && x.T <= d.to })
		}
		if len(s.Samples) > 0 {
			out = append(out, s)
		}
	}
	return out
}

// delete notes a deletion.
func (o *oracle) delete(d deletion) error {
	return o.note(change{deleted: &d, apply: func(w *writers) error {
		return w.store.Delete(context.Background(), tenant.Default, d.from, d.to, d.matcher)
	}})
}

// memoryOptions are quick to write and read.
func memoryOptions() storagetest.MemoryOptions {
	return storagetest.MemoryOptions{Decoded: true, BatchSeries: 1000, LateWindow: 2 * time.Hour}
}

func newOracle() *oracle {
	return &oracle{
		live: newWriters(storagetest.NewMemory(memoryOptions())),
		sure: newWriters(storagetest.NewMemory(memoryOptions())),
	}
}

// note applies a change to what is live, and remembers it for what is sure.
func (o *oracle) note(c change) error {
	o.journal = append(o.journal, c)
	return c.apply(o.live)
}

// durable: all that was done so far survives a crash.
func (o *oracle) durable() error {
	for _, c := range o.journal {
		if err := c.apply(o.sure); err != nil {
			return err
		}
	}
	o.journal = nil
	return nil
}

// commit applies one row and returns what becomes of it.
func (o *oracle) commit(name string, r row) (storage.Result, error) {
	var res storage.Result
	err := o.note(change{apply: func(w *writers) error {
		p, err := w.prepare(context.Background(), name, r)
		if err != nil {
			return err
		}
		if err := w.store.Commit(context.Background(), storage.Synced, p); err != nil {
			return err
		}
		res = p.Result()
		return nil
	}})
	return res, err
}

// reopened: all writers have ended, and found is what a start after a crash has
// found. It fails unless that is the durable state with the first of the
// changes since, in their order; before the time cut the blocks of an
// unfinished cut may have later changes too. forgotten is the time before
// which samples may be missing.
func (o *oracle) reopened(found map[tenant.ID][]storagetest.Series, cut, forgotten int64) error {
	all, err := everythingOf(o.live.store)
	if err != nil {
		return err
	}
	var first error
	for k := 0; ; k++ {
		have, err := everythingOf(o.sure.store)
		if err != nil {
			return err
		}
		for _, c := range o.journal[k:] {
			if c.deleted != nil { // which is not lost
				have[tenant.Default] = c.deleted.hidden(have[tenant.Default])
			}
		}
		problem := sameIn(have, all, found, cut, forgotten)
		if problem != nil && o.maybe != nil {
			have[tenant.Default] = o.maybe.hidden(have[tenant.Default])
			problem = sameIn(have, all, found, cut, forgotten)
		}
		if problem == nil {
			break
		}
		if first == nil {
			first = problem
		}
		if k == len(o.journal) {
			return fmt.Errorf("what was found after the crash is no state since the last durable one: %w (%d changes later: %w)", first, k, problem)
		}
		if err := o.journal[k].apply(o.sure); err != nil {
			return err
		}
	}
	o.maybe = nil
	o.journal = nil
	o.live, o.sure = newWriters(nil), newWriters(nil)
	for _, w := range []*writers{o.live, o.sure} {
		m := storagetest.NewMemory(memoryOptions())
		for id, list := range found {
			if err := storagetest.Load(context.Background(), m, id, list...); err != nil {
				return err
			}
		}
		w.store = m
	}
	return nil
}

// sameIn compares what was found with a state: the same from the time cut on,
// and before it the same as the state or as all.
func sameIn(state, all, found map[tenant.ID][]storagetest.Series, cut, forgotten int64) error {
	for _, id := range modelTenants() {
		want := slices.Clone(state[id])
		err := same(want, found[id], forgotten)
		if err == nil {
			continue
		}
		before, after := func(t int64) bool { return t < cut }, func(t int64) bool { return t >= cut }
		due := func(t int64) bool { return t < cut && t >= forgotten }
		if same(only(want, after), only(found[id], after), forgotten) != nil {
			return fmt.Errorf("tenant %s: %w", id, err)
		}
		if between(only(want, due), only(found[id], before), only(all[id], before)) != nil {
			return fmt.Errorf("tenant %s: %w", id, err)
		}
	}
	return nil
}

// same compares two states, samples before the time forgotten aside: they may
// be missing in got, and where the retention has dropped the block with the
// value that was accepted first, one that was accepted later may show.
func same(want, got []storagetest.Series, forgotten int64) error {
	if forgotten == math.MinInt64 {
		if d := storagetest.Diff(want, got); d != "" {
			return errors.New(d)
		}
		return nil
	}
	if err := contains(timesOf(want), timesOf(only(got, func(t int64) bool { return t < forgotten }))); err != nil {
		return fmt.Errorf("what nobody wrote is there: %w", err)
	}
	recent := func(t int64) bool { return t >= forgotten }
	if d := storagetest.Diff(only(want, recent), only(got, recent)); d != "" {
		return errors.New(d)
	}
	return nil
}

// timesOf returns the series with samples that have no values.
func timesOf(all []storagetest.Series) []storagetest.Series {
	var out []storagetest.Series
	for _, s := range all {
		x := storagetest.Series{Labels: s.Labels}
		for _, sample := range s.Samples {
			x.Samples = append(x.Samples, storagetest.Sample{T: sample.T})
		}
		out = append(out, x)
	}
	return out
}

// only keeps the samples of some times, and the series that have one.
func only(all []storagetest.Series, keep func(t int64) bool) []storagetest.Series {
	var out []storagetest.Series
	for _, s := range all {
		x := storagetest.Series{Labels: s.Labels}
		for _, sample := range s.Samples {
			if keep(sample.T) {
				x.Samples = append(x.Samples, sample)
			}
		}
		if len(x.Samples) > 0 {
			out = append(out, x)
		}
	}
	return out
}

func modelTenants() []tenant.ID { return []tenant.ID{tenant.Default, "other"} }

func everythingOf(s storage.Store) (map[tenant.ID][]storagetest.Series, error) {
	out := map[tenant.ID][]storagetest.Series{}
	for _, id := range modelTenants() {
		found, err := storagetest.ReadAll(context.Background(), s, id)
		if err != nil {
			return nil, fmt.Errorf("read tenant %s: %w", id, err)
		}
		out[id] = found
	}
	return out, nil
}

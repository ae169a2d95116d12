package storagetest

import (
	"context"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/nilometer/nilometer/model/series"
	"github.com/nilometer/nilometer/model/tenant"
	"github.com/nilometer/nilometer/storage"
)

// Harness is what the suite needs of an engine.
type Harness struct {
	// Open returns an empty store that asks the admitter for new series. It
	// arranges for the store's end with t.Cleanup.
	Open func(t *testing.T, admitter storage.Admitter) storage.Store
	// Base is the time, ms, from which on the engine accepts samples, six hours
	// long; 2023-11-14 22:00 UTC when 0.
	Base int64
	// Disturb, unless nil, is called between the steps of tests: an engine
	// moves its data about (cuts, compacts), and no answer may change.
	Disturb func(t *testing.T, s storage.Store)
	// Reopen, unless nil, ends a store and opens another one on its data. The
	// suite calls it when no handle is open.
	Reopen func(t *testing.T, s storage.Store) storage.Store
	// LateWindow is how far behind the newest sample a late one of an open group
	// may lie; 0: the engine takes none, or says nothing about it. At most 4 h.
	LateWindow time.Duration
	// NoHistograms says that the engine refuses native histograms as not
	// supported. It may leave start timestamps out then, too.
	NoHistograms bool
}

// defaultBase is 2023-11-14 22:00:00 UTC, a multiple of two hours.
const defaultBase = 1_699_999_200_000

// Run checks everything that the contract promises.
func Run(t *testing.T, h Harness) {
	if h.Base == 0 {
		h.Base = defaultBase
	}
	var late []testCase
	if h.LateWindow > 0 {
		late = lateCases()
	}
	for _, part := range []struct {
		name  string
		cases []testCase
	}{
		{"late", late},
		{"closed", closedCases()},
		{"open", openCases()},
		{"membership", membershipCases()},
		{"slots", slotCases()},
		{"shapes", shapeCases()},
		{"commit", commitCases()},
		{"order", orderCases()},
		{"values", valueCases()},
		{"read", readCases()},
		{"histograms", histogramCases(h.NoHistograms)},
		{"views", viewCases()},
		{"ends", endCases()},
		{"deletion", deleteCases()},
		{"changes", changeCases()},
		{"optional", optionalCases()},
		{"concurrency", concurrencyCases()},
	} {
		t.Run(part.name, func(t *testing.T) {
			for _, c := range part.cases {
				t.Run(c.name, func(t *testing.T) { c.run(newEnv(t, h)) })
			}
		})
	}
	t.Run("history", func(t *testing.T) {
		for seed := range uint64(histories) {
			History(t, h, seed)
		}
	})
}

// histories is how many random histories Run checks.
const histories = 8

type testCase struct {
	name string
	run  func(e *env)
}

// env is one test's store, and short words for what tests do to it.
type env struct {
	*testing.T
	ctx   context.Context
	h     Harness
	asked *asked
	store storage.Store
}

func newEnv(t *testing.T, h Harness) *env {
	e := &env{T: t, ctx: t.Context(), h: h, asked: &asked{}}
	e.store = h.Open(t, e.asked)
	return e
}

// at is a time of the test: seconds after its begin, in ms.
func (e *env) at(seconds int64) int64 { return e.h.Base + 1000*seconds }

func (e *env) disturb() {
	e.Helper()
	if e.h.Disturb != nil {
		e.h.Disturb(e.T, e.store)
	}
}

// Named is the label set that the suite's tests give a series: all of one
// instance, so of one placement key.
func Named(name string) labels.Labels {
	return labels.FromStrings("__name__", name, "instance", "10.0.0.7:9100", "job", "node")
}

// Spec is a group for the series of Named.
func Spec(kind storage.GroupKind, name string) storage.GroupSpec {
	key, _ := series.KeyOf(Named("x"), nil)
	return storage.GroupSpec{Kind: kind, Key: key, Name: name}
}

// value is one entry of a batch.
type value struct {
	name string
	v    float64
}

// writer writes batches of one handle, by names.
type writer struct {
	*env
	g       storage.Group
	version uint64
	slots   map[string]storage.Slot
}

func (e *env) open(kind storage.GroupKind, name string) *writer {
	e.Helper()
	return e.openSpec(Spec(kind, name))
}

func (e *env) openSpec(spec storage.GroupSpec) *writer {
	e.Helper()
	g, err := e.store.OpenGroup(e.ctx, tenant.Default, spec)
	if err != nil {
		e.Fatal(err)
	}
	e.Cleanup(func() { g.Close() })
	return &writer{env: e, g: g, slots: map[string]storage.Slot{}}
}

// resolve makes the names' slots known.
func (w *writer) resolve(names ...string) {
	w.Helper()
	lsets := make([]labels.Labels, len(names))
	for i, name := range names {
		lsets[i] = Named(name)
	}
	out := make([]storage.Resolution, len(names))
	version, err := w.g.Resolve(w.ctx, lsets, out)
	if err != nil {
		w.Fatal(err)
	}
	for i, r := range out {
		if r.Reason != storage.ReasonNone {
			w.Fatalf("resolve %s: %s", names[i], r.Reason)
		}
		w.slots[names[i]] = r.Slot
	}
	w.version = version
}

// batch resolves the names and returns a batch of them.
func (w *writer) batch(time int64, values ...value) *storage.Batch {
	w.Helper()
	var names []string
	for name := range w.slots {
		names = append(names, name)
	}
	for _, v := range values {
		if _, ok := w.slots[v.name]; !ok {
			names = append(names, v.name)
		}
	}
	w.resolve(names...)
	b := &storage.Batch{Time: time, Version: w.version}
	for _, v := range values {
		b.Slots = append(b.Slots, w.slots[v.name])
		b.Values = append(b.Values, v.v)
	}
	return b
}

// append appends a batch, which must succeed.
func (w *writer) append(b *storage.Batch) storage.Result {
	w.Helper()
	res, err := w.g.Append(w.ctx, b, storage.Synced)
	if err != nil {
		w.Fatalf("append at %d: %s", b.Time, err)
	}
	w.disturb()
	return res
}

// write appends values, all of which must be stored.
func (w *writer) write(time int64, values ...value) storage.Result {
	w.Helper()
	res := w.append(w.batch(time, values...))
	if len(res.Rejected) > 0 {
		w.Fatalf("append at %d: rejected %+v", time, res.Rejected)
	}
	return res
}

// want fails the test unless the store has exactly these series.
func (e *env) want(want ...Series) {
	e.Helper()
	got, err := ReadAll(e.ctx, e.store, tenant.Default)
	if err != nil {
		e.Fatal(err)
	}
	if d := Diff(want, got); d != "" {
		e.Fatal(d)
	}
}

// named is a series of samples.
func named(name string, samples ...Sample) Series {
	return Series{Labels: Named(name), Samples: samples}
}

// rejection fails the test unless exactly one entry was rejected, for one of
// the reasons.
func (e *env) rejection(res storage.Result, index int, reasons ...storage.Reason) {
	e.Helper()
	if len(res.Rejected) != 1 || res.Rejected[0].Index != index {
		e.Fatalf("rejected %+v, want entry %d alone", res.Rejected, index)
	}
	for _, r := range reasons {
		if res.Rejected[0].Reason == r {
			return
		}
	}
	e.Fatalf("entry %d was rejected as %s, want one of %s", index, res.Rejected[0].Reason, reasons)
}

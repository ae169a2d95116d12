package tsdb

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/nilometer/nilometer/model/tenant"
	"github.com/nilometer/nilometer/storage"
	"github.com/nilometer/nilometer/tsdb/head"
)

var _ storage.CardinalityReader = (*DB)(nil)

// The bounds of what is remembered for Cardinality, of each tenant.
const (
	censusKept     = 500 // things of each kind, some 100 bytes each
	censusEvery    = 15 * time.Minute
	markEvery      = time.Minute
	censusBack     = time.Hour
	rememberedMost = int(censusBack/censusEvery) + 1
)

// cardinalities remember what tenants had, to tell what grows.
type cardinalities struct {
	counting sync.Mutex // held while series are counted: one at a time

	mu      sync.Mutex // guards tenants
	tenants map[tenant.ID]*remembered
}

// remembered is what a tenant had, oldest first.
type remembered struct {
	marks    []newestAt
	censuses []past
}

// newestAt is the newest series at a time.
type newestAt struct {
	at     time.Time
	newest uint64
}

// past is how many series things had, by kind and name. Of a kind with all that
// there was, others had none, else at most as many as the least.
type past struct {
	at    time.Time
	kinds [rankings]had
}

type had struct {
	series map[string]uint64
	least  uint64
}

// rankings is the number of rankings of a Cardinality.
const rankings = 5

func rankingsOf(c *storage.Cardinality) [rankings]*storage.Ranking {
	return [rankings]*storage.Ranking{&c.Metrics, &c.Labels, &c.Pairs, &c.Jobs, &c.Targets}
}

// Cardinality implements storage.CardinalityReader for what is in the head. Calls
// are one at a time; of a million series, each with a label of its own, one took
// half a second on two busy cores.
func (db *DB) Cardinality(ctx context.Context, id tenant.ID, most int) (storage.Cardinality, error) {
	if err := db.memory.wait(ctx); err != nil {
		return storage.Cardinality{}, fmt.Errorf("count series: %w", err)
	}
	h := db.memory.head(id)
	since, then := db.cardinal.before(id, db.deps.Clock().Add(-censusBack))
	n, err := db.cardinal.census(ctx, h, since.newest, max(most, censusKept))
	if err != nil {
		return storage.Cardinality{}, fmt.Errorf("count series: %w", err)
	}
	out := storage.Cardinality{
		Series: n.Series, LabelPairs: n.LabelPairs, Chunks: n.Chunks, MinTime: n.MinTime, MaxTime: n.MaxTime,
		ValuesOf: n.ValuesOf[:min(most, len(n.ValuesOf))], BytesOf: n.BytesOf[:min(most, len(n.BytesOf))],
		ChurnSince: since.at, GrowthSince: then.at,
	}
	for i, kind := range kindsOf(&n) {
		grow(kind, then.kinds[i])
		*rankingsOf(&out)[i] = ranking(kind, most)
	}
	return out, nil
}

func kindsOf(n *head.Census) [rankings][]storage.Cardinal {
	return [rankings][]storage.Cardinal{n.Metrics, n.Labels, n.Pairs, n.Jobs, n.Targets}
}

// census counts when nobody else does.
func (c *cardinalities) census(ctx context.Context, h *head.Head, since uint64, most int) (head.Census, error) {
	c.counting.Lock()
	defer c.counting.Unlock()
	return h.Census(ctx, since, most)
}

// grow sets how much things have grown since then.
func grow(kind []storage.Cardinal, then had) {
	for i := range kind {
		k := &kind[i]
		before, ok := then.series[k.Name]
		if !ok {
			before = min(then.least, k.Series)
		}
		k.Growth = int64(k.Series) - int64(before)
	}
}

// ranking sorts things by each measure; what has nothing of it is left out.
func ranking(kind []storage.Cardinal, most int) storage.Ranking {
	by := func(measure func(*storage.Cardinal) float64) []storage.Cardinal {
		out := slices.DeleteFunc(slices.Clone(kind), func(k storage.Cardinal) bool { return measure(&k) <= 0 })
		slices.SortFunc(out, func(a, b storage.Cardinal) int {
			return cmp.Or(cmp.Compare(measure(&b), measure(&a)), cmp.Compare(a.Name, b.Name))
		})
		return out[:min(len(out), most)]
	}
	return storage.Ranking{
		BySeries:  by(func(k *storage.Cardinal) float64 { return float64(k.Series) }),
		ByChurn:   by(func(k *storage.Cardinal) float64 { return float64(k.New) }),
		BySamples: by(func(k *storage.Cardinal) float64 { return k.SamplesPerSecond }),
		ByGrowth:  by(func(k *storage.Cardinal) float64 { return float64(k.Growth) }),
	}
}

// before returns what is remembered of a time, or the oldest after it.
func (c *cardinalities) before(id tenant.ID, t time.Time) (newestAt, past) {
	c.mu.Lock()
	defer c.mu.Unlock()
	r := c.tenants[id]
	if r == nil {
		return newestAt{}, past{}
	}
	var m newestAt
	for i, x := range r.marks {
		if i == 0 || !x.at.After(t) {
			m = x
		}
	}
	var p past
	for i, x := range r.censuses {
		if i == 0 || !x.at.After(t) {
			p = x
		}
	}
	return m, p
}

// remember notes what tenants have, when it is time to.
func (db *DB) remember(ctx context.Context) error {
	for _, id := range db.memory.heads.Tenants() {
		now, h := db.deps.Clock(), db.memory.head(id)
		if !db.cardinal.mark(id, newestAt{now, h.NewestSeries()}) {
			continue
		}
		n, err := db.cardinal.census(ctx, h, 0, censusKept)
		if err != nil {
			return fmt.Errorf("count series: %w", err)
		}
		p := past{at: now}
		for i, kind := range kindsOf(&n) {
			p.kinds[i] = hadOf(kind)
		}
		db.cardinal.keep(id, p)
	}
	return nil
}

// hadOf keeps the names and series of things.
func hadOf(kind []storage.Cardinal) had {
	out := had{series: make(map[string]uint64, len(kind))}
	if len(kind) >= censusKept {
		bySeries := ranking(kind, censusKept).BySeries
		out.least = bySeries[len(bySeries)-1].Series
	}
	for _, k := range kind {
		out.series[k.Name] = k.Series
	}
	return out
}

// mark adds a mark when the last is old enough, and tells whether a census is
// due.
func (c *cardinalities) mark(id tenant.ID, m newestAt) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.tenants == nil {
		c.tenants = map[tenant.ID]*remembered{}
	}
	r := c.tenants[id]
	if r == nil {
		r = &remembered{}
		c.tenants[id] = r
	}
	if n := len(r.marks); n == 0 || m.at.Sub(r.marks[n-1].at) >= markEvery {
		r.marks = last(append(r.marks, m), int(censusBack/markEvery)+1)
	}
	n := len(r.censuses)
	return n == 0 || m.at.Sub(r.censuses[n-1].at) >= censusEvery
}

func (c *cardinalities) keep(id tenant.ID, p past) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.tenants[id].censuses = last(append(c.tenants[id].censuses, p), rememberedMost)
}

// last is the end of a list, in memory of its own when it was longer.
func last[T any](list []T, most int) []T {
	if len(list) <= most {
		return list
	}
	return slices.Clone(list[len(list)-most:])
}

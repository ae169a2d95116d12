package tsdb

import (
	"slices"
	"sync"
	"sync/atomic"

	"github.com/oklog/ulid/v2"

	"github.com/nilometer/nilometer/tsdb/block"
	"github.com/nilometer/nilometer/tsdb/late"
	"github.com/nilometer/nilometer/tsdb/manifest"
)

// generation is one immutable state of a tenant's blocks: a manifest version
// with its blocks open, in order of acceptance. Views hold one; the tenant
// holds the newest.
type generation struct {
	number  uint64 // counts generations of this process, from 1
	current manifest.Current
	blocks  []*block.Block
	masks   []blockMask // parallel to blocks
	refs    atomic.Int64
}

// noHorizon is the horizon of a tenant whose head was never cut. It is that of
// an empty head, too.
const noHorizon = -1 << 62

// horizon is the time before which the head's samples are in blocks.
func (g *generation) horizon() int64 {
	if m, ok := g.current.State.Horizon[horizonKey]; ok {
		return m.Time
	}
	return noHorizon
}

// setAside are the blocks that cannot be read.
func (g *generation) setAside() map[ulid.ULID]bool {
	out := map[ulid.ULID]bool{}
	for _, x := range g.blocks {
		if x.Damage() != nil {
			out[x.Meta().ID] = true
		}
	}
	return out
}

// late says which late samples are in its blocks.
func (g *generation) late() late.Marks { return marksOf(g.current.State) }

// lineage is the sequence of a tenant's generations: one atomic pointer to the
// newest, and what waits for older ones to end.
type lineage struct {
	newest atomic.Pointer[generation]

	mu      sync.Mutex // guards what follows
	alive   []uint64   // numbers of the generations that someone holds, sorted
	waiting []waiting
	// poke has room for one: it wakes whoever calls due.
	poke chan struct{}
}

// waiting is work that may be done when no generation before number is alive.
type waiting struct {
	number uint64
	do     func()
}

func newLineage() *lineage { return &lineage{poke: make(chan struct{}, 1)} }

// acquire returns the newest generation, held. Readers never wait: a swap in
// between makes them try again.
func (l *lineage) acquire() *generation {
	for {
		g := l.newest.Load()
		if n := g.refs.Load(); n > 0 && g.refs.CompareAndSwap(n, n+1) {
			return g
		}
	}
}

// release gives a generation back; the last one ends it.
func (l *lineage) release(g *generation) error {
	n := g.refs.Add(-1)
	if n > 0 {
		return nil
	}
	if n < 0 {
		panic("tsdb: a view was released more often than acquired")
	}
	var first error
	for _, b := range g.blocks {
		if err := b.Release(); err != nil && first == nil {
			first = err
		}
	}
	l.mu.Lock()
	i, _ := slices.BinarySearch(l.alive, g.number)
	l.alive = slices.Delete(l.alive, i, i+1)
	l.mu.Unlock()
	select {
	case l.poke <- struct{}{}:
	default:
	}
	return first
}

// swap makes a generation the newest. blocks are given to it, one reference
// each. What after has is done, by whoever calls due, when no older generation
// is alive.
func (l *lineage) swap(c manifest.Current, blocks []*block.Block, masks []blockMask, after ...func()) error {
	old := l.newest.Load()
	g := &generation{number: 1, current: c, blocks: blocks, masks: masks}
	if old != nil {
		g.number = old.number + 1
	}
	g.refs.Store(1)
	l.mu.Lock()
	l.alive = append(l.alive, g.number)
	for _, do := range after {
		l.waiting = append(l.waiting, waiting{number: g.number, do: do})
	}
	l.mu.Unlock()
	l.newest.Store(g)
	if old == nil {
		return nil
	}
	return l.release(old)
}

// due takes the work that waits for no generation any more.
func (l *lineage) due() []func() {
	l.mu.Lock()
	defer l.mu.Unlock()
	var out []func()
	l.waiting = slices.DeleteFunc(l.waiting, func(w waiting) bool {
		ready := len(l.alive) == 0 || l.alive[0] >= w.number
		if ready {
			out = append(out, w.do)
		}
		return ready
	})
	return out
}

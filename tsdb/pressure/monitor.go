package pressure

import (
	"context"
	"log/slog"
	"math"
	"sync/atomic"
	"time"
)

// Deps are what a Monitor works with.
type Deps struct {
	// Look tells the usage.
	Look func() Usage
	// Aside tells what is not in use and will be, for what there is already: the
	// work of the largest scrape. nil: nothing.
	Aside func() int64
	// SetHeapLimit gives the Go runtime its share (debug.SetMemoryLimit); nil:
	// the runtime's limit is somebody else's.
	SetHeapLimit func(bytes int64)
	// Logger hears of the levels; nil: nobody does.
	Logger *slog.Logger
}

// Monitor keeps the level. It is safe for concurrent use.
type Monitor struct {
	limit int64
	deps  Deps
	level atomic.Uint32
	usage atomic.Int64
	free  atomic.Int64 // new series that may come in until the next look
	heap  int64        // the heap limit that was set last
}

// Interval is the time between two looks of Run.
const Interval = time.Second

// heapShareMin is the least share of the limit that the Go runtime is given,
// as a divisor: under less it would collect without end, and what is refused
// at the levels makes room sooner.
const heapShareMin = 8

// heapSlack is what the Go runtime is not given, as a divisor of the limit: what
// memory outside of its heap grows by until the next look.
const heapSlack = 32

// heapStep is the change of the heap limit in bytes that is worth telling the
// runtime, as a divisor of the limit.
const heapStep = 200

// NewMonitor returns a monitor of a limit in bytes; 0: there is none, and the
// level is always Relaxed.
func NewMonitor(limit int64, d Deps) *Monitor {
	if d.Logger == nil {
		d.Logger = slog.New(slog.DiscardHandler)
	}
	if d.Aside == nil {
		d.Aside = func() int64 { return 0 }
	}
	m := &Monitor{limit: limit, deps: d}
	m.free.Store(math.MaxInt64)
	return m
}

// Admit tells whether a new series may come in. As many may until the next look
// as there is room for (I3).
func (m *Monitor) Admit() bool { return m.limit <= 0 || m.free.Add(-1) >= 0 }

// Level is the present level.
func (m *Monitor) Level() Level { return Level(m.level.Load()) }

// Usage is what was in use at the last look, in bytes.
func (m *Monitor) Usage() int64 { return m.usage.Load() }

// Limit is the limit in bytes, 0 without one.
func (m *Monitor) Limit() int64 { return m.limit }

// Run looks every Interval until ctx ends. It returns nil.
func (m *Monitor) Run(ctx context.Context) error {
	ticker := time.NewTicker(Interval)
	defer ticker.Stop()
	for {
		m.Look()
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

// Look brings the level up to date. It is called by one goroutine at a time.
func (m *Monitor) Look() {
	u := m.deps.Look()
	inUse := u.InUse()
	m.usage.Store(inUse)
	if m.limit <= 0 {
		return
	}
	m.share(u)
	was, aside := m.Level(), m.deps.Aside()
	now := Next(was, inUse, aside, m.limit)
	m.free.Store(allowance(now, inUse, aside, m.limit))
	if now == was {
		return
	}
	m.level.Store(uint32(now))
	log := m.deps.Logger.Info
	if now >= RefuseSeries && now > was {
		log = m.deps.Logger.Error
	}
	log("memory pressure changed", "level", now.String(), "before", was.String(), "usage_bytes", inUse, "aside_bytes", aside, "limit_bytes", m.limit)
}

// share gives the Go runtime what the rest leaves.
func (m *Monitor) share(u Usage) {
	if m.deps.SetHeapLimit == nil {
		return
	}
	heap := max(m.limit-max(u.OffHeap, u.Anonymous-u.Runtime)-m.limit/heapSlack, m.limit/heapShareMin)
	if d := heap - m.heap; d < m.limit/heapStep && -d < m.limit/heapStep {
		return
	}
	m.heap = heap
	m.deps.SetHeapLimit(heap)
}

package server

import (
	"log/slog"
	"math"
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"sync/atomic"

	"github.com/KimMachineGun/automemlimit/memlimit"

	"github.com/nilometer/nilometer/config"
)

// memoryRatio is the share of the container's or the machine's memory that the
// process aims to stay in: the rest is for the page cache, which holds the
// mapped blocks.
const memoryRatio = 0.75

// gcPercent is how much garbage may grow beside what lives, in percent. What
// lives is nearly all without pointers: a collection costs 2-3 ms for 158,000
// series, and less garbage is 30 % less memory (docs/design/head.md).
const gcPercent = 40

// startGCPercent is that of a start, while the log waits in memory to be worked
// up: it has no pointers, so that collections cost next to nothing, and is the
// most that the process ever has (docs/design/head.md).
const startGCPercent = 10

// garbageMin is how much garbage may grow at least, in bytes: what a few queries
// leave. With 40 % of the 9 MiB that live in a small server, a query over 10,000
// series had a collection or two to itself, a quarter of its time.
const garbageMin = 24 << 20

// pace is the garbage collector's, in percent of what lives: gcPercent, or
// garbageMin where that is more.
func pace(liveBytes uint64) int {
	return max(gcPercent, int(garbageMin*100/max(liveBytes, 1<<20)))
}

// pacer keeps the garbage collector at its pace. After each collection it looks at
// what lives: a fixed percentage of little would be forgotten when there is much.
type pacer struct {
	stopped atomic.Bool
	fixed   atomic.Int64 // what runtime.gogc says; 0: nothing
}

// fix holds the collector at a percentage from now on; 0 gives it back its pace
// with the next collection.
func (p *pacer) fix(percent int) {
	p.fixed.Store(int64(percent))
	if percent != 0 {
		debug.SetGCPercent(percent)
	}
}

// begin sets the pace when a start is over, and keeps it until stop.
func (p *pacer) begin() {
	if os.Getenv("GOGC") == "" {
		p.next(0)
	}
}

func (p *pacer) stop() { p.stopped.Store(true) }

// collected is found to be garbage by the next collection.
type collected struct{ p *pacer }

// next sets the pace, which was that many percent, and comes again after the next
// collection.
func (p *pacer) next(was int) {
	if p.stopped.Load() {
		return
	}
	live := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	metrics.Read(live)
	percent := pace(live[0].Value.Uint64())
	switch {
	case p.fixed.Load() != 0:
		was = 0
	case percent < was || percent > was+was/8: // each change stops the world for a moment
		debug.SetGCPercent(percent)
		was = percent
	}
	runtime.SetFinalizer(&collected{p}, func(c *collected) { c.p.next(was) })
}

// memoryLimit returns how much memory the process may have, in bytes, 0 when
// nothing says so, and who sets the Go runtime's share of it: nil when
// GOMEMLIMIT in the environment has. It sets the garbage collector's pace,
// unless GOGC in the environment has.
func memoryLimit(c *config.Config, logger *slog.Logger) (limit int64, setHeapLimit func(int64)) {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(startGCPercent)
	}
	setHeapLimit = func(n int64) { debug.SetMemoryLimit(n) }
	if os.Getenv("GOMEMLIMIT") != "" {
		setHeapLimit = nil
		if limit = debug.SetMemoryLimit(-1); limit == math.MaxInt64 { // GOMEMLIMIT=off
			limit = 0
		}
	}
	if set := int64(c.Nilometer.Storage.MemoryLimit); set > 0 {
		return set, setHeapLimit
	}
	if limit > 0 {
		return limit, setHeapLimit
	}
	found, err := memlimit.ApplyFallback(memlimit.FromCgroup, memlimit.FromSystem)()
	if err != nil {
		logger.Warn("memory limit not found, there is none: set nilometer.storage.memory_limit", "err", err)
		return 0, setHeapLimit
	}
	return int64(float64(found) * memoryRatio), setHeapLimit
}

// bodyMemory is how far the bodies of scrapes under way may grow, in bytes, as
// scrape.Deps has it: a quarter of a small limit.
func bodyMemory(limit int64) int64 {
	if limit <= 0 || limit/4 > 1<<30 {
		return 0 // the default, 1 GiB
	}
	return limit / 4
}

// scrapeWork is what scrapes of what is known will take.
func (s *server) scrapeWork() int64 {
	if s.scrapes == nil { // the database opens first, and looks once
		return 0
	}
	return s.scrapes.WorkBytes()
}

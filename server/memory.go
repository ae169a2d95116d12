package server

import (
	"log/slog"
	"math"
	"os"
	"runtime/debug"

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

// caughtUp sets the garbage collector's pace when a start is over.
func caughtUp() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
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

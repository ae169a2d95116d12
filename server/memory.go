package server

import (
	"log/slog"
	"os"
	"runtime/debug"

	"github.com/KimMachineGun/automemlimit/memlimit"
)

// memoryRatio is the share of the container's or the machine's memory that the
// process aims to stay in: the rest is for the page cache, which holds the
// mapped blocks.
const memoryRatio = 0.75

// gcPercent is how much garbage may grow beside what lives, in percent. What
// lives is nearly all without pointers: a collection costs 2-3 ms for 158,000
// series, and less garbage is 30 % less memory (docs/design/head.md).
const gcPercent = 40

// limitMemory sets the runtime's memory limit and the garbage collector's pace,
// unless GOMEMLIMIT and GOGC in the environment have.
func limitMemory(logger *slog.Logger) {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	limit, err := memlimit.Set(
		memlimit.WithRatio(memoryRatio),
		memlimit.WithProvider(memlimit.ApplyFallback(memlimit.FromCgroup, memlimit.FromSystem)),
		memlimit.WithLogger(slog.New(slog.DiscardHandler)),
	)
	if err != nil {
		logger.Warn("memory limit not found, the runtime has none", "err", err)
		return
	}
	if limit > 0 {
		logger.Debug("memory limit set", "limit_bytes", limit)
	}
}

package server

import (
	"log/slog"

	"github.com/KimMachineGun/automemlimit/memlimit"
)

// memoryRatio is the share of the container's or the machine's memory that the
// process aims to stay in: the rest is for the page cache, which holds the
// mapped blocks.
const memoryRatio = 0.75

// limitMemory sets the runtime's memory limit, unless GOMEMLIMIT in the
// environment has.
func limitMemory(logger *slog.Logger) {
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

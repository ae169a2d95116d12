package server

import (
	"context"
	"time"

	"github.com/nilometer/nilometer/metadb"
	"github.com/nilometer/nilometer/model/tenant"
)

// pruneInterval is the time between two looks for old rows in the metadata
// database.
const pruneInterval = time.Hour

// pruneMetadata deletes from the metadata database what is older than samples are
// kept, at the start and every hour, until ctx ends.
func (s *server) pruneMetadata(ctx context.Context) {
	ticker := time.NewTicker(pruneInterval)
	defer ticker.Stop()
	for {
		s.mu.Lock()
		keep := s.retention
		s.mu.Unlock()
		n, err := metadb.Prune(ctx, s.meta, tenant.Default, time.Now().Add(-keep))
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			s.logger.Warn("old rows of the metadata database not deleted, it is tried again", "err", err, "retry_after", pruneInterval.String())
		case n != metadb.Pruned{}:
			s.logger.Info("old rows of the metadata database deleted", "targets", n.Targets, "alerts", n.Alerts, "notifications", n.Notifications)
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
	}
}

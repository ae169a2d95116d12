package metadb

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nilometer/nilometer/model/tenant"
)

// pruneBatch is how many rows one call deletes: writers wait for no more.
const pruneBatch = 1000

// Pruned is how many rows Prune deleted.
type Pruned struct{ Targets, Alerts, Notifications int }

// Prune deletes what ended before a time: targets that have gone, alerts that
// are resolved, attempts to notify. It goes on after an error of one kind with
// the next.
func Prune(ctx context.Context, db DB, tn tenant.ID, before time.Time) (Pruned, error) {
	var out Pruned
	var errs []error
	for _, kind := range []struct {
		name  string
		count *int
		prune func(context.Context, tenant.ID, time.Time, int) (int, error)
	}{
		{"targets", &out.Targets, db.PruneTargets},
		{"alerts", &out.Alerts, db.PruneAlerts},
		{"notifications", &out.Notifications, db.PruneNotifications},
	} {
		for {
			n, err := kind.prune(ctx, tn, before, pruneBatch)
			*kind.count += n
			if err != nil {
				errs = append(errs, fmt.Errorf("prune %s before %s: %w", kind.name, before.UTC().Format(time.RFC3339), err))
			}
			if err != nil || n < pruneBatch {
				break
			}
		}
	}
	return out, errors.Join(errs...)
}

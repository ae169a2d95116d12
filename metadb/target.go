package metadb

import (
	"context"
	"time"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/nilometer/nilometer/model/tenant"
)

// TargetID is a target's id, a UUID in its canonical text form. The database
// chooses it when a target is first upserted.
type TargetID string

// TargetStatus is the outcome of a target's last scrape.
type TargetStatus string

// The statuses of a target.
const (
	TargetUnknown    TargetStatus = "UNKNOWN"     // not scraped yet
	TargetUp         TargetStatus = "UP"          // scraped and stored
	TargetDown       TargetStatus = "DOWN"        // not reachable, or an HTTP status other than 200
	TargetTimeout    TargetStatus = "TIMEOUT"     // no whole answer within the timeout
	TargetParseError TargetStatus = "PARSE_ERROR" // the answer is no exposition
	TargetOverlimit  TargetStatus = "OVERLIMIT"   // over a sample, label or size limit
)

// TargetKey is what makes a target that target, within a tenant.
type TargetKey struct {
	Job          string        // 1 to 128 bytes
	URL          string        // 1 to 256 bytes
	StaticLabels labels.Labels // may be empty; order does not matter
}

// TargetSpec is a target as discovery describes it.
type TargetSpec struct {
	TargetKey
	Interval time.Duration // of scrapes, at least 1 ms
	Timeout  time.Duration // of one scrape, at least 1 ms
}

// Target is a row of monitored_targets.
type Target struct {
	TargetSpec
	ID      TargetID
	Tenant  tenant.ID
	Version int64
	// Active is false when discovery no longer finds the target.
	Active               bool
	LastScrapedAt        time.Time // zero: never
	LastStatus           TargetStatus
	LastDuration         time.Duration // of the last scrape, in whole milliseconds
	CreatedAt, UpdatedAt time.Time
}

// TargetUpdate records one scrape of a target, if its version is still Version.
type TargetUpdate struct {
	ID        TargetID
	Version   int64
	ScrapedAt time.Time
	Status    TargetStatus
	Duration  time.Duration
}

// TargetVersion names one version of one target.
type TargetVersion struct {
	ID      TargetID
	Version int64
}

// TargetFilter selects targets; a zero field selects all.
type TargetFilter struct {
	IDs    []TargetID    // at most ListMax
	Job    string        // equal
	Active *bool         // equal
	Status TargetStatus  // equal
	Labels labels.Labels // the target's static labels contain all of these
	After  TargetID      // only ids greater than this: the last one of the page before
	Limit  int           // 0: ListDefault
}

// Targets keeps scrape targets and the outcome of their last scrapes.
type Targets interface {
	// UpsertTargets makes sure that targets with these specs exist and are
	// active, and returns them in the order of specs: new ones with version 1
	// and status UNKNOWN, changed ones (interval, timeout, inactive until now)
	// with a new version, all others as they are. The keys of one batch must
	// differ. An invalid spec fails the whole batch: discovery validates
	// (TargetSpec.Validate) before.
	UpsertTargets(ctx context.Context, tn tenant.ID, specs []TargetSpec, now time.Time) ([]Target, error)
	// DeactivateTargets marks targets that discovery no longer finds.
	DeactivateTargets(ctx context.Context, tn tenant.ID, gone []TargetVersion, now time.Time) ([]Outcome, error)
	// UpdateTargets records the outcome of scrapes.
	UpdateTargets(ctx context.Context, tn tenant.ID, updates []TargetUpdate) ([]Outcome, error)
	// ListTargets returns targets in order of their ids.
	ListTargets(ctx context.Context, tn tenant.ID, filter TargetFilter) ([]Target, error)
	// PruneTargets deletes inactive targets last changed before the given time,
	// at most limit (see CheckLimit), and returns how many there were.
	PruneTargets(ctx context.Context, tn tenant.ID, before time.Time, limit int) (int, error)
}

// UpdateTargetStatus records the outcome of one scrape and returns the target's
// new version. It is UpdateTargets for a batch of one.
func UpdateTargetStatus(ctx context.Context, db Targets, tn tenant.ID, update TargetUpdate) (int64, error) {
	out, err := db.UpdateTargets(ctx, tn, []TargetUpdate{update})
	if err != nil {
		return 0, err
	}
	return out[0].Version, out[0].Err
}

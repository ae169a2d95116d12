package metadb

import (
	"context"
	"time"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/nilometer/nilometer/model/tenant"
)

// RuleID is an alerting rule's id, a UUID in its canonical text form. The
// database chooses it when a rule is first upserted.
type RuleID string

// RuleKey is what makes a rule that rule, within a tenant. Prometheus allows
// equal names in one group and in different groups, so the name alone is not
// enough.
type RuleKey struct {
	Source   string // the file or API that the rule came from, 1 to 1,024 bytes
	Group    string // 1 to 256 bytes
	Name     string // 1 to 128 bytes
	Position int    // of the rule in its group, from 0
}

// RuleSpec is an alerting rule as its source describes it.
type RuleSpec struct {
	RuleKey
	Expression    string // PromQL, not empty
	For           time.Duration
	KeepFiringFor time.Duration
	Labels        labels.Labels
	Annotations   labels.Labels // templates, not expanded
}

// Rule is a row of alert_rules.
type Rule struct {
	RuleSpec
	ID      RuleID
	Tenant  tenant.ID
	Version int64
	// Enabled is false when the rule has left its source.
	Enabled              bool
	CreatedAt, UpdatedAt time.Time
}

// RuleVersion names one version of one rule.
type RuleVersion struct {
	ID      RuleID
	Version int64
}

// RuleFilter selects rules; a zero field selects all.
type RuleFilter struct {
	IDs     []RuleID // at most ListMax
	Source  string   // equal
	Group   string   // equal
	Name    string   // equal
	Enabled *bool    // equal
	After   RuleID   // only ids greater than this: the last one of the page before
	Limit   int      // 0: ListDefault
}

// Rules keeps alerting rules.
type Rules interface {
	// UpsertRules makes sure that rules with these specs exist and are enabled,
	// and returns them in the order of specs: new ones with version 1, changed
	// ones with a new version, all others as they are. The keys of one batch
	// must differ. An invalid spec fails the whole batch.
	UpsertRules(ctx context.Context, tn tenant.ID, specs []RuleSpec, now time.Time) ([]Rule, error)
	// DisableRules marks rules that left their source; their states and history
	// stay.
	DisableRules(ctx context.Context, tn tenant.ID, gone []RuleVersion, now time.Time) ([]Outcome, error)
	// DeleteRule deletes a rule for good, with the states of its instances and
	// its history.
	DeleteRule(ctx context.Context, tn tenant.ID, rule RuleVersion) error
	// ListRules returns rules in order of their ids.
	ListRules(ctx context.Context, tn tenant.ID, filter RuleFilter) ([]Rule, error)
}

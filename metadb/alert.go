package metadb

import (
	"context"
	"time"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/nilometer/nilometer/model/tenant"
)

// InstanceState is the state of one alert instance: one label set that a rule's
// expression returned.
type InstanceState string

// The states of an alert instance.
const (
	StateInactive InstanceState = "inactive"
	StatePending  InstanceState = "pending"
	StateFiring   InstanceState = "firing"
)

// AlertState is the state of one alert instance, as its owner needs it after a
// restart. A rule has at most one per fingerprint.
type AlertState struct {
	Rule        RuleID
	Fingerprint string // hash of the labels, 1 to 64 bytes
	Tenant      tenant.ID
	Version     int64 // 0: not stored yet

	State       InstanceState
	Labels      labels.Labels
	Annotations labels.Labels // expanded
	Value       float64       // NaN and infinities come back as such

	ActiveAt         time.Time // began to be pending
	FiredAt          time.Time // zero: has not fired
	ResolvedAt       time.Time // zero: not resolved
	LastSentAt       time.Time // zero: never handed over
	KeepFiringSince  time.Time // zero: the expression still holds
	LastEvaluationAt time.Time // of the evaluation that led to this state
}

// AlertStateVersion names one version of one instance's state.
type AlertStateVersion struct {
	Rule        RuleID
	Fingerprint string
	Version     int64
}

// AlertID is the id of a fired alert, a UUID in its canonical text form; its
// writer chooses it with NewAlertID.
type AlertID string

// AlertStatus is the status of a fired alert.
type AlertStatus string

// The statuses of a fired alert.
const (
	AlertFiring   AlertStatus = "FIRING"
	AlertResolved AlertStatus = "RESOLVED"
)

// Resolver is who resolved an alert.
type Resolver string

// The resolvers.
const (
	BySystem Resolver = "SYSTEM"
	ByHand   Resolver = "MANUAL"
)

// FiredAlert is a row of fired_alerts: one firing of one instance, kept as
// history. It carries a copy of its rule, because what fired last week must
// stay readable when the rule has changed.
type FiredAlert struct {
	ID           AlertID
	Tenant       tenant.ID
	Version      int64
	Rule         RuleID
	InstanceName string // at most 256 bytes
	Fingerprint  string // 1 to 64 bytes
	Labels       labels.Labels
	StartedAt    time.Time

	RuleName    string // as it was when the alert fired, at most 128 bytes
	Expression  string
	Annotations labels.Labels
	Value       float64

	Status     AlertStatus
	ResolvedAt time.Time // zero while firing
	ResolvedBy Resolver  // empty while firing
	SilencedBy string    // id of a silence, at most 128 bytes; empty: none

	AcknowledgedBy      string // empty: nobody; at most 128 bytes
	AcknowledgedAt      time.Time
	AcknowledgedComment string // at most 4,096 bytes
}

// AlertChange changes a fired alert if its version is still Version. Nil parts
// stay as they are; at least one part must be set.
type AlertChange struct {
	ID      AlertID
	Version int64
	// Resolve ends a firing; resolving a resolved alert is ErrConflict.
	Resolve *Resolution
	// SilencedBy sets the silence; a pointer to "" clears it.
	SilencedBy *string
	// Acknowledge says who has taken the alert; an empty By withdraws it.
	Acknowledge *Acknowledgement
}

// Resolution is the end of a firing.
type Resolution struct {
	At time.Time
	By Resolver
}

// Acknowledgement is a person's word that the alert is seen.
type Acknowledgement struct {
	By, Comment string
	At          time.Time
}

// AlertFilter selects fired alerts; a zero field selects all.
type AlertFilter struct {
	IDs         []AlertID   // at most ListMax
	Rule        RuleID      // equal
	Fingerprint string      // equal
	Status      AlertStatus // equal
	// From (inclusive) and To (exclusive) bound StartedAt.
	From, To time.Time
	// Before is the last alert of the page before: only what comes after it in
	// the list's order. Its StartedAt and ID are used.
	Before *FiredAlert
	Limit  int // 0: ListDefault
}

// Alerts keeps the states of alert instances and the history of fired alerts.
type Alerts interface {
	// LoadAlertStates returns the states of a rule's instances in order of their
	// fingerprints, those greater than after, at most limit (see CheckLimit).
	LoadAlertStates(ctx context.Context, tn tenant.ID, rule RuleID, after string, limit int) ([]AlertState, error)
	// SaveAlertStates stores states: an item of version 0 must not exist yet,
	// any other must have that version. A rule that does not exist is
	// ErrNotFound.
	SaveAlertStates(ctx context.Context, tn tenant.ID, states []AlertState) ([]Outcome, error)
	// DeleteAlertStates removes states that are of no more use. An outcome's
	// Version is 0.
	DeleteAlertStates(ctx context.Context, tn tenant.ID, states []AlertStateVersion) ([]Outcome, error)

	// FireAlerts inserts alerts that began to fire. The caller sets ID, Rule,
	// Fingerprint, InstanceName, Labels, StartedAt, Value and the copy of the
	// rule; Tenant, Version and all that comes with the end of the firing are
	// ignored. At most one alert fires per tenant, rule and fingerprint: a
	// second is ErrConflict. Repeating an insert with the same ID is a success
	// with the version that the row has by now. A rule that does not exist is
	// ErrNotFound.
	FireAlerts(ctx context.Context, tn tenant.ID, alerts []FiredAlert) ([]Outcome, error)
	// ChangeAlerts resolves, silences and acknowledges.
	ChangeAlerts(ctx context.Context, tn tenant.ID, changes []AlertChange) ([]Outcome, error)
	// ListAlerts returns fired alerts, the newest first: by StartedAt, then ID,
	// both descending.
	ListAlerts(ctx context.Context, tn tenant.ID, filter AlertFilter) ([]FiredAlert, error)
	// PruneAlerts deletes alerts resolved before the given time, at most limit
	// (see CheckLimit), and returns how many there were.
	PruneAlerts(ctx context.Context, tn tenant.ID, before time.Time, limit int) (int, error)
}

package metadb

import (
	"context"
	"time"

	"github.com/nilometer/nilometer/model/tenant"
)

// NotificationID is the id of a notification attempt, a UUID in its canonical
// text form; its writer chooses it with NewNotificationID.
type NotificationID string

// NotificationOutcome is what became of an attempt.
type NotificationOutcome string

// The outcomes of an attempt.
const (
	NotificationSent    NotificationOutcome = "SENT"    // the receiver took it
	NotificationFailed  NotificationOutcome = "FAILED"  // refused for good, or given up
	NotificationRetry   NotificationOutcome = "RETRY"   // failed, will be tried again
	NotificationDropped NotificationOutcome = "DROPPED" // never tried: a queue or journal was full
)

// Notification is a row of notifications: one attempt to tell one receiver.
type Notification struct {
	ID          NotificationID
	Tenant      tenant.ID
	Version     int64
	GroupKey    string   // 1 to 4,096 bytes
	Receiver    string   // 1 to 256 bytes
	Integration string   // webhook, email …; at most 64 bytes
	Alerts      []string // fingerprints
	Attempt     int      // from 1
	Outcome     NotificationOutcome
	Error       string // empty when sent; cut to 4,096 bytes
	At          time.Time
}

// NotificationFilter selects notifications; a zero field selects all.
type NotificationFilter struct {
	GroupKey string              // equal
	Receiver string              // equal
	Outcome  NotificationOutcome // equal
	// From (inclusive) and To (exclusive) bound At.
	From, To time.Time
	// Before is the last notification of the page before: only what comes after
	// it in the list's order. Its At and ID are used.
	Before *Notification
	Limit  int // 0: ListDefault
}

// Notifications keeps the history of notification attempts. Rows never change.
type Notifications interface {
	// AppendNotifications adds attempts; Tenant and Version are ignored.
	// Repeating one with the same ID is a success and changes nothing.
	AppendNotifications(ctx context.Context, tn tenant.ID, attempts []Notification) ([]Outcome, error)
	// ListNotifications returns attempts, the newest first: by At, then ID, both
	// descending.
	ListNotifications(ctx context.Context, tn tenant.ID, filter NotificationFilter) ([]Notification, error)
	// PruneNotifications deletes attempts made before the given time, at most
	// limit (see CheckLimit), and returns how many there were.
	PruneNotifications(ctx context.Context, tn tenant.ID, before time.Time, limit int) (int, error)
}

// Package metadb is the contract with the metadata database: scrape targets and
// their last state, alerting rules, the states of their instances, the history
// of fired alerts and of notifications.
//
// It owns the types of the rows, the rules for valid ones (Validate), the
// interfaces that a driver implements, and two walks over them
// (ReconcileTargets, ReconcileRules). Drivers are metadb/sqlite and, later,
// metadb/postgres; metadb/metadbtest is the conformance suite of both.
// Consumers take the narrow interface that they need: Targets, Rules, Alerts or
// Notifications.
//
// Invariants:
//
//   - I1: every row has a version that starts at 1 and grows by exactly one with
//     every change of the row. A change that finds nothing to change leaves it.
//   - I2: a state changes only by compare-and-swap: of any number of writers
//     that name one row and one version, exactly one wins; the others get
//     ErrConflict, change nothing, and read again.
//   - I3: what a call acknowledged is durable: it survives kill -9 and the loss
//     of power, the version included.
//   - I4: a batch is one transaction. Items succeed or fail one by one, told by
//     their Outcome; the error of the call itself means that none of it was
//     applied, or, when the connection broke, that it is not known.
//   - I5: a row belongs to one tenant; no call sees or changes another tenant's
//     row, whatever id it names.
//   - I6: a time is UTC with a precision of one millisecond; finer parts are cut
//     off. The zero time means "never" and comes back as the zero time.
//
// Evaluation and notification never wait for the database: the owner's state in
// memory decides, intents go to the owner's journal, and the database follows
// in batches. The calls are made for that: rows whose loss would be noticed
// carry ids that the caller chose (NewAlertID, NewNotificationID), so a batch
// that is repeated after a crash changes nothing a second time.
//
// All methods are safe for concurrent use. Slices given to a call are not kept;
// slices handed out belong to the caller. A cancelled context ends a call with
// the context's error and applies nothing, except for the case named in I4.
package metadb

import (
	"errors"
	"fmt"
)

// Errors that callers branch on; drivers wrap them with what was being done to
// what.
var (
	// ErrNotFound: the tenant has no row with this id.
	ErrNotFound = errors.New("not found")
	// ErrConflict: the row has another version than the one named, or a row that
	// excludes this one exists already. Read again and decide anew.
	ErrConflict = errors.New("changed by another writer")
	// ErrInvalid: the item can never be stored; the message names the field, the
	// limit and what was seen.
	ErrInvalid = errors.New("invalid")
	// ErrClosed: the database was closed.
	ErrClosed = errors.New("the metadata database is closed")
)

// Limits of one call.
const (
	// BatchMax is the largest number of items in one batch. Larger ones are
	// refused whole with ErrInvalid; split them.
	BatchMax = 10_000
	// ListMax is the largest limit of a list; larger ones are refused.
	ListMax = 10_000
	// ListDefault is the limit of a list whose filter has Limit 0.
	ListDefault = 1_000
)

// Outcome tells what became of one item of a batch.
type Outcome struct {
	// Version is the row's version after the call; 0 when Err is set.
	Version int64
	// Err is nil, or wraps ErrConflict, ErrNotFound or ErrInvalid.
	Err error
}

// DB is a metadata database.
type DB interface {
	Targets
	Rules
	Alerts
	Notifications
	// Close waits for calls that are under way and frees the database; later
	// calls fail with ErrClosed.
	Close() error
}

// CheckBatch refuses a batch of n items when n is over BatchMax.
func CheckBatch(n int) error {
	if n > BatchMax {
		return fmt.Errorf("%w: the batch has %d items, at most %d are allowed: split it", ErrInvalid, n, BatchMax)
	}
	return nil
}

// CheckLimit returns the limit to use for a list's Limit: ListDefault for 0,
// and ErrInvalid outside 0 to ListMax.
func CheckLimit(limit int) (int, error) {
	switch {
	case limit == 0:
		return ListDefault, nil
	case limit < 0 || limit > ListMax:
		return 0, fmt.Errorf("%w: limit %d, 0 to %d are allowed", ErrInvalid, limit, ListMax)
	}
	return limit, nil
}

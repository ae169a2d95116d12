package tsdb

import (
	"github.com/prometheus/prometheus/model/labels"

	"github.com/nilometer/nilometer/model/tenant"
	"github.com/nilometer/nilometer/storage"
)

// Ready returns nil when queries are answered from all of the data at once,
// storage.ErrReplaying while the log is replayed, and else why the replay
// failed.
func (db *DB) Ready() error {
	select {
	case <-db.memory.replayed:
		return db.memory.err
	default:
		return storage.ErrReplaying
	}
}

// ActiveSeries is the number of series that a tenant has in its head.
func (db *DB) ActiveSeries(id tenant.ID) uint64 { return uint64(db.memory.head(id).Series()) }

// CountSeries is the number of series of a tenant's head that have all of some
// labels, most at most: counting ends there. The time it takes grows with the
// series that have the rarest of the labels.
func (db *DB) CountSeries(id tenant.ID, most int, ls ...labels.Label) int {
	return db.memory.head(id).Count(most, ls...)
}

// LabelValues calls do with a value of the label name for series of the head
// that have all of some labels; a value comes at least once.
func (db *DB) LabelValues(id tenant.ID, name string, do func(value string), ls ...labels.Label) {
	db.memory.head(id).EachValue(name, do, ls...)
}

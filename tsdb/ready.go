package tsdb

import (
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

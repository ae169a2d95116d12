package tsdb

import "github.com/nilometer/nilometer/storage"

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

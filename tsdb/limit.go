package tsdb

import (
	"context"
	"fmt"

	"github.com/nilometer/nilometer/storage"
	"github.com/nilometer/nilometer/tsdb/arena"
	"github.com/nilometer/nilometer/tsdb/pressure"
)

// watch makes the memory of the heads and the monitor of its limit.
func (db *DB) watch() {
	db.offHeap = arena.New()
	look := db.deps.MemoryUsage
	if look == nil {
		look = func() pressure.Usage { return pressure.OfProcess(db.offHeap.Bytes()) }
	}
	db.pressure = pressure.NewMonitor(db.opts.MemoryLimit, pressure.Deps{
		Look: look, Aside: db.deps.MemoryAside, SetHeapLimit: db.deps.SetHeapLimit, Logger: db.logger,
	})
	db.pressure.Look()
}

// sealEarly encodes what is in streams while memory is short.
func (db *DB) sealEarly(ctx context.Context) error {
	if db.pressure.Level() < pressure.SealEarly || !db.memory.isReplayed() {
		return nil
	}
	if err := db.memory.heads.SealEarly(ctx); err != nil {
		return fmt.Errorf("seal early: %w", err)
	}
	return nil
}

// bearsView tells whether a read may begin under the present pressure.
func (db *DB) bearsView(ctx context.Context) error {
	if db.pressure.Level() < pressure.RefuseQueries || storage.IsEssential(ctx) {
		return nil
	}
	return fmt.Errorf("%w: %d of %d bytes of memory are in use: raise the memory limit, or keep fewer series",
		storage.ErrOverloaded, db.pressure.Usage(), db.pressure.Limit())
}

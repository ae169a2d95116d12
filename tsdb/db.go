// Package tsdb is the database: it assembles head, log, blocks and manifest
// into one storage.Store, decides when spans of the head become blocks, and
// keeps views consistent while that happens.
//
// It owns the data directory (but for meta.db, the metadata database's):
//
//	LOCK  VERSION        who uses it, and the version of its layout
//	wal/  head/          this node's mutable files
//	cursors/             durable cursors of readers of the log
//	store/               a directory bucket: manifest/<tenant>/…, block/<tenant>/…
//
// It promises storage's contract. A view is one generation of a tenant's
// blocks (a manifest version, opened) and the head beside it; taking one waits
// for nobody. What a view can name lives until the view is closed: the files
// of blocks, and spans of the head that have become blocks since.
//
// Callers run Run for as long as the database is open, and close views before
// they close the database.
//
// Invariants:
//
//   - I1: a sample is in exactly one part of every view: a cut writes the block,
//     puts the manifest with the new horizon, swaps the generation, and drops
//     the span when no older view is left.
//   - I2: manifest versions of a tenant are committed by one goroutine at a time.
//   - I3: the files of a block are deleted when no version names it and no view
//     can.
//   - I4: nothing in a directory that is refused is changed, the lock file aside.
package tsdb

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/nilometer/nilometer/blob"
	blobdir "github.com/nilometer/nilometer/blob/dir"
	"github.com/nilometer/nilometer/model/tenant"
	"github.com/nilometer/nilometer/storage"
	"github.com/nilometer/nilometer/tsdb/arena"
	"github.com/nilometer/nilometer/tsdb/block"
	"github.com/nilometer/nilometer/tsdb/head"
	"github.com/nilometer/nilometer/tsdb/pressure"
)

// DB is an open database. Its methods are safe for concurrent use.
type DB struct {
	opts      Options
	deps      Deps
	logger    *slog.Logger
	directory *directory
	bucket    blob.Bucket
	cache     *block.Cache
	memory    *memory
	offHeap   *arena.Allocator
	pressure  *pressure.Monitor
	metrics   *metrics
	cutting   sync.Mutex // one Cut at a time
	retention atomic.Pointer[Retention]
	holds     holds
	cardinal  cardinalities

	mu      sync.RWMutex // guards what follows
	tenants map[tenant.ID]*blocks
	closed  bool
}

var _ storage.Store = (*DB)(nil)

// Open opens a data directory, or begins one where there is nothing. It
// returns as soon as the blocks are open. The log is replayed by Run; until
// that is done reads of the head and OpenGroup wait.
func Open(ctx context.Context, o Options, d Deps) (*DB, error) {
	if err := o.Validate(); err != nil {
		return nil, fmt.Errorf("open database: %w", err)
	}
	o, d = o.withDefaults(), d.withDefaults()
	dir, err := openDirectory(d)
	if err != nil {
		return nil, err
	}
	db := &DB{
		opts: o, deps: d, logger: d.Logger, directory: dir, bucket: d.Bucket,
		cache: block.NewCache(o.CacheBytes), tenants: map[tenant.ID]*blocks{},
	}
	db.retention.Store(&Retention{Time: o.Retention, Bytes: o.RetentionBytes, DiskPercent: o.RetentionDiskPercent, Rules: o.RetentionRules})
	if err := db.open(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("open %s: %w", d.Dir, err), db.Close())
	}
	return db, nil
}

func (db *DB) open(ctx context.Context) (err error) {
	if db.bucket == nil {
		if db.bucket, err = blobdir.New(db.directory.fs, storeName); err != nil {
			return err
		}
	}
	tenants, err := listTenants(ctx, db.bucket)
	if err != nil {
		return err
	}
	for _, id := range tenants {
		if _, err := db.openTenant(ctx, id); err != nil {
			return err
		}
	}
	if db.deps.Beside != nil {
		if err := db.deps.Beside(ctx); err != nil {
			return err
		}
	}
	if err := db.restoreHolds(); err != nil {
		return err
	}
	db.watch()
	if db.memory, err = openMemory(db.directory, db.opts, db.deps, db.offHeap, db.pressure); err != nil {
		return err
	}
	if db.metrics, err = newMetrics(db.deps.Registerer, db); err != nil {
		return fmt.Errorf("register metrics: %w", err)
	}
	return nil
}

// openTenant returns the blocks of a tenant, which are opened on first use.
func (db *DB) openTenant(ctx context.Context, id tenant.ID) (*blocks, error) {
	db.mu.Lock()
	defer db.mu.Unlock()
	if db.closed {
		return nil, storage.ErrClosed
	}
	if b := db.tenants[id]; b != nil {
		return b, nil
	}
	b, err := openBlocks(ctx, db.bucket, db.cache, db.logger, id, memoryOf{
		head:          func() *head.Head { return db.memory.head(id) },
		lateBlocksMax: db.opts.LateBlocksMax,
		hasRoom:       db.hasRoom,
	})
	if err != nil {
		return nil, err
	}
	db.tenants[id] = b
	return b, nil
}

// tenantBlocks returns what openTenant has opened, nil for an unknown tenant.
func (db *DB) tenantBlocks(id tenant.ID) (*blocks, error) {
	db.mu.RLock()
	defer db.mu.RUnlock()
	if db.closed {
		return nil, storage.ErrClosed
	}
	return db.tenants[id], nil
}

// opened returns all tenants, in order of their names.
func (db *DB) opened() []*blocks {
	db.mu.RLock()
	defer db.mu.RUnlock()
	var out []*blocks
	for _, id := range slices.Sorted(maps.Keys(db.tenants)) {
		out = append(out, db.tenants[id])
	}
	return out
}

// OpenGroup implements storage.Writer. While the log is replayed it waits: label
// sets find their series only when all are there. When ctx ends first the
// error is storage.ErrReplaying.
func (db *DB) OpenGroup(ctx context.Context, id tenant.ID, spec storage.GroupSpec) (storage.Group, error) {
	if err := id.Validate(); err != nil {
		return nil, fmt.Errorf("open group %q: %w", spec.Name, err)
	}
	if err := db.memory.wait(ctx); err != nil {
		return nil, fmt.Errorf("open group %q: %w", spec.Name, err)
	}
	if _, err := db.openTenant(ctx, id); err != nil {
		return nil, fmt.Errorf("open group %q: %w", spec.Name, err)
	}
	return db.memory.heads.OpenGroup(ctx, id, spec)
}

// Commit implements storage.Writer.
func (db *DB) Commit(ctx context.Context, d storage.Durability, batches ...storage.Prepared) error {
	return db.memory.heads.Commit(ctx, d, batches...)
}

// View implements storage.Reader.
func (db *DB) View(ctx context.Context, id tenant.ID) (storage.View, error) {
	if err := id.Validate(); err != nil {
		return nil, fmt.Errorf("view: %w", err)
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if err := db.bearsView(ctx); err != nil {
		return nil, fmt.Errorf("view: %w", err)
	}
	// Asked first: the end of the replay makes tenants known, and a view without
	// one would be taken for complete.
	replayed := db.memory.isReplayed()
	b, err := db.tenantBlocks(id)
	if err != nil {
		return nil, fmt.Errorf("view: %w", err)
	}
	v := &view{db: db, id: id}
	db.metrics.views.Inc()
	// The generation first: it keeps every span of the head that it does not
	// have as a block (I1).
	v.take(b)
	if replayed {
		v.pinHead()
	}
	return v, nil
}

// Stats counts what the database has in blocks.
type Stats struct {
	Blocks       int
	BlockBytes   uint64
	BlockSamples uint64
	// SetAside counts the blocks whose index is damaged: nothing of them is
	// served.
	SetAside int
	// Tombstones are deletions that are not applied everywhere yet.
	Tombstones int
}

// Stats returns the present numbers, of all tenants.
func (db *DB) Stats() Stats {
	var s Stats
	for _, b := range db.opened() {
		state := b.manifest.Current().State
		s.Tombstones += len(state.Tombstones)
		for _, m := range state.Blocks {
			s.Blocks++
			s.BlockBytes += m.Stats.Bytes()
			s.BlockSamples += m.Stats.Samples
		}
		for _, x := range b.newest.Load().blocks {
			if x.Damage() != nil {
				s.SetAside++
			}
		}
	}
	return s
}

// now is the time in ms.
func (db *DB) now() int64 { return db.deps.Clock().UnixMilli() }

// Close ends the database: what was acknowledged is durable, and the lock is
// given back. Writes fail with storage.ErrClosed from then on.
func (db *DB) Close() error {
	db.mu.Lock()
	if db.closed {
		db.mu.Unlock()
		return nil
	}
	db.closed = true
	tenants := db.tenants
	db.mu.Unlock()
	var errs []error
	if db.memory != nil {
		errs = append(errs, db.memory.log.Close())
	}
	for _, b := range tenants {
		b.cuts.Lock() // what is under way ends first
		b.compactions.Lock()
		errs = append(errs, b.close())
		b.compactions.Unlock()
		b.cuts.Unlock()
	}
	errs = append(errs, db.directory.close())
	return errors.Join(errs...)
}

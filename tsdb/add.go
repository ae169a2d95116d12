package tsdb

import (
	"context"
	"errors"
	"fmt"

	"github.com/oklog/ulid/v2"

	"github.com/nilometer/nilometer/blob"
	format "github.com/nilometer/nilometer/format/manifest"
	"github.com/nilometer/nilometer/model/tenant"
	"github.com/nilometer/nilometer/tsdb/block"
)

// NewBlock says where and how a block is written that does not come from a
// head.
type NewBlock struct {
	Bucket  blob.Bucket
	Tenant  tenant.ID
	ID      ulid.ULID
	Options block.Options
	// Seq is the block's place in the order of acceptance, to be its LowestSeq
	// and HighestSeq: what the tenant has now was accepted before.
	Seq uint64
}

// AddBlock adds one block that write puts to the bucket to a tenant's manifest,
// in one version. write returns the block's description, or block.ErrEmpty when
// there is nothing to add; with another error nothing is added. Cuts and
// compactions of the tenant wait until write has returned.
func (db *DB) AddBlock(ctx context.Context, id tenant.ID, write func(context.Context, NewBlock) (block.Meta, error)) error {
	b, err := db.openTenant(ctx, id)
	if err != nil {
		return fmt.Errorf("add a block: %w", err)
	}
	b.work.Lock()
	defer b.work.Unlock()
	if err := b.resume(ctx); err != nil {
		return fmt.Errorf("add a block: %w", err)
	}
	n := NewBlock{
		Bucket: db.bucket, Tenant: id, ID: ulid.Make(), Options: blockOptions(db.plannerOptions(), true),
		Seq: b.manifest.Current().Number + 1,
	}
	meta, err := write(ctx, n)
	if errors.Is(err, block.ErrEmpty) {
		return nil
	}
	if err != nil {
		b.deleteFiles(ctx, n.ID)
		return err
	}
	committed, err := b.commit(ctx, format.Edit{Added: []format.Block{meta}})
	if !committed {
		b.deleteFiles(ctx, n.ID)
	}
	if err != nil {
		return fmt.Errorf("add block %s: %w", n.ID, err)
	}
	return nil
}

// BlockSources returns the ids of the blocks that went into the live blocks of
// a tenant, those that a compaction has merged since included.
func (db *DB) BlockSources(id tenant.ID) (map[ulid.ULID]bool, error) {
	out := map[ulid.ULID]bool{}
	b, err := db.tenantBlocks(id)
	if err != nil || b == nil {
		return out, err
	}
	for _, m := range b.manifest.Current().State.Blocks {
		for _, source := range m.Sources {
			out[source] = true
		}
	}
	return out, nil
}

// BlockRanges returns the ranges that blocks have at each level of compaction,
// ms, the shortest first.
func (db *DB) BlockRanges() []int64 { return db.plannerOptions().Ranges() }

// WaitReplayed returns when the log is replayed, which Run does. When ctx ends
// first the error is storage.ErrReplaying.
func (db *DB) WaitReplayed(ctx context.Context) error { return db.memory.wait(ctx) }

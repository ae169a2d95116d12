package tsdb

import (
	"context"
	"errors"
	"fmt"
	"math"

	"github.com/oklog/ulid/v2"

	"github.com/nilometer/nilometer/blob"
	format "github.com/nilometer/nilometer/format/manifest"
	"github.com/nilometer/nilometer/model/tenant"
	"github.com/nilometer/nilometer/storage"
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
	b.cuts.Lock()
	defer b.cuts.Unlock()
	b.compactions.Lock()
	defer b.compactions.Unlock()
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

// BlockRanges returns the ranges that blocks have at each level of compaction,
// ms, the shortest first.
func (db *DB) BlockRanges() []int64 { return db.plannerOptions().Ranges() }

// WaitReplayed returns when the log is replayed, which Run does. When ctx ends
// first the error is storage.ErrReplaying.
func (db *DB) WaitReplayed(ctx context.Context) error { return db.memory.wait(ctx) }

// Content tells what a tenant has.
type Content struct {
	// MinTime and MaxTime bound the times of all samples, ms, both included.
	// Without samples MinTime is the greater.
	MinTime, MaxTime int64
	// HeadFrom is where that begins which may be in no block yet.
	HeadFrom int64
	// State is the manifest's: it must not be changed.
	State format.State
}

// Content returns what a view has that is taken now. It waits for the log to be
// replayed.
func (db *DB) Content(ctx context.Context, id tenant.ID) (Content, error) {
	c := Content{MinTime: math.MaxInt64, MaxTime: math.MinInt64, HeadFrom: math.MaxInt64}
	taken, err := db.View(ctx, id)
	if err != nil {
		return c, err
	}
	defer taken.Close()
	v := taken.(*view)
	parts, _, err := v.ready(ctx, storage.Selection{})
	if err != nil || v.gen == nil {
		return c, err
	}
	c.State = v.gen.current.State
	for _, m := range c.State.Blocks {
		c.MinTime, c.MaxTime = min(c.MinTime, m.MinTime), max(c.MaxTime, m.MaxTime)
	}
	h := db.memory.head(id)
	if newest, ok := h.Newest(); ok {
		for _, span := range h.Spans(math.MaxInt64) {
			c.HeadFrom = min(c.HeadFrom, span)
			c.MaxTime = max(c.MaxTime, newest)
		}
	}
	// Behind the blocks and the head, whose range has no end, come late samples.
	for _, p := range parts[min(len(parts), len(v.gen.blocks)+1):] {
		from, to := p.Range()
		c.HeadFrom, c.MaxTime = min(c.HeadFrom, from), max(c.MaxTime, to)
	}
	c.MinTime = min(c.MinTime, c.HeadFrom)
	return c, nil
}

package manifest

import (
	"context"
	"fmt"
	"strings"

	"github.com/oklog/ulid/v2"

	"github.com/nilometer/nilometer/blob"
	format "github.com/nilometer/nilometer/format/manifest"
	"github.com/nilometer/nilometer/model/tenant"
)

// BlockPrefix is where the files of a tenant's block lie: block/<tenant>/<id>/.
func BlockPrefix(tenantID tenant.ID, id ulid.ULID) string {
	return fmt.Sprintf("block/%s/%s/", tenantID, id)
}

// Orphans returns, in order, the ids of blocks that have files in the bucket
// and are not live in state: left by a crash before their commit or before
// their deletion. A block that is being written now is among them: who deletes
// must know that no writer is at work (at start), or spare young ids. At most
// limit ids are returned.
func Orphans(ctx context.Context, bucket blob.Bucket, tenantID tenant.ID, state format.State, limit int) ([]ulid.ULID, error) {
	live := make(map[ulid.ULID]bool, len(state.Blocks))
	for _, b := range state.Blocks {
		live[b.ID] = true
	}
	p := fmt.Sprintf("block/%s/", tenantID)
	var out []ulid.ULID
	var last ulid.ULID
	err := bucket.List(ctx, p, "", func(i blob.Info) error {
		dir, _, ok := strings.Cut(strings.TrimPrefix(i.Name, p), "/")
		id, err := ulid.ParseStrict(dir)
		if !ok || err != nil || id == last || live[id] || len(out) >= limit {
			return nil // foreign names are none of ours to clean
		}
		last = id
		out = append(out, id)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("list the blocks of tenant %s: %w", tenantID, err)
	}
	return out, nil
}

// DeleteBlock deletes every file of a block, its meta.json first, so that what
// a crash leaves is recognisable as no block. Deleting what is gone is no
// error.
func DeleteBlock(ctx context.Context, bucket blob.Bucket, tenantID tenant.ID, id ulid.ULID) error {
	p := BlockPrefix(tenantID, id)
	if err := bucket.Delete(ctx, p+"meta.json"); err != nil {
		return fmt.Errorf("delete block %s: %w", id, err)
	}
	var names []string
	err := bucket.List(ctx, p, "", func(i blob.Info) error {
		names = append(names, i.Name)
		return nil
	})
	if err != nil {
		return fmt.Errorf("delete block %s: list its files: %w", id, err)
	}
	for _, name := range names {
		if err := bucket.Delete(ctx, name); err != nil {
			return fmt.Errorf("delete block %s: %w", id, err)
		}
	}
	return nil
}

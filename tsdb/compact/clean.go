package compact

import (
	"context"

	"github.com/nilometer/nilometer/blob"
	"github.com/nilometer/nilometer/model/tenant"
	"github.com/nilometer/nilometer/tsdb/manifest"
)

// orphansMax bounds the orphans deleted in one go.
const orphansMax = 10_000

// Clean deletes the files of blocks that are not live in a version, and
// returns how many blocks they were. It must run while nobody writes a block
// or reads an older version: at start, before the first cut.
func Clean(ctx context.Context, bucket blob.Bucket, id tenant.ID, c manifest.Current) (int, error) {
	n := 0
	for {
		ids, err := manifest.Orphans(ctx, bucket, id, c.State, orphansMax)
		if err != nil {
			return n, err
		}
		for _, block := range ids {
			if err := manifest.DeleteBlock(ctx, bucket, id, block); err != nil {
				return n, err
			}
			n++
		}
		if len(ids) < orphansMax {
			return n, nil
		}
	}
}

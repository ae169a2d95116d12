package compact

import (
	"context"

	"github.com/oklog/ulid/v2"

	"github.com/nilometer/nilometer/blob"
	"github.com/nilometer/nilometer/model/tenant"
	"github.com/nilometer/nilometer/tsdb/block"
	"github.com/nilometer/nilometer/tsdb/part"
)

// Write merges parts, which are in order of acceptance, into a new block of
// level 1. It is block.Write for more than one part.
func Write(ctx context.Context, bucket blob.Bucket, id tenant.ID, blockID ulid.ULID, o block.Options, meta block.Meta, parts ...part.Part) (block.Meta, error) {
	w, err := block.NewWriter(bucket, id, blockID, o)
	if err != nil {
		return block.Meta{}, err
	}
	sources := make([]Source, len(parts))
	for i, p := range parts {
		sources[i] = Source{Part: p}
	}
	meta.Level, meta.Sources = 1, []ulid.ULID{blockID}
	if _, err = Merge(ctx, w, sources, nil); err == nil {
		meta, err = w.Finish(ctx, meta)
	}
	if err != nil {
		w.Abort(context.WithoutCancel(ctx))
		return block.Meta{}, err
	}
	return meta, nil
}

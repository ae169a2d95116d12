package compact

import (
	"context"
	"fmt"

	"github.com/nilometer/nilometer/blob"
	"github.com/nilometer/nilometer/model/tenant"
	"github.com/nilometer/nilometer/tsdb/block"
	"github.com/nilometer/nilometer/tsdb/manifest"
	"github.com/nilometer/nilometer/tsdb/planner"
)

// offlineJobsMax bounds the jobs of one Offline run.
const offlineJobsMax = 100_000

// orphansMax bounds the orphans deleted in one go.
const orphansMax = 10_000

// Offline runs every job that the planner has at nowMs, one after the other,
// until there is none, and deletes the files of blocks that are not live. No
// other process may have the bucket open. report is called after each job.
func Offline(ctx context.Context, d Deps, o block.Options, p planner.Options, nowMs int64, report func(planner.Job, Result)) error {
	for range offlineJobsMax {
		jobs := planner.Plan(d.Manifest.Current().State, nowMs, p)
		if len(jobs) == 0 {
			_, err := Clean(ctx, d.Bucket, d.Tenant, d.Manifest.Current())
			return err
		}
		r, err := Run(ctx, d, o, jobs[0])
		if err != nil {
			return err
		}
		report(jobs[0], r)
	}
	return fmt.Errorf("compact: no end after %d jobs", offlineJobsMax)
}

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

package tsdb

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/oklog/ulid/v2"

	"github.com/nilometer/nilometer/blob"
	blobdir "github.com/nilometer/nilometer/blob/dir"
	"github.com/nilometer/nilometer/model/tenant"
	"github.com/nilometer/nilometer/tsdb/compact"
	"github.com/nilometer/nilometer/tsdb/manifest"
	"github.com/nilometer/nilometer/tsdb/planner"
)

// openOffline locks an existing data directory and opens its bucket, for work
// while no server runs on it.
func openOffline(d Deps) (*directory, blob.Bucket, error) {
	if d.FS == nil {
		if _, err := os.Stat(d.Dir); err != nil { // opening it would make it
			return nil, nil, fmt.Errorf("open data directory: %w", err)
		}
	}
	fsys, err := d.fileSystem()
	if err != nil {
		return nil, nil, err
	}
	if _, err := fsys.Stat(versionName); errors.Is(err, fs.ErrNotExist) {
		return nil, nil, fmt.Errorf("%s has no file %s: it is no data directory; name another one with --data.dir", d.Dir, versionName)
	}
	d.FS = fsys
	dir, err := openDirectory(d)
	if err != nil {
		return nil, nil, err
	}
	bucket := d.Bucket
	if bucket == nil {
		if bucket, err = blobdir.New(dir.fs, storeName); err != nil {
			return nil, nil, errors.Join(err, dir.close())
		}
	}
	return dir, bucket, nil
}

// Verify reads every block of a data directory that no server uses, and
// reports each. It returns an error that names the damaged blocks. The log is
// not looked at: its damage is reported when it is replayed.
func Verify(ctx context.Context, d Deps, report func(BlockReport)) error {
	d = d.withDefaults()
	dir, bucket, err := openOffline(d)
	if err != nil {
		return err
	}
	return errors.Join(verifyBlocks(ctx, bucket, report), dir.close())
}

// CompactReport is one job that Compact has run.
type CompactReport struct {
	Tenant tenant.ID
	Job    planner.Job
	Result compact.Result
}

// Compact runs every compaction that is due, retention included, on a data
// directory that no server uses. What is in the log stays there: the server
// cuts it into blocks.
func Compact(ctx context.Context, o Options, d Deps, report func(CompactReport)) error {
	if err := o.Validate(); err != nil {
		return err
	}
	o, d = o.withDefaults(), d.withDefaults()
	dir, bucket, err := openOffline(d)
	if err != nil {
		return err
	}
	return errors.Join(compactAll(ctx, o, d, bucket, report), dir.close())
}

func compactAll(ctx context.Context, o Options, d Deps, bucket blob.Bucket, report func(CompactReport)) error {
	tenants, err := listTenants(ctx, bucket)
	if err != nil {
		return err
	}
	p := o.planner()
	for _, id := range tenants {
		store, err := manifest.Open(ctx, bucket, id, shard)
		if err != nil {
			return err
		}
		deps := compact.Deps{Bucket: bucket, Tenant: id, Manifest: store, NewID: ulid.Make}
		err = compact.Offline(ctx, deps, blockOptions(p, true), p, d.Clock().UnixMilli(), func(j planner.Job, r compact.Result) {
			report(CompactReport{Tenant: id, Job: j, Result: r})
		})
		if err != nil {
			return fmt.Errorf("compact tenant %s: %w", id, err)
		}
	}
	return nil
}

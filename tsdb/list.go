package tsdb

import (
	"context"
	"slices"

	blobdir "github.com/nilometer/nilometer/blob/dir"
	"github.com/nilometer/nilometer/model/tenant"
	"github.com/nilometer/nilometer/tsdb/block"
	"github.com/nilometer/nilometer/tsdb/manifest"
)

// Listed is a live block of a tenant.
type Listed struct {
	Tenant tenant.ID
	Meta   block.Meta
}

// Blocks returns the live blocks of a data directory, by tenant and in order
// of time. It reads the manifests alone, takes no lock, and may run beside a
// server.
func Blocks(ctx context.Context, d Deps) ([]Listed, error) {
	d = d.withDefaults()
	fsys, err := existing(d)
	if err != nil {
		return nil, err
	}
	bucket := d.Bucket
	if bucket == nil {
		bucket = blobdir.Reader(fsys, storeName)
	}
	tenants, err := listTenants(ctx, bucket)
	if err != nil {
		return nil, err
	}
	var out []Listed
	for _, id := range tenants {
		m, err := manifest.Open(ctx, bucket, id, shard)
		if err != nil {
			return nil, err
		}
		for _, b := range m.Current().State.Blocks {
			out = append(out, Listed{Tenant: id, Meta: b})
		}
	}
	return slices.Clip(out), nil
}

// DiskUsage measures a data directory. It takes no lock, and may run beside a
// server.
func DiskUsage(d Deps) (Usage, error) {
	fsys, err := existing(d)
	if err != nil {
		return Usage{}, err
	}
	return measure(fsys)
}

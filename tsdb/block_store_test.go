package tsdb_test

import (
	"testing"

	"github.com/oklog/ulid/v2"

	"github.com/nilometer/nilometer/blob"
	blobdir "github.com/nilometer/nilometer/blob/dir"
	format "github.com/nilometer/nilometer/format/manifest"
	"github.com/nilometer/nilometer/model/tenant"
	"github.com/nilometer/nilometer/tsdb/block"
	"github.com/nilometer/nilometer/tsdb/manifest"
	"github.com/nilometer/nilometer/tsdb/part"
	"github.com/nilometer/nilometer/vfs"
)

// blockStore writes blocks to a data directory that no database has open.
type blockStore struct {
	bucket blob.Bucket
	store  *manifest.Store
}

// newBlockStore makes a data directory of a file system.
func newBlockStore(t *testing.T, fs vfs.FS) blockStore {
	t.Helper()
	put(t, fs, "VERSION", "nilometer data directory, layout 1\n")
	bucket, err := blobdir.New(fs, "store")
	if err != nil {
		t.Fatal(err)
	}
	store, err := manifest.Open(t.Context(), bucket, tenant.Default, 0)
	if err != nil {
		t.Fatal(err)
	}
	return blockStore{bucket, store}
}

// add writes a block of the default tenant and names it in the manifest.
func (s blockStore) add(t *testing.T, id ulid.ULID, o block.Options, meta block.Meta, source part.Part) block.Meta {
	t.Helper()
	m, err := block.Write(t.Context(), s.bucket, tenant.Default, id, o, meta, source)
	if err != nil {
		t.Fatal(err)
	}
	_, err = s.store.Commit(t.Context(), func(manifest.Current) (format.Edit, error) {
		return format.Edit{Added: []format.Block{m}}, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

package block_test

import (
	"math/rand/v2"
	"testing"

	"github.com/nilometer/nilometer/blob/dir"
	"github.com/nilometer/nilometer/model/tenant"
	"github.com/nilometer/nilometer/tsdb/block"
	"github.com/nilometer/nilometer/tsdb/manifest"
	"github.com/nilometer/nilometer/tsdb/part/parttest"
	vfsos "github.com/nilometer/nilometer/vfs/os"
)

// TestMappedBlock reads a block from mapped files of the real file system, also
// after its files were deleted.
func TestMappedBlock(t *testing.T) {
	fsys, err := vfsos.New(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	bucket, err := dir.New(fsys, "store")
	if err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(2, 9))
	src := parttest.Random(rng, "source", parttest.RandomOptions{Targets: 4, Metrics: 60, Start: 0, Interval: 15_000, Positions: 960, Gaps: true})
	write(t, bucket, 1, block.Options{FileBytes: 1 << 20, PageBytes: 8 << 10}, src)
	b := open(t, bucket, 1, nil)
	want := read(t, src)
	if diff := parttest.Diff(read(t, b), want); diff != "" {
		t.Fatal(diff)
	}
	if err := manifest.DeleteBlock(t.Context(), bucket, tenant.Default, blockID(1)); err != nil {
		t.Fatal(err)
	}
	if names := list(t, bucket); len(names) != 0 {
		t.Errorf("left: %v", names)
	}
	if diff := parttest.Diff(read(t, b), want); diff != "" {
		t.Fatal(diff)
	}
}

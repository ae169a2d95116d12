package compact_test

import (
	"context"
	"math/rand/v2"
	"testing"

	"github.com/oklog/ulid/v2"

	"github.com/nilometer/nilometer/blob/dir"
	format "github.com/nilometer/nilometer/format/manifest"
	"github.com/nilometer/nilometer/model/tenant"
	"github.com/nilometer/nilometer/tsdb/block"
	"github.com/nilometer/nilometer/tsdb/compact"
	"github.com/nilometer/nilometer/tsdb/manifest"
	"github.com/nilometer/nilometer/tsdb/part/parttest"
	"github.com/nilometer/nilometer/tsdb/planner"
	"github.com/nilometer/nilometer/vfs"
	"github.com/nilometer/nilometer/vfs/vfstest"
)

// TestCrash stops the file system at every operation of two cuts, a merge and
// the deletion of its sources: afterwards the live blocks are whole, and have
// exactly the samples of the cuts that were acknowledged (or of the one that
// was under way too).
func TestCrash(t *testing.T) {
	ctx := context.Background()
	var sources []*parttest.Part
	rng := rand.New(rand.NewPCG(5, 6))
	for i := range int64(2) {
		sources = append(sources, parttest.Random(rng, "source", parttest.RandomOptions{Targets: 2, Metrics: 3, Start: i * 100_000, Interval: 1000, Positions: 60, Gaps: true}))
	}
	cuts := 0
	workload := func(fs vfs.FS) {
		cuts = 0
		bucket, err := dir.New(fs, "store")
		if err != nil {
			return
		}
		m, err := manifest.Open(ctx, bucket, tenant.Default, 0)
		if err != nil {
			return
		}
		for i, src := range sources {
			meta, err := block.Write(ctx, bucket, tenant.Default, ulid.ULID{15: byte(i + 1)}, block.Options{}, format.Block{LowestSeq: uint64(i), HighestSeq: uint64(i)}, src)
			if err != nil {
				return
			}
			_, err = m.Commit(ctx, func(manifest.Current) (format.Edit, error) { return format.Edit{Added: []format.Block{meta}}, nil })
			if err != nil {
				return
			}
			cuts++
		}
		d := compact.Deps{Bucket: bucket, Tenant: tenant.Default, Manifest: m, NewID: func() ulid.ULID { return ulid.ULID{15: 9} }}
		r, err := compact.Run(ctx, d, block.Options{}, planner.Job{Kind: planner.Level, Blocks: m.Current().State.Blocks})
		if err != nil {
			return
		}
		for _, id := range r.Removed {
			if manifest.DeleteBlock(ctx, bucket, tenant.Default, id) != nil {
				return
			}
		}
	}
	vfstest.EveryCrashWith(t, vfstest.Crashes{StopsMax: 120}, workload, func(fs vfs.FS) {
		bucket, err := dir.New(fs, "store")
		if err != nil {
			t.Fatal(err)
		}
		m, err := manifest.Open(ctx, bucket, tenant.Default, 0)
		if err != nil {
			t.Fatal(err)
		}
		f := &fixture{t: t, bucket: bucket}
		f.deps.Manifest = m
		checkSources(t, f, sources, cuts)
		if _, err := compact.Clean(ctx, bucket, tenant.Default, m.Current()); err != nil {
			t.Fatal(err)
		}
		checkSources(t, f, sources, cuts)
	})
}

// checkSources compares all live blocks with the first n sources, or n+1.
func checkSources(t *testing.T, f *fixture, sources []*parttest.Part, n int) {
	t.Helper()
	ctx := context.Background()
	var got []parttest.Series
	for _, b := range f.deps.Manifest.Current().State.Blocks {
		r, err := block.Verify(ctx, f.bucket, tenant.Default, b.ID)
		if err != nil || len(r.Problems) > 0 {
			t.Fatalf("block %s: %v %v", b.ID, r.Problems, err)
		}
		open, err := block.Open(ctx, f.bucket, tenant.Default, b.ID, nil)
		if err != nil {
			t.Fatal(err)
		}
		series, err := parttest.Read(ctx, open)
		if err != nil {
			t.Fatal(err)
		}
		got = parttest.Union(got, series)
		if err := open.Release(); err != nil {
			t.Fatal(err)
		}
	}
	var want []parttest.Series
	diff := ""
	for i := 0; i <= n+1 && i <= len(sources); i++ {
		if i >= n {
			if diff = parttest.Diff(got, want); diff == "" {
				return
			}
		}
		if i < len(sources) {
			series, err := parttest.Read(ctx, sources[i])
			if err != nil {
				t.Fatal(err)
			}
			want = parttest.Union(want, series)
		}
	}
	t.Fatal(diff)
}

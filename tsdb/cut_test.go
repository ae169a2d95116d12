package tsdb_test

import (
	"context"
	"errors"
	"io"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/nilometer/nilometer/blob"
	blobmem "github.com/nilometer/nilometer/blob/mem"
	"github.com/nilometer/nilometer/model/tenant"
	"github.com/nilometer/nilometer/storage/storagetest"
	"github.com/nilometer/nilometer/tsdb"
	"github.com/nilometer/nilometer/vfs/mem"
)

// endingBucket ends a context as soon as a version of a manifest was put.
type endingBucket struct {
	blob.Bucket
	end func()
}

func (b *endingBucket) PutIfAbsent(ctx context.Context, name string, r io.Reader, sizeBytes int64) error {
	err := b.Bucket.PutIfAbsent(ctx, name, r, sizeBytes)
	if b.end != nil && strings.HasPrefix(name, "manifest/") {
		b.end()
	}
	return err
}

// TestACutThatIsEndedLosesNothing ends a cut, or a compaction, right after its
// version is in the manifest, as a server does that is told to stop: the blocks
// that the version names must stay.
func TestACutThatIsEndedLosesNothing(t *testing.T) {
	fs, bucket := mem.New(), &endingBucket{Bucket: blobmem.New()}
	o, d := quiet(time.Minute), tsdb.Deps{Bucket: bucket}
	db := mustStart(t, fs, o, d)
	s := storagetest.Series{Labels: labels.FromStrings("__name__", "a", "instance", "i", "job", "j")}
	for i := range int64(20) {
		s.Samples = append(s.Samples, storagetest.Sample{T: at(30 * i), V: float64(i)})
	}
	if err := storagetest.Load(t.Context(), db, tenant.Default, s); err != nil {
		t.Fatal(err)
	}
	for name, work := range map[string]func(context.Context) error{"cut": db.Cut, "compact": db.Compact} {
		for range 3 {
			ctx, cancel := context.WithCancel(t.Context())
			bucket.end = cancel
			if err := work(ctx); err != nil && !errors.Is(err, context.Canceled) {
				t.Fatalf("%s: %v", name, err)
			}
			cancel()
		}
	}
	bucket.end = nil
	if db.Stats().Blocks == 0 {
		t.Fatal("nothing was cut")
	}
	if err := db.stop(); err != nil {
		t.Fatal(err)
	}
	db = mustStart(t, fs, o, d)
	got, err := storagetest.ReadAll(t.Context(), db, tenant.Default, labels.MustNewMatcher(labels.MatchEqual, "job", "j"))
	if err != nil {
		t.Fatal(err)
	}
	if diff := storagetest.Diff([]storagetest.Series{s}, got); diff != "" {
		t.Error(diff)
	}
}

// gatedBucket holds the first put of a block's chunks back.
type gatedBucket struct {
	blob.Bucket
	armed   atomic.Bool
	reached chan struct{}
	gate    chan struct{}
}

func (b *gatedBucket) PutIfAbsent(ctx context.Context, name string, r io.Reader, sizeBytes int64) error {
	if strings.Contains(name, "/chunks/") && b.armed.CompareAndSwap(true, false) {
		close(b.reached)
		<-b.gate
	}
	return b.Bucket.PutIfAbsent(ctx, name, r, sizeBytes)
}

// TestCutsDoNotWaitForCompactions holds a compaction in the middle of its block:
// meanwhile spans are cut and samples deleted, and the result respects both.
func TestCutsDoNotWaitForCompactions(t *testing.T) {
	bucket := &gatedBucket{Bucket: blobmem.New(), reached: make(chan struct{}), gate: make(chan struct{})}
	db := mustStart(t, mem.New(), quiet(time.Minute), tsdb.Deps{Bucket: bucket})
	var want storagetest.Series
	load := func(from, to int64) {
		s := storagetest.Series{Labels: labels.FromStrings("__name__", "a", "instance", "i", "job", "j")}
		for i := from; i < to; i++ {
			s.Samples = append(s.Samples, storagetest.Sample{T: at(30 * i), V: float64(i)})
		}
		if err := storagetest.Load(t.Context(), db, tenant.Default, s); err != nil {
			t.Fatal(err)
		}
		want.Labels, want.Samples = s.Labels, append(want.Samples, s.Samples...)
	}
	load(0, 40)
	if err := db.Cut(t.Context()); err != nil {
		t.Fatal(err)
	}
	bucket.armed.Store(true)
	compacted := make(chan error, 1)
	go func() { compacted <- db.Compact(context.Background()) }()
	<-bucket.reached
	before := db.Stats().Blocks
	load(40, 60)
	if err := db.Cut(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := db.Stats().Blocks; n <= before {
		t.Errorf("%d blocks after a cut beside a compaction, %d before", n, before)
	}
	all := labels.MustNewMatcher(labels.MatchEqual, "job", "j")
	if err := db.Delete(t.Context(), tenant.Default, at(0), at(60), all); err != nil {
		t.Fatal(err)
	}
	want.Samples = want.Samples[3:]
	close(bucket.gate)
	if err := <-compacted; err != nil {
		t.Fatal(err)
	}
	for range 2 {
		got, err := storagetest.ReadAll(t.Context(), db, tenant.Default, all)
		if err != nil {
			t.Fatal(err)
		}
		if diff := storagetest.Diff([]storagetest.Series{want}, got); diff != "" {
			t.Fatal(diff)
		}
		if err := db.Compact(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

package manifest_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"

	"github.com/oklog/ulid/v2"

	"github.com/nilometer/nilometer/blob"
	"github.com/nilometer/nilometer/blob/dir"
	"github.com/nilometer/nilometer/blob/mem"
	format "github.com/nilometer/nilometer/format/manifest"
	"github.com/nilometer/nilometer/model/tenant"
	"github.com/nilometer/nilometer/tsdb/manifest"
	"github.com/nilometer/nilometer/vfs"
	"github.com/nilometer/nilometer/vfs/vfstest"
)

func id(n int) ulid.ULID { return ulid.ULID{14: byte(n >> 8), 15: byte(n)} }

func blockOf(n int) format.Block {
	return format.Block{ID: id(n), FormatVersion: 1, MinTime: int64(n), MaxTime: int64(n) + 1, Level: 1}
}

func open(t *testing.T, b blob.Bucket) *manifest.Store {
	t.Helper()
	s, err := manifest.Open(t.Context(), b, tenant.Default, 0)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func add(n int) func(manifest.Current) (format.Edit, error) {
	return func(manifest.Current) (format.Edit, error) {
		return format.Edit{Added: []format.Block{blockOf(n)}, Horizon: map[string]format.Mark{"": {Time: int64(n)}}}, nil
	}
}

func commit(t *testing.T, s *manifest.Store, plan func(manifest.Current) (format.Edit, error)) manifest.Current {
	t.Helper()
	c, err := s.Commit(t.Context(), plan)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestVersionsAndSnapshots(t *testing.T) {
	bucket := mem.New()
	s := open(t, bucket)
	for n := 1; n <= 3*format.SnapshotEvery+5; n++ {
		c := commit(t, s, add(n))
		if c.Number != uint64(n) || len(c.State.Blocks) != n {
			t.Fatalf("version %d with %d blocks, want %d", c.Number, len(c.State.Blocks), n)
		}
		if n%31 != 0 {
			continue
		}
		if c := open(t, bucket).Current(); c.Number != uint64(n) || len(c.State.Blocks) != n || c.State.Horizon[""].Time != int64(n) {
			t.Fatalf("opened version %d with %d blocks, want %d", c.Number, len(c.State.Blocks), n)
		}
	}
}

func TestEmptyEditIsNoVersion(t *testing.T) {
	s := open(t, mem.New())
	c := commit(t, s, func(manifest.Current) (format.Edit, error) { return format.Edit{}, nil })
	if c.Number != 0 {
		t.Errorf("version %d", c.Number)
	}
}

func TestConflicts(t *testing.T) {
	bucket := mem.New()
	a, b := open(t, bucket), open(t, bucket)
	commit(t, a, add(1))
	// b has not seen version 1; its own edit is planned again on top of it.
	if c := commit(t, b, add(2)); c.Number != 2 || len(c.State.Blocks) != 2 {
		t.Errorf("%+v", c)
	}
	remove := func(manifest.Current) (format.Edit, error) { return format.Edit{Removed: []ulid.ULID{id(1)}}, nil }
	commit(t, a, remove)
	_, err := b.Commit(t.Context(), remove)
	var conflict *format.ConflictError
	if !errors.As(err, &conflict) {
		t.Errorf("got %v", err)
	}
	if c, err := a.Refresh(t.Context()); err != nil || c.Number != 3 {
		t.Errorf("version %d, %v", c.Number, err)
	}
}

func TestConcurrentWriters(t *testing.T) {
	bucket := mem.New()
	const writers, each = 4, 6
	var wg sync.WaitGroup
	for w := range writers {
		s := open(t, bucket)
		wg.Add(1)
		go func() {
			defer wg.Done()
			for k := range each {
				for {
					_, err := s.Commit(context.Background(), add(1+w*each+k))
					if err == nil {
						break
					}
					if !errors.Is(err, manifest.ErrBusy) {
						t.Error(err)
						return
					}
				}
			}
		}()
	}
	wg.Wait()
	if c := open(t, bucket).Current(); c.Number != writers*each || len(c.State.Blocks) != writers*each {
		t.Errorf("version %d with %d blocks", c.Number, len(c.State.Blocks))
	}
}

func TestDamagedVersionIsNamed(t *testing.T) {
	bucket := mem.New()
	s := open(t, bucket)
	for n := 1; n <= 3; n++ {
		commit(t, s, add(n))
	}
	const name = "manifest/default/0/00000000000000000002"
	b, err := bucket.Get(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	b[len(b)/2] ^= 1
	if err := bucket.Delete(t.Context(), name); err != nil {
		t.Fatal(err)
	}
	if err := bucket.PutIfAbsent(t.Context(), name, strings.NewReader(string(b)), int64(len(b))); err != nil {
		t.Fatal(err)
	}
	_, err = manifest.Open(t.Context(), bucket, tenant.Default, 0)
	if !errors.Is(err, format.ErrDamaged) || !strings.Contains(err.Error(), name) {
		t.Errorf("got %v", err)
	}
}

// flaky loses answers: a put fails before or after it happened.
type flaky struct {
	blob.Bucket
	puts     int
	lose     func(put int) (happens, fails bool)
	getsFail bool
}

var errLost = errors.New("connection lost")

func (f *flaky) PutIfAbsent(ctx context.Context, name string, r io.Reader, size int64) error {
	f.puts++
	happens, fails := f.lose(f.puts)
	var err error
	if happens {
		err = f.Bucket.PutIfAbsent(ctx, name, r, size)
	}
	if fails {
		return errLost
	}
	return err
}

func (f *flaky) Get(ctx context.Context, name string) ([]byte, error) {
	if f.getsFail {
		return nil, errLost
	}
	return f.Bucket.Get(ctx, name)
}

func TestAmbiguousPuts(t *testing.T) {
	for _, tc := range []struct {
		name           string
		happens, fails func(put int) bool
		getsFail       bool
		want           error
		number         uint64 // of the bucket afterwards
	}{
		{"done, answer lost", func(int) bool { return true }, func(n int) bool { return n == 1 }, false, nil, 1},
		{"not done, answer lost", func(n int) bool { return n > 1 }, func(n int) bool { return n == 1 }, false, nil, 1},
		{"never done", func(int) bool { return false }, func(int) bool { return true }, false, manifest.ErrUncertain, 0},
		{"done, nothing answers", func(int) bool { return true }, func(int) bool { return true }, true, manifest.ErrUncertain, 1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			bucket := mem.New()
			f := &flaky{Bucket: bucket, lose: func(n int) (bool, bool) { return tc.happens(n), tc.fails(n) }}
			s := open(t, f)
			f.getsFail = tc.getsFail
			_, err := s.Commit(t.Context(), add(1))
			if !errors.Is(err, tc.want) || (err == nil) != (tc.want == nil) {
				t.Fatalf("got %v, want %v", err, tc.want)
			}
			if c := open(t, bucket).Current(); c.Number != tc.number {
				t.Errorf("version %d, want %d", c.Number, tc.number)
			}
			f.getsFail = false
			f.lose = func(int) (bool, bool) { return true, false }
			if c := commit(t, s, add(2)); c.Number != tc.number+1 {
				// Without an error the store knows its version 1; after ErrUncertain
				// it finds it.
				t.Errorf("next version %d, want %d", c.Number, tc.number+1)
			}
		})
	}
}

func TestOrphans(t *testing.T) {
	bucket := mem.New()
	s := open(t, bucket)
	commit(t, s, add(1))
	for n := 1; n <= 4; n++ {
		for _, file := range []string{"meta.json", "index", "chunks/000001"} {
			if err := bucket.PutIfAbsent(t.Context(), manifest.BlockPrefix(tenant.Default, id(n))+file, strings.NewReader("x"), 1); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := bucket.PutIfAbsent(t.Context(), "block/default/notes/index", strings.NewReader("x"), 1); err != nil {
		t.Fatal(err)
	}
	check := func(limit int, want ...int) {
		t.Helper()
		ids, err := manifest.Orphans(t.Context(), bucket, tenant.Default, s.Current().State, limit)
		if err != nil || len(ids) != len(want) {
			t.Fatalf("got %v, %v", ids, err)
		}
		for i, n := range want {
			if ids[i] != id(n) {
				t.Errorf("orphan %d is %s, want %s", i, ids[i], id(n))
			}
		}
	}
	check(10, 2, 3, 4)
	check(2, 2, 3)
	if err := manifest.DeleteBlock(t.Context(), bucket, tenant.Default, id(3)); err != nil {
		t.Fatal(err)
	}
	check(10, 2, 4)
}

// TestCrash stops the file system at every operation of a few commits: what is
// found afterwards is a whole version, not older than the last one that was
// acknowledged.
func TestCrash(t *testing.T) {
	acknowledged := 0
	workload := func(fs vfs.FS) {
		acknowledged = 0
		bucket, err := dir.New(fs, "store")
		if err != nil {
			return
		}
		s, err := manifest.Open(context.Background(), bucket, tenant.Default, 0)
		if err != nil {
			return
		}
		for n := 1; n <= 3; n++ {
			if _, err := s.Commit(context.Background(), add(n)); err != nil {
				return
			}
			acknowledged = n
		}
	}
	vfstest.EveryCrash(t, workload, func(fs vfs.FS) {
		bucket, err := dir.New(fs, "store")
		if err != nil {
			t.Fatal(err)
		}
		s, err := manifest.Open(context.Background(), bucket, tenant.Default, 0)
		if err != nil {
			t.Fatal(err)
		}
		c := s.Current()
		if int(c.Number) < acknowledged || int(c.Number) > acknowledged+1 || len(c.State.Blocks) != int(c.Number) {
			t.Fatalf("version %d with %d blocks after %d were acknowledged", c.Number, len(c.State.Blocks), acknowledged)
		}
		if _, err := s.Commit(context.Background(), add(100)); err != nil {
			t.Fatal(fmt.Errorf("commit after the crash: %w", err))
		}
	})
}

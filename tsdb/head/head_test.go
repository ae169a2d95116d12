package head_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/util/annotations"

	"github.com/nilometer/nilometer/model/tenant"
	"github.com/nilometer/nilometer/storage"
	"github.com/nilometer/nilometer/storage/storagetest"
	"github.com/nilometer/nilometer/tsdb/head"
	"github.com/nilometer/nilometer/tsdb/late"
	"github.com/nilometer/nilometer/tsdb/part"
	"github.com/nilometer/nilometer/tsdb/scan"
	"github.com/nilometer/nilometer/tsdb/wal"
	"github.com/nilometer/nilometer/vfs"
	"github.com/nilometer/nilometer/vfs/mem"
)

// store is heads as a whole engine: what is cut, others keep.
type store struct {
	*head.Heads
	fs       vfs.FS
	log      *wal.Log
	admitter storage.Admitter
	closed   bool
}

func open(fs vfs.FS, admitter storage.Admitter) (*store, error) {
	return openAll(fs, admitter, head.Options{})
}

// openAll opens heads that may lose nothing.
func openAll(fs vfs.FS, admitter storage.Admitter, o head.Options) (*store, error) {
	s, replayed, err := openWith(fs, admitter, o, -1<<62)
	if err == nil && len(replayed.Losses)+len(replayed.Damage)+len(replayed.Faults) > 0 {
		return nil, fmt.Errorf("replay lost %v, damage %v, %v", replayed.Losses, replayed.Damage, replayed.Faults)
	}
	return s, err
}

// openWith opens heads whose samples before a horizon are in blocks.
func openWith(fs vfs.FS, admitter storage.Admitter, o head.Options, horizon int64) (*store, head.Replayed, error) {
	log, err := wal.Open(fs, "wal", wal.Options{}, wal.NewMetrics(nil))
	if err != nil {
		return nil, head.Replayed{}, err
	}
	h, err := head.New(o, head.Deps{Log: log, Files: fs, Dir: "head", Admitter: admitter})
	if err != nil {
		return nil, head.Replayed{}, err
	}
	h.Head(tenant.Default).SetHorizon(horizon)
	replayed, err := h.Replay(context.Background())
	return &store{Heads: h, fs: fs, log: log, admitter: admitter}, replayed, err
}

func (s *store) View(_ context.Context, id tenant.ID) (storage.View, error) {
	if err := id.Validate(); err != nil {
		return nil, err
	}
	if s.closed {
		return nil, storage.ErrClosed
	}
	h := s.Head(id)
	snap := h.Snapshot(h.Horizon())
	return &view{snap: snap, head: h, late: snap.Late(late.Bounds{})}, nil
}

func (s *store) OpenGroup(ctx context.Context, id tenant.ID, spec storage.GroupSpec) (storage.Group, error) {
	if s.closed {
		return nil, storage.ErrClosed
	}
	return s.Heads.OpenGroup(ctx, id, spec)
}

func (s *store) Delete(context.Context, tenant.ID, int64, int64, ...*labels.Matcher) error {
	return storage.ErrUnsupported
}

func (s *store) Changed(id tenant.ID, after uint64, mint int64) (now uint64, from int64) {
	return s.Head(id).Changed(after, mint)
}

func (s *store) Tail(context.Context, tenant.ID, storage.Cursor) (storage.Tailer, error) {
	return nil, storage.ErrUnsupported
}

type view struct {
	snap   *head.Snapshot
	late   *late.Part
	head   *head.Head
	once   sync.Once
	closed atomic.Bool
}

var errViewClosed = errors.New("the view is closed")

func (v *view) parts() []part.Part { return []part.Part{v.snap, v.late} }

func (v *view) Select(ctx context.Context, s storage.Selection) (storage.Scan, error) {
	if v.closed.Load() {
		return nil, errViewClosed
	}
	return scan.Select(ctx, v.parts(), s)
}

func (v *view) LabelNames(ctx context.Context, s storage.Selection, limit int) ([]string, annotations.Annotations, error) {
	return scan.LabelNames(ctx, v.parts(), s, limit)
}

func (v *view) LabelValues(ctx context.Context, name string, s storage.Selection, limit int) ([]string, annotations.Annotations, error) {
	return scan.LabelValues(ctx, v.parts(), name, s, limit)
}

func (v *view) Series(ctx context.Context, s storage.Selection, limit int) ([]labels.Labels, annotations.Annotations, error) {
	if v.closed.Load() {
		return nil, nil, errViewClosed
	}
	return scan.Series(ctx, v.parts(), s, limit)
}

func (v *view) Estimate(ctx context.Context, s storage.Selection) (storage.Estimate, error) {
	f, err := scan.Find(ctx, v.parts(), s)
	if err != nil {
		return storage.Estimate{}, err
	}
	return f.Estimate(ctx)
}

func (v *view) Exemplars(_ context.Context, s storage.Selection) ([]storage.SeriesExemplars, error) {
	return v.head.Exemplars(s.MinTime, s.MaxTime, s.Matchers...), nil
}

func (v *view) Metadata(_ context.Context, family string, limit int) ([]storage.Metadata, error) {
	return v.head.Metadata(family, limit), nil
}

func (v *view) Close() {
	v.closed.Store(true)
	v.once.Do(v.snap.Release)
}

// TestContract runs the suite of the storage contract on heads over a log in
// memory, with restarts in the middle of every history.
func TestContract(t *testing.T) {
	storagetest.Run(t, harness(head.Options{}))
	t.Run("sealed at once", func(t *testing.T) { storagetest.Run(t, harness(head.Options{SealEvery: 1})) })
}

func harness(o head.Options) storagetest.Harness {
	return storagetest.Harness{
		LateWindow: 2 * time.Hour,
		Open: func(t *testing.T, admitter storage.Admitter) storage.Store {
			s, err := openAll(mem.New(), admitter, o)
			if err != nil {
				t.Fatal(err)
			}
			return s
		},
		Reopen: func(t *testing.T, before storage.Store) storage.Store {
			old := before.(*store)
			old.closed = true
			if err := old.log.Close(); err != nil {
				t.Fatal(err)
			}
			s, err := openAll(old.fs, old.admitter, o)
			if err != nil {
				t.Fatal(err)
			}
			return s
		},
	}
}

// TestHistories compares random histories, restarts included, with the
// reference store.
func TestHistories(t *testing.T) {
	n := uint64(300)
	if testing.Short() {
		n = 30
	}
	h := harness(head.Options{})
	for seed := uint64(1000); seed < 1000+n; seed++ {
		storagetest.History(t, h, seed)
	}
}

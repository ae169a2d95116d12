package storagetest_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync"
	"testing"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/tsdb"

	"github.com/nilometer/nilometer/model/tenant"
	"github.com/nilometer/nilometer/storage"
	"github.com/nilometer/nilometer/storage/storagetest"
)

// upstream is a storage.Store over Prometheus' own database: an engine that
// nobody here has written proves that the suite asks for what the contract says
// and not for what our engines happen to do.
//
// Prometheus has the samples, their order and identity, matchers, label APIs,
// deletion, durability and the state that a reader pins. What it has no notion
// of is made on top: groups, slots, versions, the admitter, and the samples that
// a closed group implies. Deliberate differences, all of which the contract
// allows or the suite leaves open: an old sample that is sent again is out of
// order, not a repeat or a conflict, unless it is its series' last; a commit of
// several batches is applied batch by batch; start timestamps, native
// histograms, exemplars and metadata are not kept. A querier of Prometheus does
// not pin deletions: a view reads all that it may be asked for before one; and
// it takes a deleted sample for a repeat, where the store on top refuses it.
type upstream struct {
	dir      string
	admitter storage.Admitter

	mu      sync.Mutex // guards what follows, in groups and members too
	closed  bool
	tenants map[tenant.ID]*upstreamTenant
}

type upstreamTenant struct {
	db     *tsdb.DB
	views  map[*upstreamView]bool     // that are open
	series map[string]*upstreamSeries // by canonical bytes
	// deleted is the end of all deletions: samples that are older than their
	// series' last and than it are refused.
	deleted int64
	groups  map[storage.GroupSpec]*upstreamGroup
	changes [][2]int64 // the first and the last time of each
}

// upstreamSeries is what the groups on top have to know of a series.
type upstreamSeries struct {
	labels labels.Labels
	last   int64          // time of the last sample
	owner  *upstreamGroup // that mentioned it last
}

func newUpstream(t *testing.T, a storage.Admitter) *upstream {
	u := &upstream{dir: t.TempDir(), admitter: a, tenants: map[tenant.ID]*upstreamTenant{}}
	t.Cleanup(func() {
		if err := u.Close(); err != nil {
			t.Error(err)
		}
	})
	return u
}

// Close ends all databases.
func (u *upstream) Close() error {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.closed {
		return nil
	}
	u.closed = true
	var errs []error
	for _, t := range u.tenants {
		errs = append(errs, t.db.Close())
	}
	return errors.Join(errs...)
}

// reopen ends a store and opens another one on its data.
func (u *upstream) reopen(t *testing.T) *upstream {
	t.Helper()
	if err := u.Close(); err != nil {
		t.Fatal(err)
	}
	next := newUpstream(t, u.admitter)
	next.dir = u.dir
	for id, old := range u.tenants {
		n, err := next.tenantLocked(id)
		if err != nil {
			t.Fatal(err)
		}
		n.series = old.series
	}
	return next
}

func (u *upstream) tenantLocked(id tenant.ID) (*upstreamTenant, error) {
	if err := id.Validate(); err != nil {
		return nil, err
	}
	if u.closed {
		return nil, storage.ErrClosed
	}
	if t := u.tenants[id]; t != nil {
		return t, nil
	}
	// A long span, as Prometheus refuses what is half of one behind.
	opts := tsdb.DefaultOptions()
	opts.MinBlockDuration, opts.MaxBlockDuration = 48*3600_000, 48*3600_000
	opts.RetentionDuration = 0
	db, err := tsdb.Open(u.dir+"/"+string(id), nil, nil, opts, nil)
	if err != nil {
		return nil, err
	}
	db.DisableCompactions()
	t := &upstreamTenant{db: db, views: map[*upstreamView]bool{}, deleted: math.MinInt64, series: map[string]*upstreamSeries{}, groups: map[storage.GroupSpec]*upstreamGroup{}}
	u.tenants[id] = t
	return t, nil
}

// OpenGroup implements storage.Writer.
func (u *upstream) OpenGroup(ctx context.Context, id tenant.ID, spec storage.GroupSpec) (storage.Group, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if spec.Kind != storage.Closed && spec.Kind != storage.Open {
		return nil, fmt.Errorf("open group %q: kind %d", spec.Name, spec.Kind)
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	t, err := u.tenantLocked(id)
	if err != nil {
		return nil, fmt.Errorf("open group %q: %w", spec.Name, err)
	}
	g := t.groups[spec]
	if g == nil || spec.Kind == storage.Closed {
		if g != nil {
			g.gone = true
		}
		g = &upstreamGroup{store: u, tenant: t, id: id, spec: spec, slots: map[string]storage.Slot{}}
		t.groups[spec] = g
	}
	return &upstreamHandle{upstreamGroup: g}, nil
}

// Commit implements storage.Writer.
func (u *upstream) Commit(ctx context.Context, _ storage.Durability, batches ...storage.Prepared) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	for _, b := range batches {
		p := b.(*upstreamPrepared)
		if err := p.handle.usableLocked(); err != nil {
			return err
		}
		if p.batch == nil {
			return errors.New("commit: the batch was committed or aborted before")
		}
		if p.batch.Version != p.handle.version {
			return fmt.Errorf("group %q: %w", p.handle.spec.Name, storage.ErrVersion)
		}
	}
	for _, b := range batches {
		p := b.(*upstreamPrepared)
		if err := p.handle.applyLocked(p); err != nil {
			return err
		}
		p.batch = nil
	}
	return nil
}

// Delete implements storage.Reader.
func (u *upstream) Changed(id tenant.ID, after uint64, mint int64) (now uint64, from int64) {
	u.mu.Lock()
	defer u.mu.Unlock()
	from = math.MaxInt64
	t := u.tenants[id]
	if t == nil {
		return 0, from
	}
	for _, c := range t.changes[after:] {
		if c[1] >= mint {
			from = min(from, max(mint, c[0]))
		}
	}
	return uint64(len(t.changes)), from
}

func (u *upstream) Delete(ctx context.Context, id tenant.ID, mint, maxt int64, ms ...*labels.Matcher) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	t, err := u.tenantLocked(id)
	if err != nil {
		return err
	}
	for v := range t.views {
		if err := v.keep(); err != nil {
			return err
		}
	}
	t.changes = append(t.changes, [2]int64{mint, maxt})
	t.deleted = max(t.deleted, maxt)
	return t.db.Delete(ctx, mint, maxt, orAll(ms)...)
}

// orAll is a matcher of all series where there is none: Prometheus takes no
// matcher for no series.
func orAll(ms []*labels.Matcher) []*labels.Matcher {
	if len(ms) == 0 {
		return []*labels.Matcher{labels.MustNewMatcher(labels.MatchEqual, "", "")}
	}
	return ms
}

// Tail implements storage.Reader.
func (u *upstream) Tail(context.Context, tenant.ID, storage.Cursor) (storage.Tailer, error) {
	return nil, storage.ErrUnsupported
}

// TestUpstream runs the suite on the database of Prometheus.
func TestUpstream(t *testing.T) {
	storagetest.Run(t, storagetest.Harness{
		NoHistograms: true,
		Open:         func(t *testing.T, a storage.Admitter) storage.Store { return newUpstream(t, a) },
		Reopen: func(t *testing.T, s storage.Store) storage.Store {
			return s.(*upstream).reopen(t)
		},
	})
}

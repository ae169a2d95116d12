package storagetest

import (
	"context"
	"fmt"
	"math"
	"slices"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/nilometer/nilometer/model/column"
	"github.com/nilometer/nilometer/model/series"
	"github.com/nilometer/nilometer/model/tenant"
	"github.com/nilometer/nilometer/storage"
)

// MemoryOptions shape how a Memory answers; the samples are the same with all
// of them. The zero value is ready.
type MemoryOptions struct {
	// Admitter decides about new series; nil admits all.
	Admitter storage.Admitter
	// TilePositions is the length of tiles, column.TilePositions when 0.
	TilePositions int
	// BatchSeries bounds the series of a column batch, 64 when 0.
	BatchSeries int
	// Decoded hands out decoded values where the default are chunks of
	// format/column and format/histogram.
	Decoded bool
	// LateWindow is how far behind the tenant's newest sample one of an open
	// group may lie that is older than its series' last; 0: none is taken.
	LateWindow time.Duration
}

// Memory is a storage.Store in memory, for tests: floats, native histograms,
// start timestamps, metadata and deletion. It refuses exemplars as not
// supported, and samples behind their series' last one, outside of the window,
// as out of order.
type Memory struct {
	opts MemoryOptions

	mu      sync.Mutex // guards everything below, in groups and series too
	tenants map[tenant.ID]*memTenant
}

var _ storage.Store = (*Memory)(nil)

type memTenant struct {
	series   map[string]*memSeries // by canonical bytes
	groups   map[storage.GroupSpec]*memGroup
	metadata map[string]storage.Metadata
	newest   int64 // the time of the newest sample
	changes  []memChange
}

// memChange is a change to samples from a time on; its number is its place.
type memChange struct{ mint, maxt int64 }

// memSeries is one series. samples is only ever appended to or replaced, so
// that the slices of views stay as they were.
type memSeries struct {
	labels  labels.Labels
	samples []Sample
	last    int64 // the time of the last sample in order, deleted or not
	begun   bool  // it has had one
	// owner wrote the last sample that was mentioned in a batch; mixed is set
	// when it was not always the same group.
	owner *memGroup
	mixed bool
}

// NewMemory returns an empty store.
func NewMemory(o MemoryOptions) *Memory {
	if o.Admitter == nil {
		o.Admitter = storage.AdmitAll{}
	}
	if o.TilePositions <= 0 || o.TilePositions > column.TilePositions {
		o.TilePositions = column.TilePositions
	}
	if o.BatchSeries <= 0 {
		o.BatchSeries = 64
	}
	return &Memory{opts: o, tenants: map[tenant.ID]*memTenant{}}
}

func (m *Memory) tenantLocked(id tenant.ID) *memTenant {
	t := m.tenants[id]
	if t == nil {
		t = &memTenant{
			series:   map[string]*memSeries{},
			groups:   map[storage.GroupSpec]*memGroup{},
			metadata: map[string]storage.Metadata{},
		}
		m.tenants[id] = t
	}
	return t
}

// OpenGroup returns a handle on the group that spec names.
func (m *Memory) OpenGroup(ctx context.Context, id tenant.ID, spec storage.GroupSpec) (storage.Group, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if err := id.Validate(); err != nil {
		return nil, fmt.Errorf("open group %q: %w", spec.Name, err)
	}
	if spec.Kind != storage.Closed && spec.Kind != storage.Open {
		return nil, fmt.Errorf("open group %q: no kind of group is numbered %d", spec.Name, spec.Kind)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	t := m.tenantLocked(id)
	g := t.groups[spec]
	if g == nil || spec.Kind == storage.Closed {
		// A new writer of a closed group knows nothing of the members of the
		// old one, so nothing may continue for it.
		old := g
		g = &memGroup{store: m, id: id, tenant: t, spec: spec, byKey: map[string]storage.Slot{}, version: 1}
		if old != nil {
			old.gone = true
		}
		t.groups[spec] = g
	}
	return &memHandle{g: g}, nil
}

// Commit applies the batches in their order, under one lock.
func (m *Memory) Commit(ctx context.Context, _ storage.Durability, batches ...storage.Prepared) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, b := range batches {
		p := b.(*memPrepared)
		if p.h.closed || p.h.g.gone {
			return storage.ErrGroupClosed
		}
		if p.batch == nil {
			return fmt.Errorf("commit to group %q: the batch was committed or aborted before", p.h.g.spec.Name)
		}
	}
	for _, b := range batches {
		p := b.(*memPrepared)
		p.result = p.h.g.applyLocked(p.batch)
		p.h.g.tenant.changes = append(p.h.g.tenant.changes, memChange{p.batch.Time, p.batch.Time})
		p.batch = nil
	}
	return nil
}

// Delete removes the samples at once.
func (m *Memory) Delete(ctx context.Context, id tenant.ID, mint, maxt int64, ms ...*labels.Matcher) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, s := range m.tenantLocked(id).series {
		if Matches(s.labels, ms...) {
			s.samples = slices.DeleteFunc(slices.Clone(s.samples), func(x Sample) bool { return mint <= x.T && x.T <= maxt })
		}
	}
	t := m.tenantLocked(id)
	t.changes = append(t.changes, memChange{mint, maxt})
	return nil
}

// Changed implements storage.Reader.
func (m *Memory) Changed(id tenant.ID, after uint64, mint int64) (now uint64, from int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	all := m.tenantLocked(id).changes
	from = math.MaxInt64
	for _, c := range all[min(after, uint64(len(all))):] {
		if c.maxt >= mint {
			from = min(from, max(mint, c.mint))
		}
	}
	return uint64(len(all)), from
}

// Tail is not supported.
func (m *Memory) Tail(context.Context, tenant.ID, storage.Cursor) (storage.Tailer, error) {
	return nil, fmt.Errorf("tail a store in memory: %w", storage.ErrUnsupported)
}

// Matches reports whether every matcher matches the label set, where a label
// that is not there has the empty value.
func Matches(lset labels.Labels, ms ...*labels.Matcher) bool {
	return !slices.ContainsFunc(ms, func(m *labels.Matcher) bool { return !m.Matches(lset.Get(m.Name)) })
}

// valid reports whether lset is a canonical label set: not empty, sorted, each
// name once, no empty name or value, UTF-8.
func valid(lset labels.Labels) bool {
	last, ok := "", !lset.IsEmpty() && lset.Len() <= storage.LabelsMax
	lset.Range(func(l labels.Label) {
		ok = ok && max(len(l.Name), len(l.Value)) <= storage.LabelSizeMax && l.Name > last && l.Value != "" && utf8.ValidString(l.Name) && utf8.ValidString(l.Value)
		last = l.Name
	})
	return ok
}

func canonical(lset labels.Labels) string { return string(series.AppendCanonical(nil, lset)) }

// clone copies the bytes too: labels.Labels.Copy may share them.
func clone(lset labels.Labels) labels.Labels {
	b := labels.NewScratchBuilder(lset.Len())
	lset.Range(func(l labels.Label) { b.Add(l.Name, l.Value) })
	return b.Labels()
}
